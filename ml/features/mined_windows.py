"""Windows over an ad's days, each ending with the day itself: sums, slopes, peaks, and shrunken lifts.

Rows are sorted by account, ad and day, at most one per ad and day, so that the days before a row's own stand
right above it. A window of seven days is seven shifted additions: exact, without the cancellation that
differences of running sums bring, and the same whatever other rows are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml.features.lags import lagged_sums, shrunk_rate

WEEK = 7
MONTH = 28
# The ad's first days are looked for this far back.
FIRST_DAYS_WITHIN = 90
# A rate is pulled to its account's as if this many clicks (or purchases) had been seen at that rate.
PSEUDO_EVENTS = 5.0
# Between which the strength of a prior is estimated, in expected events: weak where ads truly differ, strong
# where they do not, or where nobody can tell.
WEAKEST, STRONGEST = 2.0, 10_000.0
# With fewer days a slope says nothing.
_LEAST_DAYS_OF_SLOPE = 3


@dataclass(frozen=True)
class Windows:
    """The shape of n ad-days.

    Attributes:
        accounts, ads: (n,) non-negative integers that name the account and the ad; rows are sorted by both.
        days: (n,) days since 1970, rising within an ad.
    """

    accounts: np.ndarray
    ads: np.ndarray
    days: np.ndarray

    def back(self, steps: int, window: int) -> tuple[slice, slice, np.ndarray]:
        """Rows, those `steps` above them, and where the latter are the same ad within the window."""
        now, then = slice(steps, None), slice(None, len(self.days) - steps)
        near = self.days[now] - self.days[then] < window
        return now, then, (self.ads[now] == self.ads[then]) & near

    def trailing(self, values: np.ndarray, window: int = WEEK) -> np.ndarray:
        """(n,) or (n, k) sums over the `window` days that end with the row's own; NaN counts as 0."""
        known = np.nan_to_num(values.astype("float64"))
        total = known.copy()
        for steps in range(1, min(window, len(known))):
            now, then, same = self.back(steps, window)
            total[now] += np.where(same if known.ndim == 1 else same[:, None], known[then], 0.0)
        return total

    def latest(self, values: np.ndarray, window: int = WEEK) -> np.ndarray:
        """(n,) the newest value of the window that is not NaN."""
        found = values.astype("float64").copy()
        for steps in range(1, min(window, len(found))):
            now, then, same = self.back(steps, window)
            found[now] = np.where(np.isnan(found[now]) & same, values[then], found[now])
        return found

    def slope(self, values: np.ndarray, window: int = WEEK) -> np.ndarray:
        """(n,) least-squares rise per day over the window; NaN with fewer than three days."""
        count, x, y, xx, xy = (np.zeros(len(values)) for _ in range(5))
        for steps in range(min(window, len(values))):
            now, then, same = self.back(steps, window)
            known = same & ~np.isnan(values[then])
            ago = np.where(known, self.days[then] - self.days[now], 0.0)
            level = np.where(known, values[then], 0.0)
            count[now] += known
            x[now] += ago
            y[now] += level
            xx[now] += ago**2
            xy[now] += ago * level
        spread = count * xx - x**2
        told = (count >= _LEAST_DAYS_OF_SLOPE) & (spread > 0)
        return np.divide(count * xy - x * y, spread, out=np.full(len(values), np.nan), where=told)

    def days_since_peak(self, values: np.ndarray, window: int = MONTH) -> np.ndarray:
        """(n,) days since the highest value of the window; the newest of equals counts."""
        best, since = values.astype("float64").copy(), np.zeros(len(values))
        for steps in range(1, min(window, len(values))):
            now, then, same = self.back(steps, window)
            higher = same & (values[then] > best[now])
            best[now] = np.where(higher, values[then], best[now])
            since[now] = np.where(higher, self.days[now] - self.days[then], since[now])
        return np.where(np.isnan(values), np.nan, since)

    def first_days(self, values: np.ndarray, length: int = WEEK) -> np.ndarray:
        """(n,) sums over the ad's first `length` days, of those within `FIRST_DAYS_WITHIN` of the row's own.

        Only days up to the row's own are summed.
        """
        running = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values.astype("float64")))])
        earliest = self.days - FIRST_DAYS_WITHIN + 1
        position = self.ads.astype(np.int64) * (1 << 20) + self.days
        start = np.searchsorted(position, self.ads.astype(np.int64) * (1 << 20) + earliest, side="left")
        end = np.searchsorted(
            position, self.ads.astype(np.int64) * (1 << 20) + self.days[start] + length, side="left"
        )
        return np.asarray(running[np.minimum(end, np.arange(len(values)) + 1)] - running[start])

    @cached_property
    def _of_account_day(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position of each row's account and day, and account and day of each position."""
        keys, place = np.unique(self.accounts.astype(np.int64) * (1 << 20) + self.days, return_inverse=True)
        return place, keys >> 20, keys & ((1 << 20) - 1)

    def of_account(self, values: np.ndarray, window: int = MONTH) -> np.ndarray:
        """(n,) sums over all ads of the row's account, over the window that ends with the row's own day."""
        place, accounts, days = self._of_account_day
        daily = np.bincount(place, weights=np.nan_to_num(values), minlength=len(days))
        return np.asarray((daily + lagged_sums(accounts, days, daily, window - 1))[place])

    def shrunk(self, events: np.ndarray, trials: np.ndarray) -> np.ndarray:
        """(n,) the week's rate, pulled to the account's rate of four weeks; NaN where that is unknown."""
        known = self.of_account(trials)
        # Half an event and one trial keep the rate of an account without any event above zero.
        prior = np.where(known > 0, (self.of_account(events) + 0.5) / (known + 1.0), np.nan)
        return shrunk_rate(self.trailing(events), self.trailing(trials), prior, PSEUDO_EVENTS)

    def lift(self, observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """(n,) observed over expected events, pulled to 1 by empirical Bayes.

        The lift of an ad is gamma-distributed around 1, with a variance that the account's ads of the last
        four weeks tell by the method of moments: how much observed counts differ from expected ones beyond
        Poisson noise. So a cell with few expected events says little, and none says much where ads do not
        differ. Cells of one ad share its total, which makes them differ a little less than Poisson counts:
        the estimate errs towards 1.

        Args:
            observed, expected: (n,) counts of a week; the expected at the ad's own mean, NaN where unknown.

        Returns:
            (n,) posterior means; NaN where the expected count is.
        """
        known = np.nan_to_num(expected)
        beyond = np.where(np.isnan(expected), 0.0, (observed - known) ** 2 - known)
        weight = self.of_account(known**2)
        variance = np.divide(self.of_account(beyond), weight, out=np.zeros(len(observed)), where=weight > 0)
        strength = np.clip(1.0 / np.maximum(variance, 1.0 / STRONGEST), WEAKEST, STRONGEST)
        return np.asarray((observed + strength) / (expected + strength))
