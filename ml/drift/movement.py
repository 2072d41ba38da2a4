"""How far one column's distribution moved between two windows, and how surprising that is.

The population stability index says how far. How surprising it is depends on how much *independent* evidence
the windows hold: the thirty days of one ad carry one hook type, not thirty. So the null distribution allows
for ads as clusters (the second-order correction of Rao and Scott, On Chi-squared Tests for Multiway
Contingency Tables, Annals of Statistics 12, 1984), and for ads that lie in both windows. With one row an ad
and no ad in both windows it is the familiar chi2(B - 1) * (1/n + 1/m).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution

# A level that fewer ads have is merged with the other rare ones: its share says little.
_LEAST_CLUSTERS_A_BIN = 5


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


def measure(reference: np.ndarray, current: np.ndarray) -> Movement | None:
    """The movement of one binned column.

    Args:
        reference, current: (clusters, bins) rows; a cluster has the same place in both. Weighted rows, as of
            a reference with another mix of weekdays, are allowed.

    Returns:
        None where all rows of both windows lie in one bin: the column says nothing.
    """
    reference, current = merged_rare(reference, current)
    if reference.shape[1] < 2:
        return None
    n, m = reference.sum(), current.sum()
    p, q = reference.sum(axis=0) / n, current.sum(axis=0) / m
    pooled = (p + q) / 2
    difference = q - p
    # Each cluster's pull on the difference of shares, about the pooled shares.
    pull = (current - current.sum(axis=1, keepdims=True) * pooled) / m
    pull -= (reference - reference.sum(axis=1, keepdims=True) * pooled) / n
    statistic = float((difference**2 / pooled).sum())
    freedom = min(effective_clusters(reference), effective_clusters(current)) - 1
    mean, p_value = surprise(statistic, pull / np.sqrt(pooled), freedom)
    return Movement(psi=_index(p, q, n, m), expected_psi=mean, p_value=p_value)


def surprise(statistic: float, pull: np.ndarray, freedom: float) -> tuple[float, float]:
    """Mean of a sum of squares under no change, and the chance that it is at least `statistic`.

    Args:
        statistic: sum over bins of squared standardised differences.
        pull: (clusters, bins) what each cluster adds to these differences.
        freedom: of the estimated covariance; with few clusters it is itself uncertain.
    """
    spread = pull.T @ pull
    mean, square = float(np.trace(spread)), float((spread * spread).sum())
    if mean <= 0 or freedom <= 0:
        return mean, 1.0
    return mean, float(f_distribution.sf(statistic / mean, mean**2 / square, freedom))


def effective_clusters(counts: np.ndarray) -> float:
    """How many clusters of equal size say as much as these; (clusters, bins) rows or weights."""
    sizes = counts.sum(axis=1)
    square = float((sizes**2).sum())
    return float(sizes.sum()) ** 2 / square if square > 0 else 0.0


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


def merged_rare(*tables: np.ndarray) -> tuple[np.ndarray, ...]:
    """Drop the empty bins of (clusters, bins) tables and merge those that too few clusters have.

    A bin counts as a cluster's where any table has it; all tables keep the same bins.
    """
    clusters_in_bin = np.logical_or.reduce([table != 0 for table in tables]).sum(axis=0)
    kept = clusters_in_bin >= _LEAST_CLUSTERS_A_BIN
    rare = (clusters_in_bin > 0) & ~kept
    if not rare.any():
        return tuple(table[:, kept] for table in tables)
    return tuple(np.column_stack([table[:, kept], table[:, rare].sum(axis=1)]) for table in tables)


def _index(p: np.ndarray, q: np.ndarray, n: float, m: float) -> float:
    """Population stability index; half a row in an empty bin keeps it finite."""
    p, q = np.maximum(p, 0.5 / n), np.maximum(q, 0.5 / m)
    return float(((q - p) * np.log(q / p)).sum())
