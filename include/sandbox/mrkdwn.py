"""Slack's mrkdwn as HTML. Messages are untrusted: everything is escaped, and links lead to the web only.

What Slack's own syntax protects (code, links, emoji) is set aside first, the rest is escaped and emphasised,
then the pieces are put back.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from include.sandbox.emoji import EMOJI

CODE_BLOCK = re.compile(r"```\n?(.+?)\n?```", re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
TOKEN = re.compile(r"<([^<>\n\x00]+)>|(https?://(?:(?!&[lg]t;)[^\s<>\x00])+)")
EMOJI_CODE = re.compile(r":([a-z0-9_+-]+):")
EMPHASIS = (
    ("strong", re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")),
    ("em", re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])")),
    ("s", re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])")),
)
ASIDE = re.compile("\x00(\\d+)\x00")
QUOTED = re.compile(r"(?:^&gt;[^\n]*(?:\n|$))+", re.MULTILINE)
# Eleven digits reach the year 5138; more than twelve are no date any more, and fail in ways of their own.
DATE_TOKEN = re.compile(r"!date\^(\d{1,11})\^")
SAFE_SCHEMES = ("http", "https", "mailto")
TRAILING = ".,;:!?)*_~'\""


def mrkdwn(text: str, known: Mapping[str, str] | None = None) -> Markup:
    """HTML of a mrkdwn text.

    Args:
        text: as it was posted.
        known: names of channels and people by id, for `<#C...>` and `<@U...>`.
    """
    aside: list[Markup] = []
    names = known or {}

    def put(piece: Markup) -> str:
        aside.append(piece)
        return f"\x00{len(aside) - 1}\x00"

    rest = str(text).replace("\x00", "").replace("\r\n", "\n")
    rest = CODE_BLOCK.sub(lambda m: put(_element("pre", _unescape(m[1]))), rest)
    rest = CODE.sub(lambda m: put(_element("code", _unescape(m[1]))), rest)
    rest = TOKEN.sub(lambda m: put(_token(m[1], names)) if m[1] else _bare(m[2], put), rest)
    rest = EMOJI_CODE.sub(lambda m: put(emoji(m[1])) if m[1] in EMOJI else m[0], rest)
    html = str(escape(_unescape(rest)))
    for tag, pattern in EMPHASIS:
        html = pattern.sub(rf"<{tag}>\1</{tag}>", html)
    html = QUOTED.sub(_quote, html).rstrip("\n").replace("\n", "<br>")
    html = html.replace("</blockquote><br>", "</blockquote>")
    while ASIDE.search(html):
        html = ASIDE.sub(lambda m: str(aside[int(m[1])]), html)
    return Markup(html.replace("</pre><br>", "</pre>"))  # noqa: S704 - every part was escaped above


def plain(text: str) -> Markup:
    """HTML of a plain_text: escaped, with emoji and line breaks."""
    html = str(escape(_unescape(str(text)))).replace("\n", "<br>")
    return Markup(EMOJI_CODE.sub(lambda m: str(emoji(m[1])) if m[1] in EMOJI else m[0], html))  # noqa: S704


def emoji(code: str) -> Markup:
    """An emoji by its short code, the code itself when it is unknown."""
    glyph = EMOJI.get(code, f":{code}:")
    return Markup('<span class="emoji" title=":{}:">{}</span>').format(code, glyph)


def link(address: str, label: str) -> Markup:
    """A link that opens apart and tells the target nothing; plain text when the address is not of the web."""
    if not is_safe(address):
        return escape(label)
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>').format(address, label)


def is_safe(address: str) -> bool:
    """Whether an address from a message may be followed from the page."""
    try:
        return urlsplit(address.strip()).scheme.lower() in SAFE_SCHEMES
    except ValueError:
        return False


def mention(label: str) -> Markup:
    """A person, channel or group as a chip."""
    return Markup('<span class="mention">{}</span>').format(label)


def _token(inside: str, names: Mapping[str, str]) -> Markup:
    target, _, label = inside.partition("|")
    target, label = _unescape(target), _unescape(label)
    if target.startswith("@"):
        return mention(f"@{label or names.get(target[1:], target[1:])}")
    if target.startswith("#"):
        return mention(f"#{label or names.get(target[1:], target[1:])}")
    dated = DATE_TOKEN.match(target)
    if dated:
        return escape(label or datetime.fromtimestamp(int(dated[1]), UTC).strftime("%Y-%m-%d %H:%M UTC"))
    if target.startswith("!"):
        return mention(label or f"@{target[1:]}")
    if is_safe(target):
        return link(target, plain(label or target.removeprefix("mailto:")))
    return escape(f"<{inside}>")


def _bare(address: str, put: Callable[[Markup], str]) -> str:
    stripped = address.rstrip(TRAILING)
    target = _unescape(stripped)
    return put(link(target, target)) + address[len(stripped) :]


def _element(tag: str, text: str) -> Markup:
    return Markup("<{0}>{1}</{0}>").format(Markup(tag), text)  # noqa: S704 - a tag of this module


def _quote(match: re.Match[str]) -> str:
    lines = [re.sub(r"^&gt;(?:&gt;&gt;)? ?", "", line) for line in match[0].rstrip("\n").split("\n")]
    return f"<blockquote>{'<br>'.join(lines)}</blockquote>\n"


def _unescape(text: str) -> str:
    """Slack asks its callers to escape exactly these three."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
