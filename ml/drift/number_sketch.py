"""One column of numbers in one window, summed up in one pass: exactly where values are few, else in cells.

Up to 4,096 distinct values are kept one by one with their counts, so small windows and whole numbers
lose nothing. Beyond that each cell (`ml.drift.number_cells`) keeps how many values it holds and their
sum. The sums matter: the area between two cumulative distributions over a cell, which the Wasserstein
distance adds up, follows from counts and sums exactly unless the distributions cross inside. The 512
least and greatest values are kept too, so that tails are exact however far they reach.

Sketches of the same cells add up: any split of a window into pieces, in any order, gives the same
counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ml.drift.number_cells import Cells

EXACT_UP_TO = 4096
_EXTREMES = 512
# Values looked at at once: what is computed of them stays in the processor's cache.
_CHUNK = 32_768


@dataclass(frozen=True, eq=False)
class NumberSketch:
    """What is known of one column of numbers in one window.

    Attributes:
        rows: how many rows there were, whatever they held. missing, unparsable: rows without a value,
        and with something that is no number. infinite_low, infinite_high: rows with minus and plus
        infinity. whole: the values came as integers or booleans. mean, squares: of the finite values:
        mean (0 without any), sum of squared distances from it. cells: what it counts in, or would.
        values, value_counts: (v,) distinct finite values, rising, and how often each occurs, while there
        are at most `EXACT_UP_TO`; else empty.
        counts, sums: (cells,) finite values in each cell and their sum; empty while values are kept.
        low, high: the least and greatest finite values, rising; empty while values are kept.
    """

    rows: int
    missing: int
    unparsable: int
    infinite_low: int
    infinite_high: int
    whole: bool
    mean: float
    squares: float
    cells: Cells
    values: np.ndarray
    value_counts: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether every value is known."""
        return not len(self.counts)

    @property
    def finite(self) -> int:
        """Rows with a finite number."""
        return self.rows - self.missing - self.unparsable - self.infinite_low - self.infinite_high

    @property
    def variance(self) -> float:
        """Of the finite values as they are, no estimate of a population's; 0 without any."""
        return self.squares / self.finite if self.finite else 0.0

    @property
    def minimum(self) -> float:
        """Least finite value; not a number without any."""
        kept = self.values if self.exact else self.low
        return float(kept[0]) if len(kept) else float("nan")

    @property
    def maximum(self) -> float:
        """Greatest finite value; not a number without any."""
        kept = self.values if self.exact else self.high
        return float(kept[-1]) if len(kept) else float("nan")

    @property
    def distinct(self) -> int | None:
        """How many distinct finite values there are; None where there are more than were kept."""
        return len(self.values) if self.exact else None


def summarise_numbers(values: np.ndarray, cells: Cells, *, whole: bool, unparsable: int = 0) -> NumberSketch:
    """The sketch of (n,) float64 values; not a number counts as missing, less `unparsable` of them."""
    sketch = _empty(cells, whole)
    for chunk in _chunks(values):
        sketch = merge_numbers(sketch, _of_chunk(chunk, cells, whole, exact_so_far=sketch.exact))
    if not unparsable:
        return sketch
    return replace(sketch, missing=sketch.missing - unparsable, unparsable=unparsable)


def merge_numbers(a: NumberSketch, b: NumberSketch) -> NumberSketch:
    """The sketch of both windows' rows together.

    Raises:
        ValueError: they count in different cells.
    """
    if not a.cells.same_as(b.cells):
        raise ValueError("sketches of different plans do not add up: summarise both by the same plan")
    if a.exact and b.exact:
        values, counts = _joined(a, b)
        if len(values) <= EXACT_UP_TO:
            return _together(a, b, values=values, value_counts=counts)
    a, b = in_cells(a), in_cells(b)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = a.sums + b.sums
    return _together(
        a,
        b,
        counts=a.counts + b.counts,
        sums=sums,
        low=np.sort(np.concatenate([a.low, b.low]))[:_EXTREMES],
        high=np.sort(np.concatenate([a.high, b.high]))[-_EXTREMES:],
    )


def in_cells(sketch: NumberSketch) -> NumberSketch:
    """The same sketch counted in cells, with its values forgotten."""
    if not sketch.exact:
        return sketch
    values, counts, cells = sketch.values, sketch.value_counts, sketch.cells
    places = cells.place(values)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.bincount(places, values * counts, len(cells))
    few = np.minimum(counts, _EXTREMES)
    return replace(
        sketch,
        values=np.empty(0),
        value_counts=np.empty(0, np.int64),
        counts=_counted(places, counts, len(cells)),
        sums=sums,
        low=np.repeat(values[:_EXTREMES], few[:_EXTREMES])[:_EXTREMES],
        high=np.repeat(values[-_EXTREMES:], few[-_EXTREMES:])[-_EXTREMES:],
    )


def _of_chunk(chunk: np.ndarray, cells: Cells, whole: bool, *, exact_so_far: bool) -> NumberSketch:
    rows, missing, low, high = len(chunk), 0, 0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(chunk.sum())
    if not np.isfinite(total):
        finite = np.isfinite(chunk)
        odd = chunk[~finite]
        missing = int(np.isnan(odd).sum())
        low, high = int((odd == -np.inf).sum()), int((odd == np.inf).sum())
        chunk = chunk[finite]
    mean, squares = _moments(chunk)
    known = (rows, missing, 0, low, high, whole, mean, squares, cells)
    nothing, none = np.empty(0), np.empty(0, np.int64)
    # A few thousand values tell whether the column has few distinct ones, without sorting all.
    if exact_so_far and len(np.unique(chunk[: 2 * EXACT_UP_TO])) <= EXACT_UP_TO:
        values, counts = np.unique(chunk, return_counts=True)
        if len(values) <= EXACT_UP_TO:
            return NumberSketch(*known, values, counts.astype(np.int64), none, nothing, nothing, nothing)
    places = cells.place(chunk)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.bincount(places, chunk, len(cells))
    counts = np.bincount(places, minlength=len(cells))
    return NumberSketch(*known, nothing, none, counts, sums, *_extremes(chunk, counts, places))


def _extremes(chunk: np.ndarray, counts: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and greatest of the chunk, found among the outermost cells that hold enough of them."""
    upto = np.searchsorted(np.cumsum(counts), min(_EXTREMES, len(chunk)))
    since = len(counts) - 1 - np.searchsorted(np.cumsum(counts[::-1]), min(_EXTREMES, len(chunk)))
    low, high = chunk[places <= upto], chunk[places >= since]
    return np.sort(low)[:_EXTREMES], np.sort(high)[-_EXTREMES:]


def _moments(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        away = values - mean
        away *= away
        return mean, float(away.sum())


def _together(a: NumberSketch, b: NumberSketch, **kept: np.ndarray) -> NumberSketch:
    """Counts added and moments combined: Chan, Golub and LeVeque, Updating Formulae, COMPSTAT 1982."""
    n, m = a.finite, b.finite
    with np.errstate(over="ignore", invalid="ignore"):
        away = b.mean - a.mean
        mean = a.mean + away * (m / (n + m)) if n and m else a.mean if n else b.mean
        squares = a.squares + b.squares
        if n and m:
            squares += away * away * (n * m / (n + m))
    nothing, none = np.empty(0), np.empty(0, np.int64)
    return NumberSketch(
        rows=a.rows + b.rows,
        missing=a.missing + b.missing,
        unparsable=a.unparsable + b.unparsable,
        infinite_low=a.infinite_low + b.infinite_low,
        infinite_high=a.infinite_high + b.infinite_high,
        # A piece without rows says nothing about the kind of the others.
        whole=(a.whole or not a.rows) and (b.whole or not b.rows),
        mean=mean,
        squares=squares,
        cells=a.cells,
        values=kept.get("values", nothing),
        value_counts=kept.get("value_counts", none),
        counts=kept.get("counts", none),
        sums=kept.get("sums", nothing),
        low=kept.get("low", nothing),
        high=kept.get("high", nothing),
    )


def _joined(a: NumberSketch, b: NumberSketch) -> tuple[np.ndarray, np.ndarray]:
    if not len(a.values) or not len(b.values):
        filled = a if len(a.values) else b
        return filled.values, filled.value_counts
    values, places = np.unique(np.concatenate([a.values, b.values]), return_inverse=True)
    return values, _counted(places, np.concatenate([a.value_counts, b.value_counts]), len(values))


def _counted(places: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Counts added up by place. Sums of whole numbers in float64 are exact up to 2**53."""
    return np.bincount(places, counts, size).astype(np.int64)


def _chunks(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _empty(cells: Cells, whole: bool) -> NumberSketch:
    nothing, none = np.empty(0), np.empty(0, np.int64)
    return NumberSketch(0, 0, 0, 0, 0, whole, 0.0, 0.0, cells, nothing, none, none, nothing, nothing, nothing)
