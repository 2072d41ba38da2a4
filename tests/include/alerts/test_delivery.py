"""A message reaches Slack once per key, whatever fails on the way."""

from __future__ import annotations

import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, create_engine, text

from include.alerts import (
    Picture,
    SlackChannel,
    SlackLedgerUnavailable,
    SlackMessage,
    SlackRefused,
    SlackUnavailable,
    post_once,
)
from include.alerts.message import buttons, header, section

if TYPE_CHECKING:
    from include.sandbox.server import SandboxServer

MESSAGE = SlackMessage(
    "The night is over", (header("The night"), section("is over"), buttons({"Open": "https://example.com"}))
)


@pytest.fixture
def channel(sandbox: SandboxServer) -> SlackChannel:
    return SlackChannel("#nightshift-reports", sandbox.api_key, sandbox.slack_url)


def posted(sandbox: SandboxServer, channel: str = "nightshift-reports") -> list[dict[str, Any]]:
    answer = sandbox.client.get(f"/control/slack/{channel}")
    answer.raise_for_status()
    return list(answer.json()["messages"])


def order(sandbox: SandboxServer, kind: str, **rest: Any) -> None:
    wanted = {"vendor": "slack", "route": "POST /api/chat.postMessage", "kind": kind, **rest}
    sandbox.client.post("/control/faults", json=wanted).raise_for_status()


def stored(db: Engine) -> list[tuple[str, str, str | None]]:
    with db.connect() as connection:
        rows = connection.execute(
            text("SELECT message_key, state, slack_ts FROM alerts.slack_message ORDER BY message_key")
        )
        return [(row.message_key, row.state, row.slack_ts) for row in rows]


def png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixel = zlib.compress(b"\x00\x00\x00\x00")
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def test_a_message_is_posted_and_remembered(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    posting = post_once(db, channel, "k", MESSAGE, kind="weekly", dag_id="d", run_id="r")

    assert posting.posted
    assert posting.recorded
    assert [message["ts"] for message in posted(sandbox)] == [posting.ts]
    assert posted(sandbox)[0]["blocks"] == list(MESSAGE.blocks)
    assert stored(db) == [("k", "sent", posting.ts)]


def test_the_same_key_is_posted_once_and_its_first_ts_returned(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    first = post_once(db, channel, "k", MESSAGE, kind="weekly")
    again = post_once(db, channel, "k", SlackMessage("changed", ()), kind="weekly")

    assert (again.ts, again.posted) == (first.ts, False)
    assert len(posted(sandbox)) == 1


def test_ten_at_once_post_one(db: Engine, sandbox: SandboxServer, channel: SlackChannel) -> None:
    order(sandbox, "delay", args={"seconds": 0.3})
    postings = []
    threads = [
        threading.Thread(target=lambda: postings.append(post_once(db, channel, "k", MESSAGE, kind="weekly")))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(posted(sandbox)) == 1
    assert sorted(posting.posted for posting in postings) == [False] * 9 + [True]


@pytest.mark.parametrize("status", [500, 503])
def test_a_slack_that_is_down_leaves_an_intent_that_the_next_try_sends(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel, status: int
) -> None:
    order(sandbox, "server_error", args={"status": status})

    with pytest.raises(SlackUnavailable, match=f"status {status}"):
        post_once(db, channel, "k", MESSAGE, kind="weekly")
    assert stored(db) == [("k", "intent", None)]

    posting = post_once(db, channel, "k", MESSAGE, kind="weekly")
    assert stored(db) == [("k", "sent", posting.ts)]
    assert len(posted(sandbox)) == 1


def test_a_lost_answer_is_told_as_passing_and_posted_again_by_the_next_try(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    order(sandbox, "drop_response")

    with pytest.raises(SlackUnavailable, match="whether it took the message is unknown"):
        post_once(db, channel, "k", MESSAGE, kind="weekly")
    assert len(posted(sandbox)) == 1

    assert post_once(db, channel, "k", MESSAGE, kind="weekly").posted
    assert len(posted(sandbox)) == 2


def test_a_short_rate_limit_is_waited_for(db: Engine, sandbox: SandboxServer, channel: SlackChannel) -> None:
    order(sandbox, "rate_limit", args={"retry_after": 1})

    assert post_once(db, channel, "k", MESSAGE, kind="weekly").posted
    assert len(posted(sandbox)) == 1


def test_a_long_rate_limit_is_left_to_whoever_retries(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    order(sandbox, "rate_limit", args={"retry_after": 60})

    with pytest.raises(SlackUnavailable, match="wait 60 s"):
        post_once(db, channel, "k", MESSAGE, kind="weekly")


def test_a_wrong_token_is_refused_for_good_and_not_told(db: Engine, sandbox: SandboxServer) -> None:
    wrong = SlackChannel("#nightshift-reports", "xoxb-wrong-token", sandbox.slack_url)

    with pytest.raises(SlackRefused, match="invalid_auth") as refusal:
        post_once(db, wrong, "k", MESSAGE, kind="weekly")
    assert "xoxb" not in str(refusal.value) + repr(wrong)


def test_blocks_that_slack_does_not_take_are_refused_with_the_place(
    db: Engine, channel: SlackChannel
) -> None:
    with pytest.raises(SlackRefused, match=r"invalid_blocks.*json-pointer:/blocks/0"):
        post_once(db, channel, "k", SlackMessage("x", ({"type": "nonsense"},)), kind="weekly")


def test_nothing_is_posted_while_the_database_cannot_tell_whether_it_was(
    sandbox: SandboxServer, channel: SlackChannel
) -> None:
    nowhere = create_engine("postgresql+psycopg://u:secret@127.0.0.1:1/nightshift")

    with pytest.raises(SlackLedgerUnavailable, match="nothing was sent") as unknown:
        post_once(nowhere, channel, "k", MESSAGE, kind="weekly")
    assert "secret" not in str(unknown.value)
    assert posted(sandbox) == []


def test_a_picture_is_shown_in_the_message_above_its_buttons(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    picture = Picture("week.png", png(), "The week", "Savings per day")

    post_once(db, channel, "k", MESSAGE, kind="weekly", picture=picture)

    (message,) = posted(sandbox)
    assert [block["type"] for block in message["blocks"]] == ["header", "section", "image", "actions"]
    file_id = message["blocks"][2]["slack_file"]["id"]
    shown = sandbox.client.get(f"/slack/files/{file_id}/picture")
    assert shown.status_code == 200
    assert shown.content == picture.content


def test_a_report_goes_without_a_picture_that_slack_refuses(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    empty = Picture("week.png", b"", "The week", "Savings per day")

    assert post_once(db, channel, "k", MESSAGE, kind="weekly", picture=empty).posted
    assert [block["type"] for block in posted(sandbox)[0]["blocks"]] == ["header", "section", "actions"]


@pytest.mark.parametrize(
    ("password", "extra", "missing"),
    [
        (None, {"channel": "#a"}, "no password:"),
        ("t", {}, "no extra.channel:"),
        ("", {}, "no password and no extra.channel"),
    ],
)
def test_a_connection_without_token_or_channel_is_named(
    password: str | None, extra: dict[str, str], missing: str
) -> None:
    with pytest.raises(SlackRefused, match=missing):
        SlackChannel.from_connection("slack_alerts", password, extra)


def test_an_answer_is_posted_in_the_thread_of_the_message_it_answers(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    first = post_once(db, channel, "k", MESSAGE, kind="drift")
    picture = Picture("week.png", png(), "The week", "Savings per day")
    answer = post_once(db, channel, "k:over", MESSAGE, kind="drift", picture=picture, in_thread_of="k")
    again = post_once(db, channel, "k:over", MESSAGE, kind="drift", in_thread_of="k")

    assert (answer.posted, again.posted) == (True, False)
    assert [message["thread_ts"] for message in posted(sandbox)] == [None, first.ts]
    assert "1 reply" in sandbox.client.get("/slack/inbox", params={"channel": "nightshift-reports"}).text


def test_an_answer_to_what_was_never_sent_or_elsewhere_is_a_message_of_its_own(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    elsewhere = SlackChannel("#nightshift-alerts", sandbox.api_key, sandbox.slack_url)
    post_once(db, elsewhere, "elsewhere", MESSAGE, kind="drift")
    with pytest.raises(SlackRefused):
        post_once(db, channel, "refused", SlackMessage("x", ({"type": "nonsense"},)), kind="drift")
    for key in ("elsewhere", "refused", "unknown"):
        assert post_once(db, channel, f"{key}:over", MESSAGE, kind="drift", in_thread_of=key).posted

    assert [message["thread_ts"] for message in posted(sandbox)] == [None] * 3


def test_an_answer_to_a_message_that_somebody_deleted_is_a_message_of_its_own(
    db: Engine, sandbox: SandboxServer, channel: SlackChannel
) -> None:
    post_once(db, channel, "k", MESSAGE, kind="drift")
    sandbox.client.post("/control/reset").raise_for_status()

    assert post_once(db, channel, "k:over", MESSAGE, kind="drift", in_thread_of="k").posted
    assert [message["thread_ts"] for message in posted(sandbox)] == [None]
