"""Slack through its own clients."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError

from include.sandbox.blocks import complaints
from include.sandbox.server import SandboxServer

from .conftest import KEY, state

# Slack's client warns of messages without a text, which some of these tests post on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:slack_sdk")

ALERTS = "#nightshift-alerts"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _messages(sandbox: SandboxServer, channel: str = "nightshift-alerts") -> list[dict[str, Any]]:
    told: dict[str, Any] = sandbox.client.get(f"/control/slack/{channel}").raise_for_status().json()
    messages: list[dict[str, Any]] = told["messages"]
    return messages


def test_a_message_is_posted_and_edited(sandbox: SandboxServer, slack: WebClient) -> None:
    metadata = {"event_type": "incident", "event_payload": {"dag": "x"}}
    posted = slack.chat_postMessage(
        channel=ALERTS, text="first", blocks=[_section("*first*")], metadata=metadata
    )
    assert posted["ok"]
    slack.chat_update(channel=posted["channel"], ts=posted["ts"], text="second", blocks=[_section("second")])
    (message,) = _messages(sandbox)
    assert (message["text"], message["metadata"]) == ("second", metadata)
    assert "edited" in message
    assert state(sandbox)["slack"] == {"nightshift-alerts": 1, "nightshift-reports": 0}


def test_replies_stay_with_their_message(sandbox: SandboxServer, slack: WebClient) -> None:
    parent = slack.chat_postMessage(channel=ALERTS, text="parent")
    slack.chat_postMessage(channel=ALERTS, text="reply", thread_ts=parent["ts"])
    assert [message["thread_ts"] for message in _messages(sandbox)] == [None, parent["ts"]]
    assert _refusal(slack, channel=ALERTS, text="lost", thread_ts="1.000001") == "thread_not_found"


def test_times_are_unique_and_rise(slack: WebClient) -> None:
    stamps = [slack.chat_postMessage(channel=ALERTS, text=str(n))["ts"] for n in range(20)]
    assert stamps == sorted(set(stamps))


def test_attachments_are_kept_when_sent_as_a_form(sandbox: SandboxServer, slack: WebClient) -> None:
    slack.api_call(
        "chat.postMessage", data={"channel": ALERTS, "attachments": '[{"color": "good", "text": "fine"}]'}
    )
    assert _messages(sandbox)[0]["attachments"] == [{"color": "good", "text": "fine"}]


def test_a_file_is_uploaded_and_shared(sandbox: SandboxServer, slack: WebClient) -> None:
    channel = slack.chat_postMessage(channel="#nightshift-reports", text="report")["channel"]
    shared = slack.files_upload_v2(
        channel=channel, content=b"a,b\n", filename="table 1.csv", title="Table", initial_comment="See:"
    )
    assert shared["file"]["size"] == 4
    message = _messages(sandbox, "nightshift-reports")[-1]
    assert (message["text"], message["files"]) == ("See:", [shared["file"]["id"]])
    assert sandbox.client.get(shared["file"]["url_private"]).content == b"a,b\n"


def test_a_file_can_only_be_shared_by_channel_id(slack: WebClient) -> None:
    with pytest.raises(SlackApiError, match="channel_not_found"):
        slack.files_upload_v2(channel=ALERTS, content=b"x", filename="x.txt")


def test_a_file_that_was_never_uploaded_cannot_be_shared(slack: WebClient) -> None:
    announced = slack.files_getUploadURLExternal(filename="x.txt", length=3)
    with pytest.raises(SlackApiError, match="file_not_found"):
        slack.files_completeUploadExternal(files=[{"id": announced["file_id"], "title": "x"}])


def test_channels_are_listed_and_the_token_tested(slack: WebClient) -> None:
    names = [channel["name"] for channel in slack.conversations_list()["channels"]]
    assert names == ["nightshift-alerts", "nightshift-reports"]
    assert slack.auth_test()["team"] == "Nightshift"


@pytest.mark.parametrize(("token", "error"), [("wrong", "invalid_auth"), ("", "not_authed")])
def test_a_wrong_token_is_refused_in_slacks_way(sandbox: SandboxServer, token: str, error: str) -> None:
    client = WebClient(token=token, base_url=sandbox.slack_url)
    assert _refusal(client, channel=ALERTS, text="x") == error
    assert state(sandbox)["slack"]["nightshift-alerts"] == 0


def test_a_webhook_posts_to_its_channel(sandbox: SandboxServer) -> None:
    answered = WebhookClient(sandbox.webhook_url("nightshift-alerts")).send(
        text="hello", blocks=[_section("hello")]
    )
    assert (answered.status_code, answered.body) == (200, "ok")
    assert _messages(sandbox)[0]["text"] == "hello"
    refused = WebhookClient(sandbox.webhook_url("nightshift-alerts")).send(blocks=[{"type": "nonsense"}])
    assert (refused.status_code, refused.body) == (400, "invalid_blocks")
    stranger = WebhookClient(sandbox.webhook_url("nightshift-alerts").replace(KEY, "wrong")).send(text="x")
    assert stranger.status_code == 403


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": ALERTS}, "no_text"),
        ({"channel": "C0UNKNOWN", "text": "x"}, "channel_not_found"),
        ({"channel": ALERTS, "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": ALERTS, "text": "x", "metadata": {"event_type": "x"}}, "invalid_metadata_format"),
        ({"channel": ALERTS, "text": "x", "blocks": [{"type": "nonsense"}]}, "invalid_blocks"),
        ({"channel": ALERTS, "attachments": [{"blocks": [{"type": "nonsense"}]}]}, "invalid_blocks"),
    ],
)
def test_mistakes_have_slacks_names(slack: WebClient, arguments: dict[str, Any], error: str) -> None:
    assert _refusal(slack, **arguments) == error


def test_an_unknown_message_cannot_be_edited(slack: WebClient) -> None:
    channel = slack.conversations_list()["channels"][0]["id"]
    with pytest.raises(SlackApiError, match="message_not_found"):
        slack.chat_update(channel=channel, ts="1.000001", text="x")


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (_section("x" * 3001), "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        (_section(""), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        ({"type": "section"}, "must define either `text` or `fields` [json-pointer:/blocks/0]"),
        (
            {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}},
            "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
        ),
        (
            {"type": "header", "text": {"type": "mrkdwn", "text": "x"}},
            "must be one of: plain_text [json-pointer:/blocks/0/text/type]",
        ),
        (
            {"type": "context", "elements": []},
            "must be a non-empty array [json-pointer:/blocks/0/elements]",
        ),
        (
            {"type": "image", "image_url": "ftp://x", "alt_text": "x"},
            "invalid_url [json-pointer:/blocks/0/image_url]",
        ),
        (
            {"type": "image", "image_url": "https://x"},
            "must be a string [json-pointer:/blocks/0/alt_text]",
        ),
        (
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11},
            "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
        ),
        (
            {
                "type": "actions",
                "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x" * 76}}],
            },
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
        ),
    ],
)
def test_a_bad_block_is_named_by_its_place(block: dict[str, Any], complaint: str) -> None:
    assert complaints([block]) == [complaint]


def test_a_message_has_at_most_50_blocks() -> None:
    assert complaints([_section("x")] * 50) == []
    assert complaints([_section("x")] * 51) == ["no more than 50 items allowed [json-pointer:/blocks]"]


def _refusal(client: WebClient, **arguments: Any) -> str:
    with pytest.raises(SlackApiError) as refused:
        client.chat_postMessage(**arguments)
    return str(refused.value.response["error"])
