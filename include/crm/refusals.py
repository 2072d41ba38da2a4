"""HubSpot's refusals turned into our errors, in sentences that quote no token and nobody's data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.crm.errors import CrmBusy, CrmDailyLimit, CrmRequestRefused, CrmTokenRefused
from include.crm.people import masked

# Cloudflare's word, in front of HubSpot, for a token that it cannot even route.
_UNROUTABLE = 530
_TOLD_CHARS = 200


def refusal(
    asked: str,
    status: int,
    body: bytes | str | None,
    headers: Mapping[str, str],
    time_zone: str,
    now: datetime | None = None,
) -> Exception:
    """The error for an answer that is none.

    Args:
        asked: method and path.
        time_zone: of the portal, whose midnight renews the calls of the day.
        now: the present, UTC.
    """
    said = _json(body)
    told = masked(str(said.get("message") or "no reason given"), _TOLD_CHARS)
    if status == 429:
        policy = str(said.get("policyName") or "")
        if policy == "DAILY":
            resumes_at = next_midnight(time_zone, now or datetime.now(UTC))
            return CrmDailyLimit(
                f"{asked}: the portal's calls of today are used up; what was read is stored, and the next "
                f"run after {resumes_at:%Y-%m-%d %H:%M} UTC goes on from there",
                resumes_at,
            )
        return CrmBusy(f"{asked}: HubSpot limits our calls ({policy or told})", _retry_after(headers), policy)
    if status in (401, _UNROUTABLE):
        return CrmTokenRefused(
            f"{asked}: HubSpot refuses the token ({told}); put a valid private-app token into the password "
            "of connection hubspot_default and run again: what was read so far is kept"
        )
    if status == 403:
        return CrmRequestRefused(
            f"{asked}: HubSpot answers 403 ({told}); give the private app the scopes that docs/hubspot.md "
            "lists"
        )
    if status >= 500 or status in (408, 423):
        return CrmBusy(f"{asked}: HubSpot answers {status} ({told})", _retry_after(headers))
    return CrmRequestRefused(f"{asked}: HubSpot answers {status}: {told}")


def next_midnight(time_zone: str, now: datetime) -> datetime:
    """When the day after `now` begins in a time zone, in UTC; an unknown zone counts as UTC.

    >>> next_midnight("America/New_York", datetime(2026, 1, 6, 12, tzinfo=UTC)).isoformat()
    '2026-01-07T05:00:00+00:00'
    """
    try:
        zone: Any = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        zone = UTC
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).astimezone(UTC)


def _json(body: bytes | str | None) -> dict[str, Any]:
    try:
        said = json.loads(body or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None
