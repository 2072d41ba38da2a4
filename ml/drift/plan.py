"""How the watched columns are binned: learnt once from the reference, used for every window after it.

A number is binned by deciles of the reference (few distinct values one by one), a category by its levels, an
embedding by the leading principal components of the reference, each of which is then a number. So any later
window needs one pass and no reference rows, and what two windows add up to is the window of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.drift.windows import WatchedColumn

Kind = Literal["number", "category", "embedding"]

# Deciles, as the stability index is usually computed: with few rows, finer bins measure noise.
_NUMBER_BINS = 10
_DISCRETE_UP_TO = 10
# Levels beyond these share one bin; so do levels that come later.
_MOST_LEVELS = 60
# Of an embedding. Its leading directions hold what differs between pictures; the rest is mostly noise.
_COMPONENTS = 8
_PLAN_ROWS = 50_000
# Cells that decide whether a column holds vectors; the first ones may be odd.
_LOOKED_AT = 100


@dataclass(frozen=True)
class BinnedColumn:
    """How one column, or one component of an embedding, becomes bins; the last one is for missing values.

    Attributes:
        name: of the column, or `embedding[3]`.
        of: the watched column it belongs to.
        kind: `number` or `category`.
        edges: (k,) rising, of a number.
        levels: of a category, the most frequent first.
        direction, centre: (d,) of a component: its number is `(vector - centre) @ direction`.
    """

    name: str
    of: WatchedColumn
    kind: Literal["number", "category"]
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    direction: tuple[float, ...] = ()
    centre: tuple[float, ...] = ()

    @property
    def bins(self) -> int:
        """How many there are."""
        inner = len(self.levels) if self.kind == "category" else len(self.edges)
        return inner + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """What each bin holds, for people."""
        if self.kind == "category":
            return (*self.levels, "other levels", "missing")
        if not self.edges:
            return ("any", "missing")
        shown = [f"{edge:.4g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(shown)]
        return (f"up to {shown[0]}", *between, f"above {shown[-1]}", "missing")

    def codes(self, rows: pd.DataFrame) -> np.ndarray:
        """(n,) the bin of each row; a column that is not there is missing throughout."""
        if self.of.name not in rows:
            return np.full(len(rows), self.bins - 1)
        values = rows[self.of.name]
        if self.direction:
            return self._placed(components(values, np.array(self.centre), np.array([self.direction]))[:, 0])
        if self.kind == "number" and not self.edges:
            return values.isna().to_numpy().astype("int64")
        if self.kind == "number":
            return self._placed(floats(values))
        text, levels = level_codes(values)
        known = {level: code for code, level in enumerate(self.levels)}
        table = np.array([*(known.get(level, self.bins - 2) for level in levels), self.bins - 1])
        return np.asarray(table[text])

    def _placed(self, numbers: np.ndarray) -> np.ndarray:
        # With a handful of edges, comparing with each is three times as fast as searching them.
        placed = np.zeros(len(numbers), dtype="uint8")
        for edge in self.edges:
            placed += numbers > edge
        placed[np.isnan(numbers)] = self.bins - 1
        return placed


@dataclass(frozen=True)
class DriftPlan:
    """The bins of all watched columns; see the module."""

    columns: tuple[BinnedColumn, ...]

    @classmethod
    def learn(cls, rows: pd.DataFrame, columns: Sequence[WatchedColumn], seed: int = 0) -> DriftPlan:
        """Learn the bins from the reference's rows, or a sample of them where there are very many.

        A column that holds nothing in the reference gets no bins of its own but `any`: whatever comes later
        is then told from missing.
        """
        if len(rows) > _PLAN_ROWS:
            rows = rows.sample(n=_PLAN_ROWS, random_state=seed)
        return cls(tuple(part for column in columns for part in _learnt(rows, column)))

    def as_json(self) -> list[dict[str, Any]]:
        """Plain values; `from_json` reads them back."""
        return [{**vars(column), "of": vars(column.of)} for column in self.columns]

    @classmethod
    def from_json(cls, values: Iterable[Mapping[str, Any]]) -> DriftPlan:
        """Read what `as_json` wrote."""
        lists = ("edges", "levels", "direction", "centre")
        return cls(
            tuple(
                BinnedColumn(
                    **{
                        **value,
                        **{name: tuple(value[name]) for name in lists},
                        "of": WatchedColumn(**value["of"]),
                    }
                )
                for value in values
            )
        )


def kind_of(values: pd.Series) -> Kind:
    """What a column's values are; a column without a value counts as a number."""
    filled = values.dropna()
    if len(filled) and any(vector_of(value) is not None for value in filled.iloc[:_LOOKED_AT]):
        return "embedding"
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return "category"
    if pd.api.types.is_numeric_dtype(values) or not len(filled):
        return "number"
    # A driver's Decimals are numbers in a column of objects.
    return "number" if not isinstance(filled.iloc[0], str) and _all_numbers(filled) else "category"


def floats(values: pd.Series) -> np.ndarray:
    """(n,) numbers; what is no number is missing."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiu":
        return values.to_numpy("float64")
    if pd.api.types.is_datetime64_any_dtype(values):
        return np.full(len(values), np.nan)
    return parsed(values)


def parsed(values: pd.Series) -> np.ndarray:
    """(n,) numbers read from cells of any kind: Decimals, text that is a number; NaN for everything else."""
    try:
        numbers = pd.to_numeric(values, errors="coerce")
    except TypeError:
        # Dates, lists and the like are refused rather than coerced.
        plain = values.map(lambda cell: cell if isinstance(cell, int | float | str | Decimal) else None)
        numbers = pd.to_numeric(plain, errors="coerce")
    return np.asarray(numbers.to_numpy("float64", na_value=np.nan))


def level_codes(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """(n,) code of each row's level, -1 where missing, and the levels as text."""
    values = values.astype("object") if values.dtype == bool else values
    try:
        codes, found = pd.factorize(values)
    except TypeError:
        # Lists and other things without a hash: as they would be written.
        codes, found = pd.factorize(values.map(str, na_action="ignore"))
    return codes, [str(level) for level in found]


def components(values: pd.Series, centre: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(n, k) components of (n,) vectors of d numbers along (k, d) directions; NaN where a vector is missing.

    A vector of another length is missing: it was made by another model.
    """
    told = np.full((len(values), len(directions)), np.nan)
    found = [vector_of(value) for value in values]
    usable = np.array([each is not None and len(each) == len(centre) for each in found], dtype=bool)
    if usable.any():
        vectors = np.stack([each for each in found if each is not None and len(each) == len(centre)])
        told[usable] = (vectors - centre) @ directions.T
    return told


def vector_of(value: object) -> np.ndarray | None:
    """(d,) numbers of one cell; None where it is no vector, or one with a gap in it."""
    if not isinstance(value, list | tuple | np.ndarray):
        return None
    try:
        vector = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        return None
    return vector if vector.ndim == 1 and len(vector) and np.isfinite(vector).all() else None


def _learnt(rows: pd.DataFrame, column: WatchedColumn) -> list[BinnedColumn]:
    values = rows[column.name] if column.name in rows else pd.Series(np.nan, index=rows.index)
    kind = kind_of(values)
    if kind == "number":
        return [BinnedColumn(column.name, column, "number", edges=_edges(floats(values)))]
    if kind == "category":
        counts = values.dropna().map(str).value_counts()
        # By size, then by name: equal counts must not depend on the order of the rows.
        levels = sorted(counts.index, key=lambda level: (-counts[level], level))[:_MOST_LEVELS]
        return [BinnedColumn(column.name, column, "category", levels=tuple(levels))]
    return _components_learnt(values, column)


def _components_learnt(values: pd.Series, column: WatchedColumn) -> list[BinnedColumn]:
    vectors = [each for each in map(vector_of, values) if each is not None]
    # Those of another length were made by another model.
    size = Counter(len(each) for each in vectors).most_common(1)[0][0]
    stacked = np.stack([each for each in vectors if len(each) == size])
    centre = stacked.mean(axis=0)
    _, _, directions = np.linalg.svd(stacked - centre, full_matrices=False)
    directions = directions[:_COMPONENTS]
    numbers = (stacked - centre) @ directions.T
    return [
        BinnedColumn(
            f"{column.name}[{place + 1}]",
            column,
            "number",
            edges=_edges(numbers[:, place]),
            direction=tuple(map(float, direction)),
            centre=tuple(map(float, centre)),
        )
        for place, direction in enumerate(directions)
    ]


def _edges(numbers: np.ndarray) -> tuple[float, ...]:
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return ()
    values = np.unique(finite)
    if len(values) <= _DISCRETE_UP_TO:
        edges = (values[1:] + values[:-1]) / 2
        # One value throughout: what lies to either side of it later is another bin.
        edges = edges if len(edges) else np.array([np.nextafter(values[0], -np.inf), values[0]])
    else:
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, _NUMBER_BINS + 1)[1:-1]))
    return tuple(map(float, edges))


def _all_numbers(values: pd.Series) -> bool:
    return not np.isnan(parsed(values)).any()
