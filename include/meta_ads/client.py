"""Client of Meta's Marketing API, as far as the nights need it: accounts, ads, and Insights by ad and day.

The token travels in a header, never in a URL that might be logged. Pages are followed by their cursor; what
fails for a passing reason is tried again a few times here, with Meta's own `Retry-After` where it is short,
and is then left to Airflow.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import date
from types import TracebackType
from typing import Any, Self

import httpx

from include.config.model import AdsThresholds
from include.meta_ads.errors import MetaBusy, MetaRequestRefused, MetaTokenRefused, MetaUnreachable
from include.meta_ads.rows import BREAKDOWNS

API_VERSION = "v23.0"

_log = logging.getLogger(__name__)

# https://developers.facebook.com/docs/graph-api/guides/error-handling and the rate-limiting guide beside it.
_TOKEN_CODES = {102, 190, 463, 467}
_BUSY_CODES = {1, 2, 4, 17, 32, 341, 368, 613, *range(80000, 80015)}

_INSIGHT_FIELDS = (
    "account_id,campaign_id,campaign_name,ad_id,ad_name,"
    "impressions,clicks,spend,reach,frequency,actions,action_values"
)
_CELL_FIELDS = "ad_id,impressions,clicks,spend"
# `platform` is not Meta's: it is what the platform that made the creative knows about it, where it answers.
_AD_FIELDS = (
    "id,name,created_time,campaign{id,name,status,daily_budget},"
    "creative{id,title,call_to_action_type,object_type,platform}"
)


class MetaClient:
    """One authorised session with the Marketing API.

    Args:
        base_url: e.g. `https://graph.facebook.com`, or the sandbox's `.../meta`.
        token: access token.
        timeout_s: of connecting, and of each wait for bytes.
        attempts: how often one request is tried in all.
        longest_wait_s: the longest pause between two tries; a longer `Retry-After` ends the tries.
        page_size: rows asked for at once.
        pause: waits that many seconds; a test may hand in its own.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float,
        attempts: int,
        longest_wait_s: float,
        page_size: int,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        if not token:
            raise MetaTokenRefused("no access token: set the password of connection meta_ads_default")
        self._attempts = attempts
        self._longest_wait_s = longest_wait_s
        self._page_size = page_size
        self._pause = pause
        self._http = httpx.Client(
            base_url=f"{base_url.rstrip('/')}/{API_VERSION}/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
            follow_redirects=False,
        )

    @classmethod
    def of_settings(cls, base_url: str, token: str, settings: AdsThresholds) -> Self:
        """A client with the limits of `thresholds().ads`."""
        return cls(
            base_url,
            token,
            timeout_s=settings.http_timeout_s,
            attempts=settings.http_attempts,
            longest_wait_s=settings.http_longest_wait_s,
            page_size=settings.page_size,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ad_accounts(self) -> Iterator[dict[str, Any]]:
        """`id`, `name` and `currency` of every account the token may see."""
        yield from self._pages("me/adaccounts", {"fields": "id,name,currency"})

    def ads(self, account_id: str) -> Iterator[dict[str, Any]]:
        """Every ad of an account with its campaign and creative."""
        yield from self._pages(f"{account_id}/ads", {"fields": _AD_FIELDS})

    def insights(self, account_id: str, since: date, until: date) -> list[dict[str, Any]]:
        """Insights by ad and day, from `since` to `until`, inclusive.

        Breakdowns are cubes of their own that Meta answers one by one; their cells come nested under
        `breakdowns`, one list for each of `rows.BREAKDOWNS`.

        Raises:
            MetaTokenRefused: the token is not accepted.
            MetaRequestRefused: Meta will not serve this request.
            MetaBusy, MetaUnreachable: it did not work out within the attempts.
        """
        window = {
            "level": "ad",
            "time_increment": "1",
            "time_range": json.dumps({"since": since.isoformat(), "until": until.isoformat()}),
        }
        path = f"{account_id}/insights"
        # By key, because a page that grows while it is read repeats a row.
        rows = {
            (row["ad_id"], row["date_start"]): {**row, "breakdowns": {name: [] for name in BREAKDOWNS}}
            for row in self._pages(path, {**window, "fields": _INSIGHT_FIELDS})
        }
        if not rows:
            return []
        for name in BREAKDOWNS:
            columns = name.split(",")
            cells: dict[tuple[str, ...], dict[str, Any]] = {}
            for cell in self._pages(path, {**window, "fields": _CELL_FIELDS, "breakdowns": name}):
                key = (cell["ad_id"], cell["date_start"], *(str(cell.get(column)) for column in columns))
                cells[key] = {
                    field: cell[field]
                    for field in (*columns, "impressions", "clicks", "spend")
                    if field in cell
                }
            for (ad_id, day, *_), cell in cells.items():
                if (ad_id, day) in rows:
                    rows[ad_id, day]["breakdowns"][name].append(cell)
        return [rows[key] for key in sorted(rows, key=lambda key: (key[1], key[0]))]

    def _pages(self, path: str, params: dict[str, str]) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            asked = {**params, "limit": str(self._page_size)} | ({"after": cursor} if cursor else {})
            page = self._get(path, asked)
            data, paging = page.get("data"), page.get("paging") or {}
            if not isinstance(data, list):
                raise MetaUnreachable(f"GET {path}: the answer has no list 'data'")
            yield from data
            if not paging.get("next"):
                return
            # The cursor is taken rather than the whole address, so that the token is sent to no other host.
            following = (paging.get("cursors") or {}).get("after")
            if not following or following == cursor:
                raise MetaUnreachable(f"GET {path}: a next page is promised but its cursor does not move on")
            cursor = following

    def _get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        for attempt in range(1, self._attempts + 1):
            pause = min(self._longest_wait_s, 0.5 * 2 ** (attempt - 1))
            try:
                return self._try(path, params)
            except (MetaBusy, MetaUnreachable) as error:
                wanted = error.retry_after_s if isinstance(error, MetaBusy) else None
                if attempt == self._attempts or (wanted is not None and wanted > self._longest_wait_s):
                    raise
                _log.warning("%s; try %d of %d follows", error, attempt + 1, self._attempts)
                self._pause(pause if wanted is None else wanted)
        raise AssertionError("attempts is at least 1")

    def _try(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        try:
            response = self._http.get(path, params=params)
        except httpx.TransportError as error:
            raise MetaUnreachable(f"GET {path}: no answer ({type(error).__name__})") from error
        try:
            body = response.json()
        except ValueError as error:
            if response.status_code >= 500:
                raise _busy(path, response, "no reason given") from error
            raise MetaUnreachable(f"GET {path}: status {response.status_code} and no JSON") from error
        if response.is_success and isinstance(body, dict) and "error" not in body:
            return body
        raise _refusal(path, response, body)


def _refusal(path: str, response: httpx.Response, body: Any) -> Exception:
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {}
    code, told = error.get("code"), str(error.get("message", "no reason given"))[:300]
    if code in _TOKEN_CODES or response.status_code == 401:
        return MetaTokenRefused(
            f"GET {path}: Meta refuses the access token ({told}); renew it in connection meta_ads_default"
        )
    if (
        response.status_code == 429
        or response.status_code >= 500
        or code in _BUSY_CODES
        or error.get("is_transient")
    ):
        return _busy(path, response, told)
    return MetaRequestRefused(f"GET {path}: Meta answers {response.status_code}, code {code}: {told}")


def _busy(path: str, response: httpx.Response, told: str) -> MetaBusy:
    try:
        retry_after_s = max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        retry_after_s = None
    return MetaBusy(f"GET {path}: Meta answers {response.status_code} ({told})", retry_after_s)
