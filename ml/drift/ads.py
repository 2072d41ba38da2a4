"""Windows of the ads feature set: what the CTR model is told, what it answered, what people clicked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ml.drift.windows import WatchedColumn, Window
from ml.features import FeatureFrame
from ml.features.ads import watched_columns

PREDICTED = "predicted_ctr"
_OUTCOMES = ("ctr", "ctr_vs_past")


def ad_window(
    features: FeatureFrame, predicted: np.ndarray | None, label: str, niches: np.ndarray | None = None
) -> Window:
    """All rows of a feature frame as a window; `between` and `take` cut it.

    Beside the watched features: impressions; cpm, the cost of 1,000 of them; ctr, in per cent; and
    ctr_vs_past, the logarithm of the click rate over the ad's own rate of the 28 days before. The last one
    shows a change of what works even where winners' losses and losers' gains leave the mean as it was.

    Args:
        features: n rows.
        predicted: (n,) click rates by the model, None where there is none to ask.
        label: for people.
        niches: (n,) text, None where accounts have none.
    """
    rows = features.X[list(watched_columns(features.X))].copy()
    rows["impressions"] = features.impressions.astype("float64")
    if np.isfinite(features.spend).any():
        rows["cpm"] = features.spend / features.impressions * 1000
    if predicted is not None:
        rows[PREDICTED] = predicted * 100
    rows["ctr"] = features.ctr * 100
    if "ad_ctr_lag28" in features.X:
        smoothed = (features.clicks + 0.5) / (features.impressions + 1.0)
        rows["ctr_vs_past"] = np.log(smoothed / features.X["ad_ctr_lag28"])
    return Window(
        label=label,
        rows=rows,
        clusters=features.groups,
        days=features.dates,
        predicted=predicted,
        observed=features.clicks.astype("float64"),
        exposure=features.impressions.astype("float64"),
        niches=niches,
    )


def ad_columns(rows: pd.DataFrame, importances: Mapping[str, float]) -> tuple[WatchedColumn, ...]:
    """What to watch of such a window's rows.

    Args:
        rows: of a window.
        importances: share of each feature in what the model sees.
    """
    return tuple(
        WatchedColumn(
            str(name),
            "outcome" if name in _OUTCOMES else "prediction" if name == PREDICTED else "input",
            None if name in (*_OUTCOMES, PREDICTED) else importances.get(str(name), 0.0),
        )
        for name in rows
    )


def campaign_windows(window: Window, campaigns: np.ndarray) -> tuple[Window, Window]:
    """The newest campaign (the highest id; numbers count as numbers) against all others before it."""
    names = sorted({str(campaign) for campaign in campaigns}, key=_by_number)
    newest = names[-1] if names else ""
    current = campaigns == newest
    return (
        window.take(~current, f"campaigns {', '.join(names[:-1]) or '(none)'}"),
        window.take(current, f"campaign {newest}"),
    )


def _by_number(name: str) -> tuple[bool, int, str]:
    return name.isdigit(), int(name) if name.isdigit() else 0, name
