"""Two arms side by side: what each estimates, how surely, and Welch's test of the difference.

The loss to compare is a ratio, total loss over impressions, while whole units are assigned. So its variance
is taken over units: the jackknife that leaves one unit out (Quenouille, Tukey), which for a ratio is the
delta method with each unit's residual divided by 1 - its share of the impressions. Unlike the plain delta
method it is not too small where a few large units carry the arm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from ml.experiments.errors import ExperimentDataInvalid
from ml.experiments.observations import Numbers


@dataclass(frozen=True)
class ArmSample:
    """What one arm estimates.

    Attributes:
        units: how many units it rests on.
        mean: mean of the values, or total loss over impressions.
        variance: of `mean`, not of a single value; NaN with fewer than two units.
        degrees: degrees of freedom of `variance`.
    """

    units: int
    mean: float
    variance: float
    degrees: float

    @classmethod
    def of_values(cls, values: npt.ArrayLike) -> ArmSample:
        """From (n,) values, one a unit, all of the same weight."""
        given = np.asarray(values, dtype=np.float64)
        if given.ndim != 1 or not np.isfinite(given).all():
            raise ExperimentDataInvalid("one finite value a unit is needed in each arm")
        units = len(given)
        variance = float(given.var(ddof=1)) / units if units > 1 else float("nan")
        return cls(units, float(given.mean()) if units else float("nan"), variance, max(units - 1, 0))

    @classmethod
    def of_ratio(cls, loss: Numbers, weight: Numbers) -> ArmSample:
        """From (n,) losses and (n,) weights of 0 or more; units of weight 0 are left out."""
        seen = weight > 0
        units = int(seen.sum())
        if units < 2:
            mean = float(loss[seen].sum() / weight[seen].sum()) if units else float("nan")
            return cls(units, mean, float("nan"), 0.0)
        mean, variance, degrees = (float(found) for found in ratio_moments(loss[seen], weight[seen]))
        return cls(units, mean, variance, degrees)


@dataclass(frozen=True)
class TestResult:
    """A difference, challenger less champion.

    Attributes:
        difference: in the unit of the values; below 0 the second arm is lower.
        relative: as a share of the first arm's mean; NaN where that is 0.
        low, high: confidence interval of the difference, for one look planned beforehand.
        p_value: chance of a difference at least as far from 0 if there were none.
    """

    difference: float
    relative: float
    low: float
    high: float
    p_value: float


def ratio_moments(loss: Numbers, weight: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Ratio of sums over the last axis, with the jackknife variance and its degrees of freedom.

    The degrees of freedom are Kish's effective number of units (sum(w)^2 / sum(w^2)) less one: n - 1 for
    equal weights, near 0 where one unit is all.

    Args:
        loss, weight: (..., n), n of 2 or more; weights above 0.

    Returns:
        Ratio, its variance, degrees of freedom, each (...,).
    """
    units = loss.shape[-1]
    total = weight.sum(axis=-1, keepdims=True)
    ratio = loss.sum(axis=-1, keepdims=True) / total
    others = total - weight
    # Where rounding leaves nothing beside one unit, the degrees of freedom below say so.
    pulls = np.divide(loss - ratio * weight, others, out=np.zeros_like(others), where=others > 0)
    variance = (units - 1) / units * (pulls**2).sum(axis=-1)
    degrees = total[..., 0] ** 2 / (weight**2).sum(axis=-1) - 1
    return ratio[..., 0], variance, degrees


def joint_degrees(
    first: float | Numbers, of_first: float | Numbers, second: float | Numbers, of_second: float | Numbers
) -> Numbers:
    """Welch and Satterthwaite's degrees of freedom of the sum of two variances, elementwise.

    Args:
        first, of_first: a variance of a mean and its degrees of freedom.
        second, of_second: the other's.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return np.asarray((a + b) ** 2 / (a**2 / of_first + b**2 / of_second), dtype=np.float64)


def steadied(
    first: float | Numbers, of_first: float | Numbers, second: float | Numbers, of_second: float | Numbers
) -> tuple[Numbers, Numbers]:
    """Variances of two arms' means, neither much smaller than the other arm lets expect; elementwise.

    Losses are skewed: ten accounts without a bad one among them have a low mean and a low variance at once,
    and look surely better. So each arm gets one unit more, as variable as the other arm's units, if that
    makes its variance larger. With many units it changes nothing; a prior of one degree of freedom, as in
    Smyth's moderated t (2004), but never downwards.

    Args:
        first, of_first: variance of an arm's mean and its degrees of freedom.
        second, of_second: the other arm's.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    n, m = np.asarray(of_first) + 1, np.asarray(of_second) + 1
    return (
        np.maximum(a, ((n - 1) * a + b * m / n) / n),
        np.maximum(b, ((m - 1) * b + a * n / m) / m),
    )


def welch_test(a: npt.ArrayLike, b: npt.ArrayLike, *, alpha: float = 0.05) -> TestResult:
    """Welch's t-test of two arms of values, two-sided (Welch, Biometrika 34, 1947).

    Args:
        a: (n,) champion's values, one a unit.
        b: (m,) challenger's.
        alpha: one less the confidence of the interval.

    Returns:
        b less a; NaN where an arm has fewer than two values.

    Raises:
        ExperimentDataInvalid: a value is not finite, or there is more than one dimension.

    >>> welch_test([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]).difference
    1.0
    """
    return compare(ArmSample.of_values(a), ArmSample.of_values(b), alpha=alpha)


def compare(a: ArmSample, b: ArmSample, *, alpha: float) -> TestResult:
    """Welch's test of what two arms estimate; as `welch_test`."""
    difference = b.mean - a.mean
    relative = difference / a.mean if a.mean else float("nan")
    variance = a.variance + b.variance
    if not variance > 0 or not min(a.degrees, b.degrees) > 0:
        return TestResult(difference, relative, float("nan"), float("nan"), float("nan"))
    error = float(np.sqrt(variance))
    degrees = joint_degrees(a.variance, a.degrees, b.variance, b.degrees)
    reach = float(stats.t.isf(alpha / 2, degrees)) * error
    p_value = float(2 * stats.t.sf(abs(difference) / error, degrees))
    return TestResult(difference, relative, difference - reach, difference + reach, p_value)
