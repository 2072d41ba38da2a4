"""The request queue: a question to a model is stored once, however many ask it.

Its key is a hash of everything that decides the answer, so the same question asked again is answered from
the one that is stored; everyone who asked is remembered as an asker.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from include.config import Thresholds, thresholds
from include.db import llm as sql
from include.llm.bodies import Endpoint
from include.llm.errors import RequestInvalid
from include.llm.estimates import estimate
from include.llm.prices import price_of

# The escape of a NUL character in JSON, and not a backslash followed by the letters u0000.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
MOST_INPUTS_A_REQUEST = 2_048


@dataclass(frozen=True)
class LlmRequest:
    """One question.

    Attributes:
        purpose: what the answer is for, such as `creative_score`; decides how it is checked.
        tenant: the account it is asked for, which pays if it is the first to ask.
        subject: what it is about within the tenant, such as a creative's id.
        params: body of the vendor's call, as `include.llm.bodies` makes it.
        priority: higher leaves first.
        endpoint: what of the vendor answers.
        not_after: when an answer is of no use any more; with a time zone.
        answer_schema: JSON schema that the answer has to meet, for purposes without a reader of their own.
    """

    purpose: str
    tenant: str
    subject: str
    provider: str
    model: str
    prompt_version: str
    params: Mapping[str, Any] = field(repr=False)
    priority: Decimal = Decimal(0)
    endpoint: Endpoint = Endpoint.MESSAGES
    not_after: datetime | None = None
    answer_schema: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Enqueueing:
    """What `enqueue` found: distinct questions, how many of them were new, and the ids of answered ones.

    `stored` has a row per distinct question.
    """

    distinct: int
    new: int
    answered_ids: tuple[int, ...]
    stored: tuple[sql.Enqueued, ...] = ()


def request_key(
    provider: str,
    model: str,
    prompt_version: str,
    params: Mapping[str, Any],
    endpoint: str = Endpoint.MESSAGES,
) -> str:
    """Hash of a question: the order of names in `params` does not matter, everything else does.

    The queue and the cache name a question by it, so that a batch's answer serves the live question.

    >>> request_key("v", "m", "1", {"a": 1, "b": 2}) == request_key("v", "m", "1", {"b": 2, "a": 1})
    True

    Raises:
        RequestInvalid: `params` is not JSON, or holds what PostgreSQL cannot store.
    """
    identity: dict[str, Any] = {
        "provider": provider,
        "model": model,
        "prompt_version": prompt_version,
        "params": params,
    }
    if endpoint != Endpoint.MESSAGES:
        identity["endpoint"] = str(endpoint)
    try:
        text = json.dumps(
            identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        canonical = text.encode()
    except (TypeError, ValueError) as error:
        raise RequestInvalid(f"params of a {model} request are not JSON ({error})") from error
    if NUL.search(text):
        raise RequestInvalid(f"params of a {model} request hold a NUL character; remove it")
    return hashlib.sha256(canonical).hexdigest()


def enqueue(
    conn: Connection,
    requests: Sequence[LlmRequest],
    queued_on: date,
    settings: Thresholds | None = None,
) -> Enqueueing:
    """Store questions for the night of `queued_on`; what is stored already only gains askers.

    Raises:
        RequestInvalid: a request cannot be stored or asked; the message says which and why. Nothing is
        stored. PriceUnknown: a model has no price on that day. Nothing is stored.
    """
    if not requests:
        return Enqueueing(0, 0, ())
    known = settings or thresholds()
    stored = sql.enqueue(conn, [_row(request, queued_on, known) for request in requests], queued_on)
    answered = tuple(each.request_id for each in stored if each.state == "succeeded")
    return Enqueueing(len(stored), sum(each.is_new for each in stored), answered, tuple(stored))


def _row(request: LlmRequest, queued_on: date, settings: Thresholds) -> dict[str, Any]:
    key = request_key(
        request.provider, request.model, request.prompt_version, request.params, request.endpoint
    )
    embeds = request.endpoint is Endpoint.EMBEDDINGS
    inputs = request.params.get("input") if embeds else None
    count = len(inputs) if isinstance(inputs, list) else 1
    _check(request, count)
    price = price_of(settings.prices, request.provider, request.model, queued_on)
    most = estimate(request.params, price, answers=not embeds)
    return {
        "request_key": key,
        "purpose": request.purpose,
        "tenant": request.tenant,
        "subject": request.subject,
        "provider": request.provider,
        "model": request.model,
        "endpoint": str(request.endpoint),
        "prompt_version": request.prompt_version,
        "params": dict(request.params),
        "priority": str(request.priority),
        "not_after": request.not_after.isoformat() if request.not_after else None,
        "input_count": count,
        "estimated_tokens": most.prompt_tokens,
        "estimated_usd": str(most.batch_usd),
        "answer_schema": dict(request.answer_schema) if request.answer_schema else None,
    }


def _check(request: LlmRequest, inputs: int) -> None:
    """Refuse what no vendor could answer, or nobody could find again."""
    what = f"a request for {request.purpose or 'nothing'}"
    for name in ("purpose", "tenant", "subject", "provider", "model", "prompt_version"):
        if not getattr(request, name):
            raise RequestInvalid(f"{what}: {name} is empty")
    if request.endpoint.provider != request.provider:
        raise RequestInvalid(f"{what}: {request.endpoint} is not an endpoint of {request.provider}")
    if request.params.get("model") != request.model:
        raise RequestInvalid(f"{what}: params.model is not {request.model}")
    if request.params.get("stream"):
        raise RequestInvalid(f"{what}: a batch cannot stream; leave params.stream out")
    if request.endpoint is Endpoint.MESSAGES and not request.params.get("max_tokens"):
        raise RequestInvalid(f"{what}: params.max_tokens is missing")
    if not 0 < inputs <= MOST_INPUTS_A_REQUEST:
        raise RequestInvalid(f"{what}: {inputs} texts to embed; give 1 to {MOST_INPUTS_A_REQUEST}")
    if request.not_after is not None:
        if request.not_after.tzinfo is None:
            raise RequestInvalid(f"{what}: not_after has no time zone")
        if request.not_after <= datetime.now(UTC):
            raise RequestInvalid(f"{what}: not_after {request.not_after.isoformat()} has passed")
