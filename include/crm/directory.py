"""What a portal's deals refer to: pipelines and stages, owners, properties; and that it is that portal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from include.crm import values
from include.crm.client import MODIFIED, HubSpotClient, Object
from include.crm.errors import CrmNotConnected, CrmUnreachable
from include.crm.people import PeopleKey
from include.db import crm, crm_checks, crm_sync

_log = logging.getLogger(__name__)


def time_zone_of(engine: Engine) -> str:
    """The portal's time zone as it was told last; UTC before it was."""
    facts = crm_sync.sync_state(engine, crm_sync.PORTAL).facts or {}
    return str(facts.get("time_zone") or "UTC")


def load_directory(
    engine: Engine, client: HubSpotClient, key: PeopleKey, *, new_key: bool = False
) -> dict[str, Any]:
    """Store pipelines, stages, owners and the catalogue of properties.

    Args:
        new_key: everybody's HMACs are about to be made anew, so that another key than the last is right.

    Returns:
        Counts: `pipelines`, `stages`, `owners`, `ended` (pipelines and stages that HubSpot deleted);
        `notes`: sentences about properties that appeared, vanished, or changed their type.

    Raises:
        CrmNotConnected: the portal or the key is another one than what is stored came from.
    """
    before = client.calls
    account = client.account()
    client.time_zone = str(account.get("timeZone") or "UTC")
    _check_same(engine, account, key, new_key)
    pipelines = client.pipelines()
    if not pipelines and crm_checks.current_pipelines(engine):
        # Every portal keeps one; an empty list would end all states there are.
        raise CrmUnreachable("GET /crm/v3/pipelines/deals: HubSpot tells no pipeline at all")
    owners = {str(each["id"]): _owner_row(each) for each in client.owners()}
    notes: list[str] = []
    catalogues = {kind: _types(client.properties(kind)) for kind in MODIFIED}
    for kind, types in catalogues.items():
        notes += property_changes(kind, crm_sync.catalogue(engine, kind), types)
    stages = list(_stage_rows(pipelines))
    with engine.begin() as connection:
        ended = crm.upsert_stages(connection, [_pipeline_row(each) for each in pipelines], stages)
        crm.upsert_owners(connection, owners.values())
        for kind, types in catalogues.items():
            crm_sync.store_catalogue(connection, kind, types)
        crm_sync.remember(
            connection,
            crm_sync.PORTAL,
            {
                "time_zone": client.time_zone,
                "portal_id": str(account.get("portalId") or ""),
                "key": key.fingerprint(),
            },
        )
    for note in notes:
        _log.warning("%s", note)
    return {
        "pipelines": len(pipelines),
        "stages": len(stages),
        "owners": len(owners),
        "ended": ended,
        "notes": notes,
        "requests": client.calls - before,
    }


def property_changes(kind: str, before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Sentences about what is new, gone, or of another type; none where nothing was known before.

    >>> property_changes("deals", {"tier": "string"}, {"size": "number"})
    ['deals have a new property size (number)', 'deals lost the property tier']
    >>> property_changes("deals", {"amount": "number"}, {"amount": "string"})
    ['amount of deals is string, was number']
    """
    if not before:
        return []
    appeared = [
        f"{kind} have a new property {name} ({now[name]})" for name in sorted(now.keys() - before.keys())
    ]
    vanished = [f"{kind} lost the property {name}" for name in sorted(before.keys() - now.keys())]
    changed = [
        f"{name} of {kind} is {now[name]}, was {before[name]}"
        for name in sorted(now.keys() & before.keys())
        if now[name] != before[name]
    ]
    return [*appeared, *vanished, *changed]


def _check_same(engine: Engine, account: Object, key: PeopleKey, new_key: bool) -> None:
    facts = crm_sync.sync_state(engine, crm_sync.PORTAL).facts or {}
    portal, stored = str(account.get("portalId") or ""), str(facts.get("portal_id") or "")
    if stored and portal and stored != portal:
        raise CrmNotConnected(
            f"the token belongs to portal {portal}, but what is stored came from portal {stored}: put that "
            "portal's token into connection hubspot_default, or empty the schema crm first"
        )
    if facts.get("key") and facts["key"] != key.fingerprint() and not new_key:
        raise CrmNotConnected(
            "extra hmac_key of connection hubspot_default is not the key that the stored HMACs were made "
            "with, so contacts would no longer join: put the old key back, or run once with mode full"
        )


def _types(told: list[Object]) -> dict[str, str]:
    """Types by name, without what the portal itself calls sensitive."""
    return {
        str(each["name"]): str(each.get("type") or "string")
        for each in told
        if not each.get("archived") and each.get("dataSensitivity", "non_sensitive") == "non_sensitive"
    }


def _pipeline_row(told: Object) -> dict[str, Any]:
    return {
        "pipeline_id": str(told["id"]),
        "label": str(told.get("label") or told["id"]),
        "display_order": int(told.get("displayOrder") or 0),
        **_times(told),
    }


def _stage_rows(pipelines: list[Object]) -> Iterator[dict[str, Any]]:
    for pipeline in pipelines:
        for stage in pipeline.get("stages") or []:
            told = stage.get("metadata") or {}
            chance = _chance(told.get("probability"))
            closed = str(told.get("isClosed")).lower() == "true" or chance in (0, 1)
            yield {
                "pipeline_id": str(pipeline["id"]),
                "stage_id": str(stage["id"]),
                "label": str(stage.get("label") or stage["id"]),
                "display_order": int(stage.get("displayOrder") or 0),
                "probability": chance,
                "is_closed": closed,
                "is_won": closed and chance == 1,
                **_times(stage),
            }


def _chance(text: Any) -> Decimal | None:
    try:
        return values.chance(None if text is None else str(text))
    except values.BadValue:
        return None


def _owner_row(told: Object) -> dict[str, Any]:
    teams = told.get("teams") or []
    primary = next((team for team in teams if team.get("primary")), teams[0] if teams else {})
    user = told.get("userId") or told.get("userIdIncludingInactive")
    return {
        "owner_id": str(told["id"]),
        "user_id": None if user is None else str(user),
        "team": primary.get("name"),
        "archived": bool(told.get("archived")),
    }


def _times(told: Object) -> dict[str, datetime | None]:
    found: dict[str, datetime | None] = {}
    for ours, theirs in (("created_at", "createdAt"), ("updated_at", "updatedAt")):
        try:
            found[ours] = values.moment(told.get(theirs))
        except values.BadValue:
            found[ours] = None
    return found
