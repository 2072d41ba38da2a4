"""A simulated world's sales as records of the sandbox's HubSpot: what is known, and what is to come."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from include.simulator.sales import Sales

DEAL_TO_CONTACT, CONTACT_TO_DEAL = 3, 4
DEAL_TO_COMPANY, COMPANY_TO_DEAL = 341, 342
CONTACT_TO_COMPANY, COMPANY_TO_CONTACT = 279, 280

# Property of a deal: (its events in `Sales`, their time, their value).
_EVENTS = {
    "dealstage": ("stage_events", "entered_at", "stage_id"),
    "amount": ("amount_events", "changed_at", "amount"),
    "hubspot_owner_id": ("owner_events", "changed_at", "owner_id"),
}

Change = tuple[int, str, str | None]


@dataclass
class Record:
    """One object: its values at the beginning, and changes of (ms, property, value) in the order of time."""

    type: str
    id: int
    created_ms: int
    values: dict[str, str | None]
    changes: list[Change] = field(default_factory=list)


def records(sales: Sales, known_deals: set[int]) -> Iterator[Record]:
    """Contacts, companies and deals of `sales`, without `known_deals` and what belongs to them."""
    fresh = ~sales.deals["deal_id"].astype("int64").isin(known_deals)
    deals = sales.deals[fresh]
    for row in _rows(sales.companies[sales.companies["company_id"].isin(deals["company_id"])]):
        yield Record(
            "companies",
            int(row["company_id"]),
            ms(row["created_at"]),
            {"name": row["name"], "domain": row["domain"]},
        )
    for row in _rows(sales.contacts[sales.contacts["contact_id"].isin(deals["contact_id"])]):
        yield Record("contacts", int(row["contact_id"]), ms(row["created_at"]), _contact(row))
    changes = _changes(sales, set(deals["deal_id"]))
    for row in _rows(deals):
        yield Record(
            "deals",
            int(row["deal_id"]),
            ms(row["created_at"]),
            {
                "dealname": row["name"],
                "pipeline": row["pipeline_id"],
                "deal_currency_code": row["currency"],
                "dealtype": row["deal_type"],
                "hs_priority": None,
            },
            _with_outcomes(changes[row["deal_id"]], row, sales),
        )


def links(sales: Sales, known_deals: set[int]) -> Iterator[tuple[str, int, str, int, int]]:
    """Associations of the deals of `sales` that are not in `known_deals`, both ways."""
    for row in _rows(sales.deals[["deal_id", "contact_id", "company_id"]]):
        deal, contact = int(row["deal_id"]), int(row["contact_id"])
        if deal in known_deals:
            continue
        yield "deals", deal, "contacts", contact, DEAL_TO_CONTACT
        yield "contacts", contact, "deals", deal, CONTACT_TO_DEAL
        if row["company_id"] is not None:
            company = int(row["company_id"])
            yield "deals", deal, "companies", company, DEAL_TO_COMPANY
            yield "companies", company, "deals", deal, COMPANY_TO_DEAL
            yield "contacts", contact, "companies", company, CONTACT_TO_COMPANY
            yield "companies", company, "contacts", contact, COMPANY_TO_CONTACT


def ms(moment: Any) -> int:
    """A time as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def iso(at_ms: int) -> str:
    """Milliseconds since 1970 as HubSpot writes times."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def encoded(values: Any) -> str:
    """JSON for the state file."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def _contact(row: dict[str, Any]) -> dict[str, str | None]:
    return {
        "email": row["email"],
        "phone": row["phone"],
        "firstname": row["first_name"],
        "lastname": row["last_name"],
        "hs_facebook_click_id": row["click_id"],
        "utm_source": row["utm_source"],
        "utm_campaign": row["utm_campaign"],
        "utm_content": row["utm_content"],
        "hs_analytics_source": row["first_source"],
        "hs_analytics_source_data_2": row["first_detail"],
    }


def _changes(sales: Sales, wanted: set[str]) -> dict[str, list[Change]]:
    changes: dict[str, list[Change]] = defaultdict(list)
    for name, (frame_name, time, value) in _EVENTS.items():
        events = getattr(sales, frame_name)
        events = events[events["deal_id"].isin(wanted)]
        for deal_id, at, told in zip(events["deal_id"], events[time], events[value], strict=True):
            changes[deal_id].append((ms(at), name, f"{told:.2f}" if name == "amount" else told))
    return changes


def _with_outcomes(changes: list[Change], row: dict[str, Any], sales: Sales) -> list[Change]:
    """Stage changes also set what HubSpot works out from them, and the reasons people give."""
    stages = {
        stage_id: (bool(closed), bool(won))
        for stage_id, closed, won in zip(
            sales.stages["stage_id"], sales.stages["is_closed"], sales.stages["is_won"], strict=True
        )
    }
    told = list(changes)
    for at, name, value in changes:
        if name != "dealstage":
            continue
        closed, won = stages[str(value)]
        told.append((at, "hs_is_closed", "true" if closed else "false"))
        told.append((at, "hs_is_closed_won", "true" if won else "false"))
        if closed:
            told.append((at, "closedate", iso(at)))
            reason = "closed_won_reason" if won else "closed_lost_reason"
            told.append((at, reason, row["won_reason"] if won else row["lost_reason"] or "no_response"))
    return sorted(told, key=lambda change: change[0])


def _rows(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows as dicts, missing values as None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return (dict(zip(plain.columns, row, strict=True)) for row in plain.itertuples(index=False, name=None))
