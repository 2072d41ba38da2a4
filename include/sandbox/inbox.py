"""The page on which a person reads what was posted to Slack, rendered as Slack would.

Everything in a message is untrusted. Templates escape, mrkdwn is rendered by `mrkdwn.py`, pictures are only
shown when they were uploaded here (a picture from elsewhere would tell its server who reads), and the page's
content security policy allows nothing but its own style and those pictures.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, TemplateError
from markupsafe import Markup

from include.sandbox.channels import Channel, Workspace
from include.sandbox.credentials import is_loopback, require_loopback_host
from include.sandbox.emoji import EMOJI
from include.sandbox.mrkdwn import emoji, is_safe, link, mention, mrkdwn, plain
from include.sandbox.slack import APP_NAME, KEPT, USER_ID

TEMPLATES = Path(__file__).parent / "templates"
MOST_SHOWN = 200
REFRESH_SECONDS = 15
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": PAGE_POLICY + "; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
FILE_ADDRESS = re.compile(r"/slack/files/(F[0-9A-F]+)/")
COLOURS = {"good": "#2eb67d", "warning": "#ecb22e", "danger": "#e01e5a"}
HEX_COLOUR = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")
AVATAR_HUES = (205, 265, 150, 25, 340, 180, 45, 300)


def page_environment() -> Environment:
    """The Jinja environment of the sandbox's pages: autoescaped, with Slack's texts as filters."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(mrkdwn=mrkdwn, plain=plain, emoji=emoji, mention=mention, colour=_colour)
    environment.globals.update(link=link, is_safe=is_safe)
    return environment


def inbox_router(workspace: Workspace, pages: Environment) -> APIRouter:
    """The routes below /slack that people open, without a key and under a loopback name only."""
    router = APIRouter(prefix="/slack", dependencies=[Depends(require_loopback_host)])

    @router.get("/inbox", response_class=HTMLResponse)
    def inbox(channel: str = "", refresh: bool = True) -> Response:
        channels = workspace.channels()
        chosen = _chosen(channels, channel)
        messages = workspace.messages(chosen.id, MOST_SHOWN) if chosen else []
        html = pages.get_template("inbox.html").render(
            channels=channels,
            chosen=chosen,
            days=_by_day(messages, workspace),
            hidden=chosen.messages - len(messages) if chosen else 0,
            refresh=REFRESH_SECONDS if refresh else None,
            draw=_Drawing(
                pages, workspace, {USER_ID: APP_NAME} | {known.id: known.name for known in channels}
            ),
        )
        return HTMLResponse(html, headers=PAGE_HEADERS)

    @router.get("/files/{file_id}/{name:path}")
    def file(file_id: str, name: str) -> Response:
        stored = workspace.file(file_id)
        if stored is None or not stored.content:
            raise HTTPException(404, f"no file {file_id} was uploaded")
        kind = _picture_type(stored.content)
        headers = {**PAGE_HEADERS, "content-security-policy": "sandbox; default-src 'none'"}
        if kind is None:
            headers["content-disposition"] = "attachment"
        return Response(stored.content, media_type=kind or "application/octet-stream", headers=headers)

    return router


class _Drawing:
    """Draws one message with its replies; one that no block rule foresaw is shown as its data instead."""

    def __init__(self, pages: Environment, workspace: Workspace, names: dict[str, str]) -> None:
        self._message: Any = pages.get_template("message.html").module
        self._picture = _Pictures(workspace)
        self._names = names

    def __call__(self, view: dict[str, Any]) -> Markup:
        try:
            return Markup(self._message.message(view, self._picture, self._names))  # noqa: S704 - autoescaped
        except (TypeError, ValueError, AttributeError, TemplateError):
            return Markup("<article class='message'><div></div><pre>{}</pre></article>").format(
                json.dumps({name: view.get(name) for name in ("ts", *KEPT)}, indent=1)
            )


class _Pictures:
    """Where a picture of a message can be shown from: our own files only, else None."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __call__(self, block: dict[str, Any]) -> str | None:
        slack_file = block.get("slack_file") or {}
        address = str(block.get("image_url") or slack_file.get("url") or "")
        found = FILE_ADDRESS.match(urlsplit(address).path) if is_safe(address) else None
        file_id = slack_file.get("id")
        if found and is_loopback(urlsplit(address).hostname or ""):
            file_id = found[1]
        stored = self._workspace.file(str(file_id)) if file_id else None
        if stored is None or _picture_type(stored.content) is None:
            return None
        return f"/slack/files/{stored.id}/picture"


def _chosen(channels: list[Channel], asked: str) -> Channel | None:
    """The channel asked for by id or name, else the one with the newest message."""
    for channel in channels:
        if asked and asked.removeprefix("#") in (channel.id, channel.name):
            return channel
    return max(channels, key=lambda channel: channel.newest_ts, default=None)


def _by_day(messages: list[dict[str, Any]], workspace: Workspace) -> list[dict[str, Any]]:
    """Messages with their replies, grouped by the day of the first; oldest first."""
    shown = {message["ts"]: _view(message, workspace) for message in messages}
    days: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        view = shown[message["ts"]]
        parent = shown.get(message["thread_ts"] or "")
        if parent is not None and parent is not view:
            parent["replies"].append(view)
        else:
            days.setdefault(view["when"].strftime("%A, %-d %B %Y"), []).append(view)
    return [{"name": name, "messages": grouped} for name, grouped in days.items()]


def _view(message: dict[str, Any], workspace: Workspace) -> dict[str, Any]:
    name = str(message.get("username") or APP_NAME)
    icon = EMOJI.get(str(message.get("icon_emoji") or "").strip(":"))
    hue = AVATAR_HUES[hashlib.sha256(name.encode()).digest()[0] % len(AVATAR_HUES)]
    files = [workspace.file(str(file_id)) for file_id in message.get("files") or []]
    return {
        **message,
        "when": datetime.fromtimestamp(float(message["ts"]), UTC),
        "name": name,
        "avatar": icon or ("🌙" if name == APP_NAME else name[:1].upper()),
        "hue": hue,
        "files": [
            {
                "id": stored.id,
                "name": stored.name,
                "title": stored.title,
                "alt_text": stored.alt_text or stored.title,
                "size": _size(len(stored.content)),
                "is_picture": _picture_type(stored.content) is not None,
            }
            for stored in files
            if stored is not None
        ],
        "replies": [],
    }


def _picture_type(content: bytes) -> str | None:
    """The media type by the content itself: a file's name proves nothing."""
    return next((kind for magic, kind in PICTURES.items() if content.startswith(magic)), None)


def _colour(name: Any) -> str:
    """An attachment's colour as CSS; grey for anything that is no colour."""
    text = str(name or "")
    found = HEX_COLOUR.fullmatch(text)
    return COLOURS.get(text) or (f"#{found[1]}" if found else "#8d8d8d")


def _size(count: int) -> str:
    return (
        f"{count} B"
        if count < 1_000
        else f"{count / 1_000:.0f} kB"
        if count < 1e6
        else f"{count / 1e6:.1f} MB"
    )
