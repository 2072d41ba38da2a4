"""How often Evidently's default rule calls drift: the rule itself, and the same from sketches, quick enough
to ask on hundreds of days.

The rule of its `DataDriftPreset`: the data drifted when at least half of the columns did, each by the method
and threshold chosen for it. `tests/benchmarks/test_evidently_rule.py` holds both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ml.drift.distances import evidently_score
from ml.drift.sketch import ColumnPlan, Sketch, plan_column, summarise
from tests.benchmarks.drift_streams import CATEGORIES, COLUMNS, NUMBERS, Kind, Stream

_SHARE = 0.5


def evidently_says_drift(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[bool, int]:
    """Evidently's own verdict on a stream's columns, and how many of them it calls drifted; seconds a call.

    Raises:
        ValueError: a column has no values; Evidently then gives no verdict at all.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(NUMBERS), categorical_columns=list(CATEGORIES))
    datasets = [
        Dataset.from_pandas(
            rows[list(COLUMNS)].astype(dict.fromkeys(CATEGORIES, "object")), data_definition=definition
        )
        for rows in (current, reference)
    ]
    snapshot = Report([DataDriftPreset()]).run(*datasets)
    value = snapshot.dict()["metrics"][0]["value"]
    return value["share"] >= _SHARE, int(value["count"])


def planned(reference: pd.DataFrame) -> tuple[dict[str, ColumnPlan], dict[str, Sketch]]:
    """Plans and sketches of a reference, for `sketches_say_drift` on many days."""
    plans = {column: plan_column(reference[column]) for column in COLUMNS}
    return plans, {column: summarise(reference[column], plan) for column, plan in plans.items()}


def sketches_say_drift(
    plans: Mapping[str, ColumnPlan], reference: Mapping[str, Sketch], current: pd.DataFrame
) -> tuple[bool, int]:
    """The same verdict and count from sketches; milliseconds a call.

    Raises:
        ValueError: a column has no values, as from Evidently.
    """
    drifted = sum(
        evidently_score(reference[column], summarise(current[column], plan)).drifted
        for column, plan in plans.items()
    )
    return drifted / len(plans) >= _SHARE, drifted


def evidently_false_alarms_per_100d(
    kind: Kind, rows_per_day: int, seed: int, *, reference_days: int = 28, days: int = 100
) -> tuple[float, float]:
    """On a quiet stream, per 100 days: days called drifted, and days with any drifted column.

    The reference is the first `reference_days` days, as it would be for a model trained on them; every day
    after is compared with it alone.
    """
    stream = list(Stream(kind, rows_per_day, seed).days(reference_days + days))
    plans, reference = planned(pd.concat(stream[:reference_days], ignore_index=True))
    verdicts = [sketches_say_drift(plans, reference, day) for day in stream[reference_days:]]
    called = sum(verdict for verdict, _ in verdicts)
    any_column = sum(count > 0 for _, count in verdicts)
    return 100 * called / days, 100 * any_column / days
