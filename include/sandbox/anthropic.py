"""Anthropic's Messages and Message Batches, as the wire says it.

Source of the behaviour: Anthropic's API specification and guide, checked against recordings of the real API
(`tests/include/sandbox/test_recordings.py`).
"""

import json
import re
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from include.sandbox.answers import answer, message, vendor_id
from include.sandbox.batches import (
    MOST_REQUESTS,
    Batch,
    BatchLedger,
    BatchRefused,
    Misfortune,
)
from include.sandbox.credentials import presented_key, same_key
from include.sandbox.faults import MalformedLine, arguments_of
from include.sandbox.misfortunes import misfortune_of
from include.sandbox.params import VendorError, flaw
from include.sandbox.prompt_cache import PromptCache, bill
from include.sandbox.schema_answers import SchemaUnsupported
from include.sandbox.state import SandboxState, VirtualClock
from include.sandbox.vendor_errors import anthropic_error

MOST_BATCH_BYTES = 256_000_000
MOST_MESSAGE_BYTES = 32_000_000
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LIVE_REQUESTS_PER_MINUTE = 4_000
MOST_LISTED = 1_000
POLL_AFTER_SECONDS = 10
ORGANIZATION_ID = "00000000-0000-4000-8000-000000000001"


def anthropic_router(
    state: SandboxState, clock: VirtualClock, ledger: BatchLedger, api_key: str
) -> APIRouter:
    """The routes below /anthropic; errors leave as `BatchRefused`, for `refused` to word."""

    def authenticated(request: Request) -> None:
        if not same_key(presented_key(request), api_key):
            raise BatchRefused(VendorError(401, "authentication_error", "invalid x-api-key"))
        if "anthropic-version" not in request.headers:
            raise _invalid("anthropic-version: header is required")

    router = APIRouter(prefix="/anthropic", dependencies=[Depends(authenticated)])
    pace = _Pace()

    @router.post("/v1/messages")
    async def create_message(request: Request) -> Response:
        params = await json_body(request, MOST_MESSAGE_BYTES)
        given = await run_in_threadpool(_answer_live, state, clock, params)
        return _reply(given, pace.headers())

    @router.post("/v1/messages/batches")
    async def create_batch(request: Request) -> Response:
        body = await json_body(request, MOST_BATCH_BYTES)
        misfortune = misfortune_of(request.state.faults, Misfortune())
        batch = await run_in_threadpool(lambda: ledger.create(_checked_requests(body), misfortune))
        return _reply(_wire(batch, request))

    @router.get("/v1/messages/batches")
    def list_batches(request: Request) -> Response:
        query = request.query_params
        limit = _limit(query.get("limit", "20"))
        batches, has_more = ledger.page(limit, query.get("after_id"), query.get("before_id"))
        page = {
            "data": [_wire(batch, request) for batch in batches],
            "has_more": has_more,
            "first_id": batches[0].id if batches else None,
            "last_id": batches[-1].id if batches else None,
        }
        return _reply(page)

    @router.get("/v1/messages/batches/{batch_id}")
    def retrieve_batch(batch_id: str, request: Request) -> Response:
        batch = ledger.get(batch_id)
        headers = {} if batch.status == "ended" else {"retry-after": str(POLL_AFTER_SECONDS)}
        return _reply(_wire(batch, request), headers)

    @router.post("/v1/messages/batches/{batch_id}/cancel")
    def cancel_batch(batch_id: str, request: Request) -> Response:
        return _reply(_wire(ledger.cancel(batch_id), request))

    @router.delete("/v1/messages/batches/{batch_id}")
    def delete_batch(batch_id: str, request: Request) -> Response:
        ledger.delete(batch_id)
        return _reply({"id": batch_id, "type": "message_batch_deleted"})

    @router.get("/v1/messages/batches/{batch_id}/results")
    def batch_results(batch_id: str, request: Request) -> Response:
        batch = ledger.get(batch_id)
        if batch.status != "ended":
            raise _invalid(f"Batch {batch_id} has no results yet: its processing has not ended.")
        if batch.archived_at is not None:
            raise BatchRefused(
                VendorError(404, "not_found_error", f"The results of {batch_id} are archived.")
            )
        pages = ledger.results(batch)
        malformed = arguments_of(request.state.faults, MalformedLine)
        if malformed is not None:
            pages = with_broken_lines(pages, malformed.lines)
        disposition = {"content-disposition": f'attachment; filename="{batch_id}_results.jsonl"'}
        return StreamingResponse(pages, media_type="application/x-jsonl", headers=_headers(disposition))

    return router


def refused(request: Request, error: Exception) -> Response:
    """Word a `BatchRefused` as the vendor does; an exception handler of the application."""
    if not isinstance(error, BatchRefused):
        raise error
    headers = _headers({})
    body = anthropic_error(error.error.type, error.error.message, headers["request-id"])
    return JSONResponse(body, error.error.status, headers)


class _Pace:
    """The rate-limit headers of live messages: counted a minute at a time, told but not enforced."""

    def __init__(self) -> None:
        self._minute = 0
        self._used = 0

    def headers(self) -> dict[str, str]:
        minute = int(time.time() // 60)
        self._used = self._used + 1 if minute == self._minute else 1
        self._minute = minute
        reset = datetime.fromtimestamp((minute + 1) * 60, UTC)
        return {
            "anthropic-ratelimit-requests-limit": str(LIVE_REQUESTS_PER_MINUTE),
            "anthropic-ratelimit-requests-remaining": str(max(LIVE_REQUESTS_PER_MINUTE - self._used, 0)),
            "anthropic-ratelimit-requests-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


async def json_body(request: Request, most_bytes: int) -> Any:
    """The JSON a request carries.

    Raises:
        BatchRefused: it is none (400), or larger than `most_bytes` (413).
    """
    too_large = BatchRefused(
        VendorError(413, "request_too_large", f"Request exceeds the maximum size of {most_bytes} bytes")
    )
    if int(request.headers.get("content-length") or 0) > most_bytes:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most_bytes:
            raise too_large
    try:
        return await run_in_threadpool(json.loads, body)
    except (ValueError, RecursionError) as error:
        raise _invalid("The request body is not valid JSON") from error


def _answer_live(state: SandboxState, clock: VirtualClock, params: Any) -> dict[str, Any]:
    error = flaw(params, in_batch=False)
    if error is not None:
        raise BatchRefused(error)
    try:
        given = answer(params)
    except SchemaUnsupported as unsupported:
        raise _invalid(str(unsupported)) from unsupported
    message_id = vendor_id("msg", secrets.token_hex(16))
    with state.writing() as db:
        tokens = PromptCache(db).charge_anthropic(params, given.input_tokens, given.output_tokens)
        bill(db, message_id, "anthropic", "live", params["model"], 1, tokens, clock.now())
    return message(params, given, tokens, message_id=message_id, service_tier="standard")


def _checked_requests(body: Any) -> list[dict[str, Any]]:
    """The requests of a create call, their form checked; what is inside `params` is not looked at."""
    if not isinstance(body, dict):
        raise _invalid("Input should be a valid dictionary")
    for name in body:
        if name != "requests":
            raise _invalid(f"{name}: Extra inputs are not permitted")
    requests = body.get("requests")
    if not isinstance(requests, list):
        raise _invalid("requests: Field required" if requests is None else "requests: Input should be a list")
    if not requests:
        raise _invalid("requests: List should have at least 1 item after validation, not 0")
    if len(requests) > MOST_REQUESTS:
        text = f"requests: a batch holds at most {MOST_REQUESTS} requests, not {len(requests)}"
        raise BatchRefused(VendorError(413, "request_too_large", text))
    seen: set[str] = set()
    for index, request in enumerate(requests):
        _check_request(index, request)
        if request["custom_id"] in seen:
            raise _invalid(f"requests.{index}.custom_id: '{request['custom_id']}' is not unique")
        seen.add(request["custom_id"])
    return requests


def _check_request(index: int, request: Any) -> None:
    if not isinstance(request, dict):
        raise _invalid(f"requests.{index}: Input should be a valid dictionary")
    for name in ("custom_id", "params"):
        if name not in request:
            raise _invalid(f"requests.{index}.{name}: Field required")
    if len(request) > 2:
        extra = next(name for name in request if name not in ("custom_id", "params"))
        raise _invalid(f"requests.{index}.{extra}: Extra inputs are not permitted")
    if not isinstance(request["custom_id"], str) or not CUSTOM_ID.fullmatch(request["custom_id"]):
        raise _invalid(f"requests.{index}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")


def with_broken_lines(pages: Iterator[bytes], lines: int) -> Iterator[bytes]:
    """Pages of lines whose first `lines` lines are cut in half."""
    left = lines
    for page in pages:
        if left <= 0:
            yield page
            continue
        out = page.split(b"\n")[:-1]
        broken = [line[: len(line) // 2].decode(errors="ignore").encode() for line in out[:left]]
        left -= len(broken)
        yield b"\n".join(broken + out[len(broken) :]) + b"\n"


def _wire(batch: Batch, request: Request) -> dict[str, Any]:
    results = f"{request.base_url}anthropic/v1/messages/batches/{batch.id}/results"
    readable = batch.status == "ended" and batch.archived_at is None
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": batch.status,
        "request_counts": batch.counts,
        "ended_at": _iso(batch.ended_at),
        "created_at": _iso(batch.created_at),
        "expires_at": _iso(batch.expires_at),
        "archived_at": _iso(batch.archived_at),
        "cancel_initiated_at": _iso(batch.cancelled_at),
        "results_url": results if readable else None,
    }


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_LISTED:
        raise _invalid(f"limit: Input should be an integer from 1 to {MOST_LISTED}")
    return int(text)


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _reply(body: Any, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, headers=_headers(headers or {}))


def _headers(more: dict[str, str]) -> dict[str, str]:
    return {
        "request-id": vendor_id("req", secrets.token_hex(16)),
        "anthropic-organization-id": ORGANIZATION_ID,
        "x-robots-tag": "none",
        **more,
    }


def _invalid(text: str) -> BatchRefused:
    return BatchRefused(VendorError(400, "invalid_request_error", text))
