"""The two tables that drift is measured between, cut from one feature frame.

Each row (an ad's day, or an ad of a dateless export) counts once, whatever its impressions: so one large ad
does not decide for all, and the figures agree with the pictures Evidently draws of the same rows.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from ml.features import FeatureFrame
from ml.features.ads import watched_columns

_OUTCOMES = ("ctr", "ctr_vs_past")


@dataclass(frozen=True)
class WatchedColumn:
    """A column to compare.

    Attributes:
        name: as in the windows' rows.
        role: `input` is what advertisers and platform chose; `outcome` is what people then did.
    """

    name: str
    role: Literal["input", "outcome"] = "input"


@dataclass(frozen=True)
class Window:
    """Rows of one period or campaign.

    Attributes:
        label: what it is, for people.
        rows: (n, k) watched columns; numbers or categories, both may be missing.
        ads: (n,) text: the ad of each row. Rows of one ad count as one piece of evidence.
    """

    label: str
    rows: pd.DataFrame
    ads: np.ndarray


def watched_ad_columns(features: FeatureFrame) -> tuple[WatchedColumn, ...]:
    """What to watch: the features whose drift means something, delivery, and click rates."""
    return tuple(
        WatchedColumn(str(name), "outcome" if name in _OUTCOMES else "input")
        for name in watched_rows(features)
    )


def watched_rows(features: FeatureFrame) -> pd.DataFrame:
    """The watched columns of every row.

    Beside the features: impressions; cpm, the cost of 1,000 of them; ctr, in per cent; and ctr_vs_past, the
    logarithm of the click rate over the ad's own rate of the 28 days before. The last one shows a change of
    what works even where winners' losses and losers' gains leave the mean as it was.
    """
    rows = features.X[list(watched_columns(features.X))].copy()
    rows["impressions"] = features.impressions.astype("float64")
    if np.isfinite(features.spend).any():
        rows["cpm"] = features.spend / features.impressions * 1000
    rows["ctr"] = features.ctr * 100
    if "ad_ctr_lag28" in features.X:
        smoothed = (features.clicks + 0.5) / (features.impressions + 1.0)
        rows["ctr_vs_past"] = np.log(smoothed / features.X["ad_ctr_lag28"])
    return rows


def windows_by_date(
    features: FeatureFrame, *, reference: tuple[date, date], current: tuple[date, date]
) -> tuple[Window, Window]:
    """The rows of two periods, each from its first to its last day.

    Raises:
        ValueError: the rows have no dates.
    """
    dates = features.dates
    if dates is None:
        raise ValueError("rows without dates have no windows by date: compare campaigns instead")
    first, second = (
        _window(
            features,
            f"{since} to {until}",
            (dates >= np.datetime64(since, "D")) & (dates <= np.datetime64(until, "D")),
        )
        for since, until in (reference, current)
    )
    return first, second


def windows_by_campaign(features: FeatureFrame) -> tuple[Window, Window]:
    """The newest campaign (the highest id; numbers count as numbers) against all others."""
    campaigns = sorted({str(campaign) for campaign in features.campaigns}, key=_by_number)
    newest = campaigns[-1] if campaigns else ""
    current = features.campaigns == newest
    return (
        _window(features, f"campaigns {', '.join(campaigns[:-1]) or '(none)'}", ~current),
        _window(features, f"campaign {newest}", current),
    )


def _window(features: FeatureFrame, label: str, where: np.ndarray) -> Window:
    rows = watched_rows(features).iloc[np.flatnonzero(where)].reset_index(drop=True)
    return Window(label=label, rows=rows, ads=features.groups[where])


def _by_number(name: str) -> tuple[bool, int, str]:
    return name.isdigit(), int(name) if name.isdigit() else 0, name
