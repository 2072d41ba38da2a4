"""How long Airflow needs to import each DAG file, beside an empty one: `make bench-dags`.

The dag-processor imports every file every half minute, so what a file adds to Airflow's own import is paid
all day. Each measurement is a fresh Python process, and the files take turns. Time that a process stood in
line for a core is not counted, for that is the other programs' doing; what it slept or waited for is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from include.stack.settings import REPOSITORY
from tests.benchmarks.reporting import print_table, write_figures

MOST = 1.3
REPEATS = 7

EMPTY_DAG = """
from airflow.sdk import dag, task


@dag(schedule=None)
def empty():
    @task
    def nothing():
        return None

    nothing()


empty()
"""

_TIMED_IMPORT = """
import importlib.util, sys, time
def in_line():
    try:
        with open("/proc/self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0
began = time.perf_counter() - in_line()
spec = importlib.util.spec_from_file_location("measured", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(time.perf_counter() - in_line() - began)
"""


@dataclass(frozen=True)
class ImportTime:
    """Seconds to import one file, and how many times as long as an empty DAG file takes."""

    name: str
    seconds: float
    ratio: float


def measure_imports(files: Sequence[Path], repeats: int = REPEATS) -> tuple[float, list[ImportTime]]:
    """Median import time of an empty DAG file, and of each of `files`.

    The ratio is the median over the rounds of a file's time and the empty file's in the same round.

    Raises:
        RuntimeError: a file does not import; the message ends with its traceback.
    """
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY_DAG)
        everything = [empty, *files]
        for file in everything:
            # Once unmeasured: the first import of a file also compiles it.
            _import_seconds(file, folder)
        rounds = [{file: _import_seconds(file, folder) for file in everything} for _ in range(repeats)]
    measured = [
        ImportTime(
            file.stem,
            statistics.median(times[file] for times in rounds),
            statistics.median(times[file] / times[empty] for times in rounds),
        )
        for file in files
    ]
    return statistics.median(times[empty] for times in rounds), measured


def _import_seconds(file: Path, airflow_home: str) -> float:
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", _TIMED_IMPORT, str(file)],
        env=os.environ | {"PYTHONPATH": path, "AIRFLOW_HOME": airflow_home},
        cwd=airflow_home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{file} does not import: {done.stderr.strip()[-2000:]}")
    return float(done.stdout.split()[-1])


def main() -> int:
    """Measure, print, keep. Fails when a file takes more than `MOST` times as long as an empty one."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=REPEATS)
    repeats = arguments.parse_args().repeats
    empty, measured = measure_imports(sorted((REPOSITORY / "dags").glob("*.py")), repeats)
    rows = [
        (each.name, f"{each.seconds:.3f}", f"{(each.seconds - empty) * 1000:+.0f}", f"{each.ratio:.3f}")
        for each in measured
    ]
    head = ("DAG file", "seconds", "ms more", "ratio")
    print_table(head, [("(empty)", f"{empty:.3f}", "", "1.000"), *rows])
    ratios = [each.ratio for each in measured]
    figures = {"worst_ratio": round(max(ratios), 4), "mean_ratio": round(statistics.mean(ratios), 4)}
    path = write_figures("dags", figures)
    print(f"worst {figures['worst_ratio']}, mean {figures['mean_ratio']}; at most {MOST} wanted; {path}")  # noqa: T201
    return 0 if figures["worst_ratio"] <= MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
