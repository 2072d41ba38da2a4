"""Slack's channels, messages and files as the sandbox keeps them.

A channel comes into being with the first message to its name. Message times (`ts`) are unique and rise, as
Slack's do, and identify a message within its channel.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from include.sandbox.state import SandboxState, VirtualClock

FIRST_CHANNELS = ("nightshift-alerts", "nightshift-reports")


class SlackRefused(Exception):
    """Slack says no; `code` is its word for it, `details` go into `errors`."""

    def __init__(self, code: str, details: list[str] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.details = details or []


@dataclass(frozen=True)
class Channel:
    """A channel, how many messages it holds (replies included), and the `ts` of the newest."""

    id: str
    name: str
    created_at: float
    messages: int
    newest_ts: str


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file; `content` is empty until it was uploaded."""

    id: str
    name: str
    title: str
    alt_text: str
    content: bytes
    shared_at: float | None


class Workspace:
    """All channels, messages and files."""

    def __init__(self, state: SandboxState, clock: VirtualClock) -> None:
        self._state = state
        self._clock = clock

    def open_channels(self) -> None:
        """Make sure the channels Nightshift posts to exist, as an administrator would have done."""
        for name in FIRST_CHANNELS:
            self._open_channel(name)

    def channels(self) -> list[Channel]:
        """All channels by name."""
        query = (
            "SELECT c.*, count(m.ts) AS messages, coalesce(max(m.ts), '') AS newest_ts"
            " FROM channel c LEFT JOIN message m ON m.channel_id = c.id GROUP BY c.id ORDER BY c.name"
        )
        rows = self._state.rows(query)
        return [
            Channel(row["id"], row["name"], row["created_at"], row["messages"], row["newest_ts"])
            for row in rows
        ]

    def channel_id(self, asked: str, *, names: bool = True) -> str:
        """The id of the channel a caller names by id or, where Slack takes `names`, by name.

        Raises:
            SlackRefused: channel_not_found.
        """
        row = self._state.row("SELECT id FROM channel WHERE id = ?", (asked,))
        if row is not None:
            return str(row["id"])
        name = asked.removeprefix("#")
        # What looks like an id but is none must not become a channel of that name.
        if not names or not name or name != name.lower() or len(name) > 80:
            raise SlackRefused("channel_not_found")
        return self._open_channel(name)

    def post(self, channel_id: str, body: dict[str, Any], thread_ts: str | None = None) -> str:
        """Store a message, as a reply when `thread_ts` names one; returns its `ts`.

        A reply to a reply joins its thread: threads have one level.

        Raises:
            SlackRefused: thread_not_found.
        """
        if thread_ts:
            query = "SELECT coalesce(thread_ts, ts) AS ts FROM message WHERE channel_id = ? AND ts = ?"
            first = self._state.row(query, (channel_id, thread_ts))
            if first is None:
                raise SlackRefused("thread_not_found")
            thread_ts = first["ts"]
        with self._state.writing() as db:
            newest = db.execute(
                "SELECT max(ts) AS ts FROM message WHERE channel_id = ?", (channel_id,)
            ).fetchone()
            ts = f"{self._clock.now():.6f}"
            if newest["ts"] is not None and newest["ts"] >= ts:
                ts = f"{float(newest['ts']) + 0.000001:.6f}"
            stored = (channel_id, ts, thread_ts or None, json.dumps(body))
            db.execute("INSERT INTO message VALUES (?, ?, ?, ?)", stored)
        return ts

    def update(self, channel_id: str, ts: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Replace parts of a message and mark it as edited; returns it.

        Raises:
            SlackRefused: message_not_found.
        """
        body = self.message(channel_id, ts)
        if body is None:
            raise SlackRefused("message_not_found")
        body = {**body, **changes, "edited": {"ts": f"{self._clock.now():.6f}"}}
        with self._state.writing() as db:
            db.execute(
                "UPDATE message SET body = ? WHERE channel_id = ? AND ts = ?",
                (json.dumps(body), channel_id, ts),
            )
        return body

    def message(self, channel_id: str, ts: str) -> dict[str, Any] | None:
        """The body of one message, or None."""
        query = "SELECT body FROM message WHERE channel_id = ? AND ts = ?"
        row = self._state.row(query, (channel_id, ts))
        return None if row is None else dict(json.loads(row["body"]))

    def messages(self, channel_id: str, newest: int) -> list[dict[str, Any]]:
        """The `newest` messages of a channel, oldest of them first, each with its `ts` and `thread_ts`."""
        query = "SELECT ts, thread_ts, body FROM message WHERE channel_id = ? ORDER BY ts DESC LIMIT ?"
        rows = self._state.rows(query, (channel_id, newest))
        return [
            {**json.loads(row["body"]), "ts": row["ts"], "thread_ts": row["thread_ts"]} for row in rows[::-1]
        ]

    def announce_file(self, name: str, length: int, alt_text: str) -> tuple[str, str]:
        """Make room for an upload; returns the file's id and the ticket its upload address carries."""
        file_id, ticket = f"F{secrets.token_hex(5).upper()}", secrets.token_urlsafe(24)
        with self._state.writing() as db:
            db.execute(
                "INSERT INTO upload (id, ticket, name, length, alt_text) VALUES (?, ?, ?, ?, ?)",
                (file_id, ticket, name, length, alt_text),
            )
        return file_id, ticket

    def receive_file(self, ticket: str, content: bytes) -> bool:
        """Keep what was uploaded; False without such a ticket, or when its length was not announced."""
        with self._state.writing() as db:
            query = "UPDATE upload SET content = ? WHERE ticket = ? AND length = ?"
            return db.execute(query, (content, ticket, len(content))).rowcount == 1

    def share_file(self, file_id: str, title: str | None) -> StoredFile:
        """Finish an upload under a title.

        Raises:
            SlackRefused: file_not_found, when it was not announced or nothing was uploaded.
        """
        with self._state.writing() as db:
            shared = db.execute(
                "UPDATE upload SET title = coalesce(?, name), shared_at = ?"
                " WHERE id = ? AND content IS NOT NULL",
                (title, self._clock.now(), file_id),
            )
        stored = self.file(file_id)
        if shared.rowcount != 1 or stored is None:
            raise SlackRefused("file_not_found")
        return stored

    def file(self, file_id: str) -> StoredFile | None:
        """A file by its id, or None."""
        row = self._state.row("SELECT * FROM upload WHERE id = ?", (file_id,))
        if row is None:
            return None
        return StoredFile(
            row["id"],
            row["name"],
            row["title"] or row["name"],
            row["alt_text"] or "",
            row["content"] or b"",
            row["shared_at"],
        )

    def _open_channel(self, name: str) -> str:
        channel_id = "C" + hashlib.sha256(name.encode()).hexdigest()[:10].upper()
        with self._state.writing() as db:
            db.execute(
                "INSERT INTO channel VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (channel_id, name, self._clock.now()),
            )
        return channel_id
