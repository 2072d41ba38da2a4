"""Which of many effects count as found, so that few of these are false."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.features.creative_settings import CreativeEffectSettings

Floats = npt.NDArray[np.float64]


def q_values(p_values: Floats, weights: Floats, settings: CreativeEffectSettings) -> Floats:
    """For each test the false discovery rate at which it would just be found.

    Args:
        p_values: shape (tests,).
        weights: shape (tests,), positive with mean 1; a test of weight 2 needs half the evidence. Each
            must be independent of its own p-value (Genovese, Roeder and Wasserman 2006).

    >>> from dataclasses import replace
    >>> bh = CreativeEffectSettings(7, 20, 20, 5, 2, 0.9, 0.1, "bh", 5, 0.95)
    >>> q_values(np.array([0.01, 0.04, 0.03]), np.ones(3), bh).round(3).tolist()
    [0.03, 0.04, 0.04]
    >>> q_values(np.array([0.01, 0.04, 0.03]), np.ones(3), replace(bh, dependence="by")).round(3).tolist()
    [0.055, 0.073, 0.073]
    """
    count = len(p_values)
    if not count:
        return np.empty(0)
    weighted = np.minimum(p_values / weights, 1.0)
    order = np.argsort(weighted, kind="stable")
    rank = np.arange(1, count + 1)
    penalty = float((1 / rank).sum()) if settings.dependence == "by" else 1.0
    adjusted = np.minimum.accumulate((weighted[order] * count * penalty / rank)[::-1])[::-1]
    q = np.empty(count)
    q[order] = np.minimum(adjusted, 1.0)
    return q


def weights_of(expected_z: Floats, settings: CreativeEffectSettings) -> Floats:
    """Weights of tests by the z-value that other niches have one expect; NaN where these say nothing.

    >>> few = CreativeEffectSettings(7, 20, 20, 5, 2, 0.9, 0.1, "bh", 4, 0.95)
    >>> weights_of(np.array([0.0, 3.0, np.nan]), few).round(2).tolist()
    [0.4, 1.6, 1.0]
    """
    told = np.isfinite(expected_z)
    weights = np.ones(len(expected_z))
    if told.any():
        raw = np.clip(expected_z[told] ** 2, 1.0, settings.largest_weight)
        weights[told] = raw / raw.mean()
    return weights
