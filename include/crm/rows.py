"""HubSpot's objects turned into rows of ours.

What is used is typed; of all else only choices, numbers, booleans and dates are kept, because anybody may
have typed anything into a text. A value that cannot be read is put into quarantine, and the rest of the deal
is stored without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from include.crm import values
from include.crm.client import HISTORIES, Object
from include.crm.people import PeopleKey, has_email, masked

Row = dict[str, Any]

# Columns of crm.deal that are a property of HubSpot's, as they are.
_TYPED: dict[str, tuple[str, Callable[[str | None], Any]]] = {
    "pipeline": ("pipeline_id", values.word),
    "dealstage": ("stage_id", values.word),
    "hubspot_owner_id": ("owner_id", values.word),
    "amount": ("amount", values.money),
    "deal_currency_code": ("currency", values.currency),
    "dealtype": ("deal_type", values.word),
    "createdate": ("created_at", values.moment),
    "hs_lastmodifieddate": ("updated_at", values.moment),
    "closedate": ("closed_at", values.moment),
    "hs_is_closed": ("is_closed", values.truth),
    "hs_is_closed_won": ("is_won", values.truth),
}
_REASONS = {"closed_lost_reason": "lost_reason", "closed_won_reason": "won_reason"}
MERGED = "hs_merged_object_ids"
# Properties of deals that are read whatever the portal has besides.
DEAL_PROPERTIES = (*_TYPED, *_REASONS, MERGED)
# The key itself.
_ID = "hs_object_id"
# Follow from the history and from the time of reading: they would change every night.
_RESTLESS = ("hs_time_in_", "hs_v2_time_in_", "hs_v2_cumulative_time_in_", "hs_v2_latest_time_in_")

CONTACT_PROPERTIES = (
    "email", "phone", "createdate", "lastmodifieddate", "hs_facebook_click_id", "utm_source", "utm_campaign",
    "utm_content", "hs_analytics_source", "hs_analytics_source_data_2",
)  # fmt: skip
COMPANY_PROPERTIES = ("domain", "createdate", "hs_lastmodifieddate")
_CAME_BY = {
    "utm_source": "utm_source",
    "utm_campaign": "utm_campaign",
    "utm_content": "utm_content",
    "hs_analytics_source": "first_source",
    "hs_analytics_source_data_2": "first_detail",
}
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class KeptProperties:
    """Which properties of deals are kept besides the typed ones.

    Attributes:
        types: name -> type, of choices, numbers, booleans and dates.
        texts: free texts that are kept, with e-mails and phones masked.
        reason_chars: of a reason won or lost.
    """

    types: Mapping[str, str]
    texts: Sequence[str]
    reason_chars: int

    @classmethod
    def of_catalogue(
        cls, types: Mapping[str, str], texts: Sequence[str], reason_chars: int
    ) -> KeptProperties:
        """Choose from the properties a portal has."""
        kept = {
            name: kind
            for name, kind in types.items()
            if kind in values.STORABLE
            and name not in (*DEAL_PROPERTIES, _ID)
            and not name.startswith(_RESTLESS)
        }
        return cls(kept, [name for name in texts if types.get(name, "string") == "string"], reason_chars)

    @property
    def asked_for(self) -> list[str]:
        """Names of all properties to ask for."""
        return [*dict.fromkeys([*DEAL_PROPERTIES, *self.types, *self.texts])]


@dataclass
class DealRows:
    """Rows of some deals, for the tables their names tell."""

    deals: list[Row] = field(default_factory=list)
    stage_events: list[Row] = field(default_factory=list)
    property_events: list[Row] = field(default_factory=list)
    quarantine: list[Row] = field(default_factory=list)
    merges: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """Of the deals."""
        return [row["deal_id"] for row in self.deals]


def deal_rows(
    objects: Iterable[Object], kept: KeptProperties, stages: Mapping[str, tuple[bool, bool]]
) -> DealRows:
    """Rows of deals that were read with their histories.

    Args:
        objects: as HubSpot tells them; one that comes twice counts once, as it came last.
        kept: what is kept besides the typed columns.
        stages: whether a stage is closed, and won; asked where a deal does not say so itself.
    """
    rows = DealRows()
    for told in {str(each["id"]): each for each in objects}.values():
        _add_deal(rows, str(told["id"]), told, kept, stages)
    return rows


def _add_deal(
    rows: DealRows, deal_id: str, told: Object, kept: KeptProperties, stages: Mapping[str, tuple[bool, bool]]
) -> None:
    properties: Mapping[str, Any] = told.get("properties") or {}
    reading = _Reading(rows.quarantine, deal_id)
    row: Row = {"deal_id": deal_id}
    for name, (column, read) in _TYPED.items():
        row[column] = reading.read(name, properties.get(name), read)
    closed, won = stages.get(row["stage_id"] or "", (False, False))
    row["is_closed"] = closed if row["is_closed"] is None else row["is_closed"]
    row["is_won"] = won if row["is_won"] is None else row["is_won"]
    more = _other_properties(properties, kept, reading)
    if not row["is_closed"]:
        # Of an open deal this is somebody's hope.
        if row["closed_at"] is not None:
            more["closedate"] = row["closed_at"].isoformat()
        row["closed_at"] = None
    for name, column in _REASONS.items():
        text = properties.get(name)
        row[column] = (masked(str(text), kept.reason_chars) or None) if text else None
    merged_ids = str(properties.get(MERGED) or "")
    if merged_ids:
        losers = [each for each in merged_ids.split(";") if each.isdigit() and each != deal_id]
        rows.merges[deal_id] = losers
        more[MERGED] = ";".join(losers)
    row["properties"] = more
    row["archived"] = bool(told.get("archived"))
    row["source"] = "hubspot"
    rows.deals.append(row)
    _add_histories(rows, deal_id, told.get("propertiesWithHistory") or {}, reading)


def _other_properties(properties: Mapping[str, Any], kept: KeptProperties, reading: _Reading) -> Row:
    more: Row = {}
    for name, kind in kept.types.items():
        text = properties.get(name)
        if text in (None, ""):
            continue
        value = reading.read(name, text, partial(values.json_value, kind))
        if value is not None:
            more[name] = value
    for name in kept.texts:
        if text := properties.get(name):
            more[name] = masked(str(text), _LONGEST_TEXT)
    return more


def _add_histories(rows: DealRows, deal_id: str, histories: Mapping[str, Any], reading: _Reading) -> None:
    stages: dict[tuple[Any, str], Row] = {}
    others: dict[tuple[str, Any], Row] = {}
    # HubSpot tells the newest first: where two are of the same moment, the newer is to win.
    for name in HISTORIES:
        read = _TYPED[name][1]
        for version in reversed(histories.get(name) or []):
            where = f"{name} (history)"
            at = reading.read(where, version.get("timestamp"), values.moment)
            value = reading.read(where, version.get("value"), read)
            if at is None:
                continue
            if name == "dealstage":
                if value is not None:
                    kind = reading.read(where, version.get("sourceType"), values.word)
                    stages[at, value] = {
                        "deal_id": deal_id, "entered_at": at, "stage_id": value, "source_type": kind,
                    }  # fmt: skip
            else:
                plain = None if value is None else str(value)
                others[name, at] = {
                    "deal_id": deal_id, "property": name, "changed_at": at, "value": plain,
                }  # fmt: skip
    rows.stage_events += stages.values()
    rows.property_events += others.values()


class _Reading:
    """Reads the values of one deal; what cannot be read goes into quarantine, once per property."""

    def __init__(self, quarantine: list[Row], deal_id: str) -> None:
        self._quarantine = quarantine
        self._deal_id = deal_id
        self._told: set[str] = set()

    def read(self, name: str, text: Any, read: Callable[[str | None], Any]) -> Any:
        try:
            return read(None if text is None else str(text))
        except values.BadValue as reason:
            if name not in self._told:
                self._told.add(name)
                self._quarantine.append(
                    {
                        "deal_id": self._deal_id,
                        "property": name,
                        "reason": str(reason),
                        "value": values.harmless(str(text)),
                        "source": "hubspot",
                    }
                )
            return None


def contact_row(told: Object, key: PeopleKey) -> Row:
    """A row of `crm.contact`."""
    properties: Mapping[str, Any] = told.get("properties") or {}
    row: Row = {
        "contact_id": str(told["id"]),
        "email_hmac": key.email(properties.get("email")),
        "phone_hmac": key.phone(properties.get("phone")),
        "click_id": _joinable(properties.get("hs_facebook_click_id")),
    }
    for name, column in _CAME_BY.items():
        row[column] = _joinable(properties.get(name))
    return row | {
        "created_at": _moment(properties.get("createdate")),
        "updated_at": _moment(properties.get("lastmodifieddate")),
        "archived": bool(told.get("archived")),
        "source": "hubspot",
    }


def company_row(told: Object, key: PeopleKey) -> Row:
    """A row of `crm.company`."""
    properties: Mapping[str, Any] = told.get("properties") or {}
    return {
        "company_id": str(told["id"]),
        "domain_hmac": key.domain(properties.get("domain")),
        "created_at": _moment(properties.get("createdate")),
        "updated_at": _moment(properties.get("hs_lastmodifieddate")),
        "archived": bool(told.get("archived")),
        "source": "hubspot",
    }


def _joinable(text: Any) -> str | None:
    """A key to join by, unless an e-mail address or what no database stores was put into it."""
    key = str(text or "")
    return key if 0 < len(key) <= _LONGEST_TEXT and key.isprintable() and not has_email(key) else None


def _moment(text: Any) -> Any:
    try:
        return values.moment(None if text is None else str(text))
    except values.BadValue:
        return None
