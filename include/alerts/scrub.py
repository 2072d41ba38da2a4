"""Takes secrets and personal data out of texts that people will read, above all error messages.

An error text is written by whoever raised it: it may quote a connection URL, a request header or a row of
data.
"""

from __future__ import annotations

import ipaddress
import re

HIDDEN = "***"

_NAMES = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|cookie|signature|session[_-]?id|"
    r"(?:api|access|private|secret|encryption|fernet)[_-]?key|jwt"
)

# Each is a pattern and what stands in its place. The order matters: whole blocks before what they contain.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
        HIDDEN,
    ),
    # user:password@host of any URL; the password may itself hold an @.
    (re.compile(r"(?P<scheme>\w+://)[^\s/:@'\"]*:[^\s'\"]*@(?=[^\s@]*)"), rf"\g<scheme>{HIDDEN}@"),
    (re.compile(r"(https://hooks\.slack\.com/\S*?/)[^\s'\"]+"), rf"\1{HIDDEN}"),
    (
        re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic|token)\s+)?[^\s'\",;]+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9+/=._~-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            rf"(?i)((?:[a-z0-9]+[_-])*(?:{_NAMES})(?:[_-][a-z0-9]+)*['\"]?\s*[:=]\s*)"
            r"(?:b?'[^']*'|b?\"[^\"]*\"|[^\s'\",;&)}\]]+)"
        ),
        rf"\1{HIDDEN}",
    ),
    # Keys that are known by how they begin: Anthropic and OpenAI, Slack, GitHub, GitLab, AWS, Google, Meta,
    # HubSpot, and JSON web tokens.
    (
        re.compile(
            r"\b(?:sk-[\w-]{8,}|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|gh[a-z]_\w{16,}|github_pat_\w{16,}|"
            r"glpat-[\w-]{16,}|A(?:KI|SI)A[0-9A-Z]{16}|AIza[\w-]{30,}|EAA[A-Za-z0-9]{16,}|"
            r"pat-(?:na|eu)\d-[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]+\.?[\w-]*)"
        ),
        HIDDEN,
    ),
    # Long and of all kinds of characters: a key of a kind not listed above.
    (re.compile(r"\b(?=\w*[a-z])(?=\w*[A-Z])(?=\w*\d)[A-Za-z0-9_]{40,}\b"), HIDDEN),
    (re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"(?<![\w.+-])\+\d{1,3}(?:[ ().-]{0,2}\d){7,12}\b"), "[phone]"),
)

_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4})(?![\w.])"
)


def scrub(text: str) -> str:
    """`text` without passwords, tokens, keys, e-mail addresses, phone numbers and public IP addresses.

    Private and loopback addresses stay: they name services, and whoever repairs one needs them.
    """
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return _ADDRESS.sub(_without_public, text)


def first_line(error: BaseException) -> str:
    """What an exception said first, scrubbed: its type and the first line of its message."""
    lines = (line.strip() for line in str(error).splitlines())
    message = next((line for line in lines if line), "")
    name = type(error).__name__
    return scrub(f"{name}: {message}" if message else name)


def _without_public(found: re.Match[str]) -> str:
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:
        return found[0]
    return "[ip]" if address.is_global else found[0]
