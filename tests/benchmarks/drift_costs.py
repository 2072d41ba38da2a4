"""What a night costs: the whole verdict on a window of 30 columns, and Evidently's preset on the same.

Each measurement runs in a process of its own. CPU seconds are of the work, after imports. Evidently gets
both windows as tables in memory, which reading them is not charged for. Ours is charged for everything a
night does: reading the kept reference, reading the current window from an uncompressed Arrow file in pieces
of 200,000 rows through an ordinary file (mapped memory would count as resident), summing it up,
judging it, and scoring every column by Evidently's own rules; once more with predictions and
outcomes, of which the preset knows nothing.

    python -m tests.benchmarks.drift_costs --rows 10000 100000 --evidently-rows 10000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from include.config import thresholds
from ml.drift.windows import WatchedColumn, Window
from tests.benchmarks.reporting import print_table

NUMERIC, CATEGORICAL = 24, 6
# As the house reads tables: drift.piece_rows.
PIECE = thresholds().drift.piece_rows
LAST_DAY = date(2026, 3, 29)


@dataclass(frozen=True)
class Cost:
    """One measurement.

    Attributes:
        way: `evidently`, `verdict`, or `with outcomes`: the verdict that also measures performance.
        rows: of the reference, and as many of the current window.
        cpu_s: of the work, all threads.
        import_cpu_s: before it.
        peak_mb: greatest resident memory of the process, in mebibytes.
        imported_mb: what was resident before the work.
        drifted: columns drift was called in, to see that both did the same.
    """

    way: str
    rows: int
    cpu_s: float
    import_cpu_s: float
    peak_mb: float
    imported_mb: float
    drifted: int


def measure_costs(sizes: Sequence[int], evidently_sizes: Sequence[int]) -> list[Cost]:
    """Measure our way at each of `sizes` rows and Evidently's at each of `evidently_sizes`.

    Evidently takes about 6 CPU seconds for 10,000 rows, 15 for 100,000, and 200 and 2 GB for 1,000,000.
    """
    found = []
    for rows in sorted({*sizes, *evidently_sizes}):
        with tempfile.TemporaryDirectory() as folder:
            _in_a_process("prepare", rows, folder)
            if rows in sizes:
                ways = ("verdict", "with outcomes")
                found += [Cost(**json.loads(_in_a_process(way, rows, folder))) for way in ways]
            if rows in evidently_sizes:
                found.append(Cost(**json.loads(_in_a_process("evidently", rows, folder))))
    return found


def drift_table(rows: int, seed: int, *, moved: bool) -> pa.Table:
    """`rows` rows of 24 numeric and 6 categorical columns of common shapes; a third moves if `moved`."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for number in range(NUMERIC):
        by = 0.3 if moved and number % 3 == 0 else 0.0
        shape = number % 8
        if shape == 0:
            values = random.normal(number + by, 1, rows)
        elif shape in (1, 5):
            values = random.lognormal(by, 0.5 + number / 24, rows)
        elif shape == 2:
            values = random.gamma(2 + number / 12, 1 + by, rows)
        elif shape == 3:
            values = random.poisson(3 + number + 3 * by, rows).astype(np.float64)
        elif shape == 4:
            values = np.where(random.random(rows) < 0.3, 0.0, random.exponential(1 + by, rows))
        elif shape == 6:
            values = np.floor(random.lognormal(9 + by, 1, rows))
        else:
            values = np.where(random.random(rows) < 0.1, np.nan, random.normal(by, 3, rows))
        columns[f"number_{number}"] = pa.array(values)
    for number in range(CATEGORICAL):
        levels = np.array([f"level {i}" for i in range(3 + 15 * number)])
        weights = 1 / np.arange(1, len(levels) + 1) ** (1.5 if moved and number % 3 == 0 else 1.0)
        codes = random.choice(len(levels), rows, p=weights / weights.sum()).astype(np.int32)
        columns[f"category_{number}"] = pa.DictionaryArray.from_arrays(codes, levels)
    return pa.table(columns)


def main() -> int:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    arguments.add_argument("--evidently-rows", type=int, nargs="*", default=[10_000, 100_000])
    arguments.add_argument("--one", choices=("prepare", "verdict", "with outcomes", "evidently"))
    arguments.add_argument("--folder", type=Path)
    given = arguments.parse_args()
    if given.one:
        answer = _measured(given.one, given.rows[0], given.folder)
        print(json.dumps(answer and asdict(answer)))  # noqa: T201
        return 0
    costs = measure_costs(given.rows, given.evidently_rows)
    print_table(
        ("way", "rows", "CPU s", "peak MB", "of it imports", "import CPU s", "drifted"),
        [
            (
                cost.way,
                f"{cost.rows:,}",
                f"{cost.cpu_s:.3f}",
                f"{cost.peak_mb:,.0f}",
                f"{cost.imported_mb:,.0f}",
                f"{cost.import_cpu_s:.1f}",
                str(cost.drifted),
            )
            for cost in costs
        ],
    )
    return 0


def _in_a_process(what: str, rows: int, folder: str) -> str:
    command = [sys.executable, "-m", "tests.benchmarks.drift_costs", "--one", what]
    done = subprocess.run(
        [*command, "--rows", str(rows), "--folder", folder], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip().splitlines()[-1]


def _measured(what: str, rows: int, folder: Path) -> Cost | None:
    if what == "prepare":
        _prepare(rows, folder)
        return None
    run = _evidently(folder) if what == "evidently" else _verdict(folder, outcomes=what != "verdict")
    next(run)
    imported_s, imported_mb = time.process_time(), _memory("VmRSS")
    drifted = next(run)
    return Cost(
        way=what,
        rows=rows,
        cpu_s=round(time.process_time() - imported_s, 4),
        import_cpu_s=round(imported_s, 2),
        peak_mb=_memory("VmHWM"),
        imported_mb=imported_mb,
        drifted=drifted,
    )


def _prepare(rows: int, folder: Path) -> None:
    for name, moved in (("reference", False), ("current", True)):
        table = _with_outcomes(drift_table(rows, seed=1 + moved, moved=moved), moved=moved)
        with (
            pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file,
            pa.ipc.new_file(file, table.schema) as to,
        ):
            to.write_table(table, max_chunksize=PIECE)
    from ml.drift.reference import Reference

    columns = (*(WatchedColumn(name) for name in _names()), WatchedColumn("predicted", "prediction"))
    sample = next(_windows(folder / "reference.arrow"))
    reference = Reference.of(
        sample, _windows(folder / "reference.arrow"), columns, "log_loss", sample_rows=10_000
    )
    (folder / "reference.npz").write_bytes(reference.dump())


def _with_outcomes(table: pa.Table, *, moved: bool) -> pa.Table:
    """Ads of twenty rows each over a week, with impressions, predictions, and clicks that follow them."""
    rows = table.num_rows
    random = np.random.default_rng(9 + moved)
    shown = random.integers(100, 2000, rows)
    predicted = random.uniform(0.005, 0.03, rows)
    day = np.datetime64(LAST_DAY, "D") - (0 if moved else 7) - np.arange(rows) % 7
    told = {
        "ad": np.arange(rows) // 20,
        # As a database gives it; a date of Arrow becomes an object a row.
        "day": day.astype("datetime64[s]"),
        "shown": shown.astype("float64"),
        "predicted": predicted,
        "clicks": random.binomial(shown, predicted).astype("float64"),
    }
    for name, values in told.items():
        table = table.append_column(name, pa.array(values))
    return table


def _verdict(folder: Path, *, outcomes: bool) -> Iterator[int]:
    """Import at the first step, work at the second."""
    from ml.drift.decision import Situation
    from ml.drift.reference import Reference
    from ml.drift.sums import DaySums
    from ml.drift.verdict import Day, judge_day
    from nightshift.drift_settings import broken_ladder, drift_settings, quality_settings

    limits = thresholds().drift
    rules = drift_settings(limits), quality_settings(limits.quality), broken_ladder(limits.quality)
    yield 0
    reference = Reference.load((folder / "reference.npz").read_bytes())
    if reference is None:
        raise RuntimeError("the reference that was just written cannot be read")
    day = Day(
        day=LAST_DAY,
        current_days=7,
        newest_days=2,
        learnt_until=LAST_DAY - timedelta(days=7),
        judged_loss=None,
        observed_before={},
        situation=Situation(LAST_DAY, "model", 0),
    )
    current = DaySums.of(reference, _windows(folder / "current.arrow", outcomes=outcomes))
    verdict = judge_day(reference, current, day, *rules, label="now")
    yield sum(verdict.scores[name].drifted for name in _names())


def _windows(path: Path, *, outcomes: bool = True) -> Iterator[Window]:
    for piece in _pieces(path):
        yield Window(
            label="week",
            rows=piece[[*_names(), "predicted"]],
            clusters=piece["ad"].to_numpy(),
            days=piece["day"].to_numpy().astype("datetime64[D]"),
            predicted=piece["predicted"].to_numpy() if outcomes else None,
            observed=piece["clicks"].to_numpy(),
            exposure=piece["shown"].to_numpy(),
        )


def _names() -> list[str]:
    return [*(f"number_{n}" for n in range(NUMERIC)), *(f"category_{n}" for n in range(CATEGORICAL))]


def _evidently(folder: Path) -> Iterator[int]:
    """Import and read at the first step, work at the second."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = _names()[:NUMERIC], _names()[NUMERIC:]
    definition = DataDefinition(numerical_columns=names[0], categorical_columns=names[1])
    frames = []
    for window in ("current", "reference"):
        frame = pd.concat(_pieces(folder / f"{window}.arrow"), ignore_index=True)[_names()]
        frames.append(frame.astype(dict.fromkeys(names[1], "object")))
    yield 0
    datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
    snapshot = Report([DataDriftPreset()]).run(*datasets)
    yield int(snapshot.dict()["metrics"][0]["value"]["count"])


def _pieces(path: Path) -> Iterator[pd.DataFrame]:
    with pa.OSFile(str(path), "rb") as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number).to_pandas(split_blocks=True)


def _memory(name: str) -> float:
    """`VmRSS` or `VmHWM` of this process in mebibytes; what it was before the program began is not in
    it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError(f"the kernel tells no {name}")


if __name__ == "__main__":
    sys.exit(main())
