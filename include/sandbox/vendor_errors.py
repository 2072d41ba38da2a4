"""Errors in each vendor's own words, for faults and for refusals that come before any route."""

import uuid
from dataclasses import dataclass, field
from typing import Any

ANTHROPIC_TYPES = {
    400: ("invalid_request_error", "The request is invalid."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "Not found."),
    413: ("request_too_large", "Request exceeds the maximum allowed number of bytes."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit. Try again later."),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}
META_CALLS_EXHAUSTED = 80000
META_SUBCODE_CALLS_EXHAUSTED = 2446079


@dataclass(frozen=True)
class VendorReply:
    """A whole answer: status, JSON body, headers beyond the content type."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def anthropic_error(type_: str, message: str, request_id: str) -> dict[str, Any]:
    """The body of an error of the Messages API."""
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": request_id}


OPENAI_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
}


def openai_error(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """The body of an error of OpenAI's API; `code` where it differs from the usual one of the status."""
    type_, usual = OPENAI_TYPES.get(status, ("server_error", None))
    return {"error": {"message": message, "type": type_, "param": param, "code": code or usual}}


def hubspot_error(category: str, message: str) -> dict[str, Any]:
    """The body of an error of HubSpot's API."""
    return {
        "status": "error",
        "message": message,
        "correlationId": str(uuid.uuid4()),
        "category": category,
    }


def failure_reply(vendor: str, status: int, request_id: str, retry_after: float | None = None) -> VendorReply:
    """What `vendor` answers when it fails with `status`; 429 is its rate limit.

    Args:
        request_id: the id the vendor names the request by.
        retry_after: seconds, sent as `retry-after` when given.
    """
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    if vendor == "anthropic":
        type_, message = ANTHROPIC_TYPES.get(status, ("api_error", "Internal server error"))
        return VendorReply(
            status, anthropic_error(type_, message, request_id), {**headers, "request-id": request_id}
        )
    if vendor == "openai":
        message = (
            "Rate limit reached. Please try again later."
            if status == 429
            else ("The server had an error while processing your request. Sorry about that!")
        )
        return VendorReply(status, openai_error(status, message), {**headers, "x-request-id": request_id})
    if vendor == "slack":
        error = "ratelimited" if status == 429 else "internal_error"
        return VendorReply(status, {"ok": False, "error": error}, headers)
    if vendor == "hubspot":
        return VendorReply(status, _hubspot_failure(status), headers)
    return VendorReply(status, {"error": _meta_error(status, request_id)}, headers)


def _hubspot_failure(status: int) -> dict[str, Any]:
    if status == 429:
        told = hubspot_error("RATE_LIMITS", "You have reached your ten_secondly_rolling limit.")
        return {**told, "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
    return hubspot_error("INTERNAL_ERROR", "There was a problem with the request.")


def _meta_error(status: int, request_id: str) -> dict[str, Any]:
    if status == 429:
        return {
            "message": "(#80000) There have been too many calls from this ad-account. Try again later.",
            "type": "OAuthException",
            "code": META_CALLS_EXHAUSTED,
            "error_subcode": META_SUBCODE_CALLS_EXHAUSTED,
            "is_transient": True,
            "fbtrace_id": request_id,
        }
    return {
        "message": "An unknown error has occurred.",
        "type": "OAuthException",
        "code": 1,
        "is_transient": True,
        "fbtrace_id": request_id,
    }
