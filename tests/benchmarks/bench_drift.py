"""Drift, measured: what is found and how soon, false alarms a year, what a night costs, what updates win.

`make bench-drift`. (a) Streams with known truth at 100 and 100,000 rows a day, and the simulated platform,
by the nightly verdict and by Evidently's default rule; (b) CPU seconds and memory of the verdict and of
Evidently's preset; (c) the update tournament against each fixed strategy. All data are simulated.

    python -m tests.benchmarks.bench_drift --parts a --quick     # a few minutes instead of half an hour
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from ml.drift.settings import Severity
from tests.benchmarks.drift_costs import Cost, measure_costs
from tests.benchmarks.drift_detection import Judged, measure_detection, measure_simulator
from tests.benchmarks.drift_streams import QUIET, Kind
from tests.benchmarks.drift_updates import measure_updates, print_updates
from tests.benchmarks.reporting import print_table, write_figures

YEAR = 365
CHANGED: tuple[Kind, ...] = (
    "covariate",
    "covariate_unimportant",
    "prior",
    "concept_sudden",
    "concept_gradual",
    "concept_recurring",
    "broken_column",
)
# What leaves the model right: to act on it would be the mistake.
HARMLESS = ("covariate", "covariate_unimportant")
SMALL, LARGE = 100, 100_000


def main() -> int:
    """Measure, print, and write the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--parts", default="abc", help="which of a, b, c")
    arguments.add_argument(
        "--quick", action="store_true", help="fewer seeds and days, no million for Evidently"
    )
    given = arguments.parse_args()
    figures: dict[str, float] = {}
    parts = {"a": _detection, "b": _costs, "c": _updates}
    for name, measure in parts.items():
        if name in given.parts:
            began = time.perf_counter()
            figures |= measure(quick=given.quick)
            print(f"(part {name}: {time.perf_counter() - began:.0f} s)\n")  # noqa: T201
    print_table(("figure", "value"), [(name, f"{value:.4g}") for name, value in figures.items()])
    if not given.quick and set("abc") <= set(given.parts):
        print(f"written to {write_figures('bench-drift', figures)}")  # noqa: T201
    return 0


def _detection(*, quick: bool) -> dict[str, float]:
    seeds = (61,) if quick else (61, 62, 63, 64)
    quiet = {
        SMALL: measure_detection(QUIET, (SMALL,), seeds, 60 if quick else YEAR),
        LARGE: measure_detection(QUIET, (LARGE,), seeds[:1], 15 if quick else YEAR),
    }
    few = {SMALL: seeds if quick else (*seeds, 65, 66), LARGE: seeds[:1] if quick else seeds[:2]}
    changed = {rows: measure_detection(CHANGED, (rows,), few[rows], 0) for rows in (SMALL, LARGE)}
    worlds = measure_simulator((12,) if quick else (12, 100), seeds[:1] if quick else seeds[:2])
    _print_quiet([*quiet[SMALL], *quiet[LARGE]])
    _print_changed([*changed[SMALL], *changed[LARGE], *worlds])
    harmful = [each for found in changed.values() for each in found if each.kind not in HARMLESS]
    found = [each.days_to(Severity.MEDIUM) for each in harmful]
    return {
        "false_high_per_year_100": _high_per_year(quiet[SMALL]),
        "false_high_per_year_100k": _high_per_year(quiet[LARGE]),
        "quiet_years_100": _days(quiet[SMALL]) / YEAR,
        "quiet_years_100k": _days(quiet[LARGE]) / YEAR,
        "evidently_false_alarms_per_100d": _evidently_per_100d(quiet[SMALL]),
        "evidently_false_alarms_per_100d_100k": _evidently_per_100d(quiet[LARGE]),
        "median_days_to_detect": float(np.median([np.inf if day is None else day for day in found])),
        "missed_share": sum(day is None for day in found) / len(found),
        "harmless_called_for_action_share": float(
            np.mean(
                [
                    each.days_to(Severity.MEDIUM) is not None
                    for found in changed.values()
                    for each in found
                    if each.kind in HARMLESS
                ]
            )
        ),
    }


def _costs(*, quick: bool) -> dict[str, float]:
    sizes = (10_000, 100_000, 1_000_000)
    costs = measure_costs(sizes, sizes[:1] if quick else sizes)
    print_table(
        ("30 columns", "rows", "CPU s", "peak MB", "of it imports", "columns drifted"),
        [
            (
                each.way,
                f"{each.rows:,}",
                f"{each.cpu_s:.2f}",
                f"{each.peak_mb:,.0f}",
                f"{each.imported_mb:,.0f}",
                str(each.drifted),
            )
            for each in costs
        ],
    )
    last = sizes[-1]
    ours, judged = (_of(costs, way, last) for way in ("verdict", "with outcomes"))
    figures = {"cpu_s_1m": ours.cpu_s, "cpu_s_1m_with_outcomes": judged.cpu_s, "peak_mb_1m": judged.peak_mb}
    if not quick:
        theirs = _of(costs, "evidently", last)
        figures |= {
            "evidently_cpu_s_1m": theirs.cpu_s,
            "evidently_peak_mb_1m": theirs.peak_mb,
            "cpu_ratio_1m": theirs.cpu_s / ours.cpu_s,
        }
    return figures


def _updates(*, quick: bool) -> dict[str, float]:
    cases, summary = measure_updates((101,)) if quick else measure_updates((101, 102, 301, 302))
    print_updates(cases, summary)
    return {
        "tournament_not_worse_share": summary.share_ties_or_beats_keep,
        "tournament_regret": summary.regret,
        "keep_regret": summary.regret_keep,
    }


def _print_quiet(found: Sequence[Judged]) -> None:
    rows = []
    for kind, size in dict.fromkeys((each.kind, each.rows) for each in found):
        same = [each for each in found if (each.kind, each.rows) == (kind, size)]
        days = _days(same)
        counts = [
            sum(each.quiet_days(least)[0] for each in same) for least in (Severity.MEDIUM, Severity.HIGH)
        ]
        rows.append(
            (
                kind,
                f"{size:,}",
                f"{days:,}",
                str(counts[0]),
                str(counts[1]),
                f"{_evidently_per_100d(same):.1f}",
            )
        )
    print_table(
        ("quiet stream", "rows a day", "days", "medium or more", "high or more", "Evidently, per 100 days"),
        rows,
    )
    print()  # noqa: T201


def _print_changed(found: Sequence[Judged]) -> None:
    rows = []
    for kind, size in dict.fromkeys((each.kind, each.rows) for each in found if True in each.drifting):
        same = [each for each in found if (each.kind, each.rows) == (kind, size) and True in each.drifting]
        to = {least: [each.days_to(least) for each in same] for least in (Severity.MEDIUM, Severity.HIGH)}
        before = sum(each.quiet_days(Severity.MEDIUM)[0] for each in same)
        theirs = [
            called
            for each in same
            for called, drifting in zip(each.evidently, each.drifting, strict=False)
            if drifting
        ]
        gave = [called for called in theirs if called is not None]
        rows.append(
            (
                kind,
                f"{size:,}",
                str(len(same)),
                _median(to[Severity.MEDIUM]),
                _median(to[Severity.HIGH]),
                str(sum(day is None for day in to[Severity.MEDIUM])),
                str(before),
                f"{np.mean(gave):.0%}" if gave else "no verdict" if theirs else "-",
            )
        )
    print_table(
        (
            "changed stream",
            "rows a day",
            "runs",
            "days to medium",
            "days to high",
            "never",
            "early",
            "Evidently calls",
        ),
        rows,
    )
    print()  # noqa: T201


def _median(days: Sequence[int | None]) -> str:
    """The median of days to a verdict, never counting as infinity."""
    middle = float(np.median([np.inf if day is None else day for day in days]))
    return "never" if np.isinf(middle) else f"{middle:g}"


def _days(found: Sequence[Judged]) -> int:
    return sum(each.quiet_days(Severity.HIGH)[1] for each in found)


def _high_per_year(found: Sequence[Judged]) -> float:
    """Days that were high or worse without any change, per 365 of them."""
    return YEAR * sum(each.quiet_days(Severity.HIGH)[0] for each in found) / _days(found)


def _evidently_per_100d(found: Sequence[Judged]) -> float:
    called = [each for judged in found for each in judged.evidently if each is not None]
    return 100 * float(np.mean(called)) if called else float("nan")


def _of(costs: Sequence[Cost], way: str, rows: int) -> Cost:
    return next(each for each in costs if (each.way, each.rows) == (way, rows))


if __name__ == "__main__":
    sys.exit(main())
