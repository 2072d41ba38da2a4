"""The inbox page: what a person sees, and what a message cannot do to it."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient

from include.sandbox.mrkdwn import mrkdwn, plain
from include.sandbox.server import SandboxServer

# Slack's client warns of messages without a text, which some of these tests post on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:slack_sdk")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* _it_ ~no~", "<strong>bold</strong> <em>it</em> <s>no</s>"),
        ("snake_case_name and 2*3*4", "snake_case_name and 2*3*4"),
        ("`a *b* <c>`", "<code>a *b* &lt;c&gt;</code>"),
        ("```\n<b>\n```", "<pre>&lt;b&gt;</pre>"),
        ("one\ntwo", "one<br>two"),
        ("> said\n> again\nme", "<blockquote>said<br>again</blockquote>me"),
        ("&lt;b&gt; &amp; c", "&lt;b&gt; &amp; c"),
        ("<b>hi</b>", "&lt;b&gt;hi&lt;/b&gt;"),
        (":unknown_one:", ":unknown_one:"),
        ("<!here> <@U1> <#C1>", "@here @U1 #general"),
        ("<javascript:alert(1)|x>", "&lt;javascript:alert(1)|x&gt;"),
        ("<!date^0^{date}|long ago>", "long ago"),
        ("<!date^0^{date}>", "1970-01-01 00:00 UTC"),
        ("<!date^99999999999^{date}>", "5138-11-16 09:46 UTC"),
        ("<!date^99999999999999999999^{date}>", "@date^99999999999999999999^{date}"),
    ],
)
def test_mrkdwn_is_rendered_and_escaped(text: str, html: str) -> None:
    rendered = mrkdwn(text, {"C1": "general"})
    assert rendered.replace('<span class="mention">', "").replace("</span>", "") == html


def test_links_open_apart_and_keep_their_query() -> None:
    rendered = mrkdwn("<https://x.org/a_b_c?x=1&amp;y=2|*label*> https://y.org/z.")
    assert (
        'href="https://x.org/a_b_c?x=1&amp;y=2" target="_blank" rel="noopener noreferrer">*label*</a>'
        in rendered
    )
    assert rendered.endswith(
        'href="https://y.org/z" target="_blank" rel="noopener noreferrer">https://y.org/z</a>.'
    )


def test_emoji_have_their_code_as_a_title() -> None:
    assert "🔥" in plain("hot :fire:")
    assert 'title=":fire:"' in mrkdwn(":fire:")


@pytest.mark.parametrize(
    "text",
    [
        "\x000\x00<script>alert(1)</script>",
        '<https://x.org/"onmouseover="alert(1)|x>',
        "<https://x.org/`code`|x> `<img src=x onerror=alert(1)>`",
        "*<img src=x onerror=alert(1)>*",
        "> <img src=x onerror=alert(1)>",
    ],
)
def test_a_message_cannot_smuggle_markup(text: str) -> None:
    rendered = mrkdwn(text)
    assert "<script" not in rendered
    assert "<img" not in rendered
    assert '"onmouseover' not in rendered


def _page(sandbox: SandboxServer, **query: str) -> str:
    return httpx.get(f"{sandbox.url}/slack/inbox", params=query).raise_for_status().text


def test_a_person_reads_a_rich_message_without_a_key(sandbox: SandboxServer, slack: WebClient) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": "Drift is high :fire:"}},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "7 of *12* columns"},
            "fields": [{"type": "mrkdwn", "text": "*Scope*\nall"}],
            "accessory": {
                "type": "button",
                "text": {"type": "plain_text", "text": "Open"},
                "url": "http://x.org",
            },
        },
        {"type": "divider"},
        {
            "type": "actions",
            "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "go"}],
        },
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "run 7"}]},
        {
            "type": "rich_text",
            "elements": [
                {
                    "type": "rich_text_list",
                    "style": "ordered",
                    "elements": [
                        {
                            "type": "rich_text_section",
                            "elements": [{"type": "text", "text": "item", "style": {"bold": True}}],
                        }
                    ],
                }
            ],
        },
    ]
    posted = slack.chat_postMessage(channel="#nightshift-alerts", text="fallback only", blocks=blocks)
    slack.chat_postMessage(channel=posted["channel"], text="and again", thread_ts=posted["ts"])
    slack.chat_postMessage(
        channel=posted["channel"], attachments=[{"color": "danger", "text": "bar"}], username="Other"
    )
    page = _page(sandbox, channel="nightshift-alerts")
    for shown in ("Drift is high", "<strong>12</strong>", "Scope", 'href="http://x.org"', "run 7", "1 reply"):
        assert shown in page
    assert "fallback only" not in page
    assert "--bar: #e01e5a" in page
    assert "<strong>item</strong>" in page
    assert page.index("Drift is high") < page.index("and again") < page.index("Other")


def test_a_channel_says_how_much_it_holds(sandbox: SandboxServer, slack: WebClient) -> None:
    assert "Nothing posted here yet" in _page(sandbox)
    for text in ("one", "two"):
        slack.chat_postMessage(channel="#nightshift-reports", text=text)
    page = _page(sandbox)
    assert "# nightshift-reports" in page
    assert '<span class="count">2</span>' in page


def test_everything_untrusted_is_escaped(sandbox: SandboxServer, slack: WebClient) -> None:
    evil = "<script>alert(1)</script>"
    slack.chat_postMessage(channel="#x", text=evil, username=evil)
    slack.chat_postMessage(
        channel="#x",
        attachments=[
            {"color": "red; background: url(//evil)", "title": evil, "title_link": "javascript:alert(1)"},
            {"author_name": evil, "footer": evil, "fields": [{"title": evil, "value": evil}], "text": evil},
        ],
    )
    slack.chat_postMessage(
        channel="#x",
        blocks=[
            {"type": "header", "text": {"type": "plain_text", "text": evil}},
            {"type": "image", "image_url": "https://evil.example/pixel.png", "alt_text": evil},
        ],
    )
    page = _page(sandbox, channel="x")
    assert evil not in page
    assert 'href="javascript' not in page
    assert "url(//evil)" not in page
    assert "<img" not in page


def test_a_message_no_rule_foresaw_does_not_take_the_page_down(
    sandbox: SandboxServer, slack: WebClient
) -> None:
    slack.chat_postMessage(channel="#x", text="strange", attachments=[{"fields": 7, "text": ["no text"]}])
    slack.chat_postMessage(channel="#x", text="usual")
    page = _page(sandbox, channel="x")
    assert "strange" in page
    assert "usual" in page


def test_replies_to_replies_stay_in_one_thread(sandbox: SandboxServer, slack: WebClient) -> None:
    posted = slack.chat_postMessage(channel="#x", text="first")
    for n in range(120):
        posted = slack.chat_postMessage(channel=posted["channel"], text=f"reply {n}", thread_ts=posted["ts"])
    page = _page(sandbox, channel="x")
    assert "120 replies" in page
    assert "reply 119" in page


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_uploaded_picture_is_shown_and_other_files_only_download(
    sandbox: SandboxServer, slack: WebClient
) -> None:
    channel = slack.conversations_list()["channels"][0]["id"]
    picture = slack.files_upload_v2(channel=channel, content=_png(), filename="chart.png", title="Chart")[
        "file"
    ]
    page = slack.files_upload_v2(channel=channel, content=b"<script>", filename="chart.html")["file"]
    assert f'<img src="/slack/files/{picture["id"]}/picture" alt="Chart">' in _page(sandbox)
    shown, kept = httpx.get(picture["url_private"]), httpx.get(page["url_private"])
    assert shown.headers["content-type"] == "image/png"
    assert kept.headers["content-type"] == "application/octet-stream"
    assert kept.headers["content-disposition"] == "attachment"
    blocks = [{"type": "image", "image_url": picture["url_private"], "alt_text": "again"}]
    slack.chat_postMessage(channel=channel, text="x", blocks=blocks)
    assert 'alt="again"' in _page(sandbox)


@pytest.mark.parametrize("path", ["/", "/slack/inbox", "/slack/files/F0/x"])
def test_a_foreign_host_name_is_refused(sandbox: SandboxServer, path: str) -> None:
    for foreign in ("evil.example", "127.0.0.1.evil.example:1", "127.0.0.1@evil.example", "[", ""):
        assert httpx.get(sandbox.url + path, headers={"host": foreign}).status_code == 403
    assert httpx.get(sandbox.url + path, headers={"host": f"localhost:{sandbox.port}"}).status_code in (
        200,
        404,
    )


def test_the_page_allows_nothing_from_elsewhere(sandbox: SandboxServer) -> None:
    policy = httpx.get(f"{sandbox.url}/slack/inbox").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_the_index_names_what_is_here(sandbox: SandboxServer) -> None:
    page = httpx.get(sandbox.url).text
    for part in ("/slack/inbox", f"{sandbox.url}/anthropic", "/control/faults", "/meta"):
        assert part in page
