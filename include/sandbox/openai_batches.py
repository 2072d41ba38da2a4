"""The life of OpenAI's batches: uploaded, validated, worked on, finished, billed, forgotten.

    validating --> in_progress --> finalizing --> completed
       |              |  \\--24 h--> expired          (0.1, 0.8 and 0.1 of the working time)
       |--> failed    \\--cancel--> cancelling --> cancelled

Validation runs when the batch is created, its verdict is told later: the call that creates a batch is
answered with 200 whatever the file holds. Nothing runs in the background; the first look after the end
freezes the counts and books the bill. Requests stay in their file and are read from there when results are
asked for.
"""

import json
import random
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.answers import vendor_id
from include.sandbox.batches import (
    CANCEL_SECONDS,
    EXPIRY_SECONDS,
    KEYS_PER_BATCH,
    RESULTS_PER_PAGE,
    BatchRefused,
    Misfortune,
    tokens_of,
)
from include.sandbox.openai_files import OpenAIFiles
from include.sandbox.openai_lines import BadLine, Line, read_lines
from include.sandbox.openai_requests import stored, told
from include.sandbox.params import VendorError
from include.sandbox.prompt_cache import PromptCache, Tokens, bill
from include.sandbox.state import SandboxState, VirtualClock

VALIDATED, FINISHED = 0.1, 0.9
OUTPUT_SECONDS = 30 * 24 * 3600.0

COUNT = """
SELECT count(*) FILTER (WHERE finish <= :share AND failure IS NULL) AS completed,
       count(*) FILTER (WHERE finish <= :share AND failure IS NOT NULL) AS failed,
       count(*) FILTER (WHERE finish > :share) AS undone
FROM openai_request WHERE key BETWEEN :first AND :last
"""
SUM = """
SELECT sum(input_tokens) AS input_tokens, sum(cache_write_tokens) AS cache_write_tokens,
       sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(cache_read_tokens) AS cache_read_tokens,
       sum(output_tokens) AS output_tokens
FROM openai_request WHERE key BETWEEN :first AND :last AND finish <= :share AND failure IS NULL
"""


@dataclass(frozen=True)
class OpenAIMisfortune:
    """What goes wrong with a batch on purpose, decided when it is created."""

    usual: Misfortune = field(default_factory=Misfortune)
    over_token_limit: bool = False
    empty_file_ids: bool = False


class OpenAIBatchLedger:
    """All batches of OpenAI.

    Args:
        work_seconds: virtual seconds a batch takes, whatever its size.
    """

    def __init__(
        self, state: SandboxState, clock: VirtualClock, files: OpenAIFiles, work_seconds: float
    ) -> None:
        self._state = state
        self._clock = clock
        self._files = files
        self.work_seconds = work_seconds

    def create(
        self,
        file_id: str,
        endpoint: str,
        metadata: dict[str, str] | None,
        output_seconds: float | None,
        misfortune: OpenAIMisfortune,
    ) -> dict[str, Any]:
        """Store a batch over an uploaded file, and answer with it."""
        path = self._files.path(file_id)
        batch_id = f"batch_{secrets.token_hex(16)}"
        draw, usual = random.Random(batch_id), misfortune.usual
        lines, errors, model = self._validated(path, endpoint, misfortune)
        positions = draw.sample(range(len(lines)), len(lines))
        expiring = usual.expired_share > 0
        work = min(self.work_seconds, EXPIRY_SECONDS)
        wait = usual.expires_after if expiring else work * (VALIDATED if errors else 1.0)
        now = self._clock.now()
        with self._state.writing() as db:
            added = db.execute(
                "INSERT INTO openai_batch (id, endpoint, file_id, size, model, metadata, created_at,"
                " work_seconds, ends_at, expiring, errors, output_seconds, empty_ids)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
                (
                    batch_id,
                    endpoint,
                    file_id,
                    len(lines),
                    model,
                    None if metadata is None else json.dumps(metadata),
                    now,
                    work,
                    now + wait,
                    expiring,
                    json.dumps(errors) if errors else None,
                    output_seconds or OUTPUT_SECONDS,
                    misfortune.empty_file_ids,
                ),
            )
            seq: int = added.fetchone()["seq"]
            beginnings = PromptCache(db)
            rows = [stored(line, endpoint, draw, usual, beginnings) for line in lines]
            db.executemany(
                "INSERT INTO openai_request VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((seq * KEYS_PER_BATCH + at, *rows[index]) for at, index in enumerate(positions)),
            )
        return self.get(batch_id)

    def get(self, batch_id: str) -> dict[str, Any]:
        """The batch called `batch_id` as the API shows it now.

        Raises:
            BatchRefused: there is none (404).
        """
        row = self._row(batch_id)
        if row["counts"] is None and self._clock.now() >= row["ends_at"]:
            self._settle(row["seq"])
            row = self._row(batch_id)
        return self._wire(row)

    def page(self, limit: int, after: str | None) -> dict[str, Any]:
        """At most `limit` batches, newest first."""
        self.settle_due()
        before = self._row(after)["seq"] if after else None
        rows = self._state.rows(
            "SELECT * FROM openai_batch WHERE ? IS NULL OR seq < ? ORDER BY seq DESC LIMIT ?",
            (before, before, limit + 1),
        )
        data = [self._wire(row) for row in rows[:limit]]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(rows) > limit,
        }

    def cancel(self, batch_id: str) -> dict[str, Any]:
        """Stop working on a batch; asking twice changes nothing.

        Raises:
            BatchRefused: unknown (404) or ended (409).
        """
        batch = self.get(batch_id)
        if batch["status"] in ("completed", "failed", "expired", "cancelled"):
            raise BatchRefused(
                VendorError(409, "conflict", f"Cannot cancel a batch with status '{batch['status']}'.")
            )
        now = self._clock.now()
        with self._state.writing() as db:
            db.execute(
                "UPDATE openai_batch SET cancelled_at = :now, ends_at = min(ends_at, :now + :seconds)"
                " WHERE id = :id AND cancelled_at IS NULL AND counts IS NULL",
                {"now": now, "seconds": CANCEL_SECONDS, "id": batch_id},
            )
        return self.get(batch_id)

    def settle_due(self) -> None:
        """Freeze and bill every batch whose time has come."""
        query = "SELECT seq FROM openai_batch WHERE counts IS NULL AND ends_at <= ?"
        for row in self._state.rows(query, (self._clock.now(),)):
            self._settle(row["seq"])

    def result_file(self, file_id: str) -> tuple[sqlite3.Row, bool] | None:
        """The batch whose results a file holds, and whether they are its errors; None for other files.

        Raises:
            BatchRefused: the file has been deleted by now (404).
        """
        row = self._state.row(
            "SELECT * FROM openai_batch WHERE output_id = :id OR error_id = :id", {"id": file_id}
        )
        if row is None:
            return None
        if self._clock.now() >= row["ends_at"] + row["output_seconds"]:
            raise BatchRefused(VendorError(404, "not_found", f"No such File object: {file_id}"))
        return row, file_id == row["error_id"]

    def results(self, row: sqlite3.Row, *, errors: bool) -> Iterator[bytes]:
        """The lines of a result file in pages, in no useful order, in bounded memory."""
        share, end = row["finished_share"], "cancelled" if row["cancelled_at"] is not None else "expired"
        first, last = _keys(row["seq"])
        with self._files.path(row["file_id"]).open("rb") as source:
            while True:
                page = self._state.rows(
                    "SELECT * FROM openai_request WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
                    (first, last, RESULTS_PER_PAGE),
                )
                if not page:
                    return
                lines = []
                for request in page:
                    good = request["finish"] <= share and request["failure"] is None
                    if good is not errors:
                        lines.append(told(request, row, share, end, source))
                yield "".join(lines).encode("utf-8", "replace")
                first = page[-1]["key"] + 1

    def _validated(
        self, path: Any, endpoint: str, misfortune: OpenAIMisfortune
    ) -> tuple[list[Line], list[dict[str, Any]], str]:
        lines: list[Line] = []
        errors: list[dict[str, Any]] = []
        for each in read_lines(path, endpoint):
            if isinstance(each, BadLine):
                errors.append(each.as_error())
            else:
                lines.append(each)
        model = lines[0].model if lines else ""
        if misfortune.over_token_limit:
            text = f"Enqueued token limit reached for {model} in organization org-sandbox. Limit: 2,000,000"
            errors = [{"code": "token_limit_exceeded", "line": None, "message": text, "param": None}]
        return ([], errors, model) if errors else (lines, [], model)

    def _row(self, batch_id: str) -> sqlite3.Row:
        row = self._state.row("SELECT * FROM openai_batch WHERE id = ?", (batch_id,))
        if row is None:
            raise BatchRefused(VendorError(404, "not_found", f"No batch found with id '{batch_id}'."))
        return row

    def _share(self, row: sqlite3.Row, moment: float) -> float:
        """How much of the work is done at a moment, 0 to 1."""
        worked = (moment - row["created_at"]) / row["work_seconds"]
        return min(max((worked - VALIDATED) / (FINISHED - VALIDATED), 0.0), 1.0)

    def _settle(self, seq: int) -> None:
        with self._state.writing() as db:
            row = db.execute("SELECT * FROM openai_batch WHERE seq = ? AND counts IS NULL", (seq,)).fetchone()
            if row is None:
                return
            share = self._share(row, row["cancelled_at"] or row["ends_at"])
            first, last = _keys(seq)
            asked = {"share": share, "first": first, "last": last}
            counted = db.execute(COUNT, asked).fetchone()
            usage = None
            if counted["completed"]:
                tokens = tokens_of(db.execute(SUM, asked).fetchone())
                bill(
                    db,
                    row["id"],
                    "openai",
                    "batch",
                    row["model"],
                    counted["completed"],
                    tokens,
                    row["ends_at"],
                )
                usage = _usage(tokens)
            failed = counted["failed"] + counted["undone"]
            counts = {"total": row["size"], "completed": counted["completed"], "failed": failed}
            db.execute(
                "UPDATE openai_batch SET counts = ?, usage = ?, finished_share = ?, output_id = ?,"
                " error_id = ? WHERE seq = ?",
                (
                    json.dumps(counts),
                    json.dumps(usage) if usage else None,
                    share,
                    vendor_file_id(row["id"], "output") if counted["completed"] else None,
                    vendor_file_id(row["id"], "error") if failed else None,
                    seq,
                ),
            )

    def _wire(self, row: sqlite3.Row) -> dict[str, Any]:
        now, ended = self._clock.now(), row["counts"] is not None
        began, work = row["created_at"], row["work_seconds"]
        in_progress, finalizing = began + work * VALIDATED, began + work * FINISHED
        status = self._status(row, now, in_progress, finalizing)
        validated = row["errors"] is None and now >= in_progress
        counts = {"total": 0, "completed": 0, "failed": 0}
        if ended and row["errors"] is None:
            counts = json.loads(row["counts"])
        elif validated:
            first, last = _keys(row["seq"])
            share = self._share(row, row["cancelled_at"] or now)
            asked = {"share": share, "first": first, "last": last}
            counted = self._state.rows(COUNT, asked)[0]
            counts = {
                "total": row["size"],
                "completed": counted["completed"],
                "failed": counted["failed"],
            }
        nothing = "" if row["empty_ids"] and ended else None
        at = {name: row["ends_at"] if status == name else None for name in ("failed", "expired", "cancelled")}
        told = {
            "id": row["id"],
            "object": "batch",
            "endpoint": row["endpoint"],
            "errors": {"object": "list", "data": json.loads(row["errors"])} if status == "failed" else None,
            "input_file_id": row["file_id"],
            "completion_window": "24h",
            "status": status,
            "output_file_id": row["output_id"] or nothing,
            "error_file_id": row["error_id"] or nothing,
            "created_at": int(began),
            "in_progress_at": int(in_progress) if validated else None,
            "expires_at": int(began + EXPIRY_SECONDS),
            "finalizing_at": int(finalizing) if status in ("finalizing", "completed") else None,
            "completed_at": int(row["ends_at"]) if status == "completed" else None,
            "failed_at": _whole(at["failed"]),
            "expired_at": _whole(at["expired"]),
            "cancelling_at": _whole(row["cancelled_at"]),
            "cancelled_at": _whole(at["cancelled"]),
            "request_counts": counts,
            "metadata": json.loads(row["metadata"]) if row["metadata"] else None,
        }
        if row["usage"]:
            told |= {"usage": json.loads(row["usage"]), "model": row["model"]}
        return told

    def _status(self, row: sqlite3.Row, now: float, in_progress: float, finalizing: float) -> str:
        if row["counts"] is not None:
            if row["errors"] is not None:
                return "failed"
            if row["cancelled_at"] is not None:
                return "cancelled"
            return "expired" if row["expiring"] else "completed"
        if row["cancelled_at"] is not None:
            return "cancelling"
        if now < in_progress:
            return "validating"
        return "in_progress" if now < finalizing or row["expiring"] else "finalizing"


def vendor_file_id(batch_id: str, kind: str) -> str:
    """The id of a result file, in the vendor's form."""
    return f"file-{vendor_id('file', f'{batch_id}:{kind}')[8:]}"


def _usage(tokens: Tokens) -> dict[str, Any]:
    prompt = tokens.input_tokens + tokens.cache_read_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": tokens.cache_read_tokens},
        "output_tokens": tokens.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + tokens.output_tokens,
    }


def _keys(seq: int) -> tuple[int, int]:
    return seq * KEYS_PER_BATCH, (seq + 1) * KEYS_PER_BATCH - 1


def _whole(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
