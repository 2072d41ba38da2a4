"""SQL of a batch's life: posted, looked for, ended or failed. Each transition is one statement.

The states are drawn in the migration `0002_llm`; how batches are planned is in `include.db.llm_plan`. A
statement names the state it starts from, so repeating it, or losing a race for it, changes nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import OperationalError

from include.errors import TransientError

# Requests whose own line was bad have failed; a batch that failed as a whole tried none of the others, and
# their attempt is given back.
_FAIL = text("""
WITH batch AS (
    UPDATE llm.llm_batch SET state = 'failed', error = :reason, post_started_at = NULL
    WHERE batch_id = :batch_id AND state IN ('intent', 'submitted', 'ended')
    RETURNING batch_id
), bad AS (
    SELECT key AS custom_id, value AS reason FROM jsonb_each_text(CAST(:bad AS jsonb))
), item AS (
    UPDATE llm.llm_batch_item AS item
    SET outcome = CASE WHEN bad.custom_id IS NULL THEN 'refused' ELSE 'errored' END,
        request_state = CASE WHEN bad.custom_id IS NULL THEN 'queued' ELSE 'failed' END,
        error = coalesce(bad.reason, :reason)
    FROM batch, llm.llm_batch_item AS same LEFT JOIN bad USING (custom_id)
    WHERE item.batch_id = batch.batch_id AND same.custom_id = item.custom_id AND item.outcome IS NULL
    RETURNING item.request_id, item.request_state, item.error
)
UPDATE llm.llm_request AS request
SET state = item.request_state, error = item.error,
    batch_id = CASE item.request_state WHEN 'queued' THEN NULL ELSE request.batch_id END,
    attempts = request.attempts - CASE item.request_state WHEN 'queued' THEN 1 ELSE 0 END,
    finished_at = CASE item.request_state WHEN 'queued' THEN NULL ELSE now() END
FROM item WHERE request.request_id = item.request_id
""")

_HAND_OVER = text("""
UPDATE llm.llm_batch AS batch
SET vendor_batch_id = other.vendor_batch_id, adopted = other.adopted AND other.vendor_batch_id IS NOT NULL,
    state = CASE WHEN other.vendor_batch_id IS NULL THEN 'intent' ELSE 'submitted' END,
    submitted_at = other.submitted_at,
    not_ours = CASE batch.batch_id WHEN :wrong THEN batch.not_ours || batch.vendor_batch_id
                                   ELSE batch.not_ours END
FROM llm.llm_batch AS other
WHERE batch.batch_id IN (:wrong, :right) AND other.batch_id IN (:wrong, :right)
  AND other.batch_id <> batch.batch_id
  AND batch.state IN ('intent', 'submitted', 'ended') AND other.state IN ('intent', 'submitted', 'ended')
  AND (batch.adopted OR batch.vendor_batch_id IS NULL) AND (other.adopted OR other.vendor_batch_id IS NULL)
""")


class BatchBusy(TransientError):
    """Another worker is at this batch and did not finish in time."""


@dataclass(frozen=True)
class BatchRow:
    """One `llm_batch`."""

    batch_id: int
    provider: str
    model: str
    endpoint: str
    run_date: date
    chunk: int
    state: str
    intent_key: UUID
    vendor_batch_id: str | None
    request_count: int
    input_file_id: str | None
    adopted: bool
    not_ours: tuple[str, ...]
    post_started_at: datetime | None
    submitted_at: datetime | None


@contextmanager
def batch_lock(engine: Engine, batch_id: int, *, wait_s: float = 600.0) -> Iterator[None]:
    """Be the only one at work on a batch, until the block ends or this process dies.

    Raises:
        BatchBusy: somebody else still was after `wait_s` seconds.
    """
    key = {"key": f"nightshift llm_batch {batch_id}"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        try:
            conn.execute(
                text("SELECT set_config('lock_timeout', :ms, false)"), {"ms": str(int(wait_s * 1000))}
            )
            conn.execute(text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), key)
        except OperationalError as error:
            raise BatchBusy(
                f"batch {batch_id}: another worker has been at it for {wait_s:.0f} s; try again later"
            ) from error
        finally:
            conn.execute(text("RESET lock_timeout"))
        try:
            yield
        finally:
            conn.execute(text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)


def open_batches(conn: Connection, run_date: date) -> list[BatchRow]:
    """Batches not collected yet, of this night and of earlier ones that were cut short; oldest first."""
    query = text("""
        SELECT * FROM llm.llm_batch
        WHERE state IN ('intent', 'submitted', 'ended') AND run_date <= :run_date
        ORDER BY run_date, batch_id""")
    return [_batch(row) for row in conn.execute(query, {"run_date": run_date})]


def get_batch(conn: Connection, batch_id: int) -> BatchRow:
    """The batch called `batch_id`.

    Raises:
        sqlalchemy.exc.NoResultFound: there is none.
    """
    query = text("SELECT * FROM llm.llm_batch WHERE batch_id = :batch_id")
    return _batch(conn.execute(query, {"batch_id": batch_id}).one())


def batch_requests(
    conn: Connection, batch_id: int, rows_at_once: int = 500
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(custom_id, params) of a whole batch in the order of the requests, from a server-side cursor."""
    query = text("""
        SELECT item.custom_id, request.params
        FROM llm.llm_batch_item AS item JOIN llm.llm_request AS request USING (request_id)
        WHERE item.batch_id = :batch_id ORDER BY request_id""")
    options = {"stream_results": True, "max_row_buffer": rows_at_once}
    for row in conn.execute(query, {"batch_id": batch_id}, execution_options=options):
        yield row.custom_id, row.params


def custom_ids_at(conn: Connection, batch_id: int, lines: Sequence[int]) -> dict[int, str]:
    """The custom ids at these places (from 1) of a batch, in the order it was sent."""
    query = text("""
        SELECT place, custom_id FROM (
            SELECT custom_id, row_number() OVER (ORDER BY request_id) AS place
            FROM llm.llm_batch_item WHERE batch_id = :batch_id
        ) AS sent WHERE place = ANY(:lines)""")
    rows = conn.execute(query, {"batch_id": batch_id, "lines": list(lines)})
    return {row.place: row.custom_id for row in rows}


def remember_upload(conn: Connection, batch_id: int, file_id: str) -> None:
    """The body of a batch was uploaded under this id."""
    query = text("UPDATE llm.llm_batch SET input_file_id = :file_id WHERE batch_id = :batch_id")
    conn.execute(query, {"batch_id": batch_id, "file_id": file_id})


def note_progress(conn: Connection, seen: Mapping[str, Mapping[str, int]]) -> None:
    """Keep what a look at running batches said, for people who watch.

    Args:
        seen: the vendor's id -> its counts.
    """
    query = text("""
        UPDATE llm.llm_batch AS batch SET vendor_counts = seen.value, looked_at = now()
        FROM jsonb_each(CAST(:seen AS jsonb)) AS seen
        WHERE batch.vendor_batch_id = seen.key AND batch.state = 'submitted'""")
    conn.execute(query, {"seen": json.dumps({key: dict(counts) for key, counts in seen.items()})})


def begin_posting(conn: Connection, batch_id: int, last_started_at: datetime | None) -> bool:
    """Note that a post may be under way from now on.

    False: the batch is no intent any more, or another post began since `last_started_at` was read.
    """
    query = text("""
        UPDATE llm.llm_batch SET post_started_at = clock_timestamp(), error = NULL
        WHERE batch_id = :batch_id AND state = 'intent'
          AND post_started_at IS NOT DISTINCT FROM CAST(:last_started_at AS timestamptz)""")
    parameters = {"batch_id": batch_id, "last_started_at": last_started_at}
    return conn.execute(query, parameters).rowcount == 1


def forget_posting(conn: Connection, batch_id: int, reason: str) -> None:
    """The vendor certainly did not take the batch: it may be posted again without looking."""
    query = text("""
        UPDATE llm.llm_batch SET post_started_at = NULL, error = :reason
        WHERE batch_id = :batch_id AND state = 'intent'""")
    conn.execute(query, {"batch_id": batch_id, "reason": reason})


def mark_submitted(
    conn: Connection, batch_id: int, vendor_batch_id: str, submitted_at: datetime, *, adopted: bool
) -> None:
    """The vendor has the batch under this id: posted, or found by looking (`adopted`)."""
    query = text("""
        UPDATE llm.llm_batch
        SET state = 'submitted', vendor_batch_id = :vendor_batch_id, submitted_at = :submitted_at,
            adopted = :adopted, error = NULL
        WHERE batch_id = :batch_id AND state = 'intent'""")
    values = {"vendor_batch_id": vendor_batch_id, "submitted_at": submitted_at, "adopted": adopted}
    conn.execute(query, {"batch_id": batch_id, **values})


def fail_batch(conn: Connection, batch_id: int, reason: str, bad: Mapping[str, str] | None = None) -> None:
    """The vendor will never work on this batch: it has failed, its requests are queued again.

    Args:
        bad: custom ids of requests that are themselves at fault, with the reason; these have failed.
    """
    values = {"batch_id": batch_id, "reason": reason, "bad": json.dumps(dict(bad or {}))}
    conn.execute(_FAIL, values)


def owned_vendor_ids(conn: Connection, vendor_batch_ids: Sequence[str]) -> set[str]:
    """Those of the vendor's batches that a batch of ours has already."""
    query = text("SELECT vendor_batch_id FROM llm.llm_batch WHERE vendor_batch_id = ANY(:ids)")
    return set(conn.execute(query, {"ids": list(vendor_batch_ids)}).scalars())


def confirm_adoption(conn: Connection, batch_id: int) -> None:
    """The results carry our ids: the adopted batch is ours."""
    query = text("UPDATE llm.llm_batch SET adopted = false WHERE batch_id = :batch_id AND adopted")
    conn.execute(query, {"batch_id": batch_id})


def undo_adoption(conn: Connection, batch_id: int) -> None:
    """The results are a stranger's: back to 'intent', and never adopt that one again."""
    query = text("""
        UPDATE llm.llm_batch
        SET state = 'intent', not_ours = not_ours || vendor_batch_id, vendor_batch_id = NULL, adopted = false,
            submitted_at = NULL
        WHERE batch_id = :batch_id AND adopted AND state IN ('submitted', 'ended')""")
    conn.execute(query, {"batch_id": batch_id})


def hand_over(conn: Connection, wrong: int, right: int) -> bool:
    """Swap the vendor batches of two of ours: `wrong` had adopted the one that carries `right`'s ids.

    False, and nothing done, where `right` has its own for certain or is past needing one.
    """
    return conn.execute(_HAND_OVER, {"wrong": wrong, "right": right}).rowcount == 2


def batch_of_custom_id(conn: Connection, custom_id: str) -> int | None:
    """The batch that a custom id belongs to, `None` where it is not ours."""
    query = text("SELECT batch_id FROM llm.llm_batch_item WHERE custom_id = :custom_id")
    return conn.execute(query, {"custom_id": custom_id}).scalar_one_or_none()


def mark_ended(
    conn: Connection,
    batch_id: int,
    counts: Mapping[str, int],
    ended_at: datetime | None,
    file_ids: tuple[str | None, str | None] = (None, None),
) -> None:
    """The vendor is done with the batch; its results are in these files, where it keeps them in files."""
    query = text("""
        UPDATE llm.llm_batch
        SET state = 'ended', vendor_counts = CAST(:counts AS jsonb), ended_at = coalesce(:ended_at, now()),
            output_file_id = :output_file_id, error_file_id = :error_file_id
        WHERE batch_id = :batch_id AND state = 'submitted'""")
    values = {"counts": json.dumps(dict(counts)), "ended_at": ended_at}
    files = {"output_file_id": file_ids[0], "error_file_id": file_ids[1]}
    conn.execute(query, {"batch_id": batch_id, **values, **files})


def _batch(row: Row[Any]) -> BatchRow:
    fields = {name: getattr(row, name) for name in BatchRow.__dataclass_fields__}
    return BatchRow(**{**fields, "not_ours": tuple(row.not_ours)})
