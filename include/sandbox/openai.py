"""OpenAI's Files, Batches, Chat Completions, Responses and Embeddings, as the wire says it.

Source of the behaviour: OpenAI's API specification and guide, checked against recordings of the real API
(`tests/include/sandbox/test_openai_recordings.py`).
"""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from include.sandbox.answers import vendor_id
from include.sandbox.anthropic import json_body, with_broken_lines
from include.sandbox.batches import BatchRefused, Misfortune
from include.sandbox.credentials import presented_key, same_key
from include.sandbox.faults import EmptyFileIds, MalformedLine, TokenLimit, arguments_of
from include.sandbox.misfortunes import misfortune_of
from include.sandbox.openai_answers import CHAT, EMBEDDINGS, ENDPOINTS, RESPONSES, flaw, reply
from include.sandbox.openai_batches import OpenAIBatchLedger, OpenAIMisfortune
from include.sandbox.openai_files import OpenAIFiles
from include.sandbox.openai_requests import charged
from include.sandbox.params import VendorError
from include.sandbox.prompt_cache import PromptCache, bill
from include.sandbox.schema_answers import SchemaUnsupported
from include.sandbox.state import SandboxState, VirtualClock
from include.sandbox.vendor_errors import openai_error

PREFIX = "/openai"
MOST_BODY_BYTES = 50_000_000
MOST_LISTED = 100
MOST_METADATA = 16
LONGEST_KEY, LONGEST_VALUE = 64, 512
LEAST_KEPT, MOST_KEPT = 3_600, 2_592_000


def openai_router(
    state: SandboxState, clock: VirtualClock, files: OpenAIFiles, ledger: OpenAIBatchLedger, api_key: str
) -> APIRouter:
    """The routes below /openai/v1; errors leave as `BatchRefused`, for `worded` to word."""

    def authenticated(request: Request) -> None:
        if not same_key(presented_key(request), api_key):
            raise BatchRefused(VendorError(401, "invalid_api_key", "Incorrect API key provided."))

    router = APIRouter(prefix=f"{PREFIX}/v1", dependencies=[Depends(authenticated)])

    @router.post("/files")
    async def upload(request: Request) -> Response:
        form = await request.form()
        file = form.get("file")
        if form.get("purpose") != "batch" or not isinstance(file, UploadFile):
            raise _invalid("Give a file and purpose 'batch': other files are not for this sandbox.")
        return _answer(await run_in_threadpool(files.store, file.filename or "upload", file.file))

    @router.get("/files")
    def list_files(limit: int = 100) -> Response:
        return _answer(files.page(limit))

    @router.get("/files/{file_id}")
    def retrieve_file(file_id: str) -> Response:
        return _answer(files.get(file_id))

    @router.delete("/files/{file_id}")
    def delete_file(file_id: str) -> Response:
        if ledger.result_file(file_id) is not None:
            return _answer({"id": file_id, "object": "file", "deleted": True})
        return _answer(files.delete(file_id))

    @router.get("/files/{file_id}/content")
    def file_content(file_id: str, request: Request) -> Response:
        found = ledger.result_file(file_id)
        if found is None:
            files.get(file_id)
            return FileResponse(
                files.path(file_id), media_type="application/octet-stream", headers=_headers()
            )
        batch, errors = found
        pages: Iterator[bytes] = ledger.results(batch, errors=errors)
        malformed = arguments_of(request.state.faults, MalformedLine)
        if malformed is not None:
            pages = with_broken_lines(pages, malformed.lines)
        name = f"{batch['id']}_{'error' if errors else 'output'}.jsonl"
        headers = {"content-disposition": f'attachment; filename="{name}"', **_headers()}
        return StreamingResponse(pages, media_type="application/octet-stream", headers=headers)

    @router.post("/batches")
    async def create_batch(request: Request) -> Response:
        body = await json_body(request, MOST_BODY_BYTES)
        output_seconds = _checked_creation(body)
        faults = request.state.faults
        misfortune = OpenAIMisfortune(
            misfortune_of(faults, Misfortune(error_type="server_error")),
            arguments_of(faults, TokenLimit) is not None,
            arguments_of(faults, EmptyFileIds) is not None,
        )
        batch = await run_in_threadpool(
            ledger.create,
            body["input_file_id"],
            body["endpoint"],
            body.get("metadata"),
            output_seconds,
            misfortune,
        )
        return _answer(batch)

    @router.get("/batches")
    def list_batches(limit: int = 20, after: str | None = None) -> Response:
        if not 1 <= limit <= MOST_LISTED:
            raise _invalid(f"Invalid 'limit': give a number from 1 to {MOST_LISTED}.", "limit")
        return _answer(ledger.page(limit, after))

    @router.get("/batches/{batch_id}")
    def retrieve_batch(batch_id: str) -> Response:
        return _answer(ledger.get(batch_id))

    @router.post("/batches/{batch_id}/cancel")
    def cancel_batch(batch_id: str) -> Response:
        return _answer(ledger.cancel(batch_id))

    def live(endpoint: str, body: Any) -> dict[str, Any]:
        error = flaw(endpoint, body)
        if error is not None:
            raise BatchRefused(error)
        reply_id = secrets.token_hex(12)
        try:
            with state.writing() as db:
                tokens = charged(endpoint, body, PromptCache(db))
                bill(db, f"live-{reply_id}", "openai", "live", body["model"], 1, tokens, clock.now())
        except SchemaUnsupported as unsupported:
            raise _invalid(str(unsupported)) from unsupported
        return reply(endpoint, body, tokens, reply_id=reply_id)

    @router.post("/chat/completions")
    async def chat(request: Request) -> Response:
        return _answer(await run_in_threadpool(live, CHAT, await json_body(request, MOST_BODY_BYTES)))

    @router.post("/responses")
    async def respond(request: Request) -> Response:
        return _answer(await run_in_threadpool(live, RESPONSES, await json_body(request, MOST_BODY_BYTES)))

    @router.post("/embeddings")
    async def embed(request: Request) -> Response:
        return _answer(await run_in_threadpool(live, EMBEDDINGS, await json_body(request, MOST_BODY_BYTES)))

    return router


def worded(error: VendorError) -> Response:
    """A refusal in the vendor's words."""
    body = openai_error(error.status, error.message, error.type, error.param)
    return JSONResponse(body, error.status, _headers())


def _checked_creation(body: Any) -> float | None:
    """Check the call that creates a batch; returns how long its output is kept."""
    if not isinstance(body, dict) or not isinstance(body.get("input_file_id"), str):
        raise _invalid("Missing required parameter: 'input_file_id'.", "input_file_id")
    if body.get("endpoint") not in ENDPOINTS:
        raise _invalid(
            f"Invalid value: '{body.get('endpoint')}'. Supported: {', '.join(ENDPOINTS)}.", "endpoint"
        )
    if body.get("completion_window") != "24h":
        raise _invalid("Invalid value for 'completion_window': only '24h'.", "completion_window")
    metadata = body.get("metadata") or {}
    if (
        not isinstance(metadata, dict)
        or len(metadata) > MOST_METADATA
        or any(len(key) > LONGEST_KEY for key in metadata)
        or any(not isinstance(value, str) or len(value) > LONGEST_VALUE for value in metadata.values())
    ):
        raise _invalid(
            "Invalid 'metadata': at most 16 pairs of text, keys of 64 and values of 512.", "metadata"
        )
    kept = body.get("output_expires_after")
    if kept is None:
        return None
    seconds = kept.get("seconds") if isinstance(kept, dict) else None
    if not isinstance(seconds, int) or not LEAST_KEPT <= seconds <= MOST_KEPT:
        raise _invalid("Invalid 'output_expires_after.seconds'.", "output_expires_after")
    return float(seconds)


def _answer(body: Any) -> Response:
    text = json.dumps(body, ensure_ascii=False)
    return Response(text.encode("utf-8", "replace"), media_type="application/json", headers=_headers())


def _headers() -> dict[str, str]:
    return {
        "openai-version": "2020-10-01",
        "openai-organization": "org-sandbox",
        "openai-processing-ms": str(1 + time.monotonic_ns() % 40),
        "x-request-id": f"req_{vendor_id('req', secrets.token_hex(16))[7:]}",
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": "*",
        "strict-transport-security": "max-age=31536000",
    }


def _invalid(message: str, param: str | None = None) -> BatchRefused:
    return BatchRefused(VendorError(400, "invalid_request_error", message, param))
