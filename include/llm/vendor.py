"""Clients of Anthropic's API, and its errors in our words."""

import anthropic

from include.errors import NightshiftError
from include.llm.errors import VendorBusy, VendorRefused

# Timeouts, conflicts, rate limits: the vendor asks to come back.
PASSING_STATUS = {408, 409, 429}


def anthropic_client(base_url: str, api_key: str, *, timeout_s: float) -> anthropic.Anthropic:
    """A client; reads are retried twice by the SDK, creation of batches never is (see `submission`)."""
    return anthropic.Anthropic(base_url=base_url or None, api_key=api_key, timeout=timeout_s)


def async_anthropic_client(base_url: str, api_key: str, *, timeout_s: float) -> anthropic.AsyncAnthropic:
    """The same for event loops. Close it: `async with async_anthropic_client(...) as client`."""
    return anthropic.AsyncAnthropic(base_url=base_url or None, api_key=api_key, timeout=timeout_s)


def in_our_words(error: anthropic.APIError, doing: str) -> NightshiftError:
    """`VendorRefused` or `VendorBusy` for an error of the SDK.

    Args:
        doing: what was tried, as in "listing batches".
    """
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
