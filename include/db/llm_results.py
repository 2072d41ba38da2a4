"""SQL of what a batch brought: each request's end written once, unreadable lines kept, the batch closed.

A statement names the state it starts from, so collecting again, whole or in part, changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

_FINISH = text("""
WITH said AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(
        custom_id text, outcome text, passing boolean, answer jsonb, usage jsonb, error text)
), done AS (
    UPDATE llm.llm_batch_item AS item
    SET outcome = said.outcome, error = said.error,
        request_state = CASE WHEN said.outcome = 'succeeded' THEN 'succeeded'
                             WHEN said.passing AND request.attempts < :max_attempts THEN 'queued'
                             ELSE 'failed' END
    FROM said, llm.llm_request AS request
    WHERE item.batch_id = :batch_id AND item.custom_id = said.custom_id AND item.outcome IS NULL
      AND request.request_id = item.request_id
    RETURNING item.request_id, item.request_state, said.answer, said.usage, said.error
)
UPDATE llm.llm_request AS request
SET state = done.request_state, answer = done.answer, usage = done.usage, error = done.error,
    answered_from = CASE done.request_state WHEN 'succeeded' THEN 'batch' END,
    batch_id = CASE done.request_state WHEN 'queued' THEN NULL ELSE request.batch_id END,
    finished_at = CASE done.request_state WHEN 'queued' THEN NULL ELSE now() END
FROM done
WHERE request.request_id = done.request_id
RETURNING request.request_id, request.state
""")


class Item(NamedTuple):
    """An unfinished place in a batch."""

    custom_id: str
    request_id: int
    attempt: int
    purpose: str
    answer_schema: dict[str, Any] | None


def unfinished_items(conn: Connection, batch_id: int, custom_ids: Sequence[str]) -> list[Item]:
    """Of the places named, those of a batch that have no outcome yet."""
    query = text("""
        SELECT item.custom_id, item.request_id, item.attempt, request.purpose, request.answer_schema
        FROM llm.llm_batch_item AS item JOIN llm.llm_request AS request USING (request_id)
        WHERE item.batch_id = :batch_id AND item.outcome IS NULL AND item.custom_id = ANY(:custom_ids)""")
    values = {"batch_id": batch_id, "custom_ids": list(custom_ids)}
    return [Item(*row) for row in conn.execute(query, values)]


def any_unfinished(conn: Connection, batch_id: int) -> bool:
    """Whether a place of a batch has no outcome yet."""
    query = text("""
        SELECT EXISTS (SELECT FROM llm.llm_batch_item WHERE batch_id = :batch_id AND outcome IS NULL)""")
    return bool(conn.execute(query, {"batch_id": batch_id}).scalar_one())


def finish_missing(conn: Connection, batch_id: int, reason: str, *, max_attempts: int) -> int:
    """Places of a batch without an outcome are missing, and asked again up to the limit; returns how many."""
    query = text("""
        WITH done AS (
            UPDATE llm.llm_batch_item AS item
            SET outcome = 'missing', error = :reason,
                request_state = CASE WHEN request.attempts < :max_attempts THEN 'queued' ELSE 'failed' END
            FROM llm.llm_request AS request
            WHERE item.batch_id = :batch_id AND item.outcome IS NULL AND request.request_id = item.request_id
            RETURNING item.request_id, item.request_state
        )
        UPDATE llm.llm_request AS request
        SET state = done.request_state, error = :reason,
            batch_id = CASE done.request_state WHEN 'queued' THEN NULL ELSE request.batch_id END,
            finished_at = CASE done.request_state WHEN 'queued' THEN NULL ELSE now() END
        FROM done WHERE request.request_id = done.request_id""")
    values = {"batch_id": batch_id, "reason": reason, "max_attempts": max_attempts}
    return conn.execute(query, values).rowcount


def known_custom_ids(conn: Connection, batch_id: int, custom_ids: Sequence[str]) -> set[str]:
    """Those of the ids that belong to this batch, finished or not."""
    query = text("""
        SELECT custom_id FROM llm.llm_batch_item
        WHERE batch_id = :batch_id AND custom_id = ANY(:custom_ids)""")
    return set(conn.execute(query, {"batch_id": batch_id, "custom_ids": list(custom_ids)}).scalars())


def finish_items(
    conn: Connection, batch_id: int, rows: Sequence[Mapping[str, Any]], *, max_attempts: int
) -> list[tuple[int, str]]:
    """Write the outcome of unfinished places and what their requests become by it.

    Args:
        rows: custom_id, outcome, passing (may be tried again), answer, usage, error.
        max_attempts: a request that failed in passing this often has failed.

    Returns:
        (request_id, its new state) of those that were unfinished.
    """
    if not rows:
        return []
    parameters = {"batch_id": batch_id, "rows": json.dumps(list(rows)), "max_attempts": max_attempts}
    return [(row.request_id, row.state) for row in conn.execute(_FINISH, parameters)]


def quarantine(conn: Connection, batch_id: int, lines: Sequence[Mapping[str, str]]) -> None:
    """Keep result lines nobody can use: line_hash, line, reason."""
    if lines:
        query = text("""
            INSERT INTO llm.quarantined_line (batch_id, line_hash, line, reason)
            VALUES (:batch_id, :line_hash, :line, :reason) ON CONFLICT DO NOTHING""")
        conn.execute(query, [{"batch_id": batch_id, **line} for line in lines])


def mark_collected(conn: Connection, batch_id: int) -> None:
    """Everything the batch carried has an outcome."""
    query = text("""
        UPDATE llm.llm_batch SET state = 'collected', collected_at = now()
        WHERE batch_id = :batch_id AND state = 'ended'
          AND NOT EXISTS (SELECT FROM llm.llm_batch_item AS item
                          WHERE item.batch_id = llm_batch.batch_id AND item.outcome IS NULL)""")
    conn.execute(query, {"batch_id": batch_id})


def outcome_counts(conn: Connection, batch_id: int) -> dict[str, int]:
    """How many places of a batch ended how."""
    query = text("""
        SELECT outcome, count(*) AS places FROM llm.llm_batch_item
        WHERE batch_id = :batch_id AND outcome IS NOT NULL GROUP BY outcome ORDER BY outcome""")
    return {row.outcome: row.places for row in conn.execute(query, {"batch_id": batch_id})}
