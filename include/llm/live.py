"""Calls to models that somebody waits for, through the vendors' own SDKs, each of them on the bill.

`LiveModels` is for threads, `AsyncLiveModels` for event loops; both answer every endpoint in one form.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import anthropic
import openai
from sqlalchemy import Engine

from include.config import Thresholds, thresholds
from include.config.connections import ConnectionMissing, connection
from include.llm.bill import Bill, Call
from include.llm.bodies import Endpoint
from include.llm.errors import AnswerInvalid, RequestInvalid, VendorBusy, VendorNotConnected
from include.llm.prices import Cost, Mode, Usage, cost_of, price_of
from include.llm.questions import Question
from include.llm.vendors.anthropic import anthropic_client, async_anthropic_client, read_message
from include.llm.vendors.base import Result
from include.llm.vendors.errors import vendor_errors
from include.llm.vendors.openai import async_openai_client, openai_client, read_reply

# What lies in the base URL already.
IN_BASE_URL = {"anthropic": "", "openai": "/v1"}
MAKE = {"anthropic": anthropic_client, "openai": openai_client}
MAKE_ASYNC = {"anthropic": async_anthropic_client, "openai": async_openai_client}


@dataclass(frozen=True)
class Completion:
    """What a model answered, and what it took.

    Attributes:
        stop_reason: in the vendor's own words.
    """

    text: str = field(repr=False)
    usage: Usage
    cost: Cost
    stop_reason: str
    latency_ms: int


class _Models:
    """What both kinds of client share: all but the call itself."""

    def __init__(self, clients: Mapping[str, Any], bill: Bill, settings: Thresholds) -> None:
        self._settings, self.bill = settings, bill
        live = settings.llm.live
        self._clients = {
            name: client.with_options(timeout=live.timeout_s, max_retries=live.sdk_retries)
            for name, client in clients.items()
        }

    def _client(self, question: Question) -> Any:
        """The vendor's client, after making sure that a call could be booked."""
        if question.endpoint is Endpoint.EMBEDDINGS:
            raise RequestInvalid(f"{question.endpoint} answers no questions")
        today = datetime.now(UTC).date()
        price_of(self._settings.prices, question.provider, question.model, today)
        if question.provider not in self._clients:
            raise VendorNotConnected(
                f"{question.provider}: connection {question.provider}_default is not set; "
                "set it to ask its models"
            )
        return self._clients[question.provider]

    def _completion(self, question: Question, body: Any, began: float) -> Completion:
        """What came back, after booking it."""
        latency_ms = round((time.monotonic() - began) * 1000)
        try:
            result, stop_reason = _read(question.endpoint, body)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise VendorBusy(
                f"{question.provider}: what answered is no answer of {question.model}; "
                f"check host of connection {question.provider}_default"
            ) from error
        usage = result.usage or Usage(0, 0)
        call = Call(
            cost_key=f"live-{uuid.uuid4()}",
            tenant=question.tenant,
            purpose=question.task,
            provider=question.provider,
            model=question.model,
            usage=usage,
            booked_on=datetime.now(UTC).date(),
            latency_ms=latency_ms,
        )
        self.bill.book(call)
        if result.text is None:
            raise AnswerInvalid(f"{question.provider}/{question.model}: {result.flaw}")
        price = price_of(self._settings.prices, question.provider, question.model, call.booked_on)
        return Completion(result.text, usage, cost_of(usage, price, Mode.LIVE), stop_reason, latency_ms)


class LiveModels(_Models):
    """Models to be asked from threads. Close it, as in `with LiveModels(...) as models`.

    Args:
        clients: `anthropic.Anthropic` and `openai.OpenAI`, by the vendor's name.
    """

    @classmethod
    def from_connections(cls, engine: Engine, settings: Thresholds | None = None) -> "LiveModels":
        """Models of all vendors whose connections are set (`anthropic_default`, `openai_default`)."""
        known = settings or thresholds()
        return cls(_connected(MAKE, known), Bill(engine, known), known)

    def complete(self, question: Question) -> Completion:
        """The model's answer.

        Raises:
            VendorBusy: no answer, also after the SDK tried again; ask later.
            VendorRefused: the vendor will not answer this.
            AnswerInvalid: the model did not come to an end. It is paid for.
            PriceUnknown, VendorNotConnected, RequestInvalid: it was not asked.
        """
        client, began = self._client(question), time.monotonic()
        with vendor_errors(question.provider, f"asking {question.model}"):
            body = client.post(_path(question), body=dict(question.params), cast_to=object)
        return self._completion(question, body, began)

    def close(self) -> None:
        """Write the bill and let the connections go."""
        self.bill.close()
        for client in self._clients.values():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncLiveModels(_Models):
    """Models to be asked from an event loop. Close it, as in `async with AsyncLiveModels(...) as models`.

    Args:
        clients: `anthropic.AsyncAnthropic` and `openai.AsyncOpenAI`, by the vendor's name.
    """

    @classmethod
    def from_connections(cls, engine: Engine, settings: Thresholds | None = None) -> "AsyncLiveModels":
        """Models of all vendors whose connections are set (`anthropic_default`, `openai_default`)."""
        known = settings or thresholds()
        return cls(_connected(MAKE_ASYNC, known), Bill(engine, known), known)

    async def complete(self, question: Question) -> Completion:
        """See `LiveModels.complete`."""
        client, began = self._client(question), time.monotonic()
        with vendor_errors(question.provider, f"asking {question.model}"):
            body = await client.post(_path(question), body=dict(question.params), cast_to=object)
        return self._completion(question, body, began)

    async def close(self) -> None:
        """Write the bill and let the connections go."""
        import asyncio

        await asyncio.to_thread(self.bill.close)
        for client in self._clients.values():
            await client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


def _connected(make: Mapping[str, Any], settings: Thresholds) -> dict[str, Any]:
    found: dict[str, anthropic.Anthropic | openai.OpenAI] = {}
    for name, client in make.items():
        try:
            told = connection(f"{name}_default")
        except ConnectionMissing:
            continue
        found[name] = client(told.host, told.password, timeout_s=settings.llm.live.timeout_s)
    return found


def _path(question: Question) -> str:
    return str(question.endpoint).removeprefix(IN_BASE_URL[question.provider])


def _read(endpoint: Endpoint, body: Any) -> tuple[Result, str]:
    """What came back, and why the model stopped."""
    match endpoint:
        case Endpoint.MESSAGES:
            return read_message(body), str(body["stop_reason"])
        case Endpoint.CHAT:
            return read_reply(body, endpoint), str(body["choices"][0]["finish_reason"])
        case _:
            return read_reply(body, endpoint), str(body["status"])
