"""Times to an event where some have not had theirs yet: Kaplan-Meier, and Aalen-Johansen for two ways to
end.
 A deal that is open says "not yet", not "lost". Leaving it out would make pipelines look faster than
they are, counting it as lost would make them look worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Z_95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class SurvivalCurve:
    """A Kaplan-Meier curve: at each of `days` the share that has not had the event, with its 95 %
    interval.
    """

    days: Floats
    share: Floats
    low: Floats
    high: Floats

    def median(self) -> tuple[float, float, float]:
        """Days until half have had the event, with a 95 % interval; infinite where that was never seen."""
        return (
            _crossing(self.days, self.share),
            _crossing(self.days, self.low),
            _crossing(self.days, self.high),
        )


def kaplan_meier(
    days: Floats, happened: npt.NDArray[np.bool_], entered: Floats | None = None
) -> SurvivalCurve:
    """The curve of times `days`, of which those that have not `happened` are only lower bounds.

    Args:
        days: (n,) time to the event, or so far.
        happened: (n,) whether it was the event.
        entered: (n,) time from which each was watched (an event before would not have been seen), 0 by
            default.

    The interval is the log-log one (Kalbfleisch and Prentice), which stays between 0 and 1.

    >>> kaplan_meier(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, True])).median()[0]
    2.0
    """
    times, events, _, risk = _counts(days, happened.astype(int))
    if entered is not None and len(times):
        late = len(days) - np.searchsorted(np.sort(entered), times, side="left").astype(float)
        # Before anybody is watched nobody can be seen to leave.
        risk = np.maximum(risk - late, events)
    share = np.cumprod(1 - events / risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Greenwood's variance; the last deal at risk would divide by nothing.
        step = np.where(risk > events, events / (risk * (risk - events)), 0.0)
        log = np.log(np.clip(share, 1e-12, 1 - 1e-12))
        spread = Z_95 * np.sqrt(np.cumsum(step)) / np.abs(log)
    low, high = share ** np.exp(spread), share ** np.exp(-spread)
    return SurvivalCurve(
        times, np.asarray(share), np.where(share >= 1, 1.0, low), np.where(share >= 1, 1.0, high)
    )


def cumulative_incidence(
    days: Floats, ending: npt.NDArray[np.int64], kind: int
) -> tuple[Floats, Floats, Floats]:
    """Aalen-Johansen: the share that has ended in way `kind` by each day, though others ended otherwise.

    Args:
        days: (n,) time to the end, or so far.
        ending: (n,) 0 while open, else 1, 2 ... by the way of ending.
        kind: the way that is asked for.

    Returns:
        days with an end (ascending), the share by then, and its standard error (Aalen's, without the
        smaller covariance terms of the other endings).

    >>> cumulative_incidence(np.array([1.0, 2.0, 3.0]), np.array([1, 2, 0]), kind=1)[1]
    array([0.33333333, 0.33333333])
    """
    times, all_ends, of_kind, risk = _counts(days, ending, kind)
    before = np.concatenate([[1.0], np.cumprod(1 - all_ends / risk)[:-1]])
    share = np.cumsum(before * of_kind / risk)
    error = np.sqrt(np.cumsum(before**2 * of_kind * (risk - of_kind) / np.maximum(risk, 1) ** 3))
    return times, share, error


def _counts(
    days: Floats, ending: npt.NDArray[np.int64], kind: int | None = None
) -> tuple[Floats, Floats, Floats, Floats]:
    """Days with an end; how many ended, how many in way `kind`, and how many were still there just
    before.
    """
    if not len(days):
        empty = np.empty(0)
        return empty, empty, empty, empty
    times = np.unique(days[ending > 0])
    place = np.searchsorted(times, days[ending > 0])
    ended = np.bincount(place, minlength=len(times)).astype(float)
    of_kind = ended
    if kind is not None:
        of_kind = np.bincount(np.searchsorted(times, days[ending == kind]), minlength=len(times)).astype(
            float
        )
    risk = len(days) - np.searchsorted(np.sort(days), times, side="left").astype(float)
    return times, ended, of_kind, risk


def _crossing(days: Floats, share: Floats) -> float:
    below = np.flatnonzero(share <= 0.5)
    return float(days[below[0]]) if len(below) else float("inf")
