"""Client of Meta's Marketing API over Meta's own SDK: accounts, ads, and Insights by ad and day.

Small questions to Insights are answered at once, page by page. Large ones become report runs: Meta is given
the question, says how far it is, and has the rows when it is done. Which way a question goes, and what
happens when a report fails, is decided in `reports`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adreportrun import AdReportRun

from include.config.ads import AdsThresholds, UsageThresholds
from include.meta_ads.errors import MetaTokenRefused, MetaUnreachable
from include.meta_ads.queries import Query, check_breakdowns
from include.meta_ads.session import AdsSession, PatientApi
from include.meta_ads.usage import Pace

# `platform` is not Meta's: it is what the platform that made the creative knows about it, where it answers.
_AD_FIELDS = (
    "id,name,created_time,campaign{id,name,status,daily_budget},"
    "creative{id,title,call_to_action_type,object_type,platform}"
)


class ReportStatus(StrEnum):
    """How a report run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True)
class ReportState:
    """What one look at a report run saw; `told` is Meta's own word."""

    status: ReportStatus
    percent: int
    told: str


class MetaClient:
    """One authorised session with the Marketing API.

    Args:
        base_url: e.g. `https://graph.facebook.com` (also where it is empty), or the sandbox's `.../meta`.
        token: access token.
        api_version: e.g. `v26.0`.
        timeout_s: of connecting, and of each wait for bytes.
        attempts: how often one request is tried in all.
        longest_wait_s: the longest pause between two tries; a longer one that Meta asks for ends them.
        page_size: rows asked for at once.
        usage: how close to Meta's limits to go.
        pause: waits that many seconds; a test may hand in its own.

    Raises:
        MetaTokenRefused: there is no token.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        api_version: str,
        timeout_s: float,
        attempts: int,
        longest_wait_s: float,
        page_size: int,
        usage: UsageThresholds,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        if not token:
            raise MetaTokenRefused("no access token: set the password of connection meta_ads_default")
        self._page_size = page_size
        self._session = AdsSession(base_url, token, timeout_s)
        self._api = PatientApi(
            self._session,
            api_version,
            attempts=attempts,
            longest_wait_s=longest_wait_s,
            pace=Pace(usage.slow_percent, usage.longest_pause_s),
            pause=pause,
        )

    @classmethod
    def of_settings(
        cls,
        base_url: str,
        token: str,
        settings: AdsThresholds,
        pause: Callable[[float], object] = time.sleep,
    ) -> Self:
        """A client with the limits of `thresholds().ads`.

        Raises:
            MetaTokenRefused: there is no token.
            BreakdownRefused: the thresholds name a breakdown that Meta would refuse.
        """
        check_breakdowns(settings.breakdowns)
        return cls(
            base_url,
            token,
            api_version=settings.api_version,
            timeout_s=settings.http_timeout_s,
            attempts=settings.http_attempts,
            longest_wait_s=settings.http_longest_wait_s,
            page_size=settings.page_size,
            usage=settings.usage,
            pause=pause,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.requests.close()

    @property
    def requests_made(self) -> int:
        """How many requests were sent so far, failed ones included."""
        return int(self._api.get_num_requests_attempted())

    def ad_accounts(self) -> Iterator[dict[str, Any]]:
        """`id`, `name` and `currency` of every account the token may see."""
        yield from self._pages("", ("me", "adaccounts"), {"fields": "id,name,currency"})

    def ads(self, account_id: str) -> Iterator[dict[str, Any]]:
        """Every ad of an account with its campaign and creative."""
        yield from self._pages(account_id, (account_id, "ads"), {"fields": _AD_FIELDS})

    def insights(self, query: Query) -> list[dict[str, Any]]:
        """The rows of a small question, or its cells where it has a breakdown.

        Raises:
            MetaTokenRefused: the token is not accepted.
            MetaTooMuchData: it is not small.
            MetaRequestRefused: Meta will not serve this request.
            MetaBusy, MetaUnreachable: it did not work out within the attempts.
        """
        params = {**query.params, "fields": query.fields}
        return list(self._pages(query.account_id, (query.account_id, "insights"), params))

    def start_report(self, query: Query) -> str:
        """Give Meta a question to work on; returns the id of the report run. Raises as `insights`."""
        self._api.about = query.account_id
        account = AdAccount(query.account_id, api=self._api)
        run = account.get_insights_async(fields=query.fields, params=dict(query.params))
        report_run_id = run.get("report_run_id") or run.get("id")
        if not report_run_id:
            raise MetaUnreachable(f"POST {query.account_id}/insights: the answer has no report_run_id")
        return str(report_run_id)

    def look_at_report(self, account_id: str, report_run_id: str) -> ReportState:
        """How far a report run is. Raises as `insights`."""
        self._api.about = account_id
        fields = [AdReportRun.Field.async_status, AdReportRun.Field.async_percent_completion]
        run = AdReportRun(report_run_id, api=self._api).api_get(fields=fields)
        told, percent = str(run.get("async_status")), int(run.get("async_percent_completion") or 0)
        if told == "Job Completed" and percent >= 100:
            status = ReportStatus.COMPLETED
        elif told in ("Job Failed", "Job Skipped"):
            status = ReportStatus.FAILED
        else:
            # Meta may say 100 percent, or that it is completed, a little before both are so.
            status = ReportStatus.RUNNING
        return ReportState(status, percent, told)

    def report_rows(self, account_id: str, report_run_id: str) -> list[dict[str, Any]]:
        """The rows of a completed report run. Raises as `insights`."""
        return list(self._pages(account_id, (report_run_id, "insights"), {}))

    def _pages(self, about: str, path: tuple[str, str], params: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Plain rows: objects of the SDK for each of a hundred thousand cells would cost minutes."""
        named, cursor = f"GET {'/'.join(path)}", None
        while True:
            self._api.about = about
            asked = {**params, "limit": self._page_size} | ({"after": cursor} if cursor else {})
            page = self._api.call("GET", path, params=asked).json()
            data, paging = page.get("data"), page.get("paging") or {}
            if not isinstance(data, list):
                raise MetaUnreachable(f"{named}: the answer has no list 'data'")
            yield from data
            if not paging.get("next"):
                return
            # The cursor is taken rather than the whole address, so that the token is sent to no other host.
            following = (paging.get("cursors") or {}).get("after")
            if not following or following == cursor:
                raise MetaUnreachable(f"{named}: a next page is promised but its cursor does not move on")
            cursor = following
