"""From several members' log-odds to one: weights, and a calibration on top.

Averages are taken of log-odds, which costs nothing in quality and leaves the whole ensemble one sum that a
small graph can compute. The constant is a candidate like every member, so weights can fall back on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from ml.ctr.member import rate_of

# Rates that are wrong by a factor of twenty are broken data, and rows without any click have no best shift.
_FARTHEST = 3.0


@dataclass(frozen=True)
class Recalibration:
    """`intercept + slope * log_odds`; 0 and 1 change nothing."""

    intercept: float = 0.0
    slope: float = 1.0

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """(n,) calibrated log-odds."""
        return self.intercept + self.slope * log_odds


def equal(candidates: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, steps: int = 0) -> np.ndarray:
    """The same weight for every candidate but the last, which is the constant."""
    return np.append(np.full(len(candidates) - 1, 1 / (len(candidates) - 1)), 0.0)


def inverse_loss(
    candidates: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, steps: int = 0
) -> np.ndarray:
    """Weights in proportion to 1 / log loss: close to equal, because losses hardly differ."""
    losses = np.array([_loss(each, clicks, impressions) for each in candidates[:-1]])
    return np.append((1 / losses) / (1 / losses).sum(), 0.0)


def greedy(
    candidates: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, steps: int = 50
) -> np.ndarray:
    """Greedy selection with replacement (Caruana et al., Ensemble Selection from Libraries of Models, 2004).

    Starts from the best single candidate and adds, `steps` times, whichever lowers the loss of the mean most;
    the best mean met on the way wins. So it is never worse on these rows than the best candidate.
    """
    losses = [_loss(each, clicks, impressions) for each in candidates]
    counts = np.zeros(len(candidates))
    counts[int(np.argmin(losses))] = 1
    best, best_loss = counts.copy(), min(losses)
    total = candidates[int(np.argmin(losses))].copy()
    for size in range(2, steps + 1):
        losses = [_loss((total + each) / size, clicks, impressions) for each in candidates]
        chosen = int(np.argmin(losses))
        counts[chosen] += 1
        total += candidates[chosen]
        if losses[chosen] < best_loss:
            best, best_loss = counts.copy(), losses[chosen]
    return best / best.sum()


def logit_stack(
    candidates: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, steps: int = 0
) -> np.ndarray:
    """Non-negative weights that sum to one and minimise the log loss: a logistic stack without intercept."""
    start = np.full(len(candidates), 1 / len(candidates))
    shown = float(impressions.sum())

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = weights @ candidates
        gradient = candidates @ (impressions * rate_of(log_odds) - clicks) / shown
        return _loss(log_odds, clicks, impressions), gradient

    found = minimize(
        objective,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(candidates),
        constraints={
            "type": "eq",
            "fun": lambda weights: weights.sum() - 1,
            "jac": lambda weights: np.ones_like(weights),
        },
        options={"ftol": 1e-12},
    )
    weights = np.clip(found.x, 0, None)
    return np.asarray(weights / weights.sum())


# Each takes (m, n) log-odds of the candidates, the constant last, (n,) counts and a number of steps.
COMBINERS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]] = {
    "greedy": greedy,
    "logit_stack": logit_stack,
    "inverse_loss": inverse_loss,
    "equal": equal,
}


def recalibrated(
    log_odds: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, groups: np.ndarray, prior_sd: float
) -> Recalibration:
    """Intercept and slope that fit these rows, pulled towards 0 and 1 by how little the rows can say.

    Platt scaling (1999) with a normal prior. Clicks of one ad hang together, so the evidence is divided by
    their dispersion, as in quasi-likelihood (McCullagh and Nelder, 1989): 170 ads are 170 opinions, not a
    million. The result is never worse on these rows than no calibration.

    Args:
        log_odds: (n,) to be calibrated.
        clicks, impressions: (n,) counts.
        groups: (n,) the ad of each row.
        prior_sd: standard deviation of the prior of intercept and slope.
    """
    middle = float(np.average(log_odds, weights=impressions))
    centered = log_odds - middle
    dispersion = _dispersion(rate_of(log_odds), clicks, impressions, groups)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        intercept, slope = theta
        moved = intercept + slope * centered + middle
        loss = _loss(moved, clicks, impressions) * impressions.sum() / dispersion
        residual = (impressions * rate_of(moved) - clicks) / dispersion
        pull = np.array([intercept, slope - 1]) / prior_sd**2
        penalty = (intercept**2 + (slope - 1) ** 2) / (2 * prior_sd**2)
        return loss + penalty, np.array([residual.sum(), residual @ centered]) + pull

    found = minimize(objective, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B")
    if found.fun > objective(np.array([0.0, 1.0]))[0]:
        return Recalibration()
    shift, slope = map(float, found.x)
    return Recalibration(shift + middle * (1 - slope), slope)


def shrunk_shift(
    log_odds: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, groups: np.ndarray, prior_sd: float
) -> float:
    """How far these rows say that all log-odds lie too low, pulled towards 0 by how little they can say.

    The intercept alone of `recalibrated`, with the same prior and the same division by the dispersion of the
    ads' clicks. The dispersion is taken around the moved rates: a shift that all ads share is what is being
    measured, and counted as their disagreement it would talk itself down.

    Args:
        log_odds, clicks, impressions, groups, prior_sd: see `recalibrated`.
    """

    def fitted(dispersion: float, precision: float) -> float:
        def objective(shift: float) -> float:
            loss = _loss(log_odds + shift, clicks, impressions) * impressions.sum() / dispersion
            return loss + precision * shift**2 / 2

        return float(minimize_scalar(objective, bounds=(-_FARTHEST, _FARTHEST), method="bounded").x)

    free = fitted(1.0, 0.0)
    return fitted(_dispersion(rate_of(log_odds + free), clicks, impressions, groups), 1 / prior_sd**2)


def _dispersion(rate: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, groups: np.ndarray) -> float:
    """Variance of the ads' clicks over what independent clicks would have; at least 1."""
    of_row = np.unique(groups.astype(str), return_inverse=True)[1]
    expected = np.bincount(of_row, weights=impressions * rate)
    spread = np.bincount(of_row, weights=impressions * rate * (1 - rate))
    seen = np.bincount(of_row, weights=clicks)
    known = spread > 0
    # Summed before it is divided: ads with a hundredth of a click would count a hundredfold otherwise.
    return max(1.0, float(((seen - expected)[known] ** 2).sum() / spread[known].sum()))


def _loss(log_odds: np.ndarray, clicks: np.ndarray, impressions: np.ndarray) -> float:
    return float((impressions * np.logaddexp(0, log_odds) - clicks * log_odds).sum() / impressions.sum())
