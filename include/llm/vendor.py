"""Clients of Anthropic's API, and its errors in our words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic

from include.errors import NightshiftError
from include.llm.errors import VendorBusy, VendorRefused

# Timeouts, conflicts, rate limits: the vendor asks to come back.
PASSING_STATUS = {408, 409, 429}


def anthropic_client(base_url: str, api_key: str, *, timeout_s: float) -> anthropic.Anthropic:
    """A client; reads are retried twice by the SDK, creation of batches never is (see `submission`).

    Raises:
        VendorRefused: the key cannot be one.
    """
    return anthropic.Anthropic(base_url=base_url or None, api_key=_sendable(api_key), timeout=timeout_s)


def async_anthropic_client(base_url: str, api_key: str, *, timeout_s: float) -> anthropic.AsyncAnthropic:
    """The same for event loops. Close it: `async with async_anthropic_client(...) as client`."""
    return anthropic.AsyncAnthropic(base_url=base_url or None, api_key=_sendable(api_key), timeout=timeout_s)


@contextmanager
def vendor_errors(doing: str) -> Iterator[None]:
    """What the SDK raises inside leaves as `VendorRefused` or `VendorBusy`.

    Args:
        doing: what is tried, as in "listing batches".
    """
    try:
        yield
    except anthropic.APIError as error:
        raise in_our_words(error, doing) from error
    except json.JSONDecodeError as error:
        raise VendorBusy(f"anthropic: {doing}: the answer came damaged ({error.msg}); try again") from error


def in_our_words(error: anthropic.APIError, doing: str) -> NightshiftError:
    """`VendorRefused` or `VendorBusy` for an error of the SDK."""
    if isinstance(error, anthropic.APIStatusError):
        status = error.status_code
        if status in PASSING_STATUS or status >= 500:
            return VendorBusy(f"anthropic: {doing}: HTTP {status} ({error.message}); try again later")
        advice = {
            401: "check the password (API key) of connection anthropic_default",
            402: "add credit to the vendor account",
            403: "the API key of connection anthropic_default may not do this",
            404: "check host and workspace of connection anthropic_default",
        }.get(status, "the request itself is at fault")
        return VendorRefused(f"anthropic: {doing}: HTTP {status} ({error.message}); {advice}")
    return VendorBusy(f"anthropic: {doing}: {error.message}; check host of connection anthropic_default")


def _sendable(api_key: str) -> str:
    """The key, unless it has what no header can carry: the HTTP client's error would quote it in the log."""
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise VendorRefused(
            "the API key holds a space, a line break or another character that no key has; set the password "
            "of connection anthropic_default to the key alone"
        )
    return api_key
