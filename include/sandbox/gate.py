"""The gate every vendor request passes: it counts the request and carries out the faults on order.

It wraps the whole application, outside its error handling, because a lost response has to be lost on the
wire: the request is carried out, then the connection is closed before a byte of the answer was sent.
"""

import asyncio
import json
import secrets
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from include.sandbox.answers import vendor_id
from include.sandbox.faults import (
    Delay,
    DropResponse,
    Fault,
    FaultTable,
    RateLimit,
    ServerError,
    Truncate,
    arguments_of,
)
from include.sandbox.vendor_errors import VendorReply, failure_reply

VENDOR_BASES = {
    "/anthropic": "anthropic",
    "/openai": "openai",
    "/slack/api": "slack",
    "/slack/services": "slack",
    "/slack/upload": "slack",
    "/meta": "meta",
    "/hubspot": "hubspot",
}


class FaultGate:
    """ASGI application around the sandbox's FastAPI application, which stays reachable as `.app`.

    The faults a route has to carry out itself are left in `request.state.faults`.
    """

    def __init__(self, app: FastAPI, faults: FaultTable) -> None:
        self.app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        vendor = _vendor_of(scope["path"]) if scope["type"] == "http" else None
        if vendor is None:
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(f"/{vendor}")
        label = f"{scope['method']} {self._template(scope).removeprefix(f'/{vendor}')}"
        faults = await run_in_threadpool(self._faults.admit, vendor, scope["method"], path, label)
        scope.setdefault("state", {})["faults"] = faults
        await self._suffer(vendor, faults, scope, receive, send)

    async def _suffer(
        self, vendor: str, faults: list[Fault], scope: Scope, receive: Receive, send: Send
    ) -> None:
        delay, reply = arguments_of(faults, Delay), _refusal(vendor, faults)
        truncate = arguments_of(faults, Truncate)
        if delay is not None:
            await asyncio.sleep(delay.seconds)
        if reply is not None:
            await _drain(receive)
            await _answer(reply, send)
        elif arguments_of(faults, DropResponse) is not None:
            await self.app(scope, receive, _swallow)
            await _hang_up(send)
        elif truncate is not None:
            await self.app(scope, receive, _Truncated(send, truncate))
        else:
            await self.app(scope, receive, send)

    def _template(self, scope: Scope) -> str:
        for route in self.app.routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return str(getattr(route, "path", scope["path"]))
        return "(no such route)"


class _Truncated:
    """A `send` that passes on the beginning of the body and then stops."""

    def __init__(self, send: Send, fault: Truncate) -> None:
        self._send = send
        self._fault = fault
        self._left = fault.bytes
        self._over = False

    async def __call__(self, message: Message) -> None:
        if self._over:
            return
        if message["type"] == "http.response.start":
            # Without a length the body is sent in chunks, and its loss is only seen where it happens.
            headers = [(k, v) for k, v in message["headers"] if k.lower() != b"content-length"]
            await self._send({**message, "headers": headers})
            return
        body = message.get("body", b"")
        if self._left is None:
            self._left = len(body) // 2
        if len(body) < self._left and message.get("more_body", False):
            self._left -= len(body)
            await self._send(message)
            return
        self._over = True
        await self._send(
            {"type": "http.response.body", "body": body[: self._left], "more_body": not self._fault.clean}
        )
        if not self._fault.clean:
            await _hang_up(self._send)


def _vendor_of(path: str) -> str | None:
    return next((vendor for base, vendor in VENDOR_BASES.items() if path.startswith(f"{base}/")), None)


def _refusal(vendor: str, faults: list[Fault]) -> VendorReply | None:
    request_id = vendor_id("req", secrets.token_hex(16))
    limited = arguments_of(faults, RateLimit)
    if limited is not None:
        return failure_reply(vendor, 429, request_id, limited.retry_after)
    failed = arguments_of(faults, ServerError)
    return None if failed is None else failure_reply(vendor, failed.status, request_id)


async def _answer(reply: VendorReply, send: Send) -> None:
    body = json.dumps(reply.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _drain(receive: Receive) -> None:
    """Read the request to its end: an answer before that may reach the client as a broken connection."""
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return


async def _swallow(message: Message) -> None:
    """Take the answer and tell nobody."""


async def _hang_up(send: Send) -> None:
    """Close the connection at once.

    ASGI has no word for this. `send` is a bound method of uvicorn's request cycle, which holds the transport;
    under another server the exception makes the server break the connection off in its own way.
    """
    cycle: Any = getattr(send, "__self__", None)
    transport: Any = getattr(cycle, "transport", None)
    if transport is None:
        raise ConnectionAbortedError("the response was dropped on the sandbox's orders")
    cycle.disconnected = True
    transport.close()
