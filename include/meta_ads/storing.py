"""Writes what Meta tells of ads, campaigns and creatives, however much of it there is.

Ads that were deleted leave Meta's list but keep their past: of these only what a row of Insights says is
known, and what the list told before stays. Rows of a table that know different columns are merged apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Connection

from include.db import ads
from include.meta_ads.errors import InsightUnreadable


def ads_that_delivered(
    insights: Iterable[dict[str, Any]], listed: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The ads of some rows of Insights, as the account's list tells them, else as the rows do."""
    delivered = {insight["ad_id"]: _ad_of(insight) for insight in insights}
    return list((delivered | {ad["id"]: ad for ad in listed if ad["id"] in delivered}).values())


def _ad_of(insight: dict[str, Any]) -> dict[str, Any]:
    campaign = {"id": insight.get("campaign_id"), "name": insight.get("campaign_name")}
    return {"id": insight["ad_id"], "name": insight.get("ad_name"), "campaign": campaign}


def store_ads(connection: Connection, account_id: str, listed: list[dict[str, Any]]) -> None:
    """Merge ads with their campaigns and creatives.

    Raises:
        InsightUnreadable: an ad has no campaign.
    """
    campaigns: dict[str, dict[str, Any]] = {}
    described: dict[str, dict[str, Any]] = {}
    plain: dict[str, dict[str, Any]] = {}
    for ad in listed:
        campaign, creative = ad.get("campaign") or {}, ad.get("creative") or {}
        if not campaign.get("id"):
            raise InsightUnreadable(f"ad {ad.get('id')} of {account_id} has no campaign")
        campaigns.setdefault(campaign["id"], _campaign_row(account_id, campaign))
        if creative.get("id"):
            kind = described if creative.get("platform") else plain
            kind.setdefault(creative["id"], _creative_row(account_id, creative))
    full = [row for row in campaigns.values() if "status" in row]
    ads.upsert_campaigns(connection, full)
    ads.upsert_campaigns(connection, [row for row in campaigns.values() if "status" not in row])
    ads.upsert_creatives(connection, described.values())
    ads.upsert_creatives(connection, plain.values())
    listed_rows = [_ad_row(account_id, ad) for ad in listed]
    ads.upsert_ads(connection, [row for row in listed_rows if "creative_id" in row])
    ads.upsert_ads(connection, [row for row in listed_rows if "creative_id" not in row])


def _campaign_row(account_id: str, campaign: dict[str, Any]) -> dict[str, Any]:
    row = {
        "account_id": account_id,
        "campaign_id": campaign["id"],
        "name": campaign.get("name") or campaign["id"],
    }
    if campaign.get("status"):
        row["status"] = campaign["status"].lower()
        row["daily_budget"] = _dollars(campaign.get("daily_budget"))
    return row


def _creative_row(account_id: str, creative: dict[str, Any]) -> dict[str, Any]:
    call = creative.get("call_to_action_type")
    row = {
        "account_id": account_id,
        "creative_id": creative["id"],
        "hook_text": creative.get("title"),
        "cta": call.lower() if call else None,
    }
    platform = creative.get("platform") or {}
    described = ("hook_type", "persona", "format", "visual_pattern", "visual_tags", "duration_s", "dna")
    return row | {column: platform.get(column) for column in described} if platform else row


def _ad_row(account_id: str, ad: dict[str, Any]) -> dict[str, Any]:
    row = {
        "account_id": account_id,
        "ad_id": ad["id"],
        "campaign_id": ad["campaign"]["id"],
        "name": ad.get("name") or ad["id"],
    }
    if (ad.get("creative") or {}).get("id"):
        created = ad.get("created_time")
        row["creative_id"] = ad["creative"]["id"]
        row["launched_on"] = datetime.fromisoformat(created).date() if created else None
    return row


def _dollars(cents: Any) -> Decimal | None:
    """Meta states budgets in cents, as text."""
    try:
        return Decimal(str(cents)) / 100 if cents not in (None, "") else None
    except InvalidOperation:
        return None
