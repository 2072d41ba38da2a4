"""Storing what came back: every request of a batch gets one outcome, one bill and, if it was good, one
answer.

Results are stored a few hundred at a time, each group in one transaction with its costs and scores. What has
an outcome is passed over, so a collection that was killed is simply run again. Requests that no readable line
speaks of are looked for in one more download, which is free, before they count as missing and are asked
again, which is not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine

from include.config import Thresholds
from include.config.llm import Price
from include.db import llm as llm_sql
from include.db import llm_batches as sql
from include.db import llm_results as results_sql
from include.db.llm_batches import BatchRow
from include.db.llm_results import Item
from include.errors import NightshiftError
from include.llm import scoring, tasks
from include.llm.costs import Answered, book
from include.llm.errors import AnswerInvalid, BatchNotEnded, BatchUnknown, ResultsCutShort, ResultsGone
from include.llm.prices import Mode, price_of
from include.llm.submission import first_custom_id, submit_batch
from include.llm.vendors import BatchProgress, BatchVendor, BatchVendors, Result, Unreadable


@dataclass(frozen=True)
class CollectedBatch:
    """One batch after a collection.

    Attributes:
        state: `collected`; `submitted` where the vendor is not done; `intent` where it has yet to be posted;
            `failed` where the vendor worked on none of it.
        outcomes: requests by how their attempt ended.
    """

    batch_id: int
    state: str
    outcomes: Mapping[str, int] = field(default_factory=dict)


def collect_batches(
    engine: Engine, vendors: BatchVendors, batch_ids: Sequence[int], settings: Thresholds
) -> list[CollectedBatch]:
    """Collect every batch that has ended; those still with the vendor are left for a later run.

    Raises:
        NightshiftError: the first that a batch raised, after all others were collected.
    """
    collected, first_error = [], None
    for batch_id in batch_ids:
        try:
            collected.append(collect_batch(engine, vendors, batch_id, settings))
        except BatchNotEnded:
            collected.append(CollectedBatch(batch_id, "submitted"))
        except NightshiftError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return collected


def outcome_totals(collected: Iterable[CollectedBatch]) -> dict[str, int]:
    """Batches collected, failed and still open, and requests by outcome over all of them."""
    totals: Counter[str] = Counter()
    names = {"collected": "collected_batches", "failed": "failed_batches"}
    for batch in collected:
        totals[names.get(batch.state, "open_batches")] += 1
        totals.update(batch.outcomes)
    return dict(totals)


def collect_batch(
    engine: Engine, vendors: BatchVendors, batch_id: int, settings: Thresholds
) -> CollectedBatch:
    """Store all results of one batch. Running it again gives the same end.

    A batch that was adopted and proves to be a stranger's is given up and submitted again.

    Raises:
        BatchNotEnded: the vendor is still at it.
        ResultsCutShort, VendorBusy: run it again.
        BatchUnknown: the vendor does not know the batch (or our key), and its results may still be there.
        PriceUnknown: its model has no price on its day; nothing is stored.
    """
    with sql.batch_lock(engine, batch_id):
        with engine.connect() as conn:
            batch = sql.get_batch(conn, batch_id)
        if (
            batch.state in {"collected", "failed"}
            or batch.vendor_batch_id is None
            or batch.submitted_at is None
        ):
            return _outcome(engine, batch_id)
        vendor = vendors[batch.provider]
        progress = _look(vendor, batch.vendor_batch_id, batch.submitted_at)
        if not progress.ended:
            raise BatchNotEnded(f"batch {batch_id} ({batch.vendor_batch_id}) is still {progress.status}")
        ours = not batch.adopted or _confirmed(engine, vendor, batch, progress)
        if ours and progress.failure is not None:
            _give_back(engine, batch, progress)
        elif ours:
            with engine.begin() as conn:
                sql.mark_ended(conn, batch_id, progress.counts, progress.ended_at, file_ids=progress.file_ids)
            _store_all(engine, vendor, batch, progress, settings)
    if not ours:
        submit_batch(engine, vendors, batch_id, settings.llm)
    elif settings.llm.delete_vendor_files:
        # After the outcome is committed: what is deleted is of no more use.
        vendor.tidy((batch.input_file_id, *progress.file_ids))
    return _outcome(engine, batch_id)


def _look(vendor: BatchVendor, vendor_batch_id: str, submitted_at: datetime) -> BatchProgress:
    """Look once. A batch the vendor does not know counts as archived when it is that old."""
    try:
        return vendor.look(vendor_batch_id)
    except BatchUnknown:
        if datetime.now(UTC) < submitted_at + vendor.kept:
            raise
        return BatchProgress(vendor_batch_id, "gone", counts={}, ended=True, ended_at=None, archived=True)


def _give_back(engine: Engine, batch: BatchRow, progress: BatchProgress) -> None:
    """The vendor took the batch and worked on none of it: only requests with a bad line are at fault."""
    with engine.begin() as conn:
        lines = sql.custom_ids_at(conn, batch.batch_id, list(progress.bad_lines))
        bad = {custom_id: progress.bad_lines[line] for line, custom_id in lines.items()}
        sql.fail_batch(conn, batch.batch_id, str(progress.failure), bad)


def _confirmed(engine: Engine, vendor: BatchVendor, batch: BatchRow, progress: BatchProgress) -> bool:
    """Whether an adopted batch is ours by its ids. If not it is given up, or handed to the one it is of."""
    if progress.archived:
        return True
    custom_id = first_custom_id(vendor, progress, batch.endpoint)
    if custom_id is None:
        raise ResultsCutShort(f"batch {batch.batch_id}: no line of its results can be read; try again")
    with engine.begin() as conn:
        owner = sql.batch_of_custom_id(conn, custom_id)
        if owner == batch.batch_id:
            sql.confirm_adoption(conn, batch.batch_id)
            return True
    if owner is not None:
        with sql.batch_lock(engine, owner, wait_s=10), engine.begin() as conn:
            if sql.hand_over(conn, batch.batch_id, owner):
                return False
    with engine.begin() as conn:
        sql.undo_adoption(conn, batch.batch_id)
    return False


def _store_all(
    engine: Engine, vendor: BatchVendor, batch: BatchRow, progress: BatchProgress, settings: Thresholds
) -> None:
    price = price_of(settings.prices, batch.provider, batch.model, batch.run_date)
    gone = progress.archived
    passes = 0 if gone else settings.llm.collect_passes
    for _ in range(passes):
        try:
            for group in _groups(vendor.results(progress, batch.endpoint), settings.llm.collect_rows):
                with engine.begin() as conn:
                    _store(conn, batch, group, price, settings.llm.max_attempts)
        except ResultsGone:
            gone = True
            break
        with engine.connect() as conn:
            if not results_sql.any_unfinished(conn, batch.batch_id):
                break
    reason = "the vendor has deleted the results" if gone else "no readable line in the results"
    with engine.begin() as conn:
        results_sql.finish_missing(conn, batch.batch_id, reason, max_attempts=settings.llm.max_attempts)
        results_sql.mark_collected(conn, batch.batch_id)


def _store(
    conn: Connection,
    batch: BatchRow,
    group: Sequence[Result | Unreadable],
    price: Price,
    max_attempts: int,
) -> None:
    results = {result.custom_id: result for result in group if isinstance(result, Result)}
    ids = list(results)
    items = {item.custom_id: item for item in results_sql.unfinished_items(conn, batch.batch_id, ids)}
    known = results_sql.known_custom_ids(conn, batch.batch_id, ids)
    strangers = [
        Unreadable(custom_id, "a custom_id that is not in this batch")
        for custom_id in ids
        if custom_id not in known
    ]
    unreadable = [line for line in group if isinstance(line, Unreadable)] + strangers
    results_sql.quarantine(
        conn,
        batch.batch_id,
        [{"line_hash": each.line_hash, "line": each.line, "reason": each.reason} for each in unreadable],
    )
    rows = [_judged(item, results[custom_id]) for custom_id, item in items.items()]
    finished = results_sql.finish_items(conn, batch.batch_id, rows, max_attempts=max_attempts)
    answered = [
        Answered(item.request_id, item.attempt, usage)
        for custom_id, item in items.items()
        if (usage := results[custom_id].usage) is not None
    ]
    book(conn, answered, price=price, mode=Mode.BATCH, booked_on=batch.run_date, batch_id=batch.batch_id)
    succeeded = [request_id for request_id, state in finished if state == "succeeded"]
    llm_sql.store_creative_scores(conn, succeeded, purpose=scoring.PURPOSE)


def _judged(item: Item, result: Result) -> dict[str, Any]:
    """The row that a result becomes, its answer checked by what it was asked for."""
    if result.outcome != "succeeded":
        return _row(item.custom_id, result.outcome, passing=result.passing, error=result.flaw)
    if result.text is None and result.value is None:
        return _row(item.custom_id, "invalid", error=result.flaw, usage=result.raw_usage)
    try:
        answer = result.value if result.text is None else read_answer(item, result.text)
    except AnswerInvalid as flaw:
        return _row(item.custom_id, "invalid", error=str(flaw), usage=result.raw_usage)
    return _row(item.custom_id, "succeeded", answer=answer, usage=result.raw_usage)


def read_answer(item: Item, text: str) -> dict[str, Any]:
    """The answer to a purpose as it is stored.

    Raises:
        AnswerInvalid: it is not in the form that was asked for.
    """
    return tasks.read_answer(item.purpose, text, item.answer_schema)


def _row(
    custom_id: str,
    outcome: str,
    *,
    passing: bool = False,
    answer: dict[str, Any] | None = None,
    usage: dict[str, Any] | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    return {
        "custom_id": custom_id,
        "outcome": outcome,
        "passing": passing,
        "answer": answer,
        "usage": usage,
        "error": error,
    }


def _groups(lines: Iterable[Result | Unreadable], size: int) -> Iterator[list[Result | Unreadable]]:
    source = iter(lines)
    while group := list(islice(source, size)):
        yield group


def _outcome(engine: Engine, batch_id: int) -> CollectedBatch:
    with engine.connect() as conn:
        return CollectedBatch(
            batch_id, sql.get_batch(conn, batch_id).state, results_sql.outcome_counts(conn, batch_id)
        )
