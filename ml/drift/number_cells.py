"""Cells a column of numbers is counted in: edges taken from the reference, places found without sorting.

Edges are of four kinds: 1,024 quantiles of the reference; 1,024 even steps between its extremes, because
Evidently's bins are even; steps growing by a sixteenth of an octave beyond the extremes, for what leaves
the reference's range; and both sides of each value that many rows share, which so has its own cell.

To find the cell of a number takes no search: the upper 17 bits of `(value - centre) / scale` as a 32-bit
float (sign, exponent, 8 bits of fraction) rise with the value, and a table says which cell they are in.
Edges lie where those bits change, that is, within a 256th of the distance from the centre of where they
were wanted. Only shared values are compared themselves. Where the bits are too coarse (two narrow heaps
far apart), the exact edges are searched instead.

Measured on 1,000,000 lognormal numbers, counts and sums in 2,600 cells (CPU, one core): this 5 ms (9 ms
with shared values), sorting pieces of 65,536 and searching the edges in them 40 ms, searching the edges
for every number 127 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_QUANTILES = 1024
_STEPS = 1024
# Values that at least this share of the reference's rows have get a cell of their own, and so do all
# values where there are few.
_SHARED = 1 / 512
_FEW_VALUES = 64
_CODE_BITS = 17
_CODES = 1 << _CODE_BITS
_DROPPED_BITS = 32 - _CODE_BITS
_OUTSIDE_STEP = 16
_OUTSIDE_OCTAVES = 40
_OCTAVE = 256
# A code that more of the reference lies in, shared values aside, is too coarse.
_COARSE = 0.01
_MOST_COMPARED = 8


@dataclass(frozen=True, eq=False)
class Cells:
    """Cell i holds the values from edge i - 1 up to, not including, edge i; the outermost are open.

    Attributes:
        edges: (E,) float64, strictly rising.
        codes: (E,) int64 code of each edge; empty where edges are searched.
        compared: (E,) bool, edges a value is compared with; others begin where their code begins.
        centre, scale: what codes are relative to, in the column's unit.
    """

    edges: np.ndarray
    codes: np.ndarray
    compared: np.ndarray
    centre: float
    scale: float

    def __len__(self) -> int:
        return len(self.edges) + 1

    def same_as(self, other: Cells) -> bool:
        """Whether both count in the same cells."""
        if self is other:
            return True
        return (
            (self.centre, self.scale) == (other.centre, other.scale)
            and np.array_equal(self.edges, other.edges)
            and np.array_equal(self.codes, other.codes)
            and np.array_equal(self.compared, other.compared)
        )

    def place(self, values: np.ndarray) -> np.ndarray:
        """The cell of each of (n,) finite float64 values: (n,) integers from 0 to E."""
        if not len(self.codes):
            return np.searchsorted(self.edges, values, side="right")
        places = self._first[_codes(values, self.centre, self.scale)]
        for _ in range(self._comparisons):
            places += values >= self._bounds[places]
        return places

    @cached_property
    def _first(self) -> np.ndarray:
        """(codes,) the lowest cell a value with this code can be in."""
        passed = np.bincount(self.codes + self.compared, minlength=_CODES + 1)
        return np.cumsum(passed)[:_CODES]

    @cached_property
    def _comparisons(self) -> int:
        compared = self.codes[self.compared] if len(self.codes) else self.codes
        return int(np.unique(compared, return_counts=True)[1].max()) if len(compared) else 0

    @cached_property
    def _bounds(self) -> np.ndarray:
        """The edges to compare with; those that begin with their code are out of a comparison's
        reach."""
        return np.append(np.where(self.compared, self.edges, np.inf), np.inf)


def plan_cells(values: np.ndarray) -> Cells:
    """Cells fit for a column whose reference, or a sample of it, is `values`: (n,) finite float64, any
    order.

    Without values the edges are those of no particular column: sixteen an octave around 0.
    """
    if not len(values):
        return _coded(np.empty(0), np.empty(0), 0.0, 1.0, outside=(0.0, 0.0))
    ordered = np.sort(values)
    distinct, counts = _distinct(ordered)
    if len(distinct) <= _FEW_VALUES:
        shared = distinct
    else:
        shared = distinct[counts >= max(2.0, _SHARED * len(ordered))]
    lowest, highest = float(ordered[0]), float(ordered[-1])
    quantiles = ordered[np.linspace(0, len(ordered) - 1, _QUANTILES + 1).astype(np.int64)]
    steps = np.linspace(0, 1, _STEPS + 1)
    # Not highest - lowest: the difference of two huge numbers overflows.
    wanted = np.unique(np.concatenate([quantiles, lowest * (1 - steps) + highest * steps]))
    centre, scale = float(ordered[len(ordered) // 2]), _scale(ordered)
    cells = _coded(wanted, shared, centre, scale, outside=(lowest, highest))
    others = ordered[~np.isin(ordered, shared)] if len(shared) else ordered
    heaps = np.unique(_codes(others, centre, scale), return_counts=True)[1]
    coarse = len(heaps) > 0 and heaps.max() > max(1.0, _COARSE * len(ordered))
    if coarse or cells._comparisons > _MOST_COMPARED:
        edges = np.unique(np.concatenate([cells.edges, wanted, *_sides(shared)]))
        return Cells(edges, np.empty(0, np.int64), np.zeros(len(edges), bool), centre, scale)
    return cells


def _coded(
    wanted: np.ndarray, shared: np.ndarray, centre: float, scale: float, outside: tuple[float, float]
) -> Cells:
    # From the extremes outwards; where those are the centre itself, from a 256th of the scale.
    near = centre - scale / _OCTAVE, centre + scale / _OCTAVE
    below, above = _codes(np.array([min(outside[0], near[0]), max(outside[1], near[1])]), centre, scale)
    reach = _OUTSIDE_OCTAVES * _OCTAVE
    codes = np.unique(
        np.concatenate(
            [
                _codes(wanted, centre, scale),
                np.arange(above, above + reach, _OUTSIDE_STEP),
                np.arange(below - reach, below, _OUTSIDE_STEP),
            ]
        )
    )
    values = np.concatenate(_sides(shared))
    value_codes = _codes(values, centre, scale)
    codes = codes[(codes > 0) & (codes < _CODES) & ~np.isin(codes, value_codes)]
    begins = _beginnings(codes, centre, scale)
    usable = np.isfinite(begins)
    edges = np.concatenate([begins[usable], values])
    all_codes = np.concatenate([codes[usable], value_codes])
    compared = np.repeat([False, True], [int(usable.sum()), len(values)])
    order = np.lexsort((edges, all_codes))
    edges, all_codes, compared = edges[order], all_codes[order], compared[order]
    # Codes finer than the column's own precision begin at the same number: one edge is enough.
    rises = np.r_[True, np.diff(np.maximum.accumulate(edges)) > 0] if len(edges) else np.empty(0, bool)
    return Cells(edges[rises], all_codes[rises], compared[rises], centre, scale)


def _sides(shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges that give each value a cell of its own: the value, and the next number after it."""
    after = np.nextafter(shared, np.inf)
    return shared, after[np.isfinite(after) & ~np.isin(after, shared)]


def _codes(values: np.ndarray, centre: float, scale: float) -> np.ndarray:
    """(n,) integers from 0 to `_CODES` - 1 that rise with the values."""
    with np.errstate(over="ignore", under="ignore"):
        relative = (values - centre) * (1 / scale)
        bits = relative.astype(np.float32).view(np.int32)
    # Negative floats count downwards: turn them round.
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    bits >>= _DROPPED_BITS
    return bits.astype(np.int64) + (_CODES >> 1)


def _beginnings(codes: np.ndarray, centre: float, scale: float) -> np.ndarray:
    """The least value of each code, to the precision of 32-bit floats; infinite beyond their range."""
    bits = ((codes - (_CODES >> 1)) << _DROPPED_BITS).astype(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    with np.errstate(over="ignore", invalid="ignore"):
        begins = centre + bits.view(np.float32).astype(np.float64) * scale
    return np.where(np.isnan(begins), np.inf, begins)


def _scale(ordered: np.ndarray) -> float:
    """A power of two near the half width of the middle, or of the whole, or of the value itself."""
    lower, upper = ordered[[len(ordered) // 4, (3 * len(ordered)) // 4]]
    for width in (upper / 2 - lower / 2, ordered[-1] / 2 - ordered[0] / 2, abs(float(ordered[0]))):
        if width > 0:
            # Within what has a finite inverse.
            return float(2.0 ** np.clip(np.round(np.log2(width)), -1000, 1000))
    return 1.0


def _distinct(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values of sorted ones, and how often each occurs."""
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return ordered[starts], np.diff(np.append(starts, len(ordered)))
