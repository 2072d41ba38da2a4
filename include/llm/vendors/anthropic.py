"""Anthropic's Message Batches.

The vendor takes no key of ours and no metadata: a lost batch is found by its time and size, and proved ours
by the custom ids in its results. Counts stay in `processing` until the whole batch has ended.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import IO, Any, cast

import anthropic
from anthropic.types.messages import MessageBatch

from include.db.llm_batches import BatchRow
from include.llm.errors import BatchUnknown, VendorBusy
from include.llm.prices import Usage
from include.llm.vendors.base import (
    BatchProgress,
    Result,
    Unreadable,
    VendorBatch,
    in_text,
    lines_of,
    storable,
)
from include.llm.vendors.errors import (
    creation_errors,
    download_errors,
    in_our_words,
    sendable,
    vendor_errors,
)

NAME = "anthropic"
CONNECTION = "anthropic_default"
LIST_PAGE = 100
# Errors about the request itself; all others may pass.
PERMANENT_ERRORS = {"invalid_request_error", "not_found_error", "permission_error", "request_too_large"}
# The vendor reports an empty account as an invalid request.
NO_CREDIT = "credit balance"
FINISHED = {"end_turn", "stop_sequence"}
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def anthropic_client(base_url: str, api_key: str, *, timeout_s: float) -> anthropic.Anthropic:
    """A client; reads are retried twice by the SDK, creation of batches never is.

    Raises:
        VendorRefused: the key cannot be one.
    """
    key = sendable(api_key, CONNECTION)
    return anthropic.Anthropic(base_url=base_url or None, api_key=key, timeout=timeout_s)


def async_anthropic_client(base_url: str, api_key: str, *, timeout_s: float) -> anthropic.AsyncAnthropic:
    """The same for event loops. Close it: `async with async_anthropic_client(...) as client`."""
    key = sendable(api_key, CONNECTION)
    return anthropic.AsyncAnthropic(base_url=base_url or None, api_key=key, timeout=timeout_s)


class AnthropicBatches:
    """See `BatchVendor`.

    Args:
        submit_timeout_s: a full batch is 256 MB to upload.
    """

    name = NAME
    kept = timedelta(days=29)
    intent_is_kept = False

    def __init__(self, client: anthropic.Anthropic, *, submit_timeout_s: float = 300.0) -> None:
        self.client = client
        self.submit_timeout_s = submit_timeout_s

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def __enter__(self) -> "AnthropicBatches":
        return self

    def body(self, batch: BatchRow, requests: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
        """One JSON document, written as it goes."""
        yield b'{"requests":['
        for number, (custom_id, params) in enumerate(requests):
            request = {"custom_id": custom_id, "params": params}
            yield (b"," if number else b"") + _json(request)
        yield b"]}"

    def upload(self, batch: BatchRow, spool: IO[bytes]) -> None:
        """Nothing: the body travels with the batch."""

    def has_upload(self, file_id: str) -> bool:
        """There are no uploads."""
        return False

    def create(self, batch: BatchRow, spool: IO[bytes], file_id: str | None) -> VendorBatch:
        """One POST."""
        client = self.client.with_options(max_retries=0, timeout=self.submit_timeout_s)
        with creation_errors(NAME, f"posting batch {batch.batch_id} of {batch.request_count} requests"):
            # The SDK's own `batches.create` would hold the whole batch in memory, twice.
            created = client.post(
                "/v1/messages/batches",
                cast_to=MessageBatch,
                content=spool,
                options={"headers": {"content-type": "application/json"}},
            )
            if not isinstance(created, MessageBatch) or not isinstance(created.id, str):
                raise ValueError("the answer names no batch")
            return _listed(created)

    def recent(self, since: datetime) -> Iterator[VendorBatch]:
        """Newest first, until one is older."""
        with vendor_errors(NAME, "listing batches to find a lost one"):
            for listed in self.client.messages.batches.list(limit=LIST_PAGE):
                if listed.created_at < since:
                    return
                yield _listed(listed)

    def look(self, vendor_batch_id: str) -> BatchProgress:
        """See `BatchVendor`."""
        doing = f"asking for batch {vendor_batch_id}"
        with vendor_errors(NAME, doing):
            try:
                return _progress(self.client.messages.batches.retrieve(vendor_batch_id))
            except anthropic.NotFoundError as error:
                raise BatchUnknown(str(in_our_words(NAME, error, doing))) from error

    def cancel(self, vendor_batch_id: str) -> BatchProgress:
        """See `BatchVendor`."""
        with vendor_errors(NAME, f"cancelling batch {vendor_batch_id}"):
            try:
                return _progress(self.client.messages.batches.cancel(vendor_batch_id))
            except anthropic.BadRequestError:
                return self.look(vendor_batch_id)

    def results(self, progress: BatchProgress, endpoint: str) -> Iterator[Result | Unreadable]:
        """See `BatchVendor`."""
        batch_id = progress.vendor_batch_id
        with (
            download_errors(f"batch {batch_id}"),
            vendor_errors(NAME, f"downloading results of batch {batch_id}"),
            self.client.messages.batches.with_streaming_response.results(batch_id) as response,
        ):
            yield from map(read_line, lines_of(response.iter_bytes()))

    def tidy(self, file_ids: Iterable[str | None]) -> None:
        """The vendor tidies by itself."""


class AsyncAnthropicBatches:
    """See `AsyncBatchVendor`. A failed look is the caller's affair: the SDK does not retry it."""

    def __init__(self, client: anthropic.AsyncAnthropic, *, timeout_s: float) -> None:
        self._client = client.with_options(max_retries=0, timeout=timeout_s)

    async def __aenter__(self) -> "AsyncAnthropicBatches":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()

    async def look(self, vendor_batch_id: str) -> BatchProgress:
        """Look once."""
        with vendor_errors(NAME, f"asking for batch {vendor_batch_id}"):
            return _progress(await self._client.messages.batches.retrieve(vendor_batch_id))

    async def cancel(self, vendor_batch_id: str) -> BatchProgress:
        """Ask to stop."""
        with vendor_errors(NAME, f"cancelling batch {vendor_batch_id}"):
            try:
                return _progress(await self._client.messages.batches.cancel(vendor_batch_id))
            except anthropic.BadRequestError:
                return await self.look(vendor_batch_id)


def read_line(line: bytes) -> Result | Unreadable:
    """What one line says.

    >>> read_line(b'{"custom_id": "b1-r1-0", "result": {"type": "expired"}}').passing
    True
    >>> read_line(b'{"custom_id": "b1').reason
    'not JSON: Unterminated string starting at'
    """
    text = in_text(line)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Unreadable(text, f"not JSON: {getattr(error, 'msg', error)}")
    try:
        custom_id, result = value["custom_id"], value["result"]
        if not CUSTOM_ID.fullmatch(custom_id):
            raise ValueError("custom_id is none of ours")
        match result["type"]:
            case "succeeded":
                return _succeeded(custom_id, result["message"])
            case "errored":
                return _errored(custom_id, result["error"]["error"])
            case "expired":
                return Result(custom_id, "expired", passing=True, flaw="expired before the vendor came to it")
            case "canceled":
                return Result(
                    custom_id, "cancelled", passing=True, flaw="cancelled before the vendor came to it"
                )
            case other:
                return Unreadable(text, f"unknown result type {other!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Unreadable(text, f"not a result: {type(error).__name__} {error}")


def read_message(message: dict[str, Any]) -> Result:
    """What the answer to a live call says. Raises `KeyError` and the like where it is none."""
    return _succeeded("live", message)


def _succeeded(custom_id: str, message: dict[str, Any]) -> Result:
    usage = Usage.of_message(message["usage"])
    stop_reason = message["stop_reason"]
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    flaw = None
    if stop_reason == "max_tokens":
        flaw = "the answer was cut off at max_tokens"
    elif stop_reason not in FINISHED:
        flaw = f"the model did not finish: stop_reason {stop_reason}"
    elif text != storable(text):
        flaw = "the answer holds characters that are no text"
    return Result(
        custom_id,
        "succeeded",
        text=None if flaw else text,
        flaw=flaw,
        usage=usage,
        raw_usage=message["usage"],
    )


def _errored(custom_id: str, error: dict[str, Any]) -> Result:
    kind, message = str(error["type"]), str(error["message"])
    passing = kind not in PERMANENT_ERRORS or NO_CREDIT in message.lower()
    return Result(custom_id, "errored", passing=passing, flaw=storable(f"{kind}: {message}")[:1000])


def _listed(batch: MessageBatch) -> VendorBatch:
    return VendorBatch(
        vendor_batch_id=batch.id,
        created_at=batch.created_at,
        size=sum(_counts(batch).values()),
        intent=None,
        readable=batch.results_url is not None,
    )


def _progress(batch: MessageBatch) -> BatchProgress:
    # The SDK hands on as text what does not call itself JSON, such as the page of a proxy.
    if not isinstance(cast(Any, batch), MessageBatch):
        raise VendorBusy(f"{NAME}: what answered is no batch; check host of connection {CONNECTION}")
    return BatchProgress(
        vendor_batch_id=batch.id,
        status=batch.processing_status,
        counts=_counts(batch),
        ended=batch.processing_status == "ended",
        ended_at=batch.ended_at,
        archived=batch.archived_at is not None,
    )


def _counts(batch: MessageBatch) -> dict[str, int]:
    """Requests of a batch by what became of them; they always add up to its size."""
    counts = batch.request_counts
    return {
        "processing": counts.processing,
        "succeeded": counts.succeeded,
        "errored": counts.errored,
        "cancelled": counts.canceled,
        "expired": counts.expired,
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
