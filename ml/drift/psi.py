"""How far one column's distribution moved between two windows, and how surprising that is.

The population stability index says how far. How surprising it is depends on how much *independent* evidence
the windows hold: the thirty days of one ad carry one hook type, not thirty. So the null distribution allows
for ads as clusters (the second-order correction of Rao and Scott, On Chi-squared Tests for Multiway
Contingency Tables, Annals of Statistics 12, 1984), and for ads that lie in both windows. With one row an ad
and no ad in both windows it is the familiar chi2(B - 1) * (1/n + 1/m).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

# Deciles, as the index is usually computed: with few rows, finer bins measure noise.
_NUMBER_BINS = 10
_DISCRETE_UP_TO = 10
# A level that fewer ads have is merged with the other rare ones: its share says little.
_LEAST_ADS_A_BIN = 5


@dataclass(frozen=True)
class Bins:
    """The rows of both windows sorted into the same B bins.

    Attributes:
        labels: (B,) what each bin holds.
        reference, current: the bin of each row.
    """

    labels: tuple[str, ...]
    reference: np.ndarray
    current: np.ndarray


@dataclass(frozen=True)
class Movement:
    """One column between two windows.

    Attributes:
        psi: population stability index.
        expected_psi: what sampling alone gives on average.
        p_value: chance of at least this movement without drift.
    """

    psi: float
    expected_psi: float
    p_value: float


def bin_numbers(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Bin numbers by deciles of the finite reference values; missing ones get the bin after the last.

    Infinities fall into the outermost bins. Few distinct values are binned one by one.

    Returns:
        Bin of each reference row, bin of each current row, number of bins including the one for missing.
    """
    finite = reference[np.isfinite(reference)]
    if not len(finite):
        finite = current[np.isfinite(current)]
    values = np.unique(finite)
    if len(values) <= _DISCRETE_UP_TO:
        edges = (values[1:] + values[:-1]) / 2
    else:
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, _NUMBER_BINS + 1)[1:-1]))
    missing = len(edges) + 1

    def place(column: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(column), missing, np.searchsorted(edges, column, side="left"))

    return place(reference), place(current), missing + 1


def bin_levels(reference: pd.Series, current: pd.Series) -> tuple[np.ndarray, np.ndarray, int]:
    """One bin for each level of a category that is in either window, and one for missing.

    Returns:
        As `bin_numbers`.
    """
    both = pd.concat([reference.astype("object"), current.astype("object")], ignore_index=True)
    codes, levels = pd.factorize(both.map(lambda value: str(value) if pd.notna(value) else None), sort=True)
    codes = np.where(codes < 0, len(levels), codes)
    return codes[: len(reference)], codes[len(reference) :], len(levels) + 1


def measure(
    reference_bins: np.ndarray,
    current_bins: np.ndarray,
    bins: int,
    reference_ads: np.ndarray,
    current_ads: np.ndarray,
) -> Movement | None:
    """The movement of one binned column.

    Args:
        reference_bins, current_bins: (n,), (m,) bin of each row.
        bins: how many there are.
        reference_ads, current_ads: (n,), (m,) integers; the same ad has the same number in both.

    Returns:
        None where all rows of both windows lie in one bin: the column says nothing.
    """
    ads = int(max(reference_ads.max(), current_ads.max())) + 1
    counts = {
        window: np.bincount(which * bins + place, minlength=ads * bins).reshape(ads, bins).astype("float64")
        for window, which, place in (
            ("reference", reference_ads, reference_bins),
            ("current", current_ads, current_bins),
        )
    }
    reference, current = _without_rare(counts["reference"], counts["current"])
    if reference.shape[1] < 2:
        return None
    n, m = reference.sum(), current.sum()
    p, q = reference.sum(axis=0) / n, current.sum(axis=0) / m
    pooled = (p + q) / 2
    difference = q - p
    # Each ad's pull on the difference of shares, about the pooled shares.
    pull = (current - current.sum(axis=1, keepdims=True) * pooled) / m
    pull -= (reference - reference.sum(axis=1, keepdims=True) * pooled) / n
    spread = (pull.T @ pull) / np.sqrt(np.outer(pooled, pooled))
    mean, square = float(np.trace(spread)), float((spread * spread).sum())
    freedom = min(_effective_ads(reference), _effective_ads(current)) - 1
    statistic = float((difference**2 / pooled).sum())
    if mean <= 0 or freedom <= 0:
        p_value = 1.0
    else:
        p_value = float(f_distribution.sf(statistic / mean, mean**2 / square, freedom))
    return Movement(psi=_index(p, q, n, m), expected_psi=mean, p_value=p_value)


def benjamini_hochberg(p_values: np.ndarray, rate: float) -> np.ndarray:
    """Which of (k,) p-values stand when at most `rate` of those that stand may be false.

    Benjamini and Hochberg, Controlling the False Discovery Rate, JRSS B 57, 1995.

    >>> benjamini_hochberg(np.array([0.001, 0.5, 0.03, 0.9]), rate=0.05).tolist()
    [True, False, False, False]
    """
    order = np.argsort(p_values)
    passed = p_values[order] <= rate * np.arange(1, len(p_values) + 1) / max(1, len(p_values))
    standing = np.zeros(len(p_values), dtype=bool)
    if passed.any():
        standing[order[: np.flatnonzero(passed)[-1] + 1]] = True
    return standing


def _without_rare(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop empty bins and merge those that too few ads have."""
    ads_in_bin = ((reference + current) > 0).sum(axis=0)
    kept = ads_in_bin >= _LEAST_ADS_A_BIN
    rare = (ads_in_bin > 0) & ~kept
    merged = [
        np.column_stack([table[:, kept], table[:, rare].sum(axis=1)]) if rare.any() else table[:, kept]
        for table in (reference, current)
    ]
    return merged[0], merged[1]


def _effective_ads(counts: np.ndarray) -> float:
    rows = counts.sum(axis=1)
    return float(rows.sum() ** 2 / (rows**2).sum())


def _index(p: np.ndarray, q: np.ndarray, n: float, m: float) -> float:
    """Population stability index; half a row in an empty bin keeps it finite."""
    p, q = np.maximum(p, 0.5 / n), np.maximum(q, 0.5 / m)
    return float(((q - p) * np.log(q / p)).sum())
