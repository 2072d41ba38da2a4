"""Times to an event where some have not had theirs yet: Kaplan-Meier, and Aalen-Johansen for two endings.

A deal that is open says "not yet", not "lost". Leaving it out would make pipelines look faster than they are,
counting it as lost would make them look worse. The estimators are lifelines' and statsmodels'; of the second,
lifelines' needs a millisecond a deal where statsmodels' needs three for thousands.
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
    """A Kaplan-Meier curve: at each of `days` the share without the event so far, with its 95 % interval."""

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
    from lifelines import KaplanMeierFitter

    if not len(days):
        nothing = np.empty(0)
        return SurvivalCurve(nothing, nothing, nothing, nothing)
    fit = KaplanMeierFitter().fit(days, happened, entry=entered)
    had = (fit.event_table["observed"] > 0).to_numpy()
    low, high = fit.confidence_interval_.to_numpy("float64")[had].T
    times = fit.survival_function_.index.to_numpy("float64")[had]
    return SurvivalCurve(times, fit.survival_function_.to_numpy("float64")[had, 0], low, high)


def cumulative_incidence(
    days: Floats, ending: npt.NDArray[np.int64], kind: int
) -> tuple[Floats, Floats, Floats]:
    """Aalen-Johansen: the share that has ended in way `kind` by each day, though others ended otherwise.

    Args:
        days: (n,) time to the end, or so far.
        ending: (n,) 0 while open, else 1, 2 ... by the way of ending.
        kind: the way that is asked for.

    Returns:
        days (ascending), the share by then, and its standard error, which at the last end of all is that of
        the end before it.

    >>> cumulative_incidence(np.array([1.0, 2.0, 3.0]), np.array([1, 2, 0]), kind=1)[1].round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    from statsmodels.duration.survfunc import CumIncidenceRight

    if not (ending == kind).any():
        return np.empty(0), np.empty(0), np.empty(0)
    # Where the last one at risk ends, the variance divides by nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = CumIncidenceRight(days, ending)
    error = fit.cinc_se[kind - 1]
    known = np.maximum.accumulate(np.where(np.isfinite(error), np.arange(len(error)), -1))
    return fit.times, fit.cinc[kind - 1], np.where(known >= 0, error[np.maximum(known, 0)], 0.0)


def _crossing(days: Floats, share: Floats) -> float:
    # A half that was multiplied together may be a little more.
    below = np.flatnonzero(share <= 0.5 + 1e-9)
    return float(days[below[0]]) if len(below) else float("inf")
