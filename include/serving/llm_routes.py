"""Language-model requests for tonight: asked over HTTP, answered by the night's batches at half the price."""

import logging
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from sqlalchemy import Engine, RowMapping

from include.config import Thresholds
from include.db.llm_asked import stored_requests
from include.llm.errors import PriceUnknown, RequestInvalid
from include.llm.requests import LlmRequest, enqueue, request_key
from include.serving.errors import Kind, Problem, Refused, documented
from include.serving.keys import Caller
from include.serving.llm_bodies import EXAMPLES, HIGHEST_ID, AskedTonight, Receipt, Receipts, StoredRequest
from include.serving.llm_questions import requests_of

log = logging.getLogger(__name__)


def llm_router(engine: Engine, settings: Thresholds) -> APIRouter:
    """`/api/llm/requests`, over the database `nightshift`."""
    keys = [
        Security(APIKeyHeader(name="x-api-key", auto_error=False)),
        Security(HTTPBearer(auto_error=False)),
    ]
    router = APIRouter(prefix="/api/llm", tags=["language-model requests"], dependencies=keys)
    at_the_door = (Kind.UNAUTHORIZED, Kind.UNAVAILABLE)

    @router.post(
        "/requests",
        status_code=202,
        summary="Ask language models tonight",
        responses=documented(
            *at_the_door, Kind.FORBIDDEN, Kind.TOO_LARGE, Kind.MEDIA_TYPE, Kind.INVALID, Kind.BUSY
        ),
    )
    def ask_tonight(
        asked: Annotated[AskedTonight, Body(openapi_examples=EXAMPLES)],
        caller: Annotated[Caller, Depends(_caller)],
    ) -> Receipts:
        """Queue one or many requests; all of them are stored, or none.

        The same question is stored once, however many ask it and however often: asking again is safe, and
        gives the answer when it is there.
        """
        day = datetime.now(UTC).date()
        requests = requests_of(asked, caller, day, settings)
        try:
            with engine.begin() as conn:
                found = enqueue(conn, requests, day, settings)
                rows = stored_requests(conn, [each.request_id for each in found.stored])
        except (RequestInvalid, PriceUnknown) as error:
            raise Refused.for_mistakes([Problem(where="requests", message=str(error))]) from error
        log.info("%d requests asked, %d of them new", len(requests), found.new)
        ids = {each.request_key: each for each in found.stored}
        by_id = {row["id"]: row for row in rows}
        stored = [ids[_key(request)] for request in requests]
        return Receipts(requests=[_receipt(by_id[each.request_id], each.is_new) for each in stored])

    @router.get(
        "/requests/{id}",
        summary="One request and its answer",
        responses=documented(*at_the_door, Kind.NOT_FOUND, Kind.INVALID),
    )
    def one_request(
        request_id: Annotated[int, Path(alias="id", ge=1, le=HIGHEST_ID)],
        caller: Annotated[Caller, Depends(_caller)],
    ) -> StoredRequest:
        """State of a request that a tenant of this key asked, and its answer once there is one."""
        with engine.connect() as conn:
            rows = stored_requests(conn, [request_id], caller.tenants)
        if not rows:
            raise Refused(Kind.NOT_FOUND, f"no tenant of this API key has asked a request {request_id}")
        return StoredRequest.model_validate(dict(rows[0]))

    return router


def _caller(request: Request) -> Caller:
    """Whom the door let in."""
    caller: Caller = request.state.caller
    return caller


def _key(request: LlmRequest) -> str:
    return request_key(
        request.provider, request.model, request.prompt_version, request.params, request.endpoint
    )


def _receipt(row: RowMapping, is_new: bool) -> Receipt:
    return Receipt(id=row["id"], state=row["state"], is_new=is_new, answer=row["answer"], error=row["error"])
