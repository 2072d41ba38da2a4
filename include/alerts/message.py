"""The parts a Slack message is put together from.

Every part clips what it is given to Slack's limit, so that no fact is long enough to have a message refused.
Limits are those of Slack's Block Kit reference. Text of people or programs goes through `escape` or `code`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Block = dict[str, Any]

MOST_BLOCKS = 50
MESSAGE_CHARS = 4_000
SECTION_CHARS = 3_000
FIELD_CHARS = 2_000
MOST_FIELDS = 10
HEADER_CHARS = 150
BUTTON_CHARS = 75
URL_CHARS = 3_000
ALT_CHARS = 2_000

_CUT_ENTITY = re.compile(r"&[a-z]{0,3}$")


@dataclass(frozen=True)
class SlackMessage:
    """One message.

    Attributes:
        text: what notifications and screen readers show; mrkdwn, already escaped.
        blocks: what the channel shows.
    """

    text: str
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError(
                "a Slack message needs a text: notifications and screen readers show nothing else"
            )
        if len(self.blocks) > MOST_BLOCKS:
            raise ValueError(f"a Slack message has at most {MOST_BLOCKS} blocks, not {len(self.blocks)}")
        object.__setattr__(self, "text", clip(self.text, MESSAGE_CHARS))


@dataclass(frozen=True)
class Picture:
    """An image that goes with a message.

    Attributes:
        filename: with its extension, which tells Slack what it is.
        content: PNG, JPEG or GIF.
        title: shown above it.
        alt_text: what it shows, for those who do not see it.
    """

    filename: str
    content: bytes
    title: str
    alt_text: str


def escape(text: str) -> str:
    """Text that Slack shows as it is: no link, mention or entity can be made of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Text in fixed width, escaped. A back-tick, which would end it, becomes an apostrophe."""
    return f"`{escape(' '.join(text.split())).replace('`', chr(0x2019)) or ' '}`"


def quote(text: str, chars: int = SECTION_CHARS - 100) -> str:
    """An escaped block of fixed width, clipped to `chars`."""
    return f"```{clip(escape(text).replace('`', chr(0x2019)), chars)}```"


def link(url: str, label: str) -> str:
    """A link in mrkdwn."""
    return f"<{escape(url).replace('|', '%7C')}|{escape(label).replace('|', '/')}>"


def clip(text: str, chars: int) -> str:
    """`text` within `chars` characters; what is cut off is shown as an ellipsis."""
    if len(text) <= chars:
        return text
    return _CUT_ENTITY.sub("", text[: chars - 1]).rstrip() + "…"


def header(text: str) -> Block:
    """A heading. Plain text: nothing in it needs escaping."""
    return {"type": "header", "text": {"type": "plain_text", "text": clip(text, HEADER_CHARS), "emoji": True}}


def section(mrkdwn: str) -> Block:
    """A paragraph."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": clip(mrkdwn, SECTION_CHARS)}}


def fields(pairs: dict[str, str]) -> Block:
    """Named values in two columns; the first ten of them.

    Args:
        pairs: name -> value in mrkdwn, already escaped.
    """
    return {
        "type": "section",
        "fields": [
            {"type": "mrkdwn", "text": clip(f"*{escape(name)}*\n{value}", FIELD_CHARS)}
            for name, value in list(pairs.items())[:MOST_FIELDS]
        ],
    }


def context(mrkdwn: str) -> Block:
    """A line in small print."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": clip(mrkdwn, SECTION_CHARS)}]}


def divider() -> Block:
    """A line across."""
    return {"type": "divider"}


def buttons(links: dict[str, str]) -> Block:
    """Buttons that open pages.

    Args:
        links: label -> address.

    Raises:
        ValueError: an address is not one of http or https, or longer than Slack takes.
    """
    for url in links.values():
        if not url.startswith(("http://", "https://")) or len(url) > URL_CHARS:
            raise ValueError(
                f"a button needs an http or https address of at most {URL_CHARS} characters, got {url[:80]!r}"
            )
    return {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "text": {"type": "plain_text", "text": clip(label, BUTTON_CHARS)},
                "url": url,
                "action_id": f"open-{index}",
            }
            for index, (label, url) in enumerate(links.items())
        ],
    }


def picture_block(file_id: str, picture: Picture) -> Block:
    """A picture that was uploaded to Slack, shown in the message."""
    return {
        "type": "image",
        "slack_file": {"id": file_id},
        "alt_text": clip(picture.alt_text, ALT_CHARS),
        "title": {"type": "plain_text", "text": clip(picture.title, HEADER_CHARS)},
    }
