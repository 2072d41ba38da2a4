"""Puts a simulated CRM into the database as a sync would leave it, and the ads it belongs to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from include.db import ads, crm
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from include.simulator.sales import Sales
from tests.ml.crm_frames import simulated

# Any text will do: the database holds no address of anybody.
_BEGAN = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


def load_crm(engine: Engine, config: WorldConfig, known_at: datetime | None = None) -> Sales:
    """Load a world and what its CRM holds at a moment (all there ever will be by default)."""
    load_world(engine, config)
    _, whole = simulated(config.seed, config.accounts, config.days)
    sales = whole.known(known_at) if known_at else whole
    with engine.begin() as connection:
        states = [{**row, "created_at": _BEGAN, "updated_at": _BEGAN} for row in _rows(sales.stages)]
        pipelines = [{**row, "created_at": _BEGAN, "updated_at": _BEGAN} for row in _rows(sales.pipelines)]
        crm.upsert_stages(connection, pipelines, states)
        crm.upsert_owners(connection, _rows(sales.owners[["owner_id", "user_id", "team", "archived"]]))
        names = ["contact_id", "click_id", "utm_source", "utm_campaign", "utm_content", "first_source"]
        contacts = sales.contacts[[*names, "first_detail", "created_at"]]
        crm.upsert_contacts(connection, _rows(contacts))
        ads.upsert_conversions(connection, _rows(sales.conversions))
        names = ["deal_id", "pipeline_id", "stage_id", "owner_id", "amount", "currency", "deal_type"]
        names += ["created_at", "closed_at", "is_closed", "is_won", "lost_reason", "won_reason", "updated_at"]
        crm.upsert_deals(connection, _rows(sales.deals[names]))
        crm.upsert_stage_events(connection, _rows(sales.stage_events.assign(source_type="CRM_UI")))
        crm.upsert_property_events(connection, _rows(_changes(sales)))
        links = {
            row["deal_id"]: {(row["contact_id"], "3")}
            for row in _rows(sales.deals[["deal_id", "contact_id"]])
        }
        crm.replace_associations(connection, {"contact": links})
    return sales


def _changes(sales: Sales) -> pd.DataFrame:
    amounts = sales.amount_events.assign(property="amount", value=lambda t: t["amount"].map("{:.2f}".format))
    owners = sales.owner_events.assign(property="hubspot_owner_id", value=lambda t: t["owner_id"])
    names = ["deal_id", "property", "changed_at", "value"]
    return pd.concat([amounts[names], owners[names]]).drop_duplicates(names[:3], keep="last")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    table = frame.astype("object").where(frame.notna(), None)
    return [
        {
            name: value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]
