"""What the stored CRM says of itself, to be held against HubSpot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text

LIVE = "source = 'hubspot' AND NOT archived AND merged_into IS NULL"


def deals_by_pipeline(engine: Engine) -> dict[str, int]:
    """Deals that HubSpot should have too, by pipeline."""
    query = text(f"""
        SELECT pipeline_id, count(*) AS deals FROM crm.deal
        WHERE {LIVE} AND pipeline_id IS NOT NULL GROUP BY pipeline_id
    """)  # noqa: S608 - the constant above
    with engine.connect() as connection:
        return {row.pipeline_id: row.deals for row in connection.execute(query)}


def deals_of_pipeline(engine: Engine, pipeline_id: str) -> set[str]:
    """Ids of the deals that HubSpot should have in a pipeline."""
    query = text(f"SELECT deal_id FROM crm.deal WHERE {LIVE} AND pipeline_id = :id")  # noqa: S608
    with engine.connect() as connection:
        return set(connection.execute(query, {"id": pipeline_id}).scalars())


def young_or_gone(engine: Engine, deal_ids: Sequence[str], lag_minutes: int) -> int:
    """How many of these deals changed within `lag_minutes` of the newest stored change, or live no more."""
    query = text(f"""
        SELECT count(*) FROM crm.deal
        WHERE deal_id = ANY(:ids) AND (NOT ({LIVE}) OR updated_at >= (
            SELECT max(updated_at) FROM crm.deal WHERE source = 'hubspot') - make_interval(mins => :lag))
    """)  # noqa: S608 - the constant above
    with engine.connect() as connection:
        return int(connection.execute(query, {"ids": list(deal_ids), "lag": lag_minutes}).scalar_one())


def current_pipelines(engine: Engine) -> list[str]:
    """Ids of the pipelines HubSpot has."""
    query = text(
        "SELECT pipeline_id FROM crm.pipeline WHERE valid_to IS NULL AND source = 'hubspot' ORDER BY 1"
    )
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def stage_disagreements(engine: Engine, most: int) -> list[str]:
    """Live deals whose current stage is not the last of their history, or that have no history."""
    query = text(f"""
        SELECT deal_id FROM crm.deal AS deal
        LEFT JOIN LATERAL (
            SELECT array_agg(event.stage_id) AS stages FROM crm.deal_stage_event AS event
            WHERE event.deal_id = deal.deal_id AND event.entered_at = (
                SELECT max(entered_at) FROM crm.deal_stage_event AS e WHERE e.deal_id = deal.deal_id)
        ) AS last ON true
        WHERE {LIVE} AND stage_id IS NOT NULL AND NOT coalesce(stage_id = ANY(last.stages), false)
        ORDER BY deal_id LIMIT :most
    """)  # noqa: S608 - the constant above
    with engine.connect() as connection:
        return list(connection.execute(query, {"most": most}).scalars())


def stored_facts(connection: Connection, columns: Sequence[str], ids: Sequence[str]) -> dict[str, tuple]:
    """Columns of these deals, as they are stored."""
    names = ", ".join(columns)
    query = text(f"SELECT deal_id, {names} FROM crm.deal WHERE deal_id = ANY(:ids)")  # noqa: S608 - ours
    return {row[0]: tuple(row[1:]) for row in connection.execute(query, {"ids": list(ids)})}


def live_and_unseen(engine: Engine, stream: str, most: int) -> list[str]:
    """The first live deals that a walk over everything has not met."""
    query = text(f"""
        SELECT deal_id FROM crm.deal
        WHERE {LIVE} AND NOT EXISTS (
            SELECT FROM crm.sync_seen WHERE stream = :stream AND object_id = deal_id)
        ORDER BY 1 LIMIT :most
    """)  # noqa: S608 - the constant above
    with engine.connect() as connection:
        return list(connection.execute(query, {"stream": stream, "most": most}).scalars())


def associated_but_missing(engine: Engine, table: str, most: int) -> list[str]:
    """The first contacts or companies that deals are associated with, and that are not stored."""
    query = text(f"""
        SELECT DISTINCT to_id FROM crm.association
        WHERE from_type = 'deal' AND to_type = :kind AND NOT EXISTS (
            SELECT FROM crm.{table} WHERE {table}_id = to_id)
        ORDER BY 1 LIMIT :most
    """)  # noqa: S608 - names from our own code
    with engine.connect() as connection:
        return list(connection.execute(query, {"kind": table, "most": most}).scalars())


def associated_after(engine: Engine, kind: str, after: str, most: int) -> list[str]:
    """The first contacts or companies of deals whose ids come after `after`, in the order of texts."""
    query = text("""
        SELECT DISTINCT to_id FROM crm.association
        WHERE from_type = 'deal' AND to_type = :kind AND to_id > :after ORDER BY 1 LIMIT :most
    """)
    with engine.connect() as connection:
        return list(connection.execute(query, {"kind": kind, "after": after, "most": most}).scalars())


def forget_associations(connection: Connection, table: str, ids: Sequence[str]) -> None:
    """Remove links to what HubSpot no longer has."""
    connection.execute(
        text("DELETE FROM crm.association WHERE to_type = :kind AND to_id = ANY(:ids)"),
        {"kind": table, "ids": list(ids)},
    )


def stage_flags(engine: Engine) -> dict[str, tuple[bool, bool]]:
    """Whether a stage is closed, and won, by stage; of the newest state where a stage is in several."""
    query = text("SELECT stage_id, is_closed, is_won FROM crm.stage ORDER BY valid_from")
    with engine.connect() as connection:
        return {row.stage_id: (row.is_closed, row.is_won) for row in connection.execute(query)}


def quarantined(engine: Engine, most: int) -> tuple[int, list[dict[str, Any]]]:
    """How many values of HubSpot's are in quarantine, and the first of them (deal, property, reason)."""
    query = text("""
        SELECT count(*) OVER () AS n, deal_id, property, reason FROM crm.quarantine
        WHERE source = 'hubspot' ORDER BY noted_at DESC, deal_id, property LIMIT :most
    """)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(query, {"most": most}).mappings()]
    return (rows[0]["n"] if rows else 0), rows
