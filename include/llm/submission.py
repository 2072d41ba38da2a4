"""Posting a batch exactly once, although no vendor knows an idempotency key.

Before a post, `post_started_at` is committed. Whoever finds an intent that has it looks first among the
vendor's batches. Where a batch carries our intent (OpenAI), the one that does is ours. Where it cannot
(Anthropic), it is one created since then, of the same size, and nobody's yet: adopted for the time being
(`collection` checks its ids when the results are there). Only when nothing fits, and a post that was cut off
has had time to arrive, is it posted again. The SDK's own retries are off for the post, and an advisory lock
keeps two workers from the same batch. Should the lock be lost with its connection, only the first of two to
note the start of a post may make it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from sqlalchemy import Engine

from include.config.llm import LlmThresholds
from include.db import llm_batches as sql
from include.db.llm_batches import BatchRow
from include.errors import NightshiftError
from include.llm.errors import (
    BatchRefused,
    BatchSubmissionUnknown,
    NoUsableAnswer,
    VendorBusy,
    VendorNotConnected,
    VendorRefused,
    VendorSaidNo,
)
from include.llm.spool import spooled_body
from include.llm.vendors import BatchProgress, BatchVendor, BatchVendors, Result, VendorBatch

# More than any account creates while one post is on its way.
MOST_LOOKED_AT = 10_000


class Way(StrEnum):
    """How a batch came to be with the vendor."""

    POSTED = "posted"
    ADOPTED = "adopted"
    ALREADY = "already"


@dataclass(frozen=True)
class Submitted:
    """A batch the vendor has."""

    batch_id: int
    vendor: str
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
    engine: Engine, vendors: BatchVendors, batch_ids: Sequence[int], settings: LlmThresholds
) -> Submissions:
    """Bring every batch to its vendor. One that is refused is put aside and does not hold up the others.

    Raises:
        VendorRefused: key or account are wrong, or every batch was refused.
        VendorNotConnected: a vendor has no connection; the batches of the others have left.
        VendorBusy, BatchSubmissionUnknown: run it again; what was submitted stays so.
    """
    submitted: list[Submitted] = []
    refusals: list[str] = []
    troubles: dict[str, NightshiftError] = {}
    for batch_id in batch_ids:
        with engine.connect() as conn:
            vendor = sql.get_batch(conn, batch_id).provider
        # One vendor in trouble is left alone, and does not keep the other from its batches.
        if vendor in troubles:
            continue
        try:
            submitted.append(submit_batch(engine, vendors, batch_id, settings))
        except BatchRefused as refusal:
            refusals.append(str(refusal))
        except (VendorRefused, VendorNotConnected, VendorBusy, BatchSubmissionUnknown) as error:
            troubles[vendor] = error
    if troubles:
        raise next(iter(troubles.values()))
    if refusals and not submitted:
        raise VendorRefused(refusals[0])
    return Submissions(tuple(submitted), tuple(refusals))


def submit_batch(engine: Engine, vendors: BatchVendors, batch_id: int, settings: LlmThresholds) -> Submitted:
    """Bring one batch to its vendor, unless it is there already.

    Raises:
        BatchRefused: the vendor does not take this batch; its requests are queued again.
        VendorRefused: the vendor does not take anything from us; the batch waits as it is.
        VendorNotConnected: the vendor has no connection.
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
        vendor = vendors[batch.provider]
        if batch.post_started_at is not None and _adopt_lost(engine, vendor, batch, settings, patient=True):
            return _submitted(engine, batch_id, Way.ADOPTED)
        return _post(engine, vendor, batch, settings)


def _post(engine: Engine, vendor: BatchVendor, batch: BatchRow, settings: LlmThresholds) -> Submitted:
    with spooled_body(engine, vendor, batch) as spool:
        file_id = batch.input_file_id
        if file_id is None or not vendor.has_upload(file_id):
            file_id = vendor.upload(batch, spool)
            if file_id is not None:
                with engine.begin() as conn:
                    sql.remember_upload(conn, batch.batch_id, file_id)
        with engine.begin() as conn:
            if not sql.begin_posting(conn, batch.batch_id, batch.post_started_at):
                raise _changed_hands(batch.batch_id)
        try:
            created = vendor.create(batch, spool, file_id)
        except VendorSaidNo as no:
            raise _not_taken(engine, batch, no) from no
        except NoUsableAnswer as silence:
            return _after_silence(engine, vendor, batch, settings, silence)
    with engine.begin() as conn:
        sql.mark_submitted(conn, batch.batch_id, created.vendor_batch_id, created.created_at, adopted=False)
    return _submitted(engine, batch.batch_id, Way.POSTED)


def _not_taken(engine: Engine, batch: BatchRow, no: VendorSaidNo) -> VendorRefused | VendorBusy:
    """Record that the vendor said no, and return what to raise."""
    with engine.begin() as conn:
        if no.about_the_batch:
            sql.fail_batch(conn, batch.batch_id, str(no))
            return BatchRefused(f"{no}; its requests are queued again for another night")
        sql.forget_posting(conn, batch.batch_id, str(no))
    return VendorBusy(str(no)) if no.passing else VendorRefused(str(no))


def _after_silence(
    engine: Engine, vendor: BatchVendor, batch: BatchRow, settings: LlmThresholds, silence: Exception
) -> Submitted:
    with engine.connect() as conn:
        posted = sql.get_batch(conn, batch.batch_id)
    if _adopt_lost(engine, vendor, posted, settings, patient=False):
        return _submitted(engine, batch.batch_id, Way.ADOPTED)
    raise BatchSubmissionUnknown(
        f"batch {batch.batch_id}: posted {batch.request_count} requests to {vendor.name} and got no usable "
        f"answer ({silence}), and the vendor lists no such batch yet; the next attempt looks again before it "
        "posts"
    ) from silence


def _adopt_lost(
    engine: Engine, vendor: BatchVendor, batch: BatchRow, settings: LlmThresholds, *, patient: bool
) -> bool:
    """Look for a batch whose post was never answered, and take it over. False: the vendor has none like it.

    A patient look is repeated once after `settle_s`. They count from now and not from the start of the post,
    which may have gone on until its worker was killed a moment ago.
    """
    found = _find_lost(engine, vendor, batch, settings)
    if found is None and patient and settings.settle_s > 0:
        time.sleep(settings.settle_s)
        found = _find_lost(engine, vendor, batch, settings)
    if found is None:
        return False
    with engine.begin() as conn:
        sql.mark_submitted(
            conn,
            batch.batch_id,
            found.vendor_batch_id,
            found.created_at,
            adopted=not vendor.intent_is_kept,
        )
    return True


def _find_lost(
    engine: Engine, vendor: BatchVendor, batch: BatchRow, settings: LlmThresholds
) -> VendorBatch | None:
    if batch.post_started_at is None:
        return None
    started = batch.post_started_at
    since = started - timedelta(seconds=settings.clock_tolerance_s)
    recent = islice(vendor.recent(since), MOST_LOOKED_AT)
    if vendor.intent_is_kept:
        return next((each for each in recent if each.intent == str(batch.intent_key)), None)
    fitting = [
        each
        for each in recent
        if each.size == batch.request_count and each.vendor_batch_id not in batch.not_ours
    ]
    with engine.connect() as conn:
        owned = sql.owned_vendor_ids(conn, [each.vendor_batch_id for each in fitting])
    # Where several fit, the one created nearest to our post is the likeliest. An ended one proves itself
    # here, the others when they are collected.
    for each in sorted(fitting, key=lambda each: abs(each.created_at - started)):
        if each.vendor_batch_id not in owned and (
            not each.readable or _carries_our_ids(engine, vendor, batch, each)
        ):
            return each
    return None


def _carries_our_ids(engine: Engine, vendor: BatchVendor, batch: BatchRow, listed: VendorBatch) -> bool:
    custom_id = first_custom_id(vendor, vendor.look(listed.vendor_batch_id), batch.endpoint)
    if custom_id is None:
        return True
    with engine.connect() as conn:
        return sql.batch_of_custom_id(conn, custom_id) == batch.batch_id


def first_custom_id(vendor: BatchVendor, progress: BatchProgress, endpoint: str) -> str | None:
    """The first id that can be read in the results of an ended batch; `None` where there is none."""
    readable = (each for each in vendor.results(progress, endpoint) if isinstance(each, Result))
    return next((each.custom_id for each in readable), None)


def _submitted(engine: Engine, batch_id: int, way: Way) -> Submitted:
    with engine.connect() as conn:
        batch = sql.get_batch(conn, batch_id)
    if batch.vendor_batch_id is None or batch.submitted_at is None:
        raise _changed_hands(batch_id)
    return Submitted(
        batch_id, batch.provider, batch.vendor_batch_id, batch.request_count, batch.submitted_at, way
    )


def _changed_hands(batch_id: int) -> BatchSubmissionUnknown:
    return BatchSubmissionUnknown(f"batch {batch_id} changed hands while it was submitted; try again")
