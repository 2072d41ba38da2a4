"""How far the vendor is with a batch. Counts stay in `processing` until the whole batch has ended."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anthropic
from anthropic.types.messages import MessageBatch

from include.llm.errors import BatchUnknown, VendorBusy
from include.llm.vendor import in_our_words, vendor_errors

# How long the vendor keeps the results of a batch, from its creation on.
KEPT = timedelta(days=29)


@dataclass(frozen=True)
class BatchProgress:
    """One look at a vendor batch.

    Attributes:
        status: `in_progress`, `canceling` or `ended`.
        counts: requests by `processing`, `succeeded`, `errored`, `canceled`, `expired`.
        archived: the vendor has thrown the results away (`KEPT` after creation).
    """

    vendor_batch_id: str
    status: str
    counts: dict[str, int]
    ended_at: datetime | None
    archived: bool

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.status == "ended"


def counts_of(batch: MessageBatch) -> dict[str, int]:
    """Requests of a batch by what became of them; they always add up to its size."""
    counts = batch.request_counts
    return {
        "processing": counts.processing,
        "succeeded": counts.succeeded,
        "errored": counts.errored,
        "canceled": counts.canceled,
        "expired": counts.expired,
    }


def poll_batch(client: anthropic.Anthropic, vendor_batch_id: str) -> BatchProgress:
    """Look once.

    Raises:
        BatchUnknown: the vendor does not know it.
        VendorBusy, VendorRefused: there was no answer, or a refusal.
    """
    doing = f"asking for batch {vendor_batch_id}"
    with vendor_errors(doing):
        try:
            return _progress(client.messages.batches.retrieve(vendor_batch_id))
        except anthropic.NotFoundError as error:
            raise BatchUnknown(str(in_our_words(error, doing))) from error


def poll_submitted(
    client: anthropic.Anthropic, vendor_batch_id: str, submitted_at: datetime
) -> BatchProgress:
    """Look once at a batch that was with the vendor. An unknown one counts as archived when it is that old.

    Raises:
        BatchUnknown: its results may still be there, for the right key and host.
        VendorBusy, VendorRefused: as `poll_batch`.
    """
    try:
        return poll_batch(client, vendor_batch_id)
    except BatchUnknown:
        if datetime.now(UTC) < submitted_at + KEPT:
            raise
        return BatchProgress(vendor_batch_id, "ended", counts={}, ended_at=None, archived=True)


async def poll_batch_async(client: anthropic.AsyncAnthropic, vendor_batch_id: str) -> BatchProgress:
    """Look once, from an event loop. Raises what `poll_batch` raises."""
    with vendor_errors(f"asking for batch {vendor_batch_id}"):
        return _progress(await client.messages.batches.retrieve(vendor_batch_id))


def cancel_batch(client: anthropic.Anthropic, vendor_batch_id: str) -> BatchProgress:
    """Ask the vendor to stop. What is done already stays collectable, and is charged.

    Raises:
        VendorBusy, VendorRefused: there was no answer, or a refusal. Being too late is none.
    """
    with vendor_errors(f"cancelling batch {vendor_batch_id}"):
        try:
            return _progress(client.messages.batches.cancel(vendor_batch_id))
        except anthropic.BadRequestError:
            return poll_batch(client, vendor_batch_id)


async def cancel_batch_async(client: anthropic.AsyncAnthropic, vendor_batch_id: str) -> BatchProgress:
    """The same from an event loop."""
    with vendor_errors(f"cancelling batch {vendor_batch_id}"):
        try:
            return _progress(await client.messages.batches.cancel(vendor_batch_id))
        except anthropic.BadRequestError:
            return await poll_batch_async(client, vendor_batch_id)


def _progress(batch: MessageBatch) -> BatchProgress:
    # The SDK hands on as text what does not call itself JSON, such as the page of a proxy.
    if not isinstance(batch, MessageBatch):
        raise VendorBusy("anthropic: what answered is no batch; check host of connection anthropic_default")
    return BatchProgress(
        vendor_batch_id=batch.id,
        status=batch.processing_status,
        counts=counts_of(batch),
        ended_at=batch.ended_at,
        archived=batch.archived_at is not None,
    )
