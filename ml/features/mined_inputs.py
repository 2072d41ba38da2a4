"""Mined features as a model sees them: the description of an earlier day, never of the predicted one.

Stored descriptions hold their own day. A row of day d is given that of the newest day that is at least `lag`
days before d and at most `STALE_DAYS` older than that; an ad that is new or was long silent has none.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ml.errors import PermanentModelError
from ml.features.mined_definitions import BY_NAME, MINED_NAMES

# Columns of rows, and of feature sets, that hold mined features begin so.
PREFIX = "mined_"
STALE_DAYS = 7
_STRIDE = 1 << 20


class MinedFeatureUnknown(PermanentModelError, ValueError):
    """A feature that nobody defined was asked for; the message names it."""


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names, in the order of the definitions.

    Raises:
        MinedFeatureUnknown: one is not defined.
    """
    wanted = set(names)
    if unknown := sorted(wanted - set(MINED_NAMES)):
        raise MinedFeatureUnknown(
            f"there is no mined feature '{unknown[0]}': ctr.mined_features takes names of docs/features.md, "
            f"such as {MINED_NAMES[0]}"
        )
    return tuple(name for name in MINED_NAMES if name in wanted)


def lagged_mined(rows: pd.DataFrame, ads: np.ndarray, days: np.ndarray) -> dict[str, pd.Series]:
    """What each row may be told of the mined features, `mined_<name>` of its own day, that `rows` holds.

    Args:
        rows: one per ad and day (cells of one day may repeat it), with columns `mined_<name>`.
        ads: (n,) non-negative integers: which ad a row belongs to.
        days: (n,) days since 1970.
    """
    found: dict[str, pd.Series] = {}
    position = ads.astype(np.int64) * _STRIDE + days.astype(np.int64)
    order = np.argsort(position, kind="stable")
    ordered = position[order]
    for name in MINED_NAMES:
        column = PREFIX + name
        if column not in rows:
            continue
        lag = BY_NAME[name].lag
        newest = np.searchsorted(ordered, position - lag, side="right") - 1
        there = newest >= 0
        newest = np.maximum(newest, 0)
        near = there & (ordered[newest] >= position - lag - STALE_DAYS)
        # The day's number has its place below the stride: another ad's last day is never near.
        same = near & (ordered[newest] // _STRIDE == position // _STRIDE)
        own = pd.to_numeric(rows[column], errors="coerce").to_numpy("float64", na_value=np.nan)[order]
        found[column] = pd.Series(np.where(same, own[newest], np.nan), index=rows.index)
    return found
