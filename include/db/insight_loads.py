"""Queries about loads of Meta's Insights: what each did, and which an interrupted run need not repeat.

    (none) --account stored--> open --its task succeeded--> closed --the window is loaded again--> open

A row is written in the transaction that stores the account's rows, so it is there exactly when they are.
Every night has a window of its own and leaves a row per account; `housekeeping` removes the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine, bindparam, text

from include.db.merging import Merged
from include.db.pages import in_pages


@dataclass(frozen=True)
class StoredLoad:
    """What a load did: what became of its rows, and how many breakdowns did not add up."""

    merged: Merged
    mismatches: int


def record_load(
    connection: Connection,
    account_id: str,
    since: date,
    until: date,
    *,
    run_key: str,
    merged: Merged,
    spend: Decimal,
    unallocated: Mapping[str, Decimal],
    mismatches: int,
) -> None:
    """Write what a load did; an earlier load of the same window gives way.

    Args:
        connection: of the transaction that stores the rows.
        account_id, since, until: what was loaded.
        run_key: the run it belongs to.
        merged: what became of the rows.
        spend: of all rows.
        unallocated: of it, what stands in no cell, per breakdown.
        mismatches: breakdowns that did not add up.
    """
    connection.execute(
        text("""
            INSERT INTO ads.insight_load (account_id, since, until, run_key, rows, inserted, changed, spend,
                                          unallocated, mismatches)
            VALUES (:account_id, :since, :until, :run_key, :rows, :inserted, :changed, :spend,
                    CAST(:unallocated AS jsonb), :mismatches)
            ON CONFLICT (account_id, since, until) DO UPDATE
            SET run_key = EXCLUDED.run_key, open = true, rows = EXCLUDED.rows, inserted = EXCLUDED.inserted,
                changed = EXCLUDED.changed, spend = EXCLUDED.spend, unallocated = EXCLUDED.unallocated,
                mismatches = EXCLUDED.mismatches, loaded_at = now()
        """),
        {
            "account_id": account_id,
            "since": since,
            "until": until,
            "run_key": run_key,
            "rows": merged.rows,
            "inserted": merged.inserted,
            "changed": merged.changed,
            "spend": spend,
            "unallocated": json.dumps({name: str(amount) for name, amount in unallocated.items()}),
            "mismatches": mismatches,
        },
    )


def loaded_already(engine: Engine, run_key: str, since: date, until: date) -> dict[str, StoredLoad]:
    """Accounts whose window an interrupted task of this run has stored, and what that did."""
    query = text("""
        SELECT account_id, rows, inserted, changed, mismatches FROM ads.insight_load
        WHERE run_key = :run_key AND open AND since = :since AND until = :until
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"run_key": run_key, "since": since, "until": until})
        return {
            account_id: StoredLoad(Merged(inserted, changed, rows - inserted - changed), mismatches)
            for account_id, rows, inserted, changed, mismatches in found
        }


def close_loads(engine: Engine, run_key: str, since: date, until: date, account_ids: Sequence[str]) -> None:
    """Note that the task that loaded these accounts has succeeded: run again, it loads them again."""
    query = text("""
        UPDATE ads.insight_load SET open = false
        WHERE run_key = :run_key AND open AND since = :since AND until = :until AND account_id IN :account_ids
    """).bindparams(bindparam("account_ids", expanding=True))
    values = {"run_key": run_key, "since": since, "until": until, "account_ids": list(account_ids)}
    with engine.begin() as connection:
        connection.execute(query, values)


def delete_loads(engine: Engine, before: datetime, *, page: int, dry_run: bool = False) -> int:
    """Remove records of loads older than `before`, a page at a time; what was loaded stays.

    Returns:
        How many were, or with `dry_run` would be, removed.
    """
    remove = text("""
        DELETE FROM ads.insight_load WHERE (account_id, since, until) IN (
            SELECT account_id, since, until FROM ads.insight_load WHERE loaded_at < :before LIMIT :page
        )
    """)

    def one_page(connection: Connection) -> int:
        return connection.execute(remove, {"before": before, "page": page}).rowcount

    return in_pages(engine, one_page, dry_run=dry_run)


def unallocated_shares(engine: Engine, run_key: str) -> dict[str, Decimal]:
    """Share of the spend of a run's loads that stands in no cell, per breakdown that hides some."""
    query = text("""
        SELECT part.key AS breakdown,
               sum(part.value::numeric) / (SELECT NULLIF(sum(spend), 0) FROM ads.insight_load
                                           WHERE run_key = :run_key) AS share
        FROM ads.insight_load CROSS JOIN LATERAL jsonb_each_text(unallocated) AS part
        WHERE run_key = :run_key
        GROUP BY part.key ORDER BY part.key
    """)
    with engine.connect() as connection:
        rows = connection.execute(query, {"run_key": run_key})
        return {breakdown: share for breakdown, share in rows if share}
