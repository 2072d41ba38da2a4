"""A simulated CRM as the pipeline's features and models read it, without a database."""

from __future__ import annotations

from functools import cache

import pandas as pd

from include.simulator import SimulatedWorld, WorldConfig
from include.simulator.sales import Sales, simulate_sales
from ml.features.pipeline_frames import CrmFrames

_OF_CREATIVE = ["account_id", "creative_id", "hook_type", "format", "visual_pattern", "persona"]


@cache
def simulated(seed: int, accounts: int, days: int) -> tuple[SimulatedWorld, Sales]:
    """A world and its deals."""
    world = SimulatedWorld.generate(WorldConfig(seed=seed, accounts=accounts, days=days))
    return world, simulate_sales(world)


def crm_frames(world: SimulatedWorld, sales: Sales) -> CrmFrames:
    """The frames of a world's sales."""
    campaigns = world.campaigns[["account_id", "campaign_id", "name"]].rename(
        columns={"name": "campaign_name"}
    )
    ads = world.ads[["account_id", "ad_id", "campaign_id", "creative_id"]]
    ads = ads.merge(campaigns, on=["account_id", "campaign_id"])
    ads = ads.merge(world.creatives[_OF_CREATIVE], on=["account_id", "creative_id"], how="left")
    ads = ads.merge(world.accounts[["account_id", "niche"]], on="account_id")
    spend = world.daily[["account_id", "ad_id", "date", "spend"]].rename(columns={"date": "day"})
    return CrmFrames.checked(
        deals=sales.deals,
        stages=sales.stages,
        stage_events=sales.stage_events,
        amount_events=sales.amount_events,
        owner_events=sales.owner_events,
        owners=sales.owners,
        contacts=sales.contacts,
        conversions=sales.conversions,
        ads=ads,
        spend=spend,
    )


def simulated_crm(seed: int = 5, accounts: int = 30, days: int = 150) -> CrmFrames:
    """The frames of a world of this seed and size."""
    return crm_frames(*simulated(seed, accounts, days))


def day(text: str) -> pd.Timestamp:
    """Midnight at the beginning of a day."""
    return pd.Timestamp(text)
