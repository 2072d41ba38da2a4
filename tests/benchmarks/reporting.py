"""How a benchmark tells what it measured: a table on the screen, and figures in `var/bench/NAME.json`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from include.config.commit import git_commit
from include.stack.settings import StackSettings


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in columns; the first is text, the others are numbers."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())  # noqa: T201


def write_figures(name: str, figures: Mapping[str, float], folder: Path | None = None) -> Path:
    """Keep what benchmark `name` measured, with the machine and the commit it was measured on.

    Args:
        figures: name -> value; the unit is part of the name where there is one.
        folder: where to, `var/bench` by default.

    Returns:
        The file.
    """
    path = (folder or StackSettings.from_environment().var / "bench") / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"figures": dict(figures), "machine": _machine(), "commit": git_commit()}
    path.write_text(json.dumps(told, indent=2) + "\n")
    return path


def _machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")
