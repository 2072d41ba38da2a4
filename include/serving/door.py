"""What happens before a body is taken in: the key, the kind of body, its size, the memory left for it.

A caller without a key, or with more than a call may carry, costs no memory. Bodies on their way together take
a bounded amount of it; who comes when it is spent is asked to come back.
"""

import asyncio
from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.config.serving import ServingThresholds
from include.serving.errors import Kind, Refused, answer
from include.serving.keys import ApiKeys, Caller

GUARDED = "/api/"


class Door:
    """ASGI middleware around everything under `/api/`; leaves the caller in the request's state."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, limits: ServingThresholds) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits
        self._bytes_inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            scope.setdefault("state", {})["caller"] = self._caller(request)
            if request.method not in ("POST", "PUT", "PATCH"):
                await self._app(scope, receive, send)
                return
            size = self._size(request)
        except Refused as refusal:
            await answer(refusal)(scope, receive, send)
            return
        self._bytes_inside += size
        try:
            await self._with_body(size, scope, receive, send)
        finally:
            self._bytes_inside -= size

    def _caller(self, request: Request) -> Caller:
        presented = _presented_key(request)
        if not presented:
            raise Refused(
                Kind.UNAUTHORIZED, "no API key: send it in the header x-api-key, or as a bearer token"
            )
        caller = self._keys.caller(presented)
        if caller is None:
            raise Refused(
                Kind.UNAUTHORIZED, "this API key is not known here; ask whoever runs Nightshift for one"
            )
        return caller

    def _size(self, request: Request) -> int:
        """The most bytes the body can have, for which there is room."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(Kind.MEDIA_TYPE, "the body must be JSON: send it as content-type application/json")
        most = self._limits.body_bytes
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else most
        if size > most:
            raise _too_large(most)
        if self._bytes_inside + size > self._limits.body_bytes_at_once:
            raise Refused(Kind.BUSY, "the service is taking in as much as it can; ask again in a moment")
        return size

    async def _with_body(self, size: int, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await _read(receive, size)
        except TimeoutError:
            refusal = Refused(
                Kind.TOO_SLOW,
                f"the body did not arrive within {self._limits.body_seconds:.0f} s; send it again, or less",
            )
            await answer(refusal)(scope, receive, send)
        except Refused as refusal:
            await answer(refusal)(scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)


def _presented_key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return request.headers.get("x-api-key", "") or (token.strip() if scheme.lower() == "bearer" else "")


async def _read(receive: Receive, most: int) -> bytes | None:
    """The whole body; None when the caller went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, for the app; then whatever comes."""
    messages: Iterable[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        for message in messages:
            return message
        return await receive()

    return again


def _too_large(most: int) -> Refused:
    return Refused(
        Kind.TOO_LARGE,
        f"the body is larger than the {most:,} bytes a call may carry; send it in several calls",
    )
