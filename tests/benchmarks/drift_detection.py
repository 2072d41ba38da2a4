"""What the nightly verdict finds, how soon, and how often it cries wolf: on streams and on the simulator.

A champion that knows the old world answers every day; a verdict is given every day as `drift_report` gives
it: a week against the eight weeks before, by niche too, confirmed by the day before.
Beside it Evidently's default rule looks at the newest day alone, as a nightly preset would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from include.config import thresholds
from include.simulator import DriftEvent, WorldConfig
from ml.ctr.training import train_ctr
from ml.drift.ads import ad_columns, ad_window
from ml.drift.decision import Situation
from ml.drift.reference import Reference
from ml.drift.settings import Severity
from ml.drift.sums import DaySums
from ml.drift.telling import as_json, observed_by_niche
from ml.drift.verdict import Day, DriftVerdict, judge_day
from ml.drift.windows import WatchedColumn, Window
from ml.features import build_ad_features
from nightshift.drift_settings import broken_ladder, drift_settings, quality_settings
from nightshift.train_model import ctr_settings
from tests.benchmarks.drift_streams import COLUMNS, QUIET, Kind, Stream
from tests.benchmarks.evidently_rule import planned, sketches_say_drift
from tests.ml.simulated import simulated_rows

REFERENCE_DAYS = 56
PREDICTED = "predicted_rate"
# Days of a changed stream before and after the change.
BEFORE, AFTER = 21, 28
START = date(2026, 1, 5)


@dataclass(frozen=True)
class Judged:
    """One stream, day by day after the reference.

    Attributes:
        kind, rows, seed: of the stream.
        severities: that counted; drifting: whether the day was changed.
        evidently: whether Evidently's rule called the day drifted; None where it gave no verdict.
    """

    kind: str
    rows: int
    seed: int
    severities: tuple[Severity, ...]
    drifting: tuple[bool, ...]
    evidently: tuple[bool | None, ...]

    def days_to(self, least: Severity) -> int | None:
        """Days from the first changed one (1) to the first verdict of at least this severity."""
        first = self.drifting.index(True)
        found = (n for n, each in enumerate(self.severities[first:], start=1) if each >= least)
        return next(found, None)

    def quiet_days(self, least: Severity) -> tuple[int, int]:
        """How many unchanged days before any change were at least so severe, and how many there were."""
        first = self.drifting.index(True) if True in self.drifting else len(self.drifting)
        return sum(each >= least for each in self.severities[:first]), first


def judged_stream(kind: Kind, rows: int, seed: int, days: int) -> Judged:
    """Verdicts on `days` days of a stream whose change, if it has one, comes after `BEFORE` of them."""
    stream = Stream(kind, rows, seed=seed, drift_start=REFERENCE_DAYS + BEFORE)
    told = stream.days(REFERENCE_DAYS + days)
    # At most so many rows for the reference: the champion's past, thinned evenly where days are large.
    known = [next(told) for _ in range(REFERENCE_DAYS)]
    keep = max(1, rows * REFERENCE_DAYS // 1_000_000)
    before = pd.concat([day.iloc[::keep] for day in known], ignore_index=True)
    del known
    plans, sketches = planned(before)
    columns = (*(WatchedColumn(name) for name in COLUMNS), WatchedColumn(PREDICTED, "prediction"))
    window = _window(before)
    reference = Reference.of(window, (window,), columns, "log_loss", sample_rows=1)
    severities: list[Severity] = []
    evidently: list[bool | None] = []
    week: deque[DaySums] = deque(maxlen=thresholds().drift.current_days)
    observed: dict[str, Severity] = {}
    for number, frame in enumerate(told, start=REFERENCE_DAYS):
        week.append(DaySums.of(reference, (_window(frame),)))
        verdict = _verdict(reference, week, START + timedelta(days=number), REFERENCE_DAYS, observed)
        observed = observed_by_niche(as_json(verdict))
        severities.append(verdict.severity)
        evidently.append(_evidently(plans, sketches, frame))
    drifting = tuple(stream.drifting(day) > 0 for day in range(REFERENCE_DAYS, REFERENCE_DAYS + days))
    return Judged(kind, rows, seed, tuple(severities), drifting, tuple(evidently))


def judged_world(accounts: int, seed: int, drift_after: int | None, days: int) -> Judged:
    """Verdicts on a simulated platform, by a champion trained on its first 90 days."""
    trained = 90
    event = None if drift_after is None else DriftEvent(START + timedelta(days=trained + drift_after))
    config = WorldConfig(seed=seed, accounts=accounts, start=START, days=trained + days, drift=event)
    features = build_ad_features(simulated_rows(config))
    first = np.datetime64(START, "D")
    model = train_ctr(features.take(features.dates < first + trained), ctr_settings(thresholds().ctr)).model
    window = ad_window(features, model.predict(features.X), "all", features.X["niche"].to_numpy(dtype=object))
    columns = ad_columns(window.rows, model.importances())
    past = window.between(first + (trained - REFERENCE_DAYS), first + (trained - 1))
    reference = Reference.of(past, (past,), columns, "log_loss", sample_rows=1)
    severities: list[Severity] = []
    week: deque[DaySums] = deque(maxlen=thresholds().drift.current_days)
    observed: dict[str, Severity] = {}
    for number in range(trained, trained + days):
        today = first + number
        week.append(DaySums.of(reference, (window.between(today, today),)))
        verdict = _verdict(reference, week, START + timedelta(days=number), trained, observed)
        observed = observed_by_niche(as_json(verdict))
        severities.append(verdict.severity)
    drifting = tuple(drift_after is not None and day >= drift_after for day in range(days))
    rows = round(len(features) / (trained + days))
    return Judged(f"simulator, {accounts} accounts", rows, seed, tuple(severities), drifting, ())


def measure_detection(
    kinds: Sequence[Kind], rows: Sequence[int], seeds: Sequence[int], quiet_days: int, processes: int = 2
) -> list[Judged]:
    """Every kind, size and seed; quiet kinds for `quiet_days` days."""
    work = [
        (kind, size, seed, quiet_days if kind in QUIET else BEFORE + AFTER)
        for size in rows
        for kind in kinds
        for seed in seeds
    ]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(judged_stream, *zip(*work, strict=True)))


def measure_simulator(
    accounts: Sequence[int], seeds: Sequence[int], days: int = 70, processes: int = 2
) -> list[Judged]:
    """Quiet platforms, and the same with a change after `BEFORE` days."""
    work = [(size, seed, after, days) for size in accounts for seed in seeds for after in (None, BEFORE)]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(judged_world, *zip(*work, strict=True)))


def _verdict(
    reference: Reference, week: Sequence[DaySums], day: date, learnt_days: int, observed: dict[str, Severity]
) -> DriftVerdict:
    limits = thresholds().drift
    current = DaySums(reference)
    for each in week:
        current.take(each)
    told = Day(
        day=day,
        current_days=len(week),
        newest_days=limits.newest_days,
        learnt_until=START + timedelta(days=learnt_days - 1),
        judged_loss=None,
        observed_before=observed,
        situation=Situation(day, "champion", 0),
    )
    rules = drift_settings(limits), quality_settings(limits.quality), broken_ladder(limits.quality)
    return judge_day(reference, current, told, *rules, label=str(day))


def _window(frame: pd.DataFrame) -> Window:
    return Window(
        label="stream",
        rows=frame[list(COLUMNS)].assign(**{PREDICTED: frame["predicted"]}),
        clusters=frame["ad"].to_numpy(),
        days=frame["date"].to_numpy().astype("datetime64[D]"),
        predicted=frame["predicted"].to_numpy("float64"),
        observed=frame["clicks"].to_numpy("float64"),
        exposure=frame["impressions"].to_numpy("float64"),
        niches=frame["niche"].to_numpy(dtype=object),
    )


def _evidently(plans: dict, sketches: dict, frame: pd.DataFrame) -> bool | None:
    try:
        return sketches_say_drift(plans, sketches, frame)[0]
    except ValueError:
        return None


def changed_days(judged: Judged) -> Iterator[bool | None]:
    """Evidently's verdicts on the changed days."""
    return (called for called, drifting in zip(judged.evidently, judged.drifting, strict=False) if drifting)
