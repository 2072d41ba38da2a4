"""Finds features that know what had not happened yet.

A feature of a day may depend on earlier days and on what was decided before, never on that day's own outcome
or on later ones. So outcomes from some day on are replaced, and the features up to and including that day
must not move.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ml.features.frame import FeatureFrame
from ml.features.mined_inputs import PREFIX

_OUTCOMES = ("clicks", "impressions", "spend", "conversions", "conversion_value", "frequency", "reach")


def peeking_features(
    build: Callable[[pd.DataFrame], FeatureFrame], rows: pd.DataFrame, seed: int
) -> list[str]:
    """Names of the features that change when only the present and the future do.

    Args:
        build: makes features from rows.
        rows: performance rows with dates; without dates nothing can be later, and nothing is found.
        seed: of the replacement.

    Returns:
        Empty when all is well. Otherwise the columns by which a model would be told what it has to predict.
    """
    if "metric_date" not in rows:
        return []
    days = pd.to_datetime(rows["metric_date"])
    known = np.sort(days.dropna().unique())
    if len(known) < 2:
        return []
    cut = known[len(known) * 2 // 3]
    before = build(rows)
    after = build(_replaced(rows, (days >= cut).to_numpy(), seed))
    shown_before, shown_after = (_up_to(frame, cut) for frame in (before, after))
    return [
        name
        for name in before.feature_names
        if name not in shown_after or not _equal(shown_before[name], shown_after[name])
    ]


def _replaced(rows: pd.DataFrame, where: np.ndarray, seed: int) -> pd.DataFrame:
    """Outcomes of the rows `where` dealt out anew and doubled; rows with impressions keep some."""
    random = np.random.default_rng(seed)
    changed = rows.copy()
    shown = where & (pd.to_numeric(rows["impressions"], errors="coerce").fillna(0) > 0).to_numpy()
    places = np.flatnonzero(shown)
    dealt = random.permutation(places)
    # What was mined describes its own day, as outcomes do.
    for name in (*_OUTCOMES, *(column for column in rows.columns if str(column).startswith(PREFIX))):
        if name in rows:
            values = pd.to_numeric(rows[name], errors="coerce").to_numpy("float64").copy()
            values[places] = values[dealt] * 2 + (1 if name == "clicks" or name.startswith(PREFIX) else 0)
            if name == "clicks":
                most = pd.to_numeric(changed["impressions"], errors="coerce").to_numpy("float64")
                values = np.minimum(values, np.maximum(most, 1))
            if name in ("clicks", "impressions"):
                values = np.round(values).astype("int64")
            changed[name] = values
    return changed


def _up_to(frame: FeatureFrame, cut: np.datetime64) -> pd.DataFrame:
    """Features of the rows up to and including the day `cut`, in an order of their own."""
    assert frame.dates is not None  # noqa: S101 - rows with dates make frames with dates
    shown = frame.dates <= cut.astype("datetime64[D]")
    table = frame.X.loc[shown].copy()
    table.insert(0, "__ad", frame.groups[shown].astype(str))
    table.insert(1, "__day", frame.dates[shown].astype("int64"))
    return table.sort_values(["__ad", "__day"], kind="stable").reset_index(drop=True)


def _equal(one: pd.Series, other: pd.Series) -> bool:
    if len(one) != len(other):
        return False
    if pd.api.types.is_numeric_dtype(one):
        return bool(np.allclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True))
    return bool(((one == other) | (one.isna() & other.isna())).all())
