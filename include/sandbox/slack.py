"""The part of Slack's Web API that posts: messages, edits, files, incoming webhooks.

Slack answers 200 with `{"ok": false, "error": ...}` where others answer an error status, takes arguments as
JSON, as a form, or in the query, and takes lists inside forms as JSON text. Source: Slack's method reference.
"""

import json
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from include.sandbox.blocks import MOST_ATTACHMENTS, complaints
from include.sandbox.channels import SlackRefused, StoredFile, Workspace
from include.sandbox.credentials import presented_key, same_key

LONGEST_TEXT = 40_000
MOST_UPLOAD_BYTES = 100_000_000
TEAM_ID, USER_ID, BOT_ID, APP_NAME = "T0NIGHTSFT", "U0NIGHTSFT", "B0NIGHTSFT", "Nightshift"
LISTS = ("blocks", "attachments", "metadata", "files")
KEPT = ("text", "blocks", "attachments", "metadata", "username", "icon_emoji", "unfurl_links", "mrkdwn")


def slack_router(workspace: Workspace, api_key: str) -> APIRouter:
    """The routes below /slack that programs call."""
    methods = {
        "auth.test": _auth_test,
        "chat.postMessage": _post_message,
        "chat.update": _update_message,
        "conversations.list": _list_conversations,
        "files.getUploadURLExternal": _announce_upload,
        "files.completeUploadExternal": _complete_upload,
    }
    router = APIRouter(prefix="/slack")

    async def call(request: Request) -> Response:
        method = request.url.path.rpartition("/")[2]
        try:
            arguments = await _arguments(request)
            _authenticate(request, arguments, api_key)
            answered = await run_in_threadpool(methods[method], workspace, request, arguments)
        except SlackRefused as refusal:
            body: dict[str, Any] = {"ok": False, "error": refusal.code}
            if refusal.details:
                body["errors"] = refusal.details
                body["response_metadata"] = {"messages": [f"[ERROR] {text}" for text in refusal.details]}
            return JSONResponse(body)
        return JSONResponse({"ok": True, **answered})

    for method in methods:
        router.add_api_route(f"/api/{method}", call, methods=["GET", "POST"], name=method)

    @router.post("/api/{method}")
    async def unknown_method(method: str) -> Response:
        return JSONResponse({"ok": False, "error": "unknown_method", "req_method": method})

    @router.post("/upload/v1/{ticket}")
    async def upload(ticket: str, request: Request) -> Response:
        content = await _uploaded(request)
        received = await run_in_threadpool(workspace.receive_file, ticket, content)
        if not received:
            return PlainTextResponse("No such upload, or its length is not the announced one", 400)
        return PlainTextResponse(f"OK - {len(content)}")

    @router.post("/services/{team}/{channel}/{secret}")
    async def incoming_webhook(channel: str, secret: str, request: Request) -> Response:
        if not same_key(secret, api_key):
            return PlainTextResponse("invalid_token", 403)
        try:
            payload = await _webhook_payload(request)
            target = str(payload.get("channel") or channel)
            await run_in_threadpool(_store_message, workspace, target, payload)
        except SlackRefused as refusal:
            return PlainTextResponse(refusal.code, 404 if refusal.code == "channel_not_found" else 400)
        return PlainTextResponse("ok")

    return router


def _auth_test(workspace: Workspace, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": f"{request.base_url}slack/inbox",
        "team": "Nightshift",
        "user": "nightshift",
        "team_id": TEAM_ID,
        "user_id": USER_ID,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def _post_message(workspace: Workspace, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
    channel_id, ts = _store_message(workspace, str(arguments.get("channel") or ""), arguments)
    return {"channel": channel_id, "ts": ts, "message": _shown(workspace.message(channel_id, ts), ts)}


def _update_message(workspace: Workspace, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
    channel_id = workspace.channel_id(str(arguments.get("channel") or ""), names=False)
    ts = str(arguments.get("ts") or "")
    changes = _checked_message(arguments)
    body = workspace.update(channel_id, ts, changes)
    return {"channel": channel_id, "ts": ts, "text": body.get("text", ""), "message": _shown(body, ts)}


def _list_conversations(workspace: Workspace, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
    channels = [
        {
            "id": channel.id,
            "name": channel.name,
            "is_channel": True,
            "is_private": False,
            "is_archived": False,
            "is_member": True,
            "created": int(channel.created_at),
        }
        for channel in workspace.channels()
    ]
    return {"channels": channels, "response_metadata": {"next_cursor": ""}}


def _announce_upload(workspace: Workspace, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
    name, length = str(arguments.get("filename") or ""), str(arguments.get("length") or "")
    if not name or not length.isdecimal() or not 0 < int(length) <= MOST_UPLOAD_BYTES:
        raise SlackRefused("invalid_arguments")
    file_id, ticket = workspace.announce_file(name, int(length), str(arguments.get("alt_txt") or ""))
    return {"upload_url": f"{request.base_url}slack/upload/v1/{ticket}", "file_id": file_id}


def _complete_upload(workspace: Workspace, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
    wanted = arguments.get("files")
    if (
        not isinstance(wanted, list)
        or not wanted
        or not all(isinstance(f, dict) and "id" in f for f in wanted)
    ):
        raise SlackRefused("invalid_arguments")
    named = [str(arguments.get("channel_id") or ""), *str(arguments.get("channels") or "").split(",")]
    channel_ids = [workspace.channel_id(name.strip(), names=False) for name in named if name.strip()]
    files = [workspace.share_file(str(entry["id"]), entry.get("title")) for entry in wanted]
    body = {
        "text": str(arguments.get("initial_comment") or ""),
        "blocks": arguments.get("blocks") or [],
        "files": [file.id for file in files],
    }
    for channel_id in channel_ids:
        workspace.post(channel_id, body, arguments.get("thread_ts"))
    return {"files": [_file(file, request, channel_ids) for file in files]}


def _store_message(workspace: Workspace, channel: str, arguments: dict[str, Any]) -> tuple[str, str]:
    body = _checked_message(arguments)
    channel_id = workspace.channel_id(channel)
    thread_ts = arguments.get("thread_ts")
    return channel_id, workspace.post(channel_id, body, None if thread_ts is None else str(thread_ts))


def _checked_message(arguments: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a message's arguments.

    Raises:
        SlackRefused: with Slack's word for what is wrong.
    """
    body = {name: arguments[name] for name in KEPT if arguments.get(name) is not None}
    if "text" in body:
        body["text"] = str(body["text"])
    if not any(body.get(name) for name in ("text", "blocks", "attachments")):
        raise SlackRefused("no_text")
    if len(body.get("text", "")) > LONGEST_TEXT:
        raise SlackRefused("msg_too_long")
    attachments = body.get("attachments", [])
    if not isinstance(attachments, list) or not all(isinstance(part, dict) for part in attachments):
        raise SlackRefused("invalid_attachments")
    if len(attachments) > MOST_ATTACHMENTS:
        raise SlackRefused("too_many_attachments")
    metadata = body.get("metadata", {"event_type": "", "event_payload": {}})
    if not isinstance(metadata, dict) or not {"event_type", "event_payload"} <= metadata.keys():
        raise SlackRefused("invalid_metadata_format")
    wrong = complaints(body.get("blocks", []))
    for index, attachment in enumerate(attachments):
        wrong += complaints(attachment.get("blocks", []), f"/attachments/{index}/blocks")
    if wrong:
        raise SlackRefused("invalid_blocks", wrong)
    return body


def _authenticate(request: Request, arguments: dict[str, Any], api_key: str) -> None:
    presented = presented_key(request) or str(arguments.get("token") or "")
    if not presented:
        raise SlackRefused("not_authed")
    if not same_key(presented, api_key):
        raise SlackRefused("invalid_auth")


async def _arguments(request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(request.query_params)
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        # The SDK declares JSON also where it sends nothing.
        body = _json(await request.body() or b"{}", "invalid_json")
        if not isinstance(body, dict):
            raise SlackRefused("json_not_object")
        arguments.update(body)
    elif request.method == "POST":
        arguments.update(await request.form())
    for name in LISTS:
        if isinstance(arguments.get(name), str):
            arguments[name] = _json(arguments[name], f"invalid_{name}_format")
    return arguments


async def _webhook_payload(request: Request) -> dict[str, Any]:
    text: Any = await request.body()
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        text = (await request.form()).get("payload", "")
    payload = _json(text, "invalid_payload")
    if not isinstance(payload, dict):
        raise SlackRefused("invalid_payload")
    return payload


async def _uploaded(request: Request) -> bytes:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    parts = [part for part in (await request.form()).values() if isinstance(part, UploadFile)]
    return await parts[0].read() if parts else b""


def _json(text: str | bytes, otherwise: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SlackRefused(otherwise) from error


def _shown(body: dict[str, Any] | None, ts: str) -> dict[str, Any]:
    return {
        "type": "message",
        "subtype": "bot_message",
        "text": "",
        "user": USER_ID,
        "bot_id": BOT_ID,
        "team": TEAM_ID,
        "ts": ts,
        **(body or {}),
    }


def _file(file: StoredFile, request: Request, channel_ids: list[str]) -> dict[str, Any]:
    address = f"{request.base_url}slack/files/{file.id}/{quote(file.name)}"
    return {
        "id": file.id,
        "name": file.name,
        "title": file.title,
        "size": len(file.content),
        "created": int(file.shared_at or 0),
        "channels": channel_ids,
        "url_private": address,
        "permalink": address,
        "alt_txt": file.alt_text,
    }
