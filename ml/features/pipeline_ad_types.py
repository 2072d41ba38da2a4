"""Which kinds of ads bring deals that close fastest and best, in a table people can read.

A kind is a value of hook type, format, visual pattern or persona. Its win rate respects open deals, is pulled
towards the pipelines' own where deals are few, and carries an interval. It is a correlation: who sees which
ad, and what is sold with it, is not drawn by lot.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline_attribution import attribute
from ml.features.pipeline_frames import DAY, CrmFrames, naive
from ml.features.survival import Z_95, cumulative_incidence, kaplan_meier

KINDS = ("hook_type", "format", "visual_pattern", "persona")
# The win rate is pulled towards what the same mix of pipelines gives, as if so many more had closed.
PSEUDO_DEALS = 30.0


def ad_types(frames: CrmFrames, now: object, min_closed: int) -> pd.DataFrame:
    """The table, highest shrunk win rate first within each kind, those of few deals last.

    Args:
        frames: what is known at `now`.
        now: the moment; open deals are as old as that.
        min_closed: closed deals below which a row is marked as few.

    Returns:
        kind, value, deals, open_deals, win_rate (Aalen-Johansen, by the time of the last closed deal),
        expected_rate (of the pipelines' mix), shrunk_rate, low and high (95 %, of the shrunk rate),
        median_days, days_low, days_high (to close, won or lost, Kaplan-Meier), value_per_deal (dollars
        brought so far, open deals included in the count) and few.
    """
    deals = _with_ends(frames, now).merge(attribute(frames).drop(columns="account_id"), on="deal_id")
    deals["expected"] = deals["pipeline_id"].map(_rates(deals))
    rows = []
    for kind in KINDS:
        for value, of_kind in deals.dropna(subset=[kind]).groupby(kind, sort=True):
            rows.append({"kind": kind, "value": value, **_row(of_kind, min_closed)})
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.sort_values(["kind", "few", "shrunk_rate"], ascending=[True, True, False]).reset_index(
        drop=True
    )


def _row(deals: pd.DataFrame, min_closed: int) -> dict[str, object]:
    days, ending = deals["days"].to_numpy(), deals["ending"].to_numpy()
    closed = int((ending > 0).sum())
    expected = float(deals["expected"].mean())
    rate, error = _win_rate(days, ending)
    # What the closed deals say counts as much as there are of them.
    weight = closed / (closed + PSEUDO_DEALS)
    shrunk = weight * rate + (1 - weight) * expected
    half = Z_95 * np.hypot(weight * error, (1 - weight) * np.sqrt(expected * (1 - expected) / PSEUDO_DEALS))
    median, low, high = kaplan_meier(days, ending > 0).median()
    return {
        "deals": len(deals),
        "open_deals": int((ending == 0).sum()),
        "win_rate": rate,
        "expected_rate": expected,
        "shrunk_rate": shrunk,
        "low": max(shrunk - half, 0.0),
        "high": min(shrunk + half, 1.0),
        "median_days": median,
        "days_low": low,
        "days_high": high,
        "value_per_deal": float(deals["won_value"].sum() / len(deals)),
        "few": closed < min_closed,
    }


def _with_ends(frames: CrmFrames, now: object) -> pd.DataFrame:
    """Deals with days (to the end or so far), ending (0 open, 1 won, 2 lost) and dollars brought."""
    deals = frames.state()
    end = deals["closed_at"].fillna(pd.Timestamp(naive(now)))
    deals["days"] = np.maximum((end - deals["created_at"]).to_numpy() / DAY, 0.0)
    deals["ending"] = np.where(deals["is_won"], 1, np.where(deals["is_closed"], 2, 0))
    deals["won_value"] = np.where(deals["is_won"], deals["amount"].fillna(0.0), 0.0)
    return deals[["deal_id", "pipeline_id", "days", "ending", "won_value"]]


def _rates(deals: pd.DataFrame) -> dict[str, float]:
    return {
        str(pipeline): _win_rate(rows["days"].to_numpy(), rows["ending"].to_numpy())[0]
        for pipeline, rows in deals.groupby("pipeline_id")
    }


def _win_rate(days: npt.NDArray[np.float64], ending: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Share won in the end, open deals respected, and its standard error."""
    _, share, error = cumulative_incidence(days, ending, kind=1)
    return (float(share[-1]), float(error[-1])) if len(share) else (0.0, 0.0)


_COLUMNS = [
    "kind", "value", "deals", "open_deals", "win_rate", "expected_rate", "shrunk_rate", "low", "high",
    "median_days", "days_low", "days_high", "value_per_deal", "few",
]  # fmt: skip
