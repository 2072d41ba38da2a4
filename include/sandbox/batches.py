"""The life of Message Batches: stored, worked on as virtual time passes, ended, billed, archived, deleted.

    created --work_seconds or 24 h--> ended --29 days after creation--> archived
       \\--cancel--> canceling --1 s--> ended

Nothing runs in the background. Each request draws, when stored, at which share of the batch's working time it
is done; what became of it follows from that and from when the batch stopped. The first look at a batch after
its end freezes the counts and books the bill.
"""

import json
import random
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from include.sandbox.answers import answer, message, vendor_id
from include.sandbox.params import VendorError, flaw
from include.sandbox.prompt_cache import PromptCache, Tokens, bill
from include.sandbox.schema_answers import SchemaUnsupported
from include.sandbox.state import SandboxState, VirtualClock

MOST_REQUESTS = 100_000
KEYS_PER_BATCH = 1_000_000
EXPIRY_SECONDS = 24 * 3600.0
RETENTION_SECONDS = 29 * 24 * 3600.0
CANCEL_SECONDS = 1.0
RESULTS_PER_PAGE = 500
NEVER = 2.0

COUNT_RESULTS = """
SELECT CASE WHEN finish > :finished THEN :stopped WHEN failure IS NOT NULL THEN 'errored' ELSE 'succeeded' END
           AS outcome,
       model, count(*) AS n, sum(input_tokens) AS input_tokens,
       sum(cache_write_tokens) AS cache_write_tokens, sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
       sum(cache_read_tokens) AS cache_read_tokens, sum(output_tokens) AS output_tokens
FROM batch_request WHERE key BETWEEN :first AND :last GROUP BY outcome, model
"""


@dataclass(frozen=True)
class Misfortune:
    """What goes wrong with a batch on purpose, decided when it is created.

    Attributes:
        errored_share: share of its requests, 0 to 1, that end `errored` with `error_type`.
        expired_share: share that is never worked on and expires.
        expires_after: seconds from creation to expiry when `expired_share` is above 0.
    """

    errored_share: float = 0.0
    error_type: str = "overloaded_error"
    expired_share: float = 0.0
    expires_after: float = EXPIRY_SECONDS


@dataclass(frozen=True)
class Batch:
    """One batch as it stands at a moment; times are seconds since the epoch."""

    seq: int
    id: str
    size: int
    status: str
    counts: dict[str, int]
    created_at: float
    cancelled_at: float | None
    ended_at: float | None
    archived_at: float | None
    finished_share: float

    @property
    def expires_at(self) -> float:
        """When the vendor gives up on it."""
        return self.created_at + EXPIRY_SECONDS


class BatchRefused(Exception):
    """The vendor says no: carries its answer."""

    def __init__(self, error: VendorError) -> None:
        super().__init__(error.message)
        self.error = error


class BatchLedger:
    """All batches of the sandbox.

    Args:
        work_seconds: virtual seconds a batch takes, whatever its size.
    """

    def __init__(self, state: SandboxState, clock: VirtualClock, work_seconds: float) -> None:
        self._state = state
        self._clock = clock
        self.work_seconds = work_seconds

    def create(self, requests: list[dict[str, Any]], misfortune: Misfortune) -> Batch:
        """Store a batch of `{"custom_id", "params"}` whose form was checked already."""
        batch_id = vendor_id("msgbatch", secrets.token_hex(16))
        now = self._clock.now()
        expires_after = misfortune.expires_after if misfortune.expired_share > 0 else EXPIRY_SECONDS
        wait = expires_after if misfortune.expired_share > 0 else min(self.work_seconds, EXPIRY_SECONDS)
        draw = random.Random(batch_id)
        positions = draw.sample(range(len(requests)), len(requests))
        # Worked out before the transaction, which other requests have to wait for.
        drawn = [_drawn(request, draw, misfortune) for request in requests]
        with self._state.writing() as db:
            added = db.execute(
                "INSERT INTO batch (id, size, created_at, work_seconds, ends_at) VALUES (?, ?, ?, ?, ?)"
                " RETURNING seq",
                (batch_id, len(requests), now, self.work_seconds, now + wait),
            )
            seq: int = added.fetchone()["seq"]
            beginnings = PromptCache(db)
            # In the order they were sent, so that the first of a kind is the one that writes.
            stored = [_stored(request, one, beginnings) for request, one in zip(requests, drawn, strict=True)]
            rows = (
                (seq * KEYS_PER_BATCH + position, *stored[index]) for position, index in enumerate(positions)
            )
            db.executemany("INSERT INTO batch_request VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return self.get(batch_id)

    def get(self, batch_id: str) -> Batch:
        """The batch called `batch_id`, as it stands now.

        Raises:
            BatchRefused: there is none (404).
        """
        row = self._row(batch_id)
        if row["counts"] is None and self._clock.now() >= row["ends_at"]:
            self._settle(row["seq"])
            row = self._row(batch_id)
        return self._seen(row)

    def page(self, limit: int, after_id: str | None, before_id: str | None) -> tuple[list[Batch], bool]:
        """At most `limit` batches, newest first, and whether there are more in that direction.

        Raises:
            BatchRefused: `after_id` or `before_id` is unknown (404).
        """
        self.settle_due()
        where, order, values = "", "DESC", []
        if after_id:
            where, values = "AND seq < ?", [self._row(after_id)["seq"]]
        elif before_id:
            where, order, values = "AND seq > ?", "ASC", [self._row(before_id)["seq"]]
        rows = self._state.rows(
            f"SELECT * FROM batch WHERE NOT deleted {where} ORDER BY seq {order} LIMIT ?",  # noqa: S608
            (*values, limit + 1),
        )
        batches = [self._seen(row) for row in rows[:limit]]
        return sorted(batches, key=lambda batch: -batch.seq), len(rows) > limit

    def cancel(self, batch_id: str) -> Batch:
        """Stop working on a batch; asking twice changes nothing.

        Raises:
            BatchRefused: unknown (404) or already ended (400).
        """
        batch = self.get(batch_id)
        if batch.status == "ended":
            raise _refused(400, f"Batch {batch_id} cannot be canceled because it has already ended.")
        now = self._clock.now()
        with self._state.writing() as db:
            db.execute(
                "UPDATE batch SET cancelled_at = :now, ends_at = min(ends_at, :now + :seconds)"
                " WHERE seq = :seq AND cancelled_at IS NULL AND counts IS NULL",
                {"now": now, "seconds": CANCEL_SECONDS, "seq": batch.seq},
            )
        return self.get(batch_id)

    def delete(self, batch_id: str) -> None:
        """Forget an ended batch and its results; what it cost stays on the bill.

        Raises:
            BatchRefused: unknown (404) or not ended yet (400).
        """
        batch = self.get(batch_id)
        if batch.status != "ended":
            raise _refused(400, f"Batch {batch_id} cannot be deleted: it has not ended; cancel it first.")
        first, last = _keys(batch.seq)
        with self._state.writing() as db:
            db.execute("UPDATE batch SET deleted = 1 WHERE seq = ?", (batch.seq,))
            db.execute("DELETE FROM batch_request WHERE key BETWEEN ? AND ?", (first, last))

    def results(self, batch: Batch) -> Iterator[bytes]:
        """The results of an ended batch as pages of JSON lines, in no useful order, in bounded memory."""
        stopped = "canceled" if batch.cancelled_at is not None else "expired"
        first, last = _keys(batch.seq)
        while True:
            rows = self._state.rows(
                "SELECT * FROM batch_request WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
                (first, last, RESULTS_PER_PAGE),
            )
            if not rows:
                return
            yield "".join(_line(row, batch, stopped) for row in rows).encode("utf-8", "replace")
            first = rows[-1]["key"] + 1

    def settle_due(self) -> None:
        """Freeze and bill every batch whose time has come."""
        due = self._state.rows(
            "SELECT seq FROM batch WHERE counts IS NULL AND ends_at <= ?", (self._clock.now(),)
        )
        for row in due:
            self._settle(row["seq"])

    def _row(self, batch_id: str) -> sqlite3.Row:
        query = "SELECT * FROM batch WHERE id = ? AND NOT deleted"
        row = self._state.row(query, (batch_id,))
        if row is None:
            raise BatchRefused(
                VendorError(404, "not_found_error", f"Message batch with id {batch_id} not found.")
            )
        return row

    def _settle(self, seq: int) -> None:
        with self._state.writing() as db:
            row = db.execute("SELECT * FROM batch WHERE seq = ? AND counts IS NULL", (seq,)).fetchone()
            if row is None:
                return
            worked = (row["cancelled_at"] or row["ends_at"]) - row["created_at"]
            finished = 1.0 if worked >= row["work_seconds"] else worked / row["work_seconds"]
            stopped = "canceled" if row["cancelled_at"] is not None else "expired"
            first, last = _keys(seq)
            counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
            asked = {"finished": finished, "stopped": stopped, "first": first, "last": last}
            for part in db.execute(COUNT_RESULTS, asked).fetchall():
                counts[part["outcome"]] += part["n"]
                if part["outcome"] == "succeeded":
                    bill(
                        db,
                        row["id"],
                        "anthropic",
                        "batch",
                        part["model"],
                        part["n"],
                        tokens_of(part),
                        row["ends_at"],
                    )
            db.execute(
                "UPDATE batch SET counts = ?, finished_share = ? WHERE seq = ?",
                (json.dumps(counts), finished, seq),
            )

    def _seen(self, row: sqlite3.Row) -> Batch:
        ended = row["counts"] is not None
        if ended:
            counts = json.loads(row["counts"])
        else:
            counts = {"processing": row["size"], "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        archived_at = row["created_at"] + RETENTION_SECONDS
        return Batch(
            seq=row["seq"],
            id=row["id"],
            size=row["size"],
            status="ended" if ended else "canceling" if row["cancelled_at"] is not None else "in_progress",
            counts=counts,
            created_at=row["created_at"],
            cancelled_at=row["cancelled_at"],
            ended_at=row["ends_at"] if ended else None,
            archived_at=archived_at if ended and self._clock.now() >= archived_at else None,
            finished_share=row["finished_share"] or 0.0,
        )


@dataclass(frozen=True)
class _Drawn:
    """What becomes of a request, before its prompt's beginning is looked up."""

    finish: float
    failure: str | None
    input_tokens: int
    output_tokens: int


def _drawn(request: dict[str, Any], draw: random.Random, misfortune: Misfortune) -> _Drawn:
    params = request["params"]
    finish = NEVER if draw.random() < misfortune.expired_share else draw.random()
    error = flaw(params, in_batch=True)
    tokens = (0, 0)
    if error is None:
        try:
            given = answer(params)
            tokens = (given.input_tokens, given.output_tokens)
        except SchemaUnsupported as unsupported:
            error = VendorError(400, "invalid_request_error", str(unsupported))
    if draw.random() < misfortune.errored_share:
        error = VendorError(500, misfortune.error_type, "This request failed on the sandbox's orders.")
    failure = None if error is None else json.dumps({"type": error.type, "message": error.message})
    return _Drawn(finish, failure, *tokens)


def _stored(request: dict[str, Any], drawn: _Drawn, beginnings: PromptCache) -> tuple[Any, ...]:
    """The columns of `batch_request` after its key."""
    params = request["params"]
    tokens = Tokens(0, 0)
    if drawn.failure is None:
        tokens = beginnings.charge_anthropic(params, drawn.input_tokens, drawn.output_tokens)
    return (
        request["custom_id"],
        str(params.get("model", "")) if isinstance(params, dict) else "",
        drawn.finish,
        drawn.failure,
        *tokens.columns(),
        json.dumps(params, separators=(",", ":")),
    )


def tokens_of(row: sqlite3.Row) -> Tokens:
    """The tokens that a row of requests or sums holds."""
    return Tokens(
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cache_write_tokens=row["cache_write_tokens"],
        cache_write_1h_tokens=row["cache_write_1h_tokens"],
        cache_read_tokens=row["cache_read_tokens"],
    )


def _line(row: sqlite3.Row, batch: Batch, stopped: str) -> str:
    if row["finish"] > batch.finished_share:
        result: dict[str, Any] = {"type": stopped}
    elif row["failure"] is not None:
        request_id = vendor_id("req", f"{batch.id}:{row['key']}")
        error = {"type": "error", "error": json.loads(row["failure"]), "request_id": request_id}
        result = {"type": "errored", "error": error}
    else:
        params = json.loads(row["params"])
        message_id = vendor_id("msg", f"{batch.id}:{row['key']}")
        given = message(params, answer(params), tokens_of(row), message_id=message_id, service_tier="batch")
        result = {"type": "succeeded", "message": given}
    line = {"custom_id": row["custom_id"], "result": result}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def _keys(seq: int) -> tuple[int, int]:
    return seq * KEYS_PER_BATCH, (seq + 1) * KEYS_PER_BATCH - 1


def _refused(status: int, text: str) -> BatchRefused:
    return BatchRefused(VendorError(status, "invalid_request_error", text))
