"""Rows of the simulated platform as `include.db.ads.read_performance` returns them, without a database."""

import pandas as pd

from include.simulator import SimulatedWorld, WorldConfig

_OF_CREATIVE = ["hook_type", "persona", "cta", "format", "visual_pattern", "duration_s", "visual_tags"]


def simulated_rows(config: WorldConfig) -> pd.DataFrame:
    """Every ad-day of a world."""
    world = SimulatedWorld.generate(config)
    outcomes = ["impressions", "clicks", "spend", "conversions", "frequency"]
    rows = world.daily[["account_id", "campaign_id", "ad_id", "creative_id", "date", *outcomes]]
    rows = rows.rename(columns={"date": "metric_date"}).assign(breakdown="")
    rows = rows.merge(world.accounts[["account_id", "niche"]], on="account_id")
    creatives = world.creatives[["account_id", "creative_id", *_OF_CREATIVE]]
    rows = rows.merge(creatives, on=["account_id", "creative_id"])
    return rows.merge(world.ads[["account_id", "ad_id", "launched_on"]], on=["account_id", "ad_id"])
