"""What an experiment can show: the smallest effect it would find, to be read before it starts.

The usual normal approximation, two-sided: (z(1 - alpha / 2) + z(power)) * standard error, for one look at the
end. Where one looks daily through a confidence sequence, its multiple stands in place of the first z: about
half as much again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from ml.experiments.errors import ExperimentSettingsInvalid
from ml.experiments.sequential import multiples


@dataclass(frozen=True)
class SmallestEffect:
    """The smallest effect that would be found.

    Attributes:
        relative: as a share of the champion's rate or loss; 1 or more where nothing useful can be shown.
        absolute: in the unit of the rate or loss.
        sentence: the same for people.
    """

    relative: float
    absolute: float
    sentence: str


def smallest_effect(
    *,
    impressions_a_day: float,
    rate: float,
    challenger_share: float,
    days: int,
    alpha: float,
    power: float,
    daily_looks: bool = False,
) -> SmallestEffect:
    """Of a rate such as clicks per impression, with independent impressions.

    Args:
        impressions_a_day: of both arms together.
        rate: the champion's, between 0 and 1.
        challenger_share: share of the impressions, between 0 and 1.
        days: length of the experiment.
        alpha: chance of seeing an effect where there is none.
        power: chance of seeing this one.
        daily_looks: judged by a confidence sequence that is tightest on the last day.

    Raises:
        ExperimentSettingsInvalid: an argument lies outside what it may be.

    >>> plan = {"rate": 0.01, "challenger_share": 0.1, "days": 7, "alpha": 0.05, "power": 0.8}
    >>> round(smallest_effect(impressions_a_day=10_000, **plan).relative, 2)
    0.35
    """
    if not 0 < rate < 1:
        raise ExperimentSettingsInvalid(f"rate is {rate}; it lies between 0 and 1")
    units, sd = impressions_a_day * days, math.sqrt(rate * (1 - rate))
    error = _standard_error(units, sd, challenger_share)
    traffic = f"{impressions_a_day:,.0f} impressions a day for {days} days"
    return _found(error, rate, traffic, challenger_share, alpha, power, daily_looks)


def smallest_effect_in_loss(
    *,
    units: float,
    mean: float,
    sd: float,
    challenger_share: float,
    alpha: float,
    power: float,
    daily_looks: bool = False,
) -> SmallestEffect:
    """Of a mean loss.

    Args:
        units: independent ones, of both arms together.
        mean, sd: of the loss of a unit, above 0.
        challenger_share, alpha, power, daily_looks: as in `smallest_effect`.

    Raises:
        ExperimentSettingsInvalid: an argument lies outside what it may be.
    """
    if not (mean > 0 and sd > 0):
        raise ExperimentSettingsInvalid(f"mean is {mean} and sd is {sd}; both are above 0")
    error = _standard_error(units, sd, challenger_share)
    return _found(error, mean, f"{units:,.0f} units", challenger_share, alpha, power, daily_looks)


def reach(multiple: float, power: float) -> float:
    """Standard errors an effect must measure to be seen with chance `power` by an interval of `multiple`."""
    return multiple + float(stats.norm.ppf(power))


def _standard_error(units: float, sd: float, challenger_share: float) -> float:
    if not units > 0:
        raise ExperimentSettingsInvalid(f"there would be {units} units; an experiment needs some")
    if not 0 < challenger_share < 1:
        raise ExperimentSettingsInvalid(f"challenger_share is {challenger_share}; it lies between 0 and 1")
    return sd * math.sqrt(1 / (units * challenger_share) + 1 / (units * (1 - challenger_share)))


def _found(
    error: float, mean: float, traffic: str, share: float, alpha: float, power: float, daily_looks: bool
) -> SmallestEffect:
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise ExperimentSettingsInvalid(f"{name} is {value}; it lies between 0 and 1")
    multiple = float(multiples(alpha, 1.0)) if daily_looks else float(stats.norm.isf(alpha / 2))
    absolute = reach(multiple, power) * error
    relative = absolute / mean
    seen = (
        f"only a change of {relative * 100:.2g} % or more" if relative < 1 else "not even a change of 100 %"
    )
    sentence = (
        f"With {traffic}, {share * 100:g} % of them the challenger's,"
        f" {seen} would be seen with a chance of {power * 100:g} %."
    )
    return SmallestEffect(relative, absolute, sentence)
