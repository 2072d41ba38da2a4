"""The API of the stand-in cluster: the routes that `KubernetesPodOperator` and its trigger use, on aiohttp.

aiohttp, not FastAPI as the other vendors, because `exec` is a websocket with a subprotocol, and because a
connection can be dropped here without an answer.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from include.sandbox.kubernetes_containers import Container
from include.sandbox.kubernetes_objects import ApiRefused, field_selector, label_selector, log_timestamp
from include.sandbox.kubernetes_pods import Pods

_PODS = "/api/v1/namespaces/{namespace}/pods"
_POD = _PODS + "/{name}"
_EXEC_PROTOCOL = "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_VERSION = {
    "major": "1", "minor": "31", "gitVersion": "v1.31.0", "gitCommit": "", "gitTreeState": "clean",
    "buildDate": "2024-08-13T00:00:00Z", "goVersion": "", "compiler": "", "platform": "stand-in",
}  # fmt: skip
_WATCH_S = 30.0
Handler = Callable[[web.Request], Any]


def kubernetes_app(pods: Pods, token: str, served: list[tuple[str, str]]) -> web.Application:
    """The API as an application.

    Args:
        token: the bearer token it accepts.
        served: every request is appended to it: method and path.
    """

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        served.append((request.method, request.path))
        trouble = pods.fates.of_request(request.method, request.path)
        try:
            if trouble is not None and trouble.status is None:
                if request.transport is not None:
                    request.transport.abort()
                # Nothing is there any more that an answer could be written to.
                raise asyncio.CancelledError
            if trouble is not None:
                raise ApiRefused(trouble.status or 500, "ordered by a test")
            if request.path not in ("/healthz", "/readyz"):
                _check(request, token)
            answer: web.StreamResponse = await handler(request)
            return answer
        except ApiRefused as refusal:
            headers = {}
            if trouble is not None and trouble.retry_after is not None:
                headers["Retry-After"] = str(trouble.retry_after)
            return web.json_response(refusal.body(), status=refusal.status, headers=headers)

    api = _Api(pods)
    app = web.Application(middlewares=[gate])
    app.add_routes(
        [
            web.get("/healthz", _well),
            web.get("/readyz", _well),
            web.get("/version", api.version),
            web.get("/version/", api.version),
            web.get("/api/v1/nodes", api.nodes),
            web.post(_PODS, api.create),
            web.get(_PODS, api.pods),
            web.get("/api/v1/pods", api.pods),
            web.get(_POD, api.pod),
            web.get(_POD + "/status", api.pod),
            web.patch(_POD, api.patch),
            web.delete(_POD, api.delete),
            web.get(_POD + "/log", api.log),
            web.get(_POD + "/exec", api.exec),
            web.get("/api/v1/namespaces/{namespace}/events", api.events),
            web.route("*", "/{path:.*}", _nothing_here),
        ]
    )
    return app


class _Api:
    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response(_VERSION)

    async def nodes(self, request: web.Request) -> web.Response:
        return self._listed("NodeList", [node.as_object() for node in self._pods.nodes])

    async def create(self, request: web.Request) -> web.Response:
        return web.json_response(
            self._pods.create(request.match_info["namespace"], await _body(request)), status=201
        )

    async def pod(self, request: web.Request) -> web.Response:
        return web.json_response(self._pods.find(*_named(request)).it)

    async def patch(self, request: web.Request) -> web.Response:
        return web.json_response(self._pods.patch(*_named(request), await _body(request)))

    async def delete(self, request: web.Request) -> web.Response:
        told: Any = request.query.get("gracePeriodSeconds")
        if told is None and request.can_read_body:
            told = (await _body(request) or {}).get("gracePeriodSeconds")
        return web.json_response(self._pods.delete(*_named(request), None if told is None else float(told)))

    async def pods(self, request: web.Request) -> web.StreamResponse:
        return await self._list(request, "Pod", self._pods.all)

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await self._list(request, "Event", lambda: list(self._pods.events))

    async def log(self, request: web.Request) -> web.StreamResponse:
        namespace, name = _named(request)
        container = self._pods.find(namespace, name).container(request.query.get("container", ""))
        if container.started_at is None:
            raise ApiRefused(
                400, f'container "{container.name}" in pod "{name}" is waiting to start: ContainerCreating'
            )
        response = web.StreamResponse(headers={"content-type": "text/plain"})
        await response.prepare(request)
        async for line in _lines(container, request.query):
            await response.write(line)
        await response.write_eof()
        return response

    async def exec(self, request: web.Request) -> web.StreamResponse:
        container = self._pods.find(*_named(request)).container(request.query.get("container", ""))
        if not container.is_running:
            raise ApiRefused(500, f'container not found ("{container.name}")')
        socket = web.WebSocketResponse(protocols=(_EXEC_PROTOCOL,))
        if not socket.can_prepare(request):
            raise ApiRefused(400, "Upgrade request required")
        await socket.prepare(request)
        command = request.query.getall("command", [])
        if _true(request.query.get("stdin")):
            status = await _signalled(socket, container)
        else:
            status = await _executed(socket, container, command)
        await socket.send_bytes(bytes([_STATUS]) + json.dumps(status).encode())
        await socket.close()
        return socket

    async def _list(
        self, request: web.Request, kind: str, current: Callable[[], list[dict[str, Any]]]
    ) -> web.StreamResponse:
        namespace = request.match_info.get("namespace")
        labelled = label_selector(request.query.get("labelSelector", ""))
        with_fields = field_selector(request.query.get("fieldSelector", ""))

        def wanted(it: dict[str, Any]) -> bool:
            metadata = it["metadata"]
            in_namespace = namespace is None or metadata["namespace"] == namespace
            return in_namespace and labelled(metadata.get("labels") or {}) and with_fields(it)

        if not _true(request.query.get("watch")):
            return self._listed(f"{kind}List", [it for it in current() if wanted(it)])
        return await self._watch(request, kind, current, wanted)

    async def _watch(
        self,
        request: web.Request,
        kind: str,
        current: Callable[[], list[dict[str, Any]]],
        wanted: Callable[[dict[str, Any]], bool],
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        since = int(request.query.get("resourceVersion") or 0)
        if not since:
            since = self._pods.version
            for it in filter(wanted, current()):
                await response.write(_change("ADDED", it))
        ends = asyncio.get_running_loop().time() + float(request.query.get("timeoutSeconds") or _WATCH_S)
        told = next((at for at, c in enumerate(self._pods.history) if c.version > since), None)
        at = len(self._pods.history) if told is None else told
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            changed = self._pods.changed
            for change in self._pods.history[at:]:
                at += 1
                if change.kind == kind and wanted(change.it):
                    await response.write(_change(change.what, change.it))
            await _wait(changed, left)
        await response.write_eof()
        return response

    def _listed(self, kind: str, items: list[dict[str, Any]]) -> web.Response:
        metadata = {"resourceVersion": str(self._pods.version)}
        return web.json_response({"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items})


async def _lines(container: Container, query: Any) -> AsyncIterator[bytes]:
    """The lines a log request asks for, as they come where it follows."""
    since = float(query.get("sinceSeconds") or "inf")
    asked = datetime.now(UTC)
    at = max(0, len(container.lines) - int(query["tailLines"])) if "tailLines" in query else 0
    while True:
        grown, over = container.grown, container.is_over
        for line in container.lines[at:]:
            at += 1
            if (asked - line.at).total_seconds() > since:
                continue
            stamp = f"{log_timestamp(line.at)} " if _true(query.get("timestamps")) else ""
            yield f"{stamp}{line.text}\n".encode()
        if over or not _true(query.get("follow")):
            return
        await _wait(grown, _WATCH_S)


async def _executed(
    socket: web.WebSocketResponse, container: Container, command: list[str]
) -> dict[str, Any]:
    """Run a command where the container's volumes are, and send what it says."""
    process = await asyncio.create_subprocess_exec(
        *(container.in_here(part) for part in command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    for channel, data in ((_STDOUT, out), (_STDERR, err)):
        if data:
            await socket.send_bytes(bytes([channel]) + data)
    return _exec_status(process.returncode or 0)


async def _signalled(socket: web.WebSocketResponse, container: Container) -> dict[str, Any]:
    """A shell that only knows `kill`, of the container itself.

    A real one would look for processes of this machine by name and kill those: the container is none.
    """
    async for message in socket:
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            continue
        # The official client sends text as text, and bytes as bytes.
        data = message.data.encode() if isinstance(message.data, str) else message.data
        if data[:1] != bytes([_STDIN]):
            continue
        line = data[1:].decode(errors="replace").strip()
        if line.startswith("kill -2"):
            container.signal(signal.SIGINT)
            return _exec_status(0)
        await socket.send_bytes(bytes([_STDERR]) + f"{line.split()[:1]}: not found\n".encode())
    return _exec_status(1)


def _exec_status(code: int) -> dict[str, Any]:
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _check(request: web.Request, token: str) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise ApiRefused(401, "Unauthorized")


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read() or b"null")
    except ValueError as error:
        raise ApiRefused(400, f"the body is no JSON: {error}") from error


async def _well(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _nothing_here(request: web.Request) -> web.Response:
    raise ApiRefused(404, "the server could not find the requested resource")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["namespace"], request.match_info["name"]


def _change(what: str, it: dict[str, Any]) -> bytes:
    return json.dumps({"type": what, "object": it}).encode() + b"\n"


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")
