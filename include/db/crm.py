"""Writes of the `crm` context: deals with their histories and links, contacts, companies, owners, pipelines.

Writers take a `Connection` and leave the transaction to the caller, so that a step of a sync is stored with
its progress or not at all. Rows are copied into a temporary table and merged in one statement; a row that is
already there as it comes is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql
from sqlalchemy import Connection, text

from include.db.merging import Merged, Rows, driver_cursor, merge_rows

NOTHING_MERGED = Merged(0, 0, 0)

_KEYS = {
    "deal": ("deal_id",),
    "deal_stage_event": ("deal_id", "entered_at", "stage_id"),
    "deal_property_event": ("deal_id", "property", "changed_at"),
    "contact": ("contact_id",),
    "company": ("company_id",),
    "owner": ("owner_id",),
    "quarantine": ("deal_id", "property"),
}


def upsert_deals(connection: Connection, rows: Rows) -> Merged:
    """Merge deals by `deal_id`, all columns but `merged_into`; a changed row gets a new `fetched_at`."""
    return _merge(connection, "deal", rows, touch="fetched_at")


def upsert_stage_events(connection: Connection, rows: Rows) -> Merged:
    """Merge deal_id, entered_at, stage_id, source_type."""
    return _merge(connection, "deal_stage_event", rows)


def forget_stage(connection: Connection, deal_ids: Sequence[str], stage_id: str) -> None:
    """Remove a stage from the histories of deals, whose source no longer says that they entered it."""
    connection.execute(
        text("DELETE FROM crm.deal_stage_event WHERE deal_id = ANY(:ids) AND stage_id = :stage"),
        {"ids": list(deal_ids), "stage": stage_id},
    )


def upsert_property_events(connection: Connection, rows: Rows) -> Merged:
    """Merge deal_id, property, changed_at, value."""
    return _merge(connection, "deal_property_event", rows)


def upsert_contacts(connection: Connection, rows: Rows) -> Merged:
    """Merge contacts by `contact_id`."""
    return _merge(connection, "contact", rows)


def upsert_companies(connection: Connection, rows: Rows) -> Merged:
    """Merge companies by `company_id`."""
    return _merge(connection, "company", rows)


def upsert_owners(connection: Connection, rows: Rows) -> Merged:
    """Merge owner_id, user_id, team, archived."""
    return _merge(connection, "owner", rows)


def replace_quarantine(connection: Connection, deal_ids: Sequence[str], rows: Rows) -> None:
    """Let `rows` (deal_id, property, reason, value, source) be all that is in quarantine of these deals."""
    rows = list(rows)
    kept = [f"{row['deal_id']} {row['property']}" for row in rows]
    connection.execute(
        text("""
            DELETE FROM crm.quarantine
            WHERE deal_id = ANY(:ids) AND NOT (deal_id || ' ' || property) = ANY(:kept)
        """),
        {"ids": list(deal_ids), "kept": kept},
    )
    _merge(connection, "quarantine", rows)


def replace_associations(
    connection: Connection, links: Mapping[str, Mapping[str, set[tuple[str, str]]]]
) -> None:
    """Let deals be associated with exactly these: kind -> deal -> `{(id, type of association)}`."""
    with driver_cursor(connection) as cursor:
        for kind, of_deals in links.items():
            cursor.execute("DROP TABLE IF EXISTS incoming_association")
            cursor.execute(
                "CREATE TEMPORARY TABLE incoming_association (from_id text, to_id text, type_id text)"
                " ON COMMIT DROP"
            )
            with cursor.copy("COPY incoming_association FROM STDIN") as copy:
                for deal_id, targets in of_deals.items():
                    for to_id, type_id in targets:
                        copy.write_row((deal_id, to_id, type_id))
            values = {"kind": kind, "deals": list(of_deals)}
            cursor.execute(
                """
                DELETE FROM crm.association AS stored
                WHERE from_type = 'deal' AND to_type = %(kind)s AND from_id = ANY(%(deals)s)
                  AND NOT EXISTS (
                      SELECT FROM incoming_association AS i
                      WHERE (i.from_id, i.to_id, i.type_id) = (stored.from_id, stored.to_id, stored.type_id))
                """,
                values,
            )
            cursor.execute(
                """
                INSERT INTO crm.association (from_type, from_id, to_type, to_id, type_id)
                SELECT 'deal', from_id, %(kind)s, to_id, type_id FROM incoming_association
                ON CONFLICT DO NOTHING
                """,
                values,
            )


def note_merges(connection: Connection, winners: Mapping[str, Sequence[str]]) -> int:
    """Let losers of merges point to the deal they became; of several the last. Returns how many changed."""
    pairs = {loser: winner for winner, losers in winners.items() for loser in losers if loser != winner}
    if not pairs:
        return 0
    return connection.execute(
        text("""
            UPDATE crm.deal AS loser SET merged_into = pair.winner
            FROM unnest(CAST(:losers AS text[]), CAST(:winners AS text[])) AS pair (loser, winner)
            WHERE loser.deal_id = pair.loser AND loser.merged_into IS DISTINCT FROM pair.winner
        """),
        {"losers": list(pairs), "winners": list(pairs.values())},
    ).rowcount


def merges_told(connection: Connection) -> dict[str, list[str]]:
    """What the stored deals say they were merged from: winner -> losers."""
    query = text("""
        SELECT deal_id, string_to_array(properties ->> 'hs_merged_object_ids', ';') AS losers FROM crm.deal
        WHERE properties ? 'hs_merged_object_ids' AND source = 'hubspot' ORDER BY updated_at, deal_id
    """)
    return {row.deal_id: list(row.losers) for row in connection.execute(query)}


def mark_archived(connection: Connection, table: str, ids: Sequence[str]) -> int:
    """Note that HubSpot has these `deal`s, `contact`s or `company`s no more; returns how many were live."""
    key = _KEYS[table][0]
    return connection.execute(
        text(f"UPDATE crm.{table} SET archived = true WHERE {key} = ANY(:ids) AND NOT archived"),  # noqa: S608
        {"ids": list(ids)},
    ).rowcount


def take_turns(connection: Connection, what: str) -> None:
    """Wait for other transactions that named the same, and hold further ones off until this one ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:what))"), {"what": f"crm {what}"})


def upsert_stages(connection: Connection, pipelines: Rows, stages: Rows, *, source: str = "hubspot") -> int:
    """Note the pipelines and stages there are; a state that ended keeps its row with `valid_to`.

    Args:
        pipelines: pipeline_id, label, display_order, created_at, updated_at.
        stages: the same and stage_id, probability, is_closed, is_won.

    Returns:
        How many states ended because HubSpot no longer has the pipeline or stage.
    """
    take_turns(connection, f"stages of {source}")
    gone = _new_states(
        connection, "pipeline", ("pipeline_id",), ("label", "display_order"), pipelines, source
    )
    told = ("label", "display_order", "probability", "is_closed", "is_won")
    return gone + _new_states(connection, "stage", ("pipeline_id", "stage_id"), told, stages, source)


def _new_states(
    connection: Connection, table: str, key: Sequence[str], told: Sequence[str], rows: Rows, source: str
) -> int:
    columns = [*key, *told, "created_at", "updated_at"]
    names = {
        "keys": sql.SQL(", ").join(map(sql.Identifier, key)),
        "told": sql.SQL(", ").join(map(sql.Identifier, told)),
        "target": sql.Identifier("crm", table),
        "stored_told": sql.SQL(", ").join(sql.Identifier("stored", name) for name in told),
        "new_told": sql.SQL(", ").join(sql.Identifier("new", name) for name in told),
        "stored_key": sql.SQL(", ").join(sql.Identifier("stored", name) for name in key),
        "new_key": sql.SQL(", ").join(sql.Identifier("new", name) for name in key),
        "again": sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(n)) for n in told),
    }
    with driver_cursor(connection) as cursor:
        cursor.execute("DROP TABLE IF EXISTS incoming_state")
        cursor.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE incoming_state ON COMMIT DROP AS SELECT {keys}, {told}, "
                "valid_from AS created_at, valid_from AS updated_at FROM {target} WITH NO DATA"
            ).format(**names)
        )
        with cursor.copy("COPY incoming_state FROM STDIN") as copy:
            for row in rows:
                copy.write_row([row[name] for name in columns])
        cursor.execute(
            sql.SQL("""
                UPDATE {target} AS stored
                SET valid_to = greatest(stored.valid_from, coalesce(new.updated_at, now()))
                FROM incoming_state AS new
                WHERE ({stored_key}) = ({new_key}) AND stored.valid_to IS NULL
                  AND ({stored_told}) IS DISTINCT FROM ({new_told})
            """).format(**names)
        )
        cursor.execute(
            sql.SQL("""
                UPDATE {target} AS stored SET valid_to = greatest(stored.valid_from, now()), deleted = true
                WHERE stored.valid_to IS NULL AND stored.source = %s
                  AND NOT EXISTS (SELECT FROM incoming_state AS new WHERE ({stored_key}) = ({new_key}))
            """).format(**names),
            (source,),
        )
        gone = cursor.rowcount
        cursor.execute(
            sql.SQL("""
                INSERT INTO {target} ({keys}, {told}, source, valid_from)
                SELECT {new_key}, {new_told}, %s,
                       coalesce(greatest(ended.last, new.created_at), new.created_at, now())
                FROM incoming_state AS new
                LEFT JOIN LATERAL (
                    SELECT max(stored.valid_to) AS last FROM {target} AS stored
                    WHERE ({stored_key}) = ({new_key})) AS ended ON true
                WHERE NOT EXISTS (
                    SELECT FROM {target} AS stored
                    WHERE ({stored_key}) = ({new_key}) AND stored.valid_to IS NULL)
                ON CONFLICT ({keys}, valid_from) DO UPDATE
                SET {again}, valid_to = NULL, deleted = false
            """).format(**names),
            (source,),
        )
    return gone


def _merge(connection: Connection, table: str, rows: Rows, touch: str | None = None) -> Merged:
    return merge_rows(connection, ("crm", table), _KEYS[table], rows, touch=touch)
