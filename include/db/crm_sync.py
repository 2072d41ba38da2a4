"""How far the CRM has been read: cursors, walks under way, what a walk has met, runs, known properties."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

# The stream that stands for the portal itself, with facts alone.
PORTAL = "portal"


@dataclass(frozen=True)
class SyncState:
    """How far a stream has been read.

    Attributes:
        cursor_at: all changes up to then are stored; None where the stream was never read.
        progress: the walk that is under way; None where none is.
        facts: what is remembered besides.
    """

    cursor_at: datetime | None = None
    progress: dict[str, Any] | None = None
    facts: Mapping[str, Any] | None = None


@contextmanager
def alone(engine: Engine, stream: str) -> Iterator[bool]:
    """Whether this process alone reads the stream while the block lasts; another is not waited for.

    The lock goes with its database session, so one that was killed holds nothing.
    """
    lock = {"lock": zlib.crc32(f"crm.{stream}".encode()) + (0xC12 << 40)}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ours = bool(connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), lock).scalar_one())
        try:
            yield ours
        finally:
            if ours:
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), lock)


def sync_state(engine: Engine, stream: str) -> SyncState:
    """How far `stream` has been read."""
    query = text("SELECT cursor_at, progress, facts FROM crm.sync_state WHERE stream = :stream")
    with engine.connect() as connection:
        row = connection.execute(query, {"stream": stream}).mappings().first()
    return SyncState(**row) if row else SyncState()


def save_progress(connection: Connection, stream: str, progress: Mapping[str, Any] | None) -> None:
    """Remember the walk that is under way, in the transaction of what it stored."""
    _save(connection, stream, progress, None)


def end_walk(connection: Connection, stream: str, cursor_at: datetime | None) -> None:
    """Forget the walk, and move the cursor on to `cursor_at` unless it is further already."""
    _save(connection, stream, None, cursor_at)
    connection.execute(text("DELETE FROM crm.sync_seen WHERE stream = :stream"), {"stream": stream})


def remember(connection: Connection, stream: str, facts: Mapping[str, Any]) -> None:
    """Add to what is remembered of a stream."""
    connection.execute(
        text("""
            INSERT INTO crm.sync_state AS stored (stream, facts) VALUES (:stream, CAST(:facts AS jsonb))
            ON CONFLICT (stream) DO UPDATE SET facts = stored.facts || EXCLUDED.facts, updated_at = now()
            WHERE stored.facts IS DISTINCT FROM stored.facts || EXCLUDED.facts
        """),
        {"stream": stream, "facts": json.dumps(dict(facts))},
    )


def note_seen(stream: str, ids: Sequence[str], connection: Connection) -> None:
    """Add to what a walk over everything has met."""
    connection.execute(
        text("""
            INSERT INTO crm.sync_seen (stream, object_id) SELECT :stream, unnest(CAST(:ids AS text[]))
            ON CONFLICT DO NOTHING
        """),
        {"stream": stream, "ids": list(ids)},
    )


def forget_seen(connection: Connection, stream: str) -> None:
    """Begin anew."""
    connection.execute(text("DELETE FROM crm.sync_seen WHERE stream = :stream"), {"stream": stream})


def begin_run(engine: Engine, run_id: str, stream: str, mode: str) -> None:
    """Note that a run reads a stream; again, where a task is tried again."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO crm.sync_run (run_id, stream, mode) VALUES (:run_id, :stream, :mode)
                ON CONFLICT (run_id, stream) DO UPDATE SET finished_at = NULL, mode = EXCLUDED.mode
            """),
            {"run_id": run_id, "stream": stream, "mode": mode},
        )


def end_run(engine: Engine, run_id: str, stream: str, counts: Mapping[str, Any]) -> None:
    """Note what a run did."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE crm.sync_run SET finished_at = now(), counts = CAST(:counts AS jsonb)
                WHERE run_id = :run_id AND stream = :stream
            """),
            {"run_id": run_id, "stream": stream, "counts": json.dumps(dict(counts))},
        )


def incomplete_since(engine: Engine) -> datetime | None:
    """When the first of the runs began that read less than everything, up to now; None where the last did.

    A CRM that nobody asked in the meantime does not stand still.
    """
    query = text("""
        WITH run AS (
            SELECT min(started_at) AS began,
                   bool_or(stream = 'check' AND finished_at IS NOT NULL)
                   AND NOT bool_or(counts ? 'stopped') AS is_whole
            FROM crm.sync_run GROUP BY run_id)
        SELECT min(began) FROM run
        WHERE began > coalesce((SELECT max(began) FROM run WHERE is_whole), '-infinity')
    """)
    with engine.connect() as connection:
        found: datetime | None = connection.scalar(query)
    return found


def catalogue(engine: Engine, object_type: str) -> dict[str, str]:
    """Names and types of the properties HubSpot had when it was last asked."""
    query = text("""
        SELECT name, type FROM crm.property WHERE object_type = :kind AND vanished_at IS NULL ORDER BY name
    """)
    with engine.connect() as connection:
        return {row.name: row.type for row in connection.execute(query, {"kind": object_type})}


def store_catalogue(connection: Connection, object_type: str, types: Mapping[str, str]) -> None:
    """Let these be the properties HubSpot has."""
    names = list(types)
    values = {"kind": object_type, "names": names, "types": [types[name] for name in names]}
    connection.execute(
        text("""
            UPDATE crm.property SET vanished_at = now()
            WHERE object_type = :kind AND vanished_at IS NULL AND NOT name = ANY(:names)
        """),
        values,
    )
    connection.execute(
        text("""
            INSERT INTO crm.property AS stored (object_type, name, type)
            SELECT :kind, * FROM unnest(CAST(:names AS text[]), CAST(:types AS text[]))
            ON CONFLICT (object_type, name) DO UPDATE SET type = EXCLUDED.type, vanished_at = NULL
            WHERE stored.type <> EXCLUDED.type OR stored.vanished_at IS NOT NULL
        """),
        values,
    )


def _save(
    connection: Connection, stream: str, progress: Mapping[str, Any] | None, cursor_at: datetime | None
) -> None:
    connection.execute(
        text("""
            INSERT INTO crm.sync_state AS stored (stream, progress, cursor_at)
            VALUES (:stream, CAST(:progress AS jsonb), :cursor_at)
            ON CONFLICT (stream) DO UPDATE
            SET progress = EXCLUDED.progress, cursor_at = greatest(stored.cursor_at, EXCLUDED.cursor_at),
                updated_at = now()
        """),
        {
            "stream": stream,
            "progress": None if progress is None else json.dumps(dict(progress)),
            "cursor_at": cursor_at,
        },
    )
