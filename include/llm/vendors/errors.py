"""What the vendors' SDKs raise, in our words. Both SDKs have the same family of errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2
import openai

from include.errors import NightshiftError
from include.llm.errors import (
    NoUsableAnswer,
    ResultsCutShort,
    VendorBusy,
    VendorRefused,
    VendorSaidNo,
)

# Timeouts, conflicts, rate limits: the vendor asks to come back.
PASSING_STATUS = {408, 409, 429}
# What these say is about the batch and not about us: it will not be taken tomorrow either.
REFUSING_STATUS = {400, 413, 422}
API_ERRORS = (anthropic.APIError, openai.APIError)
STATUS_ERRORS = (anthropic.APIStatusError, openai.APIStatusError)


@contextmanager
def vendor_errors(vendor: str, doing: str) -> Iterator[None]:
    """What an SDK raises inside leaves as `VendorRefused` or `VendorBusy`.

    Args:
        doing: what is tried, as in "listing batches".
    """
    try:
        yield
    except API_ERRORS as error:
        raise in_our_words(vendor, error, doing) from error
    except json.JSONDecodeError as error:
        raise VendorBusy(f"{vendor}: {doing}: the answer came damaged ({error.msg}); try again") from error


@contextmanager
def creation_errors(vendor: str, doing: str) -> Iterator[None]:
    """What goes wrong inside while a batch is created leaves as `VendorSaidNo` or `NoUsableAnswer`."""
    try:
        yield
    except STATUS_ERRORS as error:
        if error.status_code < 500 and error.status_code not in {408, 409}:
            said = in_our_words(vendor, error, doing)
            refusal = error.status_code in REFUSING_STATUS and not about_quota(error)
            raise VendorSaidNo(
                str(said), about_the_batch=refusal, passing=isinstance(said, VendorBusy)
            ) from error
        raise NoUsableAnswer(f"{type(error).__name__}: {error}") from error
    except (*API_ERRORS, ValueError, httpx2.HTTPError) as error:
        raise NoUsableAnswer(f"{type(error).__name__}: {error}") from error


@contextmanager
def download_errors(what: str) -> Iterator[None]:
    """A connection that breaks inside leaves as `ResultsCutShort`."""
    try:
        yield
    except httpx2.HTTPError as error:
        raise ResultsCutShort(
            f"results of {what}: the download broke off ({type(error).__name__}); try again"
        ) from error


def in_our_words(vendor: str, error: Any, doing: str) -> NightshiftError:
    """`VendorRefused` or `VendorBusy` for an error of an SDK."""
    connection = f"connection {vendor}_default"
    if isinstance(error, STATUS_ERRORS):
        status = error.status_code
        if (status in PASSING_STATUS and not about_quota(error)) or status >= 500:
            return VendorBusy(f"{vendor}: {doing}: HTTP {status} ({error.message}); try again later")
        advice = {
            401: f"check the password (API key) of {connection}",
            402: "add credit to the vendor account",
            403: f"the API key of {connection} may not do this",
            404: f"check host and workspace of {connection}",
            429: "add credit to the vendor account",
        }.get(status, "the request itself is at fault")
        return VendorRefused(f"{vendor}: {doing}: HTTP {status} ({error.message}); {advice}")
    return VendorBusy(f"{vendor}: {doing}: {error.message}; check host of {connection}")


def about_quota(error: Any) -> bool:
    """Whether an account without credit is behind a status that speaks of something else."""
    return getattr(error, "code", None) == "insufficient_quota"


def sendable(api_key: str, connection: str) -> str:
    """The key, unless it has what no header can carry: the HTTP client's error would quote it in the log.

    Raises:
        VendorRefused: it has.
    """
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise VendorRefused(
            "the API key holds a space, a line break or another character that no key has; set the password "
            f"of connection {connection} to the key alone"
        )
    return api_key
