"""What an ad's deals had come to before a day begins: optional columns for the models of clicks and value.

A row of day d knows the deals, stages and amounts up to the midnight before it. Attribution is known since
the deal's contact came. Nothing here looks at how a deal stands today.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline import Histories, sortable
from ml.features.pipeline_columns import DAILY_FEATURES


def pipeline_daily(histories: Histories, ads: pd.DataFrame) -> pd.DataFrame:
    """Features of ads on days.

    Args:
        histories: see `ml.features.pipeline.prepare`; what lies after a row's day touches nothing in it.
        ads: account_id, ad_id and metric_date (a day) a row.

    Returns:
        The columns of `DAILY_FEATURES`, a row for each of `ads` in its order: counts of deals created, won
        and lost for the first time, and open; dollars of the deals won, dollars of the open deals by the
        CRM's stage table; mean days to the first close (missing before there is one).
    """
    known = histories.deals["ad_id"].notna().to_numpy()
    if not known.any():
        # Without one deal there is nothing to say, and a model is not told zeros of a CRM that is not there.
        return pd.DataFrame(np.nan, index=ads.index, columns=list(DAILY_FEATURES))
    of_ad = histories.deals["account_id"].astype(str) + "/" + histories.deals["ad_id"].astype(str)
    codes, levels = pd.factorize(of_ad.where(known))
    wanted = levels.get_indexer(pd.Index(ads["account_id"].astype(str) + "/" + ads["ad_id"].astype(str)))
    days = pd.to_datetime(ads["metric_date"]).to_numpy().astype("datetime64[D]").astype("datetime64[us]")

    def before(deals: npt.NDArray[np.int64], times: npt.NDArray[np.datetime64], values: object) -> np.ndarray:
        return _sums_before(codes[deals], times, np.asarray(values, dtype="float64"), wanted, days)

    every = np.arange(len(codes))
    first = histories.stage_events[histories.stage_events["is_closed"]].drop_duplicates("code")
    ended, ended_at = first["code"].to_numpy(), first["entered_at"].to_numpy()
    won = first["is_won"].to_numpy(dtype=float)
    lasted = (ended_at - histories.deals["created_at"].to_numpy()[ended]) / np.timedelta64(1, "D")
    changes = _changes(histories)
    at, deal = changes["time"].to_numpy(), changes["code"].to_numpy()
    closed = before(ended, ended_at, np.ones(len(ended)))
    made = {
        "pipeline_deals": before(every, histories.deals["created_at"].to_numpy(), np.ones(len(every))),
        "pipeline_won": before(ended, ended_at, won),
        "pipeline_lost": before(ended, ended_at, 1.0 - won),
        "pipeline_open": before(deal, at, changes["open"]),
        "pipeline_won_value": before(deal, at, changes["won_value"]),
        "pipeline_open_value": before(deal, at, changes["open_value"]),
        "pipeline_days_to_close": np.where(
            closed > 0, before(ended, ended_at, lasted) / np.maximum(closed, 1), np.nan
        ),
    }
    return pd.DataFrame(made, index=ads.index)[list(DAILY_FEATURES)]


def _changes(histories: Histories) -> pd.DataFrame:
    """By how much each event changes what its deal counts for: open, won_value and open_value."""
    stages = histories.stage_events[["code", "entered_at", "probability", "is_closed", "is_won"]]
    amounts = histories.amount_events[["code", "changed_at", "amount"]]
    events = pd.concat(
        [
            stages.rename(columns={"entered_at": "time"}).astype({"is_closed": float, "is_won": float}),
            amounts.rename(columns={"changed_at": "time"}),
        ]
    ).sort_values(["code", "time"], kind="stable")
    filled = events.groupby("code")[["probability", "is_closed", "is_won", "amount"]].ffill().fillna(0.0)
    events["open"] = np.where(
        events["is_closed"].isna() & (filled["is_closed"] == 0), 1.0, 1 - filled["is_closed"]
    )
    events["won_value"] = filled["is_won"] * filled["amount"]
    events["open_value"] = (1 - filled["is_closed"]) * filled["probability"] * filled["amount"]
    counted = ["open", "won_value", "open_value"]
    events[counted] = events[counted] - events.groupby("code")[counted].shift().fillna(0.0)
    return events


def _sums_before(
    groups: npt.NDArray[np.int64],
    times: npt.NDArray[np.datetime64],
    values: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.int64],
    days: npt.NDArray[np.datetime64],
) -> np.ndarray:
    """Sums of `values` in the wanted group before each midnight; 0 where there is no such group."""
    known = groups >= 0
    keys = sortable(groups[known], times[known])
    order = np.argsort(keys, kind="stable")
    running = np.concatenate([[0.0], np.cumsum(values[known][order])])
    safe = np.maximum(wanted, 0)
    until = np.searchsorted(keys[order], sortable(safe, days), side="left")
    since = np.searchsorted(keys[order], safe.astype(np.int64) << 32, side="left")
    return np.asarray(np.where(wanted >= 0, running[until] - running[since], 0.0))
