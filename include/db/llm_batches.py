"""SQL of a batch's life: planned, posted, looked for, ended. Each transition is one statement.

The states are drawn in the migration `0002_llm`. A statement names the state it starts from, so repeating it,
or losing a race for it, changes nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import OperationalError

from include.errors import TransientError

_OPEN_BATCH = text("""
WITH batch AS (
    INSERT INTO llm.llm_batch (provider, model, run_date, chunk, request_count)
    VALUES (:provider, :model, :run_date, :chunk, cardinality(CAST(:request_ids AS bigint[])))
    RETURNING batch_id
), item AS (
    INSERT INTO llm.llm_batch_item (batch_id, request_id, attempt, custom_id)
    SELECT batch.batch_id, request.request_id, request.attempts + 1,
           'b' || batch.batch_id || '-r' || request.request_id || '-' || left(request.request_key, 16)
    FROM batch, llm.llm_request AS request
    WHERE request.request_id = ANY(CAST(:request_ids AS bigint[])) AND request.state = 'queued'
    RETURNING batch_id, request_id, attempt
)
UPDATE llm.llm_request AS request
SET state = 'batched', batch_id = item.batch_id, attempts = item.attempt
FROM item
WHERE request.request_id = item.request_id
RETURNING request.batch_id
""")

_TAKE_QUEUED = text("""
SELECT request_id, params_bytes
FROM llm.llm_request AS request
WHERE state = 'queued' AND provider = :provider AND model = :model AND queued_on <= :run_date
  AND NOT EXISTS (
      SELECT FROM llm.llm_batch_item AS item JOIN llm.llm_batch AS batch USING (batch_id)
      WHERE item.request_id = request.request_id AND batch.run_date = :run_date
        AND item.outcome IS DISTINCT FROM 'refused')
ORDER BY priority DESC, request_id
LIMIT :most
FOR UPDATE OF request SKIP LOCKED
""")

_REFUSE = text("""
WITH batch AS (
    UPDATE llm.llm_batch SET state = 'failed', error = :reason, post_started_at = NULL
    WHERE batch_id = :batch_id AND state = 'intent'
    RETURNING batch_id
), item AS (
    UPDATE llm.llm_batch_item SET outcome = 'refused', request_state = 'queued', error = :reason
    FROM batch WHERE llm_batch_item.batch_id = batch.batch_id AND outcome IS NULL
    RETURNING request_id
)
-- A refused batch tried none of its requests: the attempt is given back.
UPDATE llm.llm_request AS request
SET state = 'queued', batch_id = NULL, attempts = attempts - 1, error = :reason
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
    run_date: date
    chunk: int
    state: str
    vendor_batch_id: str | None
    request_count: int
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


def lock_planning(conn: Connection, provider: str, model: str, run_date: date) -> None:
    """Be the only one planning this night until the transaction ends."""
    key = {"key": f"nightshift plan {provider} {model} {run_date}"}
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), key)


def night_so_far(conn: Connection, provider: str, model: str, run_date: date) -> tuple[int, int]:
    """Requests that batches of this night carry already (refused ones aside), and its last chunk or 0."""
    row = conn.execute(
        text("""
        SELECT coalesce(sum(request_count) FILTER (WHERE state <> 'failed'), 0) AS requests,
               coalesce(max(chunk), 0) AS chunk
        FROM llm.llm_batch WHERE provider = :provider AND model = :model AND run_date = :run_date"""),
        {"provider": provider, "model": model, "run_date": run_date},
    ).one()
    return int(row.requests), int(row.chunk)


def fail_oversize(conn: Connection, provider: str, model: str, most_bytes: int) -> int:
    """Fail queued requests that fit into no batch, each alone; returns how many."""
    return conn.execute(
        text("""
        UPDATE llm.llm_request
        SET state = 'failed', finished_at = now(),
            error = 'too large: ' || params_bytes || ' bytes, but a batch takes at most '
                    || CAST(:most_bytes AS bigint)
        WHERE state = 'queued' AND provider = :provider AND model = :model AND params_bytes > :most_bytes"""),
        {"provider": provider, "model": model, "most_bytes": most_bytes},
    ).rowcount


def take_queued(
    conn: Connection, provider: str, model: str, run_date: date, most: int
) -> list[tuple[int, int]]:
    """Lock the next `most` requests of a night, as (request_id, bytes), by priority.

    A request gets one attempt a night: what a batch of this date carried already is left out.
    """
    parameters = {"provider": provider, "model": model, "run_date": run_date, "most": most}
    return [(row.request_id, row.params_bytes) for row in conn.execute(_TAKE_QUEUED, parameters)]


def open_batch(
    conn: Connection, provider: str, model: str, run_date: date, chunk: int, request_ids: Sequence[int]
) -> int:
    """Make a batch of requests that `take_queued` locked, in state 'intent'; returns its id."""
    parameters = {"provider": provider, "model": model, "run_date": run_date, "chunk": chunk}
    ids = conn.execute(_OPEN_BATCH, {**parameters, "request_ids": list(request_ids)}).scalars().all()
    if len(ids) != len(request_ids):
        raise RuntimeError(
            f"chunk {chunk} of {run_date}: {len(request_ids)} requests locked, {len(ids)} queued"
        )
    return int(ids[0])


def open_batches(conn: Connection, provider: str, run_date: date) -> list[BatchRow]:
    """Batches not collected yet, of this night and of earlier ones that were cut short; oldest first."""
    query = text("""
        SELECT * FROM llm.llm_batch
        WHERE state IN ('intent', 'submitted', 'ended') AND provider = :provider AND run_date <= :run_date
        ORDER BY run_date, batch_id""")
    return [_batch(row) for row in conn.execute(query, {"provider": provider, "run_date": run_date})]


def get_batch(conn: Connection, batch_id: int) -> BatchRow:
    """The batch called `batch_id`.

    Raises:
        sqlalchemy.exc.NoResultFound: there is none.
    """
    query = text("SELECT * FROM llm.llm_batch WHERE batch_id = :batch_id")
    return _batch(conn.execute(query, {"batch_id": batch_id}).one())


def batch_requests(conn: Connection, batch_id: int) -> list[tuple[str, dict[str, Any]]]:
    """(custom_id, params) of everything in a batch, in the order of the requests."""
    query = text("""
        SELECT item.custom_id, request.params
        FROM llm.llm_batch_item AS item JOIN llm.llm_request AS request USING (request_id)
        WHERE item.batch_id = :batch_id ORDER BY request_id""")
    return [(row.custom_id, row.params) for row in conn.execute(query, {"batch_id": batch_id})]


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


def refuse_batch(conn: Connection, batch_id: int, reason: str) -> None:
    """The vendor will never take this batch: it has failed, its requests are queued again."""
    conn.execute(_REFUSE, {"batch_id": batch_id, "reason": reason})


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


def mark_ended(conn: Connection, batch_id: int, counts: Mapping[str, int], ended_at: datetime | None) -> None:
    """The vendor is done with the batch."""
    query = text("""
        UPDATE llm.llm_batch
        SET state = 'ended', vendor_counts = CAST(:counts AS jsonb), ended_at = coalesce(:ended_at, now())
        WHERE batch_id = :batch_id AND state = 'submitted'""")
    conn.execute(query, {"batch_id": batch_id, "counts": json.dumps(dict(counts)), "ended_at": ended_at})


def _batch(row: Row[Any]) -> BatchRow:
    fields = {name: getattr(row, name) for name in BatchRow.__dataclass_fields__}
    return BatchRow(**{**fields, "not_ours": tuple(row.not_ours)})
