"""OpenAI's Batch API: a file of lines is uploaded, a batch is made of it, results come as up to two files.

A batch carries our intent as metadata, so that one whose answer was lost is found for certain. It can fail
after it was accepted, because of one bad line or because too many tokens are enqueued. An ended batch may
have no output, and ids of files that are not there are null or empty.
"""

import base64
import contextlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, Any, cast

import numpy as np
import openai
from openai.types import Batch

from include.db.llm_batches import BatchRow
from include.llm.errors import BatchUnknown, ResultsGone, VendorBusy
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

NAME = "openai"
CONNECTION = "openai_default"
INTENT = "nightshift_intent"
LIST_PAGE = 100
ENDED = {"completed", "failed", "expired", "cancelled"}
CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
# Codes of an account that has to be topped up: the same request is fine later.
NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached"}
UNDONE = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


def openai_client(base_url: str, api_key: str, *, timeout_s: float) -> openai.OpenAI:
    """A client; reads are retried twice by the SDK, creation of batches never is.

    Raises:
        VendorRefused: the key cannot be one.
    """
    key = sendable(api_key, CONNECTION)
    return openai.OpenAI(base_url=base_url or None, api_key=key, timeout=timeout_s)


def async_openai_client(base_url: str, api_key: str, *, timeout_s: float) -> openai.AsyncOpenAI:
    """The same for event loops. Close it: `async with async_openai_client(...) as client`."""
    key = sendable(api_key, CONNECTION)
    return openai.AsyncOpenAI(base_url=base_url or None, api_key=key, timeout=timeout_s)


class OpenAIBatches:
    """See `BatchVendor`.

    Args:
        submit_timeout_s: a full file is 200 MB to upload.
    """

    name = NAME
    kept = timedelta(days=30)
    intent_is_kept = True

    def __init__(self, client: openai.OpenAI, *, submit_timeout_s: float = 300.0) -> None:
        self.client = client
        self.submit_timeout_s = submit_timeout_s

    def __enter__(self) -> "OpenAIBatches":
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def body(self, batch: BatchRow, requests: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
        """A line a request."""
        for custom_id, params in requests:
            line = {"custom_id": custom_id, "method": "POST", "url": batch.endpoint, "body": params}
            yield json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def upload(self, batch: BatchRow, spool: IO[bytes]) -> str:
        """Upload the file; the SDK retries by itself, since an upload costs nothing."""
        client = self.client.with_options(timeout=self.submit_timeout_s)
        with vendor_errors(NAME, f"uploading the {batch.request_count} requests of batch {batch.batch_id}"):
            uploaded = client.files.create(file=(f"{batch.intent_key}.jsonl", spool), purpose="batch")
        file_id = getattr(uploaded, "id", None)
        if not isinstance(file_id, str):
            raise VendorBusy(f"{NAME}: what answered is no file; check host of connection {CONNECTION}")
        return file_id

    def has_upload(self, file_id: str) -> bool:
        """Whether an upload is still there."""
        with vendor_errors(NAME, f"asking for file {file_id}"):
            try:
                self.client.files.retrieve(file_id)
            except openai.NotFoundError:
                return False
        return True

    def create(self, batch: BatchRow, spool: IO[bytes], file_id: str | None) -> VendorBatch:
        """One POST."""
        client = self.client.with_options(max_retries=0, timeout=self.submit_timeout_s)
        with creation_errors(NAME, f"posting batch {batch.batch_id} of {batch.request_count} requests"):
            created = client.batches.create(
                input_file_id=str(file_id),
                endpoint=cast(Any, batch.endpoint),
                completion_window="24h",
                metadata={INTENT: str(batch.intent_key)},
            )
            if not isinstance(cast(Any, created), Batch) or not isinstance(created.id, str):
                raise ValueError("the answer names no batch")
            return _listed(created)

    def recent(self, since: datetime) -> Iterator[VendorBatch]:
        """Newest first, until one is older."""
        with vendor_errors(NAME, "listing batches to find a lost one"):
            for batch in self.client.batches.list(limit=LIST_PAGE):
                listed = _listed(batch)
                # The vendor tells times in whole seconds.
                if listed.created_at < since - timedelta(seconds=1):
                    return
                yield listed

    def look(self, vendor_batch_id: str) -> BatchProgress:
        """See `BatchVendor`."""
        doing = f"asking for batch {vendor_batch_id}"
        with vendor_errors(NAME, doing):
            try:
                return _progress(self.client.batches.retrieve(vendor_batch_id))
            except openai.NotFoundError as error:
                raise BatchUnknown(str(in_our_words(NAME, error, doing))) from error

    def cancel(self, vendor_batch_id: str) -> BatchProgress:
        """See `BatchVendor`."""
        with vendor_errors(NAME, f"cancelling batch {vendor_batch_id}"):
            try:
                return _progress(self.client.batches.cancel(vendor_batch_id))
            except (openai.ConflictError, openai.BadRequestError):
                return self.look(vendor_batch_id)

    def results(self, progress: BatchProgress, endpoint: str) -> Iterator[Result | Unreadable]:
        """Both files; one that is not there holds nothing."""
        for file_id in filter(None, progress.file_ids):
            with download_errors(f"batch {progress.vendor_batch_id}"), self._content(file_id) as response:
                yield from (read_line(line, endpoint) for line in lines_of(response.iter_bytes()))

    @contextlib.contextmanager
    def _content(self, file_id: str) -> Iterator[Any]:
        doing = f"downloading results from file {file_id}"
        with vendor_errors(NAME, doing):
            try:
                with self.client.files.with_streaming_response.content(file_id) as response:
                    yield response
            except openai.NotFoundError as error:
                raise ResultsGone(f"{NAME}: {doing}: the vendor has deleted it") from error

    def tidy(self, file_ids: Iterable[str | None]) -> None:
        """Delete files of ours; they would count against the account's storage."""
        for file_id in filter(None, file_ids):
            with contextlib.suppress(openai.APIError):
                self.client.files.delete(file_id)


class AsyncOpenAIBatches:
    """See `AsyncBatchVendor`. A failed look is the caller's affair: the SDK does not retry it."""

    def __init__(self, client: openai.AsyncOpenAI, *, timeout_s: float) -> None:
        self._client = client.with_options(max_retries=0, timeout=timeout_s)

    async def __aenter__(self) -> "AsyncOpenAIBatches":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()

    async def look(self, vendor_batch_id: str) -> BatchProgress:
        """Look once."""
        with vendor_errors(NAME, f"asking for batch {vendor_batch_id}"):
            return _progress(await self._client.batches.retrieve(vendor_batch_id))

    async def cancel(self, vendor_batch_id: str) -> BatchProgress:
        """Ask to stop."""
        with vendor_errors(NAME, f"cancelling batch {vendor_batch_id}"):
            try:
                return _progress(await self._client.batches.cancel(vendor_batch_id))
            except (openai.ConflictError, openai.BadRequestError):
                return await self.look(vendor_batch_id)


def read_line(line: bytes, endpoint: str) -> Result | Unreadable:
    """What one line of an output or error file says.

    >>> bad = b'{"custom_id": "b1-r1-0", "response": null, "error": {"code": "batch_expired", "message":
    "late"}}'
    >>> read_line(bad, "/v1/responses").outcome
    'expired'
    """
    text = in_text(line)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Unreadable(text, f"not JSON: {getattr(error, 'msg', error)}")
    try:
        custom_id, response = value["custom_id"], value.get("response")
        if not isinstance(custom_id, str) or not custom_id:
            raise ValueError("custom_id is no text")
        if response is None:
            return _undone(custom_id, value["error"])
        status, body = response["status_code"], response["body"]
        if not 200 <= status < 300:
            return _errored(custom_id, status, body)
        return _READERS[endpoint](custom_id, body)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as flaw:
        return Unreadable(text, f"not a result: {type(flaw).__name__} {flaw}")


def read_reply(body: dict[str, Any], endpoint: str) -> Result:
    """What the answer to a live call says. Raises `KeyError` and the like where it is none."""
    return _READERS[endpoint]("live", body)


def _undone(custom_id: str, error: dict[str, Any]) -> Result:
    code, message = str(error["code"]), str(error.get("message") or "")
    outcome = UNDONE.get(code, "errored")
    return Result(custom_id, outcome, passing=True, flaw=storable(f"{code}: {message}")[:1000])


def _errored(custom_id: str, status: int, body: Any) -> Result:
    error = (body.get("error") if isinstance(body, dict) else None) or {}
    code = str(error.get("code") or error.get("type") or "error")
    passing = status >= 500 or status in (408, 409, 429) or code in NO_CREDIT
    told = storable(f"HTTP {status} {code}: {error.get('message') or ''}")[:1000]
    return Result(custom_id, "errored", passing=passing, flaw=told)


def _chat(custom_id: str, body: dict[str, Any]) -> Result:
    choice = body["choices"][0]
    reason, message = choice["finish_reason"], choice["message"]
    flaw = None
    if reason == "length":
        flaw = "the answer was cut off at max_completion_tokens"
    elif message.get("refusal"):
        flaw = "the model refused to answer"
    elif reason != "stop":
        flaw = f"the model did not finish: finish_reason {reason}"
    return _answered(custom_id, message.get("content") or "", flaw, body["usage"])


def _response(custom_id: str, body: dict[str, Any]) -> Result:
    parts = [
        part for item in body["output"] if item["type"] == "message" for part in item.get("content") or []
    ]
    text = "".join(part["text"] for part in parts if part["type"] == "output_text")
    flaw = None
    if body["status"] != "completed":
        reason = (body.get("incomplete_details") or {}).get("reason") or body["status"]
        flaw = f"the answer was cut off: {reason}"
    elif any(part["type"] == "refusal" for part in parts):
        flaw = "the model refused to answer"
    return _answered(custom_id, text, flaw, body["usage"])


def _answered(custom_id: str, text: str, flaw: str | None, usage: dict[str, Any]) -> Result:
    if flaw is None and text != storable(text):
        flaw = "the answer holds characters that are no text"
    return Result(
        custom_id,
        "succeeded",
        text=None if flaw else text,
        flaw=flaw,
        usage=Usage.of_openai(usage),
        raw_usage=usage,
    )


def _embedding(custom_id: str, body: dict[str, Any]) -> Result:
    vectors = [each["embedding"] for each in sorted(body["data"], key=lambda each: each["index"])]
    told = [each if isinstance(each, str) else _base64(each) for each in vectors]
    sizes = {len(base64.b64decode(each)) // 4 for each in told}
    if len(sizes) != 1:
        raise ValueError("vectors of different lengths")
    return Result(
        custom_id,
        "succeeded",
        value={"vectors_b64": told, "dimensions": sizes.pop()},
        usage=Usage.of_openai(body["usage"]),
        raw_usage=body["usage"],
    )


def _base64(vector: list[float]) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


_READERS = {CHAT: _chat, RESPONSES: _response, EMBEDDINGS: _embedding}


def _listed(batch: Batch) -> VendorBatch:
    return VendorBatch(
        vendor_batch_id=batch.id,
        created_at=datetime.fromtimestamp(batch.created_at, UTC),
        size=batch.request_counts.total if batch.request_counts and batch.request_counts.total else None,
        intent=(batch.metadata or {}).get(INTENT),
        readable=batch.status in ENDED,
    )


def _progress(batch: Batch) -> BatchProgress:
    if not isinstance(cast(Any, batch), Batch):
        raise VendorBusy(f"{NAME}: what answered is no batch; check host of connection {CONNECTION}")
    counts = batch.request_counts
    ended_at = batch.completed_at or batch.failed_at or batch.expired_at or batch.cancelled_at
    failure, bad_lines = None, {}
    if batch.status == "failed":
        errors = (batch.errors.data if batch.errors else None) or []
        bad_lines = {each.line: f"{each.code}: {each.message}" for each in errors if each.line is not None}
        told = [f"{each.code}: {each.message}" for each in errors]
        failure = storable("; ".join(told[:3]) or "the vendor gives no reason")[:1000]
    return BatchProgress(
        vendor_batch_id=batch.id,
        status=batch.status,
        counts={"total": counts.total, "completed": counts.completed, "failed": counts.failed}
        if counts
        else {},
        ended=batch.status in ENDED,
        ended_at=datetime.fromtimestamp(ended_at, UTC) if ended_at and batch.status in ENDED else None,
        file_ids=(batch.output_file_id or None, batch.error_file_id or None),
        failure=failure,
        bad_lines=bad_lines,
    )
