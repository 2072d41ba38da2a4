"""One column of categories in one window: how often each level occurs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral, Real

import numpy as np
import pandas as pd

LEVELS_UP_TO = 10_000


@dataclass(frozen=True, eq=False)
class CategorySketch:
    """What is known of one column of categories in one window.

    Attributes:
        rows: how many rows there were, whatever they held. missing: rows without a level; infinite
        numbers are none. levels: (l,) text, rising. Numbers are written without a needless ".0", so that
        1, 1.0 and "1" are one
            level: a whole number turns into a float as soon as one row is missing.
        counts: (l,) rows of each level.
        other: rows of the rarest levels, beyond the `LEVELS_UP_TO` that are kept.
    """

    rows: int
    missing: int
    levels: np.ndarray
    counts: np.ndarray
    other: int

    @property
    def finite(self) -> int:
        """Rows with a level."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int | None:
        """How many levels there are; None where there are more than were kept."""
        return None if self.other else len(self.levels)

    @property
    def note(self) -> str:
        """What was left out, for people; empty where nothing was."""
        if not self.other:
            return ""
        return f"{self.other:,} rows have levels beyond the {LEVELS_UP_TO:,} most frequent"


def summarise_categories(values: pd.Series) -> CategorySketch:
    """The sketch of a column of any type: text, categories, booleans, numbers or a mixture."""
    found = _counted(values)
    level_counts: dict[str, int] = {}
    for level, count in found.items():
        text = _text(level)
        if count and text is not None:
            level_counts[text] = level_counts.get(text, 0) + int(count)
    return _kept(len(values), level_counts, other=0)


def merge_categories(a: CategorySketch, b: CategorySketch) -> CategorySketch:
    """The sketch of both windows' rows together."""
    level_counts = dict(zip(a.levels.tolist(), a.counts.tolist(), strict=True))
    for level, count in zip(b.levels.tolist(), b.counts.tolist(), strict=True):
        level_counts[level] = level_counts.get(level, 0) + count
    return _kept(a.rows + b.rows, level_counts, other=a.other + b.other)


def _counted(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy()
        counts = np.bincount(codes[codes >= 0] if len(codes) and codes.min() < 0 else codes)
        return pd.Series(counts, index=values.cat.categories[: len(counts)])
    try:
        return values.value_counts(sort=False, dropna=True)
    except TypeError:
        # Lists and other things without a hash: as they would be written.
        return values.map(str, na_action="ignore").value_counts(sort=False, dropna=True)


def _text(level: object) -> str | None:
    if isinstance(level, str):
        return level
    if isinstance(level, bool | np.bool_):
        return str(level)
    if isinstance(level, Integral):
        return str(int(level))
    if isinstance(level, Real | Decimal):
        number = float(level)
        if not np.isfinite(number):
            return None
        return format(level, ".0f") if number.is_integer() else str(number)
    return str(level)


def _kept(rows: int, level_counts: dict[str, int], other: int) -> CategorySketch:
    known = sum(level_counts.values()) + other
    if len(level_counts) > LEVELS_UP_TO:
        # Among equally rare ones the alphabet decides, so that the order of the rows does not.
        ranked = sorted(level_counts.items(), key=lambda item: (-item[1], item[0]))
        other += sum(count for _, count in ranked[LEVELS_UP_TO:])
        level_counts = dict(ranked[:LEVELS_UP_TO])
    levels = sorted(level_counts)
    return CategorySketch(
        rows=rows,
        missing=rows - known,
        levels=np.array(levels, dtype=object),
        counts=np.array([level_counts[level] for level in levels], dtype=np.int64),
        other=other,
    )
