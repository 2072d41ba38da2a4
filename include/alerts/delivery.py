"""Posts a message to Slack, once per key.

The intent is committed first, then Slack is called, then the row becomes `sent`. So a message whose key was
sent is not posted again, one that never left is posted by the next try, and one whose answer was lost may be
posted twice: Slack offers nothing to tell these apart, and a doubled alert is better than none.
"""

from __future__ import annotations

import http.client
import logging
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from include.alerts.message import MOST_BLOCKS, Picture, SlackMessage, picture_block
from include.config import thresholds
from include.db import alerts
from include.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

SLACK_API = "https://slack.com/api/"

# Slack's words for "not now". Every other refusal stays one however often it is tried.
_PASSING = {
    "fatal_error",
    "internal_error",
    "ratelimited",
    "rate_limited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}

# Slack's words for a message that takes no replies, or is not there any more.
_NO_THREAD = {"thread_not_found", "cannot_reply_to_message"}

_PICTURE_PAUSE_S = 1.5


class SlackRefused(PermanentError):
    """Slack will not take the message: wrong token, channel or content. `code` is Slack's word for it."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class SlackUnavailable(TransientError):
    """Slack is down, unreachable or wants us to wait."""


class SlackLedgerUnavailable(TransientError):
    """The database cannot say whether the message was sent before; nothing was sent now."""


@dataclass(frozen=True)
class SlackChannel:
    """Where a message goes and with whose token. The token is kept out of the representation."""

    channel: str
    token: str = field(repr=False)
    base_url: str = SLACK_API

    @classmethod
    def from_connection(cls, name: str, password: str | None, extra: Mapping[str, Any]) -> SlackChannel:
        """The channel that a Slack connection describes.

        Args:
            name: of the connection, for the error message.
            password: the bot token.
            extra: `channel`, and `base_url` where it is not Slack itself.

        Raises:
            SlackRefused: token or channel is missing.
        """
        wanted = {"password": password, "extra.channel": extra.get("channel")}
        missing = [what for what, value in wanted.items() if not value]
        if missing:
            raise SlackRefused(
                f"connection '{name}' has no {' and no '.join(missing)}: set the bot token as password and "
                "the channel, such as #nightshift-alerts, in extra"
            )
        return cls(str(extra["channel"]), str(password), str(extra.get("base_url") or SLACK_API))


@dataclass(frozen=True)
class SlackPosting:
    """How a delivery ended.

    Attributes:
        ts: Slack's id of the message within its channel.
        posted: whether it was posted now; otherwise it had been before.
        recorded: whether the database knows; if not, a later call with its key posts it again.
    """

    ts: str
    posted: bool
    recorded: bool = True


def post_once(
    engine: Engine,
    channel: SlackChannel,
    message_key: str,
    message: SlackMessage,
    *,
    kind: str,
    dag_id: str | None = None,
    run_id: str | None = None,
    picture: Picture | None = None,
    in_thread_of: str | None = None,
) -> SlackPosting:
    """Post a message unless one of its key was sent before.

    Args:
        engine: on the `nightshift` database.
        message_key: what makes it this message and no other, e.g. DAG and run, or week and scope.
        kind: `failure`, `drift`, `weekly`, ...
        picture: shown in the message; without it, if Slack does not manage to show it in time.
        in_thread_of: key of an earlier message that this one answers. Where that was sent to this channel,
            it is posted as a reply in its thread; else as a message of its own.

    Raises:
        SlackRefused, SlackUnavailable: it was not sent, or for the latter, may not have been.
        SlackLedgerUnavailable: the database failed before anything was sent.
    """
    try:
        with engine.connect() as connection, alerts.message_lock(connection, message_key):
            stored = alerts.intend(
                connection,
                message_key,
                channel=channel.channel,
                kind=kind,
                message_text=message.text,
                dag_id=dag_id,
                run_id=run_id,
            )
            connection.commit()
            if stored.sent:
                return SlackPosting(stored.slack_ts or "", posted=False)
            thread_ts = alerts.sent_ts(connection, in_thread_of, channel.channel) if in_thread_of else None
            # Slack may take its time, and nothing of the database is needed meanwhile.
            connection.commit()
            posting = post(channel, message, picture, thread_ts=thread_ts)
            try:
                alerts.mark_sent(connection, message_key, posting.ts)
                connection.commit()
            except SQLAlchemyError as error:
                # Raising here would have the caller try again and certainly double it.
                log.warning(
                    "Slack took message %s, but the database did not (%s)", message_key, type(error).__name__
                )
                return posting
            return replace(posting, recorded=True)
    except SQLAlchemyError as error:
        raise SlackLedgerUnavailable(
            f"cannot tell whether Slack message '{message_key}' was sent before: the nightshift database "
            f"failed ({type(error).__name__}); nothing was sent"
        ) from error


def post(
    channel: SlackChannel,
    message: SlackMessage,
    picture: Picture | None = None,
    *,
    thread_ts: str | None = None,
) -> SlackPosting:
    """Post a message, whatever was posted before.

    Args:
        thread_ts: Slack's id of a message in the channel, to reply in its thread. Where Slack knows of no
            such thread any more, it is posted as a message of its own.

    Raises:
        SlackRefused, SlackUnavailable: as `post_once`.
    """
    if thread_ts:
        try:
            return _post(channel, message, picture, thread_ts)
        except SlackRefused as refusal:
            if refusal.code not in _NO_THREAD:
                raise
            log.warning("the message that this one answers takes no replies (%s)", refusal.code)
    return _post(channel, message, picture, None)


def _post(
    channel: SlackChannel, message: SlackMessage, picture: Picture | None, thread_ts: str | None
) -> SlackPosting:
    client = _client(channel)
    if picture is None:
        return _send(client, channel, message, thread_ts)
    file_id = _upload(client, picture)
    if file_id:
        illustrated = _with_picture(message, file_id, picture)
        for attempt in range(thresholds().alerts.picture_attempts):
            if attempt:
                time.sleep(_PICTURE_PAUSE_S)
            try:
                return _send(client, channel, illustrated, thread_ts)
            except SlackRefused as refusal:
                # What Slack answers until it has looked at an uploaded file.
                if refusal.code != "invalid_blocks":
                    raise
    log.warning("the message goes without its picture %s: Slack does not show it", picture.filename)
    return _send(client, channel, message, thread_ts)


def _send(
    client: WebClient, channel: SlackChannel, message: SlackMessage, thread_ts: str | None
) -> SlackPosting:
    answer = _call(
        lambda: client.chat_postMessage(
            channel=channel.channel,
            text=message.text,
            blocks=list(message.blocks),
            thread_ts=thread_ts,
            unfurl_links=False,
            unfurl_media=False,
        ),
        f"post to {channel.channel}",
    )
    return SlackPosting(str(answer["ts"]), posted=True, recorded=False)


def _upload(client: WebClient, picture: Picture) -> str | None:
    """Slack's id of the picture, `None` where it refuses it: a report is worth sending without its chart."""
    try:
        answer = _call(
            lambda: client.files_upload_v2(
                filename=picture.filename,
                content=picture.content,
                title=picture.title,
                alt_txt=picture.alt_text,
            ),
            f"upload {picture.filename}",
        )
    except SlackRefused as refusal:
        log.warning("%s", refusal)
        return None
    return str(answer["files"][0]["id"])


def _with_picture(message: SlackMessage, file_id: str, picture: Picture) -> SlackMessage:
    """The picture goes above the buttons and the small print that end a message."""
    blocks = list(message.blocks)[: MOST_BLOCKS - 1]
    place = len(blocks)
    while place and blocks[place - 1]["type"] in {"actions", "context"}:
        place -= 1
    return replace(message, blocks=(*blocks[:place], picture_block(file_id, picture), *blocks[place:]))


def _client(channel: SlackChannel) -> WebClient:
    from slack_sdk import WebClient

    client = WebClient(
        token=channel.token,
        base_url=channel.base_url,
        timeout=math.ceil(thresholds().alerts.http_timeout_s),
        # Its own handlers repeat a request whose answer was lost, which would double a message.
        retry_handlers=[],
    )
    if urllib.request.proxy_bypass(urllib.parse.urlsplit(channel.base_url).hostname or ""):
        # slack_sdk knows HTTPS_PROXY, but not NO_PROXY.
        client.proxy = None
    return client


def _call(call: Callable[[], Answer], what: str) -> Answer:
    """One call of Slack, waiting as long as it says to when that is short.

    Raises:
        SlackRefused, SlackUnavailable.
    """
    from slack_sdk.errors import SlackApiError, SlackClientError

    patience = thresholds().alerts.longest_wait_s
    while True:
        try:
            return call()
        except SlackApiError as error:
            wait = _wait_s(error)
            if wait is None:
                raise _refusal_or_outage(error, what) from None
            if wait > patience:
                raise SlackUnavailable(
                    f"cannot {what}: Slack limits our rate and says to wait {wait:.0f} s; try again then"
                ) from None
            patience -= wait
            time.sleep(wait)
        except (SlackClientError, OSError, http.client.HTTPException) as error:
            raise SlackUnavailable(
                f"cannot {what}: no answer from Slack ({type(error).__name__}); whether it took the message "
                "is unknown, try again"
            ) from error


def _wait_s(error: SlackApiError) -> float | None:
    """Seconds Slack wants us to wait, `None` where the answer is not about our rate."""
    response = error.response
    if response.status_code != 429 and response.get("error") not in {"ratelimited", "rate_limited"}:
        return None
    headers = {name.lower(): value for name, value in response.headers.items()}
    after = headers.get("retry-after", "1")
    after = after[0] if isinstance(after, list) else after
    return max(1.0, float(after)) if str(after).isdigit() else 1.0


def _refusal_or_outage(error: SlackApiError, what: str) -> SlackRefused | SlackUnavailable:
    response = error.response
    code = str(response.get("error") or "no reason given")
    if response.status_code >= 500 or code in _PASSING:
        return SlackUnavailable(f"cannot {what}: Slack is unwell (status {response.status_code}); try again")
    if response.status_code != 200:
        code = f"status {response.status_code}"
    details = "; ".join(str(text) for text in (response.get("errors") or [])[:3])
    return SlackRefused(
        f"cannot {what}: Slack refuses it ({code}{': ' + details if details else ''}); "
        "see https://docs.slack.dev/reference/methods/chat.postMessage#errors",
        code,
    )
