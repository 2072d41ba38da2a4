"""Writes the table of mined features in docs/features.md from their definitions: `make docs`.

A test compares the page with what this writes, so what it says of a feature is what is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ml.features.mined_definitions import MINED_FEATURES
from ml.features.mined_formulas import GROUPS

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
BEGIN = "<!-- written by `make docs` from ml/features/mined_definitions.py: begin -->"
END = "<!-- end -->"


def table() -> str:
    """Every feature with formula, unit, window, needs and meaning, a table per group, as Markdown."""
    return "\n\n".join(
        "\n".join(
            [
                f"### {name}",
                "| feature | formula | unit | window | needs | what it tells |",
                "| --- " * 6 + "|",
                *_rows(group),
            ]
        )
        for group, name in GROUPS.items()
    )


def page_with_table(page: str) -> str:
    """The page with its tables written anew.

    Raises:
        ValueError: the page has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/features.md has no place for the table: it needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _rows(group: str) -> Iterator[str]:
    for feature in MINED_FEATURES:
        if feature.group == group:
            late = f" (told to models {feature.lag} days late)" if feature.lag > 1 else ""
            cells = (
                f"`{feature.name}`",
                feature.formula,
                feature.unit,
                feature.window,
                feature.needs,
                feature.meaning + late,
            )
            yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def main() -> int:
    """Write the tables into the page."""
    PAGE.write_text(page_with_table(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
