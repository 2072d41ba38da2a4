"""Evidently 0.7.23's own drift scores, computed from two sketches instead of the rows.

For people who compare our verdicts with Evidently's: the same scores, the same automatic choice of
method, the same thresholds and names. What its scores are (evidently/legacy/calculations/stattests, read
and restated):

- Missing and infinite values are left out first. A column without any other value has no score.
- Automatic choice, by the reference's rows that remain: up to 1,000, Kolmogorov-Smirnov for numbers with
  more than five distinct values in both windows together, else chi-square, or for at most two a z-test
  of shares; from 1,001, the Wasserstein distance for numbers with more than five, else the
  Jensen-Shannon distance.
- Jensen-Shannon and PSI take numbers as categories where the reference has at most 20 distinct ones,
  else in as many even bins between the extremes of both windows as Sturges' rule gives. PSI replaces an
  empty share by 0.0001, or by a millionth of the least share where that is 0.0001 or less.
- Wasserstein is divided by the reference's standard deviation, or 0.001 if that is less.
- p-values call drift at or below 0.05 (Kolmogorov-Smirnov) or below it (the others), distances from 0.1.

How near to Evidently itself (17 columns of all shapes, heavy tails and heaps included, windows still and
moved). A sketch is exact while a column has at most 4,096 distinct values, and so are all scores then, as
are categories, chi-square and z always. In cells, the largest deviation seen and what
tests/ml/drift/test_distances.py allows:

    Kolmogorov-Smirnov statistic   0.0007, allowed 0.002
    its p-value                    18 %, allowed 35 % (statistic and sizes decide it)
    Wasserstein, normed            0.00003, allowed 0.001 or 1 %
    Jensen-Shannon                 0.0004, allowed 0.001 or 1 %
    PSI                            0.0004 or 0.2 %, allowed 0.001 or 1 %

Not restated: Evidently's refusal of columns that mix text and numbers; levels here are text. Beyond
10,000 levels the rarest count as one. A z-test asked for by name on more than two levels takes the first
in alphabetical order, also of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ml.drift.category_sketch import CategorySketch
from ml.drift.cumulative import cumulative, joint_places
from ml.drift.number_sketch import NumberSketch, in_cells
from ml.drift.sketch import Sketch

Method = Literal["ks", "chisquare", "z", "wasserstein", "jensenshannon", "psi"]

# Not thresholds of ours: what Evidently does by default.
_NAMES: dict[Method, str] = {
    "ks": "K-S p_value",
    "chisquare": "chi-square p_value",
    "z": "Z-test p_value",
    "wasserstein": "Wasserstein distance (normed)",
    "jensenshannon": "Jensen-Shannon distance",
    "psi": "PSI",
}
_P_VALUE, _DISTANCE = 0.05, 0.1
_TESTS_UP_TO = 1000
_DISCRETE_UP_TO = 5
_AS_LEVELS_UP_TO = 20
_LEAST_DEVIATION = 0.001
_EXACT_TEST_UP_TO = 10_000


@dataclass(frozen=True)
class Score:
    """Evidently's score of one column.

    Attributes:
        method: its name as Evidently writes it.
        value: p-value or distance.
        threshold: what drift is called by.
        drifted: whether it is.
    """

    method: str
    value: float
    threshold: float
    drifted: bool


def evidently_score(reference: Sketch, current: Sketch, method: Method | None = None) -> Score:
    """What Evidently would say of this column.

    Args:
        reference, current: sketches by the same plan.
        method: by default Evidently's own choice.

    Raises:
        ValueError: a window has no finite value (Evidently raises too), the sketches are of different
            kinds or plans, or the method does not fit the kind.
    """
    _check(reference, current, method)
    chosen = method or _automatic(reference, current)
    if chosen == "ks":
        _, value = kolmogorov_smirnov(*_both_numbers(reference, current))
    elif chosen == "wasserstein":
        value = wasserstein(*_both_numbers(reference, current))
    elif chosen in ("chisquare", "z"):
        before, after = _levels(reference, current)
        value = _chi_square(before, after) if chosen == "chisquare" else _z_test(before, after)
    else:
        shares = _shares(reference, current)
        value = float(jensenshannon(*shares)) if chosen == "jensenshannon" else _psi(*shares)
    if chosen == "ks":
        return Score(_NAMES[chosen], value, _P_VALUE, value <= _P_VALUE)
    if chosen in ("chisquare", "z"):
        return Score(_NAMES[chosen], value, _P_VALUE, value < _P_VALUE)
    return Score(_NAMES[chosen], value, _DISTANCE, value >= _DISTANCE)


def kolmogorov_smirnov(reference: NumberSketch, current: NumberSketch) -> tuple[float, float]:
    """The two-sample statistic and its two-sided p-value, exact for windows of up to 10,000 rows."""
    known = joint_places(reference, current)
    places = np.unique(np.concatenate([known, np.nextafter(known, np.inf)]))
    n, m = reference.finite, current.finite
    before, after = cumulative(reference, places).counts, cumulative(current, places).counts
    apart = np.abs(before / n - after / m)
    widest = int(np.argmax(apart))
    statistic = float(apart[widest])
    if max(n, m) > _EXACT_TEST_UP_TO:
        return statistic, float(stats.kstwo.sf(statistic, round(n * m / (n + m))))
    # The p-value depends on the statistic alone, so two samples of two values that have it will do.
    below = [round(float(counts[widest])) for counts in (before, after)]
    samples = [np.repeat([0.0, 1.0], [b, size - b]) for b, size in zip(below, (n, m), strict=True)]
    return statistic, float(stats.ks_2samp(*samples).pvalue)


def wasserstein(reference: NumberSketch, current: NumberSketch) -> float:
    """The area between the cumulative distributions, in standard deviations of the reference."""
    places = joint_places(reference, current)
    deviation = max(float(np.sqrt(reference.variance)), _LEAST_DEVIATION)
    areas = []
    for sketch in (reference, current):
        below = cumulative(sketch, places)
        with np.errstate(over="ignore", invalid="ignore"):
            gained = places[1:] * np.diff(below.counts) - np.diff(below.sums)
            areas.append((np.diff(places) * below.counts[:-1] + gained) / sketch.finite)
    return float(np.abs(areas[0] - areas[1]).sum() / deviation)


def _check(reference: Sketch, current: Sketch, method: Method | None) -> None:
    if method is not None and method not in _NAMES:
        raise ValueError(f"no method is called {method!r}: there are {', '.join(_NAMES)}")
    for name, sketch in (("reference", reference), ("current window", current)):
        if not sketch.finite:
            raise ValueError(f"the column has no value in the {name}: nothing to score")
    if isinstance(reference, NumberSketch) != isinstance(current, NumberSketch):
        raise ValueError("one window has numbers and one categories: summarise both by the same plan")
    if isinstance(reference, NumberSketch) and isinstance(current, NumberSketch):
        if not reference.cells.same_as(current.cells):
            raise ValueError("the sketches have different plans: summarise both by the reference's")
        if method in ("chisquare", "z"):
            raise ValueError(f"{method} compares categories, and the column has numbers")
    elif method in ("ks", "wasserstein"):
        raise ValueError(f"{method} compares numbers, and the column has categories")


def _both_numbers(reference: Sketch, current: Sketch) -> tuple[NumberSketch, NumberSketch]:
    if not isinstance(reference, NumberSketch) or not isinstance(current, NumberSketch):
        raise ValueError("the column has categories")
    return reference, current


def _automatic(reference: Sketch, current: Sketch) -> Method:
    many = reference.distinct is None or current.distinct is None
    distinct = np.inf if many else len(_levels(reference, current)[0])
    if reference.finite <= _TESTS_UP_TO:
        if isinstance(reference, NumberSketch) and distinct > _DISCRETE_UP_TO:
            return "ks"
        return "chisquare" if distinct > 2 else "z"
    if isinstance(reference, NumberSketch) and distinct > _DISCRETE_UP_TO:
        return "wasserstein"
    return "jensenshannon"


def _levels(reference: Sketch, current: Sketch) -> tuple[np.ndarray, np.ndarray]:
    """Counts of each value that either window has, rising; what was not kept comes last as one."""
    names, counts, others = [], [], []
    for sketch in (reference, current):
        if isinstance(sketch, NumberSketch):
            names.append(sketch.values)
            counts.append(sketch.value_counts)
            others.append(0)
        else:
            names.append(sketch.levels)
            counts.append(sketch.counts)
            others.append(sketch.other)
    levels, places = np.unique(np.concatenate(names), return_inverse=True)
    first = len(names[0])
    before = np.bincount(places[:first], counts[0], len(levels))
    after = np.bincount(places[first:], counts[1], len(levels))
    if any(others):
        before, after = np.append(before, others[0]), np.append(after, others[1])
    return before, after


def _chi_square(before: np.ndarray, after: np.ndarray) -> float:
    expected = before * (after.sum() / before.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(stats.chisquare(after, expected).pvalue)


def _z_test(before: np.ndarray, after: np.ndarray) -> float:
    """Of the share of rows that do not have the first level."""
    if len(before) == 1:
        return 1.0
    n, m = before.sum(), after.sum()
    first, second = 1 - before[0] / n, 1 - after[0] / m
    pooled = (first * n + second * m) / (n + m)
    z = (first - second) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float(2 * (1 - stats.norm.cdf(abs(z))))


def _shares(reference: Sketch, current: Sketch) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(reference, CategorySketch) or not isinstance(current, NumberSketch):
        counts = _levels(reference, current)
    elif reference.distinct is None or reference.distinct > _AS_LEVELS_UP_TO:
        counts = _histograms(reference, current)
    elif current.exact:
        counts = _levels(reference, current)
    else:
        counts = _few_against_many(reference, current)
    return counts[0] / reference.finite, counts[1] / current.finite


def _histograms(reference: NumberSketch, current: NumberSketch) -> tuple[np.ndarray, np.ndarray]:
    """Counts in even bins between the extremes of both, the last including its end (Sturges' rule)."""
    lowest = min(reference.minimum, current.minimum)
    highest = max(reference.maximum, current.maximum)
    with np.errstate(over="ignore"):
        width = (highest - lowest) / (np.log2(reference.finite + current.finite) + 1)
    if reference.whole and current.whole:
        width = max(width, 1.0)
    if not np.isfinite(width):
        raise ValueError(f"no even bins reach from {lowest:.3g} to {highest:.3g}: the width overflows")
    edges = np.linspace(lowest, highest, int(np.ceil((highest - lowest) / width)) + 1)
    edges[-1] = np.nextafter(edges[-1], np.inf)
    before, after = (np.diff(cumulative(sketch, edges).counts) for sketch in (reference, current))
    return before, after


def _few_against_many(reference: NumberSketch, current: NumberSketch) -> tuple[np.ndarray, np.ndarray]:
    """The reference's few values, each in its own cell, and the current's others, each one row."""
    counts = in_cells(current).counts[reference.cells.place(reference.values)]
    others = int(current.finite - counts.sum())
    before = np.concatenate([reference.value_counts, np.zeros(others)])
    return before, np.concatenate([counts, np.ones(others)])


def _psi(before: np.ndarray, after: np.ndarray) -> float:
    before, after = _without_empty(before), _without_empty(after)
    return float(np.sum((before - after) * np.log(before / after)))


def _without_empty(shares: np.ndarray) -> np.ndarray:
    least = shares[shares > 0].min()
    return np.where(shares > 0, shares, least / 10**6 if least <= 0.0001 else 0.0001)
