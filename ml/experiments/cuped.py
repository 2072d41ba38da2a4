"""Less noise by what was known before: a unit that always had a high loss says little when it has one again.

Deng, Xu, Kohavi and Walker, Improving the Sensitivity of Online Controlled Experiments by Utilizing
Pre-Experiment Data, WSDM 2013. The covariate is from before the experiment, so the arm cannot have changed it
and the difference of the arms stays what it was on average.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.experiments.errors import ExperimentDataInvalid
from ml.experiments.observations import Numbers

# With fewer units of known past than this, the slope is noise.
_LEAST_KNOWN = 10


def adjusted(
    values: npt.ArrayLike,
    covariate: npt.ArrayLike,
    *,
    arms: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
) -> Numbers:
    """The values less what the covariate explains; the (weighted) mean of all of them stays.

    The slope is the common one within the arms, so an effect of the arm is not explained away. Unknown
    covariates stand at the mean and change nothing; with too few known ones, or constant ones, the values
    come back as they are. All arrays may have leading axes: experiments side by side.

    Args:
        values: (..., n) one a unit, such as its mean loss.
        covariate: (..., n) the unit's past, NaN where unknown.
        arms: (n,) True for the challenger's units; by default all units are of one arm.
        weights: (..., n) impressions where the mean of interest is weighted by them.

    Raises:
        ExperimentDataInvalid: the arrays differ in length.
    """
    y, x = np.asarray(values, dtype=np.float64), np.asarray(covariate, dtype=np.float64)
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)
    arm = np.zeros(y.shape[-1:], dtype=bool) if arms is None else np.asarray(arms, dtype=bool)
    if not y.shape == x.shape == w.shape or arm.shape != y.shape[-1:]:
        raise ExperimentDataInvalid(
            f"values {y.shape}, covariate {x.shape}, weights {w.shape} and arms {arm.shape} differ in shape"
        )
    known = np.isfinite(x) & (w > 0)
    of_known = np.where(known, w, 0.0)
    x = np.where(known, x, 0.0)
    covariance = np.zeros((*y.shape[:-1], 1))
    spread = np.zeros_like(covariance)
    for mine in (arm, ~arm):
        pull_x = of_known[..., mine] * (x[..., mine] - _mean(x[..., mine], of_known[..., mine]))
        pull_y = w[..., mine] * (y[..., mine] - _mean(y[..., mine], w[..., mine]))
        covariance += (pull_x * pull_y).sum(axis=-1, keepdims=True)
        spread += (pull_x**2).sum(axis=-1, keepdims=True)
    centre = _mean(x, of_known)
    # What rounding leaves of a constant covariate is no spread.
    floor = 1e-20 * ((of_known * x) ** 2).sum(axis=-1, keepdims=True)
    usable = (spread > floor) & (known.sum(axis=-1, keepdims=True) >= _LEAST_KNOWN)
    slope = np.where(usable, covariance / np.where(usable, spread, 1.0), 0.0)
    return np.asarray(y - slope * np.where(known, x - centre, 0.0), dtype=np.float64)


def _mean(values: Numbers, weights: Numbers) -> Numbers:
    total = weights.sum(axis=-1, keepdims=True)
    mean: Numbers = (values * weights).sum(axis=-1, keepdims=True) / np.where(total > 0, total, 1.0)
    return mean
