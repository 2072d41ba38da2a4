"""The SDK's connection to Meta, made patient: every call of the SDK passes `PatientApi.call`.

The token travels in a header, never in a URL that might be logged. Each answer's usage headers are read,
and calls slow down before Meta refuses them. What fails for a passing reason is tried again a few times here,
with the pause Meta asks for where that is short, and is then left to Airflow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from facebook_business.api import FacebookAdsApi, FacebookResponse
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from include.meta_ads.errors import MetaBusy, MetaThrottled, MetaUnreachable
from include.meta_ads.refusals import Refused, as_error
from include.meta_ads.usage import Pace, read_usage

_FIRST_PAUSE_S = 0.5
# What the app as a whole may call is counted over an hour, and Meta does not say how much of it is left.
_APP_WINDOW_S = 3600.0

_log = logging.getLogger(__name__)


class AdsSession(FacebookSession):
    """The SDK's session with an address of our choice and the token in a header.

    Args:
        base_url: e.g. `https://graph.facebook.com`, or the sandbox's `.../meta`; empty for Meta's own.
        token: access token.
        timeout_s: of connecting, and of each wait for bytes.
    """

    def __init__(self, base_url: str, token: str, timeout_s: float) -> None:
        super().__init__(timeout=timeout_s)
        # The SDK would put the token in every URL.
        self.requests.params.clear()
        self.requests.auth = _Bearer(token)
        # A redirect would carry requests, if not the token, to a host nobody named.
        self.requests.max_redirects = 0
        if base_url and base_url.rstrip("/") != FacebookSession.GRAPH:
            self.GRAPH = base_url.rstrip("/")
            # The SDK brings the certificates of Meta's own hosts; another host has others.
            self.requests.verify = True


class PatientApi(FacebookAdsApi):
    """The SDK's API, whose calls are paced, tried again, and fail with errors of this room.

    Args:
        session: an open session.
        api_version: e.g. `v26.0`.
        attempts: how often one request is tried in all.
        longest_wait_s: the longest pause between two tries; where Meta asks for more, the tries end.
        pace: keeps count of Meta's limits.
        pause: waits that many seconds; a test may hand in its own.

    Attributes:
        about: the account that the next calls are about, for whose limits they count; empty for none.
    """

    def __init__(
        self,
        session: AdsSession,
        api_version: str,
        *,
        attempts: int,
        longest_wait_s: float,
        pace: Pace,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(session, api_version)
        self.about = ""
        self._attempts = attempts
        self._longest_wait_s = longest_wait_s
        self._pace = pace
        self._pause = pause

    def call(self, method: str, path: Any, *args: Any, **kwargs: Any) -> FacebookResponse:
        """One request, as the SDK makes it.

        Raises:
            MetaTokenRefused: the token is not accepted.
            MetaRequestRefused: Meta will not serve this request.
            MetaBusy, MetaUnreachable: it did not work out within the attempts.
        """
        named = f"{method} {path if isinstance(path, str) else '/'.join(map(str, path)).rstrip('/')}"
        for attempt in range(1, self._attempts + 1):
            self._keep_pace(named)
            try:
                return self._try(named, method, path, *args, **kwargs)
            except (MetaBusy, MetaUnreachable) as error:
                wanted = error.retry_after_s if isinstance(error, MetaBusy) else None
                if wanted is not None and wanted > self._longest_wait_s:
                    raise self._throttled(named, wanted, str(error), everywhere=False) from error
                if attempt == self._attempts:
                    raise self._given_up(named, error) from error
                pause = min(self._longest_wait_s, _FIRST_PAUSE_S * 2 ** (attempt - 1))
                _log.warning("%s; try %d of %d follows", error, attempt + 1, self._attempts)
                self._pause(pause if wanted is None else wanted)
        raise AssertionError("attempts is at least 1")

    def _keep_pace(self, named: str) -> None:
        closed_s = self._pace.closed_s(self.about)
        if closed_s > self._longest_wait_s:
            reason = "Meta said that our calls are used up"
            raise self._throttled(named, closed_s, reason, everywhere=False)
        pause = max(closed_s, self._pace.pause_s(self.about))
        if pause > 0:
            _log.info("%s: Meta's limits are nearly used up, pausing %.1f s", named, pause)
            self._pause(pause)

    def _try(self, named: str, method: str, path: Any, *args: Any, **kwargs: Any) -> FacebookResponse:
        try:
            response = super().call(method, path, *args, **kwargs)
        except requests.RequestException as error:
            raise MetaUnreachable(f"{named}: no answer ({type(error).__name__})") from error
        except FacebookRequestError as error:
            headers = error.http_headers() or {}
            self._pace.note(self.about, read_usage(headers))
            raise as_error(named, error, headers, self._pace.closed_s(self.about)) from error
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            # The SDK stumbles over bodies that are no JSON but have the words 'error' or 'success' in them.
            raise MetaUnreachable(f"{named}: an answer that is no JSON") from error
        self._pace.note(self.about, read_usage(response.headers()))
        if not isinstance(response.json(), dict):
            if response.status() >= 500:
                raise MetaBusy(f"{named}: Meta answers {response.status()} (no reason given)")
            raise MetaUnreachable(f"{named}: status {response.status()} and no JSON")
        return response

    def _given_up(self, named: str, error: MetaBusy | MetaUnreachable) -> Exception:
        if isinstance(error, Refused) and error.everywhere:
            return self._throttled(named, _APP_WINDOW_S, str(error), everywhere=True)
        return error

    def _throttled(self, named: str, wait_s: float, reason: str, *, everywhere: bool) -> MetaThrottled:
        goes_on_at = datetime.now(UTC) + timedelta(seconds=wait_s)
        return MetaThrottled(
            f"{named}: {reason.removeprefix(f'{named}: ')}; it can go on at {goes_on_at:%H:%M} UTC",
            wait_s,
            goes_on_at=goes_on_at,
            everywhere=everywhere,
        )


class _Bearer(requests.auth.AuthBase):
    """Puts the token in the header, and keeps a .netrc from putting something else there."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
