"""Posting a batch exactly once, although the vendor knows no idempotency key.

Before a post, `post_started_at` is committed. Whoever finds an intent that has it looks first among the
vendor's batches: created since then, of the same size, and nobody's yet. One that fits is adopted, for the
time being where it cannot be read yet (`collection` checks its ids when the results are there). Only when
nothing fits, and a post that was cut off has had time to arrive, is it posted again. The SDK's own retries
are off for the post, and an advisory lock keeps two workers from the same batch. Should the lock be lost with
its connection, only the first of two to note the start of a post may make it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import anthropic
from anthropic.types.messages import MessageBatch
from sqlalchemy import Engine

from include.config.model import LlmThresholds
from include.db import llm_batches as sql
from include.db.llm_batches import BatchRow
from include.llm.errors import BatchRefused, BatchSubmissionUnknown, VendorBusy, VendorRefused
from include.llm.progress import counts_of
from include.llm.results import first_custom_id
from include.llm.vendor import in_our_words, vendor_errors

# What these say is about the batch and not about us: it will not be taken tomorrow either.
REFUSING_STATUS = {400, 413, 422}
LIST_PAGE = 100


class Way(StrEnum):
    """How a batch came to be with the vendor."""

    POSTED = "posted"
    ADOPTED = "adopted"
    ALREADY = "already"


@dataclass(frozen=True)
class Submitted:
    """A batch the vendor has."""

    batch_id: int
    vendor_batch_id: str
    requests: int
    submitted_at: datetime
    way: Way


@dataclass(frozen=True)
class Submissions:
    """What became of all batches of a night: those the vendor has, and why it refused others."""

    submitted: tuple[Submitted, ...]
    refusals: tuple[str, ...]

    def wait_until(self, settings: LlmThresholds) -> str | None:
        """ISO time until which to wait for the last of them; `None` where there is none."""
        if not self.submitted:
            return None
        last = max(batch.submitted_at for batch in self.submitted)
        return (last + timedelta(hours=settings.batch_deadline_hours)).isoformat()


def submit_batches(
    engine: Engine, client: anthropic.Anthropic, batch_ids: Sequence[int], settings: LlmThresholds
) -> Submissions:
    """Bring every batch to the vendor. One it refuses is put aside and does not hold up the others.

    Raises:
        VendorRefused: key or account are wrong, or every batch was refused.
        VendorBusy, BatchSubmissionUnknown: run it again; what was submitted stays so.
    """
    submitted: list[Submitted] = []
    refusals: list[str] = []
    for batch_id in batch_ids:
        try:
            submitted.append(submit_batch(engine, client, batch_id, settings))
        except BatchRefused as refusal:
            refusals.append(str(refusal))
    if refusals and not submitted:
        raise VendorRefused(refusals[0])
    return Submissions(tuple(submitted), tuple(refusals))


def submit_batch(
    engine: Engine, client: anthropic.Anthropic, batch_id: int, settings: LlmThresholds
) -> Submitted:
    """Bring one batch to the vendor, unless it is there already.

    Raises:
        BatchRefused: the vendor does not take this batch; its requests are queued again.
        VendorRefused: the vendor does not take anything from us; the batch waits as it is.
        VendorBusy: not taken now, for certain.
        BatchSubmissionUnknown: posted, no answer, and not found by looking. Run it again.
    """
    with sql.batch_lock(engine, batch_id):
        with engine.connect() as conn:
            batch = sql.get_batch(conn, batch_id)
        if batch.state == "failed":
            raise BatchRefused(
                f"batch {batch_id} was refused by the vendor before; its requests are queued again"
            )
        if batch.vendor_batch_id is not None:
            return _submitted(engine, batch_id, Way.ALREADY)
        if batch.post_started_at is not None and _adopt_lost(engine, client, batch, settings, patient=True):
            return _submitted(engine, batch_id, Way.ADOPTED)
        return _post(engine, client, batch, settings)


def _post(engine: Engine, client: anthropic.Anthropic, batch: BatchRow, settings: LlmThresholds) -> Submitted:
    with engine.begin() as conn:
        requests = [
            {"custom_id": custom_id, "params": params}
            for custom_id, params in sql.batch_requests(conn, batch.batch_id)
        ]
        if not sql.begin_posting(conn, batch.batch_id, batch.post_started_at):
            raise _changed_hands(batch.batch_id)
    try:
        created = client.with_options(
            max_retries=0, timeout=settings.submit_timeout_s
        ).messages.batches.create(requests=requests)  # type: ignore[arg-type]
        if not isinstance(created, MessageBatch) or not isinstance(created.id, str):
            raise ValueError("the answer names no batch")
    except anthropic.APIStatusError as error:
        if error.status_code < 500 and error.status_code not in {408, 409}:
            raise _not_taken(engine, batch, error) from error
        return _after_silence(engine, client, batch, settings, error)
    except (anthropic.APIError, ValueError) as error:
        return _after_silence(engine, client, batch, settings, error)
    with engine.begin() as conn:
        sql.mark_submitted(conn, batch.batch_id, created.id, created.created_at, adopted=False)
    return _submitted(engine, batch.batch_id, Way.POSTED)


def _not_taken(
    engine: Engine, batch: BatchRow, error: anthropic.APIStatusError
) -> VendorRefused | VendorBusy:
    """Record that the vendor said no, and return what to raise."""
    doing = f"posting batch {batch.batch_id} of {batch.request_count} requests"
    said = in_our_words(error, doing)
    with engine.begin() as conn:
        if error.status_code in REFUSING_STATUS:
            sql.refuse_batch(conn, batch.batch_id, str(said))
            return BatchRefused(f"{said}; its requests are queued again for another night")
        sql.forget_posting(conn, batch.batch_id, str(said))
    return VendorBusy(str(said)) if isinstance(said, VendorBusy) else VendorRefused(str(said))


def _after_silence(
    engine: Engine, client: anthropic.Anthropic, batch: BatchRow, settings: LlmThresholds, error: Exception
) -> Submitted:
    with engine.connect() as conn:
        posted = sql.get_batch(conn, batch.batch_id)
    if _adopt_lost(engine, client, posted, settings, patient=False):
        return _submitted(engine, batch.batch_id, Way.ADOPTED)
    raise BatchSubmissionUnknown(
        f"batch {batch.batch_id}: posted {batch.request_count} requests and got no usable answer "
        f"({type(error).__name__}: {error}), and the vendor lists no such batch yet; the next attempt looks "
        "again before it posts"
    ) from error


def _adopt_lost(
    engine: Engine, client: anthropic.Anthropic, batch: BatchRow, settings: LlmThresholds, *, patient: bool
) -> bool:
    """Look for a batch whose post was never answered, and take it over. False: the vendor has none like it.

    A patient look is repeated once after `settle_s`. They count from now and not from the start of the post,
    which may have gone on until its worker was killed a moment ago.
    """
    found = _find_lost(engine, client, batch, settings)
    if found is None and patient and settings.settle_s > 0:
        time.sleep(settings.settle_s)
        found = _find_lost(engine, client, batch, settings)
    if found is None:
        return False
    with engine.begin() as conn:
        sql.mark_submitted(conn, batch.batch_id, found.id, found.created_at, adopted=True)
    return True


def _find_lost(
    engine: Engine, client: anthropic.Anthropic, batch: BatchRow, settings: LlmThresholds
) -> MessageBatch | None:
    if batch.post_started_at is None:
        return None
    since = batch.post_started_at - timedelta(seconds=settings.clock_tolerance_s)
    fitting: list[MessageBatch] = []
    with vendor_errors(f"listing batches to find the lost batch {batch.batch_id}"):
        for listed in client.messages.batches.list(limit=LIST_PAGE):
            if listed.created_at < since:
                break
            if sum(counts_of(listed).values()) == batch.request_count and listed.id not in batch.not_ours:
                fitting.append(listed)
    with engine.connect() as conn:
        owned = sql.owned_vendor_ids(conn, [each.id for each in fitting])
    # Where several fit, the one created nearest to our post is the likeliest. An ended one proves itself
    # here, the others when they are collected.
    started = batch.post_started_at
    for each in sorted(fitting, key=lambda each: abs(each.created_at - started)):
        if each.id not in owned and (
            each.results_url is None or _carries_our_ids(engine, client, batch, each)
        ):
            return each
    return None


def _carries_our_ids(
    engine: Engine, client: anthropic.Anthropic, batch: BatchRow, listed: MessageBatch
) -> bool:
    custom_id = first_custom_id(client, listed.id)
    if custom_id is None:
        return True
    with engine.connect() as conn:
        return sql.batch_of_custom_id(conn, custom_id) == batch.batch_id


def _submitted(engine: Engine, batch_id: int, way: Way) -> Submitted:
    with engine.connect() as conn:
        batch = sql.get_batch(conn, batch_id)
    if batch.vendor_batch_id is None or batch.submitted_at is None:
        raise _changed_hands(batch_id)
    return Submitted(batch_id, batch.vendor_batch_id, batch.request_count, batch.submitted_at, way)


def _changed_hands(batch_id: int) -> BatchSubmissionUnknown:
    return BatchSubmissionUnknown(f"batch {batch_id} changed hands while it was submitted; try again")
