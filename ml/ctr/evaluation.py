"""How good predicted click rates are, in figures that a constant cannot win by.

The mean absolute error that people ask for hardly moves between a good model and a constant when rates are
around one per cent. So it is reported, and versions are judged by normalised entropy, calibration and skill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 10
_RESAMPLES = 500


@dataclass(frozen=True)
class Calibration:
    """Predicted against observed rates in bins of equal impressions.

    Attributes:
        predicted, observed: (b,) rates of each bin.
        impressions: (b,) weight of each bin.
    """

    predicted: np.ndarray
    observed: np.ndarray
    impressions: np.ndarray

    @property
    def error_pp(self) -> float:
        """Mean absolute gap between predicted and observed rate in percentage points, by impressions."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.impressions) * 100)


@dataclass(frozen=True)
class Interval:
    """A value with two percentiles of its bootstrap distribution; the 2.5th and 97.5th by default."""

    value: float
    low: float
    high: float


def mae_pp(predicted: np.ndarray, clicks: np.ndarray, impressions: np.ndarray) -> float:
    """Impression-weighted mean absolute error of the click rate, in percentage points."""
    return float(np.average(np.abs(predicted - clicks / impressions), weights=impressions) * 100)


def log_loss_sums(predicted: np.ndarray, clicks: np.ndarray, impressions: np.ndarray) -> np.ndarray:
    """(n,) binomial log loss of each row in nats, summed over its impressions."""
    p = np.clip(predicted, 1e-9, 1 - 1e-9)
    return np.asarray(-(clicks * np.log(p) + (impressions - clicks) * np.log1p(-p)))


def normalized_entropy(predicted: np.ndarray, clicks: np.ndarray, impressions: np.ndarray) -> float:
    """Log loss over that of the best constant in hindsight: below 1 means the model knows something.

    He et al., Practical Lessons from Predicting Clicks on Ads at Facebook, ADKDD 2014. NaN where the rows
    hold no click, or nothing but clicks: there is nothing to be uncertain about.
    """
    rate = clicks.sum() / impressions.sum()
    if not 0 < rate < 1:
        return float("nan")
    entropy = log_loss_sums(np.full(len(clicks), rate), clicks, impressions).sum()
    return float(log_loss_sums(predicted, clicks, impressions).sum() / entropy)


def predicted_actual_ratio(predicted: np.ndarray, clicks: np.ndarray, impressions: np.ndarray) -> float:
    """Predicted clicks over real ones; NaN where there were none."""
    return float((predicted * impressions).sum() / clicks.sum()) if clicks.sum() else float("nan")


def calibration(
    predicted: np.ndarray, clicks: np.ndarray, impressions: np.ndarray, bins: int = _BINS
) -> Calibration:
    """Rows sorted by prediction and cut into bins of equal impressions (as equal as whole rows allow)."""
    order = np.argsort(predicted, kind="stable")
    middle = np.cumsum(impressions[order]) - impressions[order] / 2
    of_row = np.minimum((middle * bins / impressions.sum()).astype(int), bins - 1)
    weight = np.bincount(of_row, weights=impressions[order], minlength=bins)
    full = weight > 0
    expected = np.bincount(of_row, weights=(predicted * impressions)[order], minlength=bins)
    seen = np.bincount(of_row, weights=clicks[order], minlength=bins)
    return Calibration(expected[full] / weight[full], seen[full] / weight[full], weight[full])


def skill(
    predicted: np.ndarray,
    rival: np.ndarray,
    clicks: np.ndarray,
    impressions: np.ndarray,
    groups: np.ndarray,
    seed: int,
    confidence: float = 0.975,
) -> Interval:
    """Share of the rival's log loss that the model saves, with an interval from resampling whole ads.

    Args:
        predicted, rival: (n,) rates of the model and of what it is compared with.
        clicks, impressions: (n,) outcomes.
        groups: (n,) the ad of each row: rows of one ad rise and fall together, so ads are resampled.
        seed: of the bootstrap.
        confidence: one-sided, of either end.

    Returns:
        Above 0 the model is better; an interval that stays above 0 says so with confidence.
    """
    of_row = np.unique(groups.astype(str), return_inverse=True)[1]
    own = np.bincount(of_row, weights=log_loss_sums(predicted, clicks, impressions))
    other = np.bincount(of_row, weights=log_loss_sums(rival, clicks, impressions))
    random = np.random.default_rng(seed)
    value = 1 - own.sum() / other.sum()
    draws = np.array(
        [
            1 - (own @ times) / (other @ times) if (other @ times) > 0 else value
            for times in (
                np.bincount(random.integers(len(own), size=len(own)), minlength=len(own))
                for _ in range(_RESAMPLES)
            )
        ]
    )
    low, high = np.quantile(draws, [1 - confidence, confidence])
    return Interval(float(value), float(low), float(high))


def calibration_plot(shape: Calibration, title: str) -> Figure:
    """Predicted against observed click rate, a dot per bin, on the diagonal where all is well."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    predicted, observed = shape.predicted * 100, shape.observed * 100
    top = max(predicted.max(), observed.max()) * 1.08
    axes.plot([0, top], [0, top], color="#999999", linewidth=1, label="perfect")
    axes.plot(
        predicted, observed, marker="o", color="#1f6feb", label=f"{len(predicted)} bins of equal impressions"
    )
    axes.set(
        xlim=(0, top),
        ylim=(0, top),
        xlabel="predicted click rate (%)",
        ylabel="observed click rate (%)",
        title=title,
    )
    axes.legend(loc="upper left", frameon=False)
    axes.grid(visible=True, alpha=0.25)
    return figure
