"""What a model has to beat: one rate for everybody, and each ad's own rate pulled towards it."""

from typing import Self

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betaln


class ShrunkConstant:
    """The pooled click rate, with Jeffreys' half click so that it is never exactly 0 or 1.

    Attributes:
        rate_: clicks per impression.

    >>> ShrunkConstant().fit(np.array([1, 3]), np.array([100, 99])).predict(2)
    array([0.0225, 0.0225])
    """

    def fit(self, clicks: np.ndarray, impressions: np.ndarray) -> Self:
        """Learn the rate from (n,) counts."""
        self.rate_ = float((clicks.sum() + 0.5) / (impressions.sum() + 1.0))
        return self

    def predict(self, rows: int) -> np.ndarray:
        """The same rate `rows` times."""
        return np.full(rows, self.rate_)


class SmoothedAverage:
    """Each ad's own rate, pulled towards the pooled rate the more the fewer impressions it had.

    Empirical Bayes: click rates of ads follow a beta distribution around the pooled rate whose strength is
    fitted by maximum likelihood of the beta-binomial. (Casella, An Introduction to Empirical Bayes Data
    Analysis, The American Statistician 39, 1985.)

    Attributes:
        rate_: the pooled rate.
        strength_: impressions the prior counts for; large means that ads hardly differ.
        of_group_: posterior rate of each ad seen.
    """

    def fit(self, clicks: np.ndarray, impressions: np.ndarray, groups: np.ndarray) -> Self:
        """Learn from (n,) counts and the ad of each row."""
        self.rate_ = ShrunkConstant().fit(clicks, impressions).rate_
        names, of_row = np.unique(groups.astype(str), return_inverse=True)
        hits = np.bincount(of_row, weights=clicks)
        shown = np.bincount(of_row, weights=impressions)

        def loss(log_strength: float) -> float:
            a, b = np.exp(log_strength) * self.rate_, np.exp(log_strength) * (1 - self.rate_)
            return float(-(betaln(hits + a, shown - hits + b) - betaln(a, b)).sum())

        self.strength_ = float(np.exp(minimize_scalar(loss, bounds=(0.0, 20.0), method="bounded").x))
        posterior = (hits + self.strength_ * self.rate_) / (shown + self.strength_)
        self.of_group_ = dict(zip(names.tolist(), posterior.tolist(), strict=True))
        return self

    def predict(self, groups: np.ndarray) -> np.ndarray:
        """(n,) rates for the ads named; an ad never seen gets the pooled rate."""
        return np.array([self.of_group_.get(str(group), self.rate_) for group in groups])
