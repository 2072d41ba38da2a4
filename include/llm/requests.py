"""The request queue: a question to a model is stored once, however many ask it.

Its key is a hash of everything that decides the answer, so the same question asked again is answered from
the one that is stored; everyone who asked is remembered as an asker.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from include.db import llm as sql
from include.llm.errors import RequestInvalid

# The escape of a NUL character in JSON, and not a backslash followed by the letters u0000.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True)
class LlmRequest:
    """One question.

    Attributes:
        purpose: what the answer is for, such as `creative_score`; decides how it is checked.
        tenant: the account it is asked for, which pays if it is the first to ask.
        subject: what it is about within the tenant, such as a creative's id.
        params: body of the vendor's Messages call.
        priority: higher leaves first.
    """

    purpose: str
    tenant: str
    subject: str
    provider: str
    model: str
    prompt_version: str
    params: Mapping[str, Any] = field(repr=False)
    priority: Decimal = Decimal(0)


@dataclass(frozen=True)
class Enqueueing:
    """What `enqueue` found: distinct questions, how many of them were new, and the ids of answered ones."""

    distinct: int
    new: int
    answered_ids: tuple[int, ...]


def request_key(provider: str, model: str, prompt_version: str, params: Mapping[str, Any]) -> str:
    """Hash of a question: the order of names in `params` does not matter, everything else does.

    >>> request_key("v", "m", "1", {"a": 1, "b": 2}) == request_key("v", "m", "1", {"b": 2, "a": 1})
    True

    Raises:
        RequestInvalid: `params` is not JSON, or holds what PostgreSQL cannot store.
    """
    identity = {"provider": provider, "model": model, "prompt_version": prompt_version, "params": params}
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


def enqueue(conn: Connection, requests: Sequence[LlmRequest], queued_on: date) -> Enqueueing:
    """Store questions for the night of `queued_on`; what is stored already only gains askers.

    Raises:
        RequestInvalid: a field is empty or `params` cannot be stored. Nothing is stored then.
    """
    if not requests:
        return Enqueueing(0, 0, ())
    stored = sql.enqueue(conn, [_row(request) for request in requests], queued_on)
    answered = tuple(each.request_id for each in stored if each.state == "succeeded")
    return Enqueueing(len(stored), sum(each.is_new for each in stored), answered)


def _row(request: LlmRequest) -> dict[str, Any]:
    for name in ("purpose", "tenant", "subject", "provider", "model", "prompt_version"):
        if not getattr(request, name):
            raise RequestInvalid(f"a request for {request.purpose or 'nothing'}: {name} is empty")
    return {
        "request_key": request_key(request.provider, request.model, request.prompt_version, request.params),
        "purpose": request.purpose,
        "tenant": request.tenant,
        "subject": request.subject,
        "provider": request.provider,
        "model": request.model,
        "prompt_version": request.prompt_version,
        "params": dict(request.params),
        "priority": str(request.priority),
    }
