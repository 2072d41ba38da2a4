"""Fetches a window of Insights for some accounts and merges it into the database.

Each account is one transaction. One that fails does not keep the others from being loaded; what failed is
said at the end, as an error that a retry can or cannot help.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Engine

from include.db import ads
from include.errors import PermanentError, TransientError
from include.meta_ads.client import MetaClient
from include.meta_ads.errors import AccountsFailed, AccountsUnavailable, InsightUnreadable, MetaTokenRefused
from include.meta_ads.rows import Mismatch, performance_row, reconcile

_SHOWN = 5

_log = logging.getLogger(__name__)


@dataclass
class WindowLoad:
    """What one load of a window did.

    Attributes:
        accounts: how many were loaded.
        rows: ad-days that came; `inserted` were new, `changed` differed from what was stored.
        mismatches: breakdowns that did not add up to their total.
    """

    accounts: int = 0
    rows: int = 0
    inserted: int = 0
    changed: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        """Plain numbers, and the first mismatches as sentences."""
        return {
            "accounts": self.accounts,
            "rows": self.rows,
            "inserted": self.inserted,
            "changed": self.changed,
            "mismatches": len(self.mismatches),
            "mismatches_shown": [str(mismatch) for mismatch in self.mismatches[:_SHOWN]],
        }


def window_to_fetch(
    day: date, latest: date | None, *, restatement_days: int, catch_up_days: int
) -> dict[str, str]:
    """The days to fetch in the night of `day`: what is new, and the days before it that may be restated.

    Nights that were missed are made up for: the window reaches back to the days that could still be
    restated when the last night ran. Which days it does not reach is said.

    Args:
        day: the last day to fetch.
        latest: the newest day stored, `None` where there is none.
        restatement_days: for how long Meta restates a day.
        catch_up_days: how many missed nights are made up for at most.

    Returns:
        `since` and `until`, ISO days; `missed_since` and `missed_until` too where days stay missing.

    >>> window_to_fetch(date(2026, 5, 9), date(2026, 5, 6), restatement_days=3, catch_up_days=28)
    {'since': '2026-05-04', 'until': '2026-05-09'}
    """
    first_new = min(day, latest + timedelta(days=1)) if latest else day
    reached = max(first_new, day - timedelta(days=catch_up_days))
    window = {"since": reached - timedelta(days=restatement_days), "until": day}
    if first_new < window["since"]:
        window |= {"missed_since": first_new, "missed_until": window["since"] - timedelta(days=1)}
    return {name: end.isoformat() for name, end in window.items()}


def load_window(
    engine: Engine,
    client: MetaClient,
    account_ids: Sequence[str],
    since: date,
    until: date,
    tolerance: Decimal,
) -> WindowLoad:
    """Fetch `since` to `until`, inclusive, for each account and merge it.

    Args:
        engine: the `nightshift` database.
        client: an open client.
        account_ids: accounts that `ads.account` holds.
        since, until: the window.
        tolerance: how far a breakdown's spend may be off its total.

    Raises:
        MetaTokenRefused: at once; no account could be loaded with this token.
        AccountsUnavailable: some accounts failed, at least one for a passing reason.
        AccountsFailed: some accounts failed, all for good.
    """
    done, failures = WindowLoad(), dict[str, Exception]()
    for account_id in account_ids:
        try:
            _load_account(engine, client, account_id, since, until, tolerance, done)
        except MetaTokenRefused:
            raise
        except (TransientError, PermanentError) as error:
            _log.error("account %s not loaded: %s", account_id, error)
            failures[account_id] = error
    for mismatch in done.mismatches:
        _log.warning("breakdown does not add up: %s", mismatch)
    if failures:
        account_id, first = next(iter(failures.items()))
        message = (
            f"{len(failures)} of {len(account_ids)} accounts not loaded for {since} to {until}; the first is "
            f"{account_id}: {first}"
        )
        passing = any(isinstance(error, TransientError) for error in failures.values())
        raise (AccountsUnavailable if passing else AccountsFailed)(message)
    return done


def summarise(window: dict[str, str], loads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up the `counts` of several loads of one window and say in a sentence what was done.

    Args:
        window: as `window_to_fetch` gave it.
        loads: one entry per load; none where no account is fed by an API.
    """
    total = {
        name: sum(load[name] for load in loads)
        for name in ("accounts", "rows", "inserted", "changed", "mismatches")
    }
    span = f"{window['since']} to {window['until']}"
    if not loads:
        summary = f"no account is fed by an API: nothing to fetch for {span}"
    else:
        summary = (
            f"{total['rows']:,} ad-days of {total['accounts']} accounts, {span}: {total['inserted']:,} new, "
            f"{total['changed']:,} restated"
        )
        if "missed_since" in window:
            missed = f"{window['missed_since']} to {window['missed_until']}"
            summary += f"; still missing: {missed}, run those days by hand"
    shown = [sentence for load in loads for sentence in load["mismatches_shown"]][:_SHOWN]
    if shown:
        summary += f"; {total['mismatches']} breakdowns do not add up, the first: {shown[0]}"
    return {**window, **total, "mismatches_shown": shown, "summary": summary}


def _load_account(
    engine: Engine,
    client: MetaClient,
    account_id: str,
    since: date,
    until: date,
    tolerance: Decimal,
    done: WindowLoad,
) -> None:
    insights = client.insights(account_id, since, until)
    # Deleted ads leave the list but keep their past; ads that did nothing in the window can wait for theirs.
    delivered = {insight["ad_id"]: _ad_of(insight) for insight in insights}
    listed = list(
        (delivered | {ad["id"]: ad for ad in client.ads(account_id) if ad["id"] in delivered}).values()
    )
    checked = [reconcile(account_id, insight, tolerance) for insight in insights]
    with engine.begin() as connection:
        if listed:
            _store_ads(connection, account_id, listed)
        merged = ads.upsert_performance(connection, (performance_row(account_id, row) for row, _ in checked))
    done.accounts += 1
    done.rows += merged.rows
    done.inserted += merged.inserted
    done.changed += merged.changed
    done.mismatches += [mismatch for _, found in checked for mismatch in found]


def _ad_of(insight: dict[str, Any]) -> dict[str, Any]:
    campaign = {"id": insight.get("campaign_id"), "name": insight.get("campaign_name")}
    return {"id": insight["ad_id"], "name": insight.get("ad_name"), "campaign": campaign}


def _store_ads(connection: Any, account_id: str, listed: list[dict[str, Any]]) -> None:
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
