"""The sandbox's one key, and the two doors without one: what a person on this machine may read."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from fastapi import HTTPException, Request


def presented_key(request: Request) -> str:
    """The key a request carries as `x-api-key` or as a bearer token; empty when it carries none."""
    authorization = request.headers.get("authorization", "")
    scheme, _, token = authorization.partition(" ")
    return request.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")


def same_key(presented: str, expected: str) -> bool:
    """Whether the two are equal, without telling by the time it takes where they differ."""
    return hmac.compare_digest(presented.encode(), expected.encode())


def require_loopback_host(request: Request) -> None:
    """Refuse a page asked for under a name that is not this machine's.

    A web page from elsewhere can have its own host name resolve to 127.0.0.1 and read what a browser on this
    machine may read (DNS rebinding); the Host header still gives it away.

    Raises:
        HTTPException: 403.
    """
    if not is_loopback(_host_name(request.headers.get("host", ""))):
        raise HTTPException(403, "this page is only served under a loopback name: use http://127.0.0.1:PORT/")


def is_loopback(host: str) -> bool:
    """Whether `host` is localhost or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; empty where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
