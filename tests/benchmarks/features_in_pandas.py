"""Mined features the way they are usually written: pandas, a loop over each ad's days, a filter per window.

Only those that take a line or three each; lifts shrunk by empirical Bayes are left out, so this does less
work than what it is compared with.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.features.mined_cells import DEVICE, HOUR, PEOPLE, PLACEMENT

RANKS = {
    "BELOW_AVERAGE_10": 1,
    "BELOW_AVERAGE_20": 2,
    "BELOW_AVERAGE_35": 3,
    "AVERAGE": 4,
    "ABOVE_AVERAGE": 5,
}


def mine_in_pandas(ad_days: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per ad and day, by account, ad and day."""
    numbered = ad_days.reset_index(names="row")
    of_row = cells.assign(cell=cells["cell"].astype(str)).merge(
        numbered[["row", "account_id", "ad_id", "metric_date"]], on="row"
    )
    cells_of_ad = dict(list(of_row.groupby(["account_id", "ad_id"])))
    found = []
    for key, days in numbered.groupby(["account_id", "ad_id"]):
        days = days.sort_values("metric_date")
        own = cells_of_ad[key]
        for _, today in days.iterrows():
            begin = today["metric_date"] - pd.Timedelta(days=6)
            week = days[(days["metric_date"] >= begin) & (days["metric_date"] <= today["metric_date"])]
            shown = own[(own["metric_date"] >= begin) & (own["metric_date"] <= today["metric_date"])]
            found.append({**today[["account_id", "ad_id", "metric_date"]], **_features(today, week, shown)})
    return pd.DataFrame(found).sort_values(["account_id", "ad_id", "metric_date"]).reset_index(drop=True)


def _features(today: pd.Series, week: pd.DataFrame, cells: pd.DataFrame) -> dict[str, float]:
    by = {
        kind: cells[cells["breakdown"] == kind].groupby("cell")["impressions"].sum()
        for kind in (PLACEMENT, PEOPLE, DEVICE, HOUR)
    }
    share = {kind: shown / shown.sum() for kind, shown in by.items()}
    place, people, hours = share[PLACEMENT], share[PEOPLE], share[HOUR]
    sums = week[
        ["impressions", "clicks", "spend", "plays", "p25", "p50", "p75", "p100", "thruplay", "purchases",
         "purchase_value", "purchases_7d_click", "purchases_1d_view", "inline_link_clicks", "unique_clicks"]
    ].sum()  # fmt: skip
    ago = (week["metric_date"] - today["metric_date"]).dt.days
    ranks = week["quality_ranking"].map(RANKS).dropna()
    before = week[week["metric_date"] < today["metric_date"]]
    claimed = sums["purchases_7d_click"] + sums["purchases_1d_view"]
    return {
        "feed_share": place[place.index.str.endswith(",feed")].sum(),
        "stories_share": place[place.index.str.contains("stories")].sum(),
        "reels_share": place[place.index.str.contains("reels")].sum(),
        "instagram_share": place[place.index.str.startswith("instagram")].sum(),
        "placement_entropy": -(place[place > 0] * np.log(place[place > 0])).sum(),
        "audience_hhi": (people**2).sum(),
        "top_segment_share": people.max(),
        "age_18_24_share": people[people.index.str.startswith("18-24")].sum(),
        "age_25_34_share": people[people.index.str.startswith("25-34")].sum(),
        "age_55_up_share": people[people.index.str.contains("55-64|65")].sum(),
        "female_share": people[people.index.str.endswith(",female")].sum(),
        "ios_share": share[DEVICE]["iphone"],
        "hour_hhi": (hours**2).sum(),
        "night_share": hours[hours.index.str[:2].astype(int) < 6].sum(),
        "frequency": today["frequency"],
        "frequency_slope": np.polyfit(ago, week["frequency"], 1)[0] if len(week) > 2 else np.nan,
        "quality_rank": ranks.iloc[-1] if len(ranks) else np.nan,
        "spend_pacing": today["spend"] / before["spend"].mean() if len(before) else np.nan,
        "link_click_share": _share(
            sums["inline_link_clicks"], week.query("inline_link_clicks > 0")["clicks"]
        ),
        "value_per_purchase": sums["purchase_value"] / sums["purchases"] if sums["purchases"] else np.nan,
        "view_through_share": sums["purchases_1d_view"] / claimed if claimed else np.nan,
        "hook_rate": sums["plays"] / sums["impressions"],
        "quarter_retention": sums["p25"] / sums["plays"],
        "half_retention": sums["p50"] / sums["p25"],
        "full_retention": sums["p100"] / sums["p25"],
        "thruplay_rate": sums["thruplay"] / sums["plays"],
    }


def _share(part: float, whole: pd.Series) -> float:
    return part / whole.sum() if whole.sum() else np.nan
