"""Both models on the same requests: far more telling than two arms, as the requests' own luck cancels out.

The scores of both models are logged for every request, whichever was used, so each request gives a difference
of losses. It says which model predicts better, not what its use does to the traffic; that takes the arms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from ml.experiments.errors import ExperimentDataInvalid
from ml.experiments.sequential import ConfidenceSequence
from ml.experiments.welch import ratio_moments


@dataclass(frozen=True)
class PairedResult:
    """Mean difference of losses, challenger less champion: below 0 the challenger predicts better.

    Attributes:
        difference: per unit of weight.
        relative: as a share of the champion's mean loss; NaN where that is 0.
        low, high: interval for one look planned beforehand; NaN where nothing can be told.
        p_value: of that look.
        always_low, always_high: interval for any number of looks.
        groups: how many independent groups it rests on.
    """

    difference: float
    relative: float
    low: float
    high: float
    p_value: float
    always_low: float
    always_high: float
    groups: int


def paired_difference(
    champion_losses: npt.ArrayLike,
    challenger_losses: npt.ArrayLike,
    weights: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    alpha: float = 0.05,
    tightest: float = 1.0,
) -> PairedResult:
    """Compare two models on the same rows; the variance is taken over whole groups (jackknife).

    Args:
        champion_losses, challenger_losses: (r,) mean loss of each row.
        weights: (r,) impressions of the row, 0 or more.
        groups: (r,) what rows have in common, such as the account; the rows of a group count as one.
        alpha: one less the confidence of the intervals.
        tightest: when the sequence is tightest, in multiples of the time so far: 2.0 on day 7 is day 14.

    Raises:
        ExperimentDataInvalid: lengths differ, a loss is not finite, or a weight is negative.
    """
    champion, challenger, weight = (
        np.asarray(given, dtype=np.float64) for given in (champion_losses, challenger_losses, weights)
    )
    group = np.asarray(groups)
    shapes = {champion.shape, challenger.shape, weight.shape, group.shape}
    if len(shapes) > 1 or champion.ndim != 1:
        raise ExperimentDataInvalid("each row needs both losses, a weight and a group; the lengths differ")
    if not all(np.isfinite(given).all() for given in (champion, challenger, weight)) or (weight < 0).any():
        raise ExperimentDataInvalid("losses and weights must be finite, and weights 0 or more")
    names, place = np.unique(group, return_inverse=True)
    total, of_champion, of_challenger = (
        np.bincount(place, column, len(names)).astype(np.float64)
        for column in (weight, weight * champion, weight * challenger)
    )
    seen = total > 0
    difference = of_challenger - of_champion
    return _compared(difference[seen], of_champion[seen], total[seen], alpha, tightest)


def _compared(
    difference: npt.NDArray[np.float64],
    of_champion: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    alpha: float,
    tightest: float,
) -> PairedResult:
    nan = float("nan")
    if not len(weight):
        return PairedResult(nan, nan, nan, nan, nan, nan, nan, 0)
    mean = float(difference.sum() / weight.sum())
    champion = float(of_champion.sum() / weight.sum())
    relative = mean / champion if champion else nan
    variance, degrees = nan, 0.0
    if len(weight) > 1:
        variance, degrees = (float(found) for found in ratio_moments(difference, weight)[1:])
    if not variance > 0 or not degrees > 0:
        return PairedResult(mean, relative, nan, nan, nan, nan, nan, len(weight))
    error = math.sqrt(variance)
    reach = float(stats.t.isf(alpha / 2, degrees)) * error
    sequence = ConfidenceSequence.of_plan(alpha, variance=variance, at=1.0, tightest=tightest)
    always_low, always_high = sequence.interval(mean, variance, degrees)
    p_value = float(2 * stats.t.sf(abs(mean) / error, degrees))
    return PairedResult(
        mean, relative, mean - reach, mean + reach, p_value, always_low, always_high, len(weight)
    )
