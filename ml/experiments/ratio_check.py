"""Sample-ratio mismatch: did as many units meet the challenger as were meant to?

A split that chance does not explain says that assignment or logging is broken (units lost in one arm, a cache
that answers for one model), and then no comparison of the arms can be trusted: Fabijan et al., Diagnosing
Sample Ratio Mismatch in Online Controlled Experiments, KDD 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

from ml.experiments.errors import ExperimentDataInvalid

# Beyond this the chi-squared test is exact enough, and the binomial one slow.
_EXACT_UP_TO = 10_000


@dataclass(frozen=True)
class RatioCheck:
    """The split of the units.

    Attributes:
        expected, observed: share of the units in the challenger arm; `observed` is 0 without units.
        p_value: chance of a split at least as uneven.
        mismatch: too unlikely to be chance.
        sentence: the same for people.
    """

    expected: float
    observed: float
    p_value: float
    mismatch: bool
    sentence: str


def check_ratio(
    champion_units: int, challenger_units: int, *, challenger_share: float, alpha: float
) -> RatioCheck:
    """Test the split: exact binomial, for many units chi-squared.

    Args:
        champion_units, challenger_units: how many units were assigned and seen.
        challenger_share: how many were meant for the challenger, between 0 and 1.
        alpha: alarm below this p-value; it is looked at daily, so small, such as 0.001.

    Raises:
        ExperimentDataInvalid: a count is negative.
    """
    if min(champion_units, challenger_units) < 0:
        raise ExperimentDataInvalid(f"{champion_units} and {challenger_units} units: a count is 0 or more")
    units = champion_units + challenger_units
    observed = challenger_units / units if units else 0.0
    if not units:
        p_value = 1.0
    elif units <= _EXACT_UP_TO:
        p_value = float(stats.binomtest(challenger_units, units, challenger_share).pvalue)
    else:
        means = [units * (1 - challenger_share), units * challenger_share]
        p_value = float(stats.chisquare([champion_units, challenger_units], means).pvalue)
    mismatch = p_value < alpha
    wanted, got = f"{challenger_share:.2%}".replace("%", " %"), f"{observed:.2%}".replace("%", " %")
    judged = (
        "which chance does not explain: look for units lost in one arm"
        if mismatch
        else "as chance would have it"
    )
    sentence = f"{wanted} of the units were meant for the challenger and {got} of {units:,} came, {judged}."
    return RatioCheck(challenger_share, observed, p_value, mismatch, sentence)
