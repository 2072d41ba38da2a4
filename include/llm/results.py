"""Results of a vendor batch, line by line as they come over the wire, and what each line says.

The SDK's own decoder gives up at the first line that is not JSON and takes the rest with it, so lines are cut
here, from the SDK's streamed response, and never held together in memory.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2

from include.llm.errors import ResultsCutShort
from include.llm.prices import Usage
from include.llm.vendor import vendor_errors

# Errors about the request itself; all others may pass.
PERMANENT_ERRORS = {"invalid_request_error", "not_found_error", "permission_error", "request_too_large"}
# The vendor reports an empty account as an invalid request.
NO_CREDIT = "credit balance"
FINISHED = {"end_turn", "stop_sequence"}
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class Result:
    """What a line says of one request.

    Attributes:
        outcome: `succeeded`, `errored`, `expired` or `canceled`.
        passing: whether asking again may help.
        text: the answer, where there is one and the model came to its end.
        flaw: why an answer is of no use, or what went wrong.
        usage, raw_usage: tokens, where the vendor charges for it.
    """

    custom_id: str
    outcome: str
    passing: bool = False
    text: str | None = None
    flaw: str | None = None
    usage: Usage | None = None
    raw_usage: dict[str, Any] | None = None


@dataclass(frozen=True)
class Unreadable:
    """A line that says nothing we can use."""

    line: str
    reason: str

    @property
    def line_hash(self) -> str:
        """Tells lines apart, so that the same one is kept once."""
        return hashlib.sha256(self.line.encode()).hexdigest()


def result_lines(client: anthropic.Anthropic, vendor_batch_id: str) -> Iterator[bytes]:
    """Lines of the results of an ended batch, without their ends, empty ones left out.

    Raises:
        ResultsCutShort: the connection broke.
        VendorBusy, VendorRefused: the vendor does not give them.
    """
    try:
        with (
            vendor_errors(f"downloading results of batch {vendor_batch_id}"),
            client.messages.batches.with_streaming_response.results(vendor_batch_id) as response,
        ):
            rest = b""
            for piece in response.iter_bytes():
                *whole, rest = (rest + piece).split(b"\n")
                yield from (line for line in whole if line.strip())
            if rest.strip():
                yield rest
    except httpx2.HTTPError as error:
        raise ResultsCutShort(
            f"results of batch {vendor_batch_id}: the download broke off ({type(error).__name__}); try again"
        ) from error


def first_custom_id(client: anthropic.Anthropic, vendor_batch_id: str) -> str | None:
    """The first id that can be read in the results of an ended batch; `None` where there is none."""
    for line in result_lines(client, vendor_batch_id):
        result = read_line(line)
        if isinstance(result, Result):
            return result.custom_id
    return None


def read_line(line: bytes) -> Result | Unreadable:
    """What one line says.

    >>> read_line(b'{"custom_id": "b1-r1-0", "result": {"type": "expired"}}').passing
    True
    >>> read_line(b'{"custom_id": "b1').reason
    'not JSON: Unterminated string starting at'
    """
    text = line.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Unreadable(text, f"not JSON: {getattr(error, 'msg', error)}")
    try:
        custom_id, result = value["custom_id"], value["result"]
        if not CUSTOM_ID.fullmatch(custom_id):
            raise ValueError("custom_id is none of ours")
        match result["type"]:
            case "succeeded":
                return _succeeded(custom_id, result["message"])
            case "errored":
                return _errored(custom_id, result["error"]["error"])
            case "expired":
                return Result(custom_id, "expired", passing=True, flaw="expired before the vendor came to it")
            case "canceled":
                return Result(
                    custom_id, "canceled", passing=True, flaw="cancelled before the vendor came to it"
                )
            case other:
                return Unreadable(text, f"unknown result type {other!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Unreadable(text, f"not a result: {type(error).__name__} {error}")


def _succeeded(custom_id: str, message: dict[str, Any]) -> Result:
    usage = Usage.of_message(message["usage"])
    stop_reason = message["stop_reason"]
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    flaw = None
    if stop_reason == "max_tokens":
        flaw = "the answer was cut off at max_tokens"
    elif stop_reason not in FINISHED:
        flaw = f"the model did not finish: stop_reason {stop_reason}"
    elif text != _storable(text):
        flaw = "the answer holds characters that are no text"
    return Result(
        custom_id,
        "succeeded",
        text=None if flaw else text,
        flaw=flaw,
        usage=usage,
        raw_usage=message["usage"],
    )


def _errored(custom_id: str, error: dict[str, Any]) -> Result:
    kind, message = str(error["type"]), str(error["message"])
    passing = kind not in PERMANENT_ERRORS or NO_CREDIT in message.lower()
    return Result(custom_id, "errored", passing=passing, flaw=_storable(f"{kind}: {message}")[:1000])


def _storable(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL and halves of characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
