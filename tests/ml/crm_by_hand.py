"""A CRM of a few deals, each event written down by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ml.features.pipeline_frames import CrmFrames

STAGES = [
    ("sales", "first", 0, 0.2, False, False),
    ("sales", "second", 1, 0.5, False, False),
    ("sales", "third", 2, 0.8, False, False),
    ("sales", "won", 3, 1.0, True, True),
    ("sales", "lost", 4, 0.0, True, False),
]
ADS = [
    ("act", "c1", "Campaign one", "a1", "cr1"),
    ("act", "c1", "Campaign one", "a2", "cr2"),
    ("act", "c2", "Campaign two", "a3", "cr3"),
    ("other", "c3", "Same name", "a4", "cr4"),
    ("other", "c4", "Same name", "a5", "cr5"),
]


def crm(
    deals: Mapping[str, Sequence[tuple[str, str]]],
    *,
    amounts: Mapping[str, Sequence[tuple[str, float]]] | None = None,
    owners: Mapping[str, str] | None = None,
    contacts: Mapping[str, Mapping[str, str]] | None = None,
    clicks: Mapping[str, str] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> CrmFrames:
    """Frames of deals.

    Args:
        deals: deal -> (time, stage), oldest first; the first is its creation.
        amounts: deal -> (time, dollars).
        owners: deal -> owner, since its creation.
        contacts: deal -> what its contact says of how they came.
        clicks: click id -> ad id.
        reasons: deal -> why it was lost.
    """
    stages = pd.DataFrame(
        STAGES, columns=["pipeline_id", "stage_id", "display_order", "probability", "is_closed", "is_won"]
    )
    ads = pd.DataFrame(ADS, columns=["account_id", "campaign_id", "campaign_name", "ad_id", "creative_id"])
    events = [(deal, at, stage) for deal, path in deals.items() for at, stage in path]
    amount = [(deal, at, value) for deal, path in (amounts or {}).items() for at, value in path]
    owner = [(deal, deals[deal][0][0], who) for deal, who in (owners or {}).items()]
    of_contact = ["click_id", "utm_campaign", "utm_content", "first_source", "first_detail"]
    return CrmFrames.checked(
        deals=pd.DataFrame(
            [
                {
                    "deal_id": deal,
                    "contact_id": f"contact of {deal}",
                    "pipeline_id": "sales",
                    "deal_type": "newbusiness",
                    "created_at": path[0][0],
                    "lost_reason": (reasons or {}).get(deal),
                    "won_reason": None,
                }
                for deal, path in deals.items()
            ]
        ),
        stages=stages.assign(label=stages["stage_id"].str.title()),
        stage_events=pd.DataFrame(events, columns=["deal_id", "entered_at", "stage_id"]),
        amount_events=pd.DataFrame(amount, columns=["deal_id", "changed_at", "amount"]),
        owner_events=pd.DataFrame(owner, columns=["deal_id", "changed_at", "owner_id"]),
        owners=pd.DataFrame({"owner_id": sorted(set((owners or {}).values())), "team": "team"}),
        contacts=pd.DataFrame(
            [
                {
                    "contact_id": f"contact of {deal}",
                    **dict.fromkeys(of_contact),
                    **(contacts or {}).get(deal, {}),
                }
                for deal in deals
            ]
        ),
        conversions=pd.DataFrame(
            [{"account_id": "act", "ad_id": ad, "click_id": click} for click, ad in (clicks or {}).items()],
            columns=["account_id", "ad_id", "click_id"],
        ),
        ads=ads.assign(
            niche="saas", hook_type=["question", "statistic_hook", "question", "question", "question"],
            format="image", visual_pattern="tutorial", persona="student",
        ),
        spend=pd.DataFrame(
            [("act", "a1", "2026-01-05", 100.0)], columns=["account_id", "ad_id", "day", "spend"]
        ),
    )  # fmt: skip


def row(table: pd.DataFrame, **where: Any) -> pd.Series:
    """The only row in which the columns have these values."""
    found = table
    for name, value in where.items():
        found = found[found[name] == value]
    assert len(found) == 1, found
    return found.iloc[0]
