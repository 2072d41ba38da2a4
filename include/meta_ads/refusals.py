"""Meta's refusals, read: which of them pass, which stay, and which mean that the question was too large.

Codes are those of the Graph API's error reference and of its guides on rate limits and on Insights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from include.meta_ads.errors import MetaBusy, MetaRequestRefused, MetaTokenRefused, MetaTooMuchData

if TYPE_CHECKING:
    from facebook_business.exceptions import FacebookRequestError

_TOKEN_CODES = {102, 190, 463, 467}
# Used up or blocked for the whole app or user, whichever account is asked for.
_EVERYWHERE_CODES = {4, 17, 341, 368}
_BUSY_CODES = {1, 2, 32, 613, *_EVERYWHERE_CODES, *range(80000, 80015)}
_TOO_MUCH = (100, 1487534)
# The same, from servers that gave up before they counted.
_TOO_MUCH_WORDS = "reduce the amount of data"
_MAX_CHARACTERS = 300


class Refused(MetaBusy):
    """A passing refusal; `everywhere` where it holds for every account."""

    def __init__(self, message: str, retry_after_s: float | None, *, everywhere: bool) -> None:
        super().__init__(message, retry_after_s)
        self.everywhere = everywhere


def as_error(
    named: str, error: FacebookRequestError, headers: Mapping[str, str], closed_s: float
) -> Exception:
    """The error of this room that an error of the SDK stands for.

    Args:
        named: the request, for the message.
        error: as the SDK raised it.
        headers: of the answer.
        closed_s: for how many seconds Meta says in them that it answers no more, 0 where it does not say.
    """
    code, subcode, status = error.api_error_code(), error.api_error_subcode(), error.http_status()
    told = str(error.api_error_message() or "no reason given")[:_MAX_CHARACTERS]
    if code in _TOKEN_CODES or status == 401:
        return MetaTokenRefused(
            f"{named}: Meta refuses the access token ({told}); renew it in connection meta_ads_default"
        )
    if (code, subcode) == _TOO_MUCH or _TOO_MUCH_WORDS in told:
        return MetaTooMuchData(f"{named}: Meta asks for less data at once ({told})")
    if status == 429 or status >= 500 or code in _BUSY_CODES or error.api_transient_error():
        return Refused(
            f"{named}: Meta answers {status} ({told})",
            _retry_after_s(headers) or closed_s or None,
            everywhere=code in _EVERYWHERE_CODES,
        )
    return MetaRequestRefused(f"{named}: Meta answers {status}, code {code}: {told}")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None
