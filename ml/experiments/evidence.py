"""All the numbers a verdict rests on, computed once: the split, both arms, the test and the sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ml.experiments.cuped import adjusted
from ml.experiments.observations import ExperimentData, Numbers
from ml.experiments.power import reach
from ml.experiments.ratio_check import RatioCheck, check_ratio
from ml.experiments.sequential import ConfidenceSequence
from ml.experiments.settings import ExperimentSettings
from ml.experiments.welch import ArmSample, TestResult, compare, joint_degrees, steadied

# Two equal units have 1; below this, one unit has more than four fifths of the weight.
_LEAST_DEGREES = 0.5


@dataclass(frozen=True)
class Evidence:
    """What was seen up to a day.

    Attributes:
        ratio: the split of the units.
        champion, challenger: mean loss an impression of each arm, freed of what the past explains.
        test: Welch's, for one look.
        low, high: the confidence sequence of the difference, challenger less champion; NaN if `unusable`.
        smallest: relative effect that would be seen with the planned power at this look; NaN likewise.
        unusable: why nothing can be told, as a clause; empty otherwise.
        sequence: to look ahead with; None if `unusable`.
        degrees: of freedom of the difference's variance.
    """

    ratio: RatioCheck
    champion: ArmSample
    challenger: ArmSample
    test: TestResult
    low: float
    high: float
    smallest: float
    unusable: str
    sequence: ConfidenceSequence | None
    degrees: float

    @property
    def variance(self) -> float:
        """Of the difference."""
        return self.champion.variance + self.challenger.variance

    def numbers(self) -> dict[str, float]:
        """Every finite number, ready for JSON."""
        found = {
            "challenger_units": self.challenger.units,
            "champion_units": self.champion.units,
            "challenger_loss": self.challenger.mean,
            "champion_loss": self.champion.mean,
            "difference": self.test.difference,
            "relative_difference": self.test.relative,
            "welch_low": self.test.low,
            "welch_high": self.test.high,
            "welch_p_value": self.test.p_value,
            "sequence_low": self.low,
            "sequence_high": self.high,
            "degrees_of_freedom": self.degrees,
            "smallest_visible_effect": self.smallest,
            "challenger_share_expected": self.ratio.expected,
            "challenger_share_observed": self.ratio.observed,
            "ratio_p_value": self.ratio.p_value,
        }
        return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def weigh(observed: ExperimentData, settings: ExperimentSettings, *, day_number: int) -> Evidence:
    """Compute it; degenerate data gives a reason in `unusable`, never an error.

    Args:
        observed: both arms, summed up to now.
        settings: the plan.
        day_number: full days so far, at least 1.
    """
    ratio = check_ratio(
        len(observed.champion_loss),
        len(observed.challenger_loss),
        challenger_share=settings.challenger_share,
        alpha=settings.srm_alpha,
    )
    champion, challenger = arm_samples(observed)
    test = compare(champion, challenger, alpha=settings.alpha)
    unusable = _unusable(champion, challenger, test, settings)
    nan = float("nan")
    if unusable:
        return Evidence(ratio, champion, challenger, test, nan, nan, nan, unusable, None, 0.0)
    variance = champion.variance + challenger.variance
    degrees = float(
        joint_degrees(champion.variance, champion.degrees, challenger.variance, challenger.degrees)
    )
    sequence = ConfidenceSequence.of_plan(
        settings.alpha, variance=variance, at=day_number, tightest=settings.tightest_day
    )
    low, high = sequence.interval(test.difference, variance, degrees)
    multiple = float(sequence.multiple(variance, degrees))
    smallest = reach(multiple, settings.power) * math.sqrt(variance) / champion.mean
    return Evidence(ratio, champion, challenger, test, low, high, smallest, "", sequence, degrees)


def arm_samples(observed: ExperimentData) -> tuple[ArmSample, ArmSample]:
    """Champion and challenger: mean loss an impression, freed of what the past explains, spread steadied."""
    loss = np.concatenate([observed.champion_loss, observed.challenger_loss])
    weight = np.concatenate([observed.champion_weight, observed.challenger_weight])
    arms = np.arange(len(loss)) >= len(observed.champion_loss)
    parts = (observed.champion_pre, observed.challenger_pre)
    pre: Numbers = np.concatenate([part for part in parts if part is not None])
    seen = weight > 0
    loss, weight, arms, pre = loss[seen], weight[seen], arms[seen], pre[seen]
    if len(loss):
        loss = weight * adjusted(loss / weight, pre, arms=arms, weights=weight)
    champion = ArmSample.of_ratio(loss[~arms], weight[~arms])
    challenger = ArmSample.of_ratio(loss[arms], weight[arms])
    variances = steadied(champion.variance, champion.degrees, challenger.variance, challenger.degrees)
    return replace(champion, variance=float(variances[0])), replace(challenger, variance=float(variances[1]))


def _unusable(
    champion: ArmSample, challenger: ArmSample, test: TestResult, settings: ExperimentSettings
) -> str:
    for arm, sample in (("champion", champion), ("challenger", challenger)):
        if sample.units < settings.min_units_per_arm:
            return (
                f"the {arm}'s arm holds {sample.units:,} units with impressions,"
                f" and at least {settings.min_units_per_arm:,} are needed"
            )
        if sample.degrees < _LEAST_DEGREES:
            return f"one unit has nearly all impressions of the {arm}'s arm, so chance cannot be told"
    if not champion.mean > 0:
        return f"the champion's mean loss is {champion.mean:g}, so nothing can be said in per cent of it"
    if not math.isfinite(test.p_value):
        return "the losses do not vary within the arms, so chance cannot be told"
    return ""
