"""A task that loads a window of Meta's Insights, and holds no worker while Meta works on large reports."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nightshift.connections import connection, nightshift_engine

if TYPE_CHECKING:
    from airflow.sdk import Context


class LoadInsights(BaseOperator):
    """Loads a share of accounts for a window; defers while all that is left is to wait for Meta's reports.

    What was loaded before it deferred is stored, and the reports that are under way are taken up again.
    Interrupted, the next try goes on with the accounts that are not stored; cleared after it succeeded, it
    loads them all again.

    Args:
        account_ids: accounts that `ads.account` holds.
        window: `since` and `until`, ISO days, inclusive.

    Returns:
        `WindowLoad.counts` of all that was loaded.
    """

    template_fields = ("account_ids", "window")
    ui_color = "#e2ecf4"

    def __init__(self, *, account_ids: Any, window: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.account_ids = account_ids
        self.window = window

    def execute(self, context: Context) -> dict[str, Any]:
        """Load what can be loaded now."""
        from include.config import thresholds
        from include.meta_ads.loading import WindowLoad

        deadline = datetime.now(UTC) + timedelta(minutes=thresholds().ads.reports.deadline_minutes)
        return self._load(context, list(self.account_ids), [], WindowLoad().counts(), deadline.isoformat())

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on with the accounts that are left.

        Args:
            context: of the task.
            event: `running`, ids of reports that are not done after all the patience we have for one; `left`,
                what `_wait` noted.

        Raises:
            ReportUnfinished: the deadline has passed.
        """
        from include.meta_ads.errors import ReportUnfinished

        running, left = set(event["running"]), event["left"]
        if running and datetime.now(UTC) >= datetime.fromisoformat(left["deadline"]):
            raise ReportUnfinished(
                f"Meta has not finished {len(running)} of {len(left['reports'])} reports by the task's "
                f"deadline; {left['counts']['accounts']} accounts are loaded, "
                f"{len(left['account_ids'])} are not"
            )
        reports = [{**report, "stuck": report["report_run_id"] in running} for report in left["reports"]]
        return self._load(context, left["account_ids"], reports, left["counts"], left["deadline"])

    def _load(
        self,
        context: Context,
        account_ids: list[str],
        reports: list[dict[str, Any]],
        counts: dict[str, Any],
        deadline: str,
    ) -> dict[str, Any]:
        from include.config import thresholds
        from include.meta_ads.client import MetaClient
        from include.meta_ads.loading import finish_window, load_window
        from include.meta_ads.reports import StartedReport
        from include.meta_ads.summary import add_counts

        settings, meta = thresholds().ads, connection("meta_ads_default")
        engine, run_key = nightshift_engine(), context["run_id"]
        since, until = (date.fromisoformat(self.window[end]) for end in ("since", "until"))
        with MetaClient.of_settings(meta.host or "", meta.password or "", settings) as client:
            loaded = load_window(
                engine,
                client,
                account_ids,
                since,
                until,
                settings,
                run_key=run_key,
                hold_s=settings.reports.hold_s,
                adopted=[StartedReport.from_json(report) for report in reports],
            )
        counts = add_counts(counts, loaded.counts())
        if loaded.under_way:
            self._wait([started.to_json() for started in loaded.under_way], loaded.unloaded, counts, deadline)
        finish_window(engine, list(self.account_ids), since, until, run_key=run_key)
        return counts

    def _wait(
        self, reports: list[dict[str, Any]], account_ids: list[str], counts: dict[str, Any], deadline: str
    ) -> None:
        from include.config import thresholds
        from nightshift.triggers.meta_report import MetaReportTrigger

        settings = thresholds().ads.reports
        stuck_at = datetime.now(UTC) + timedelta(seconds=settings.stuck_s)
        self.log.info("waiting for %d reports about %d accounts", len(reports), len(account_ids))
        self.defer(
            trigger=MetaReportTrigger(
                reports={
                    report["report_run_id"]: report["query"]["account_id"]
                    for report in reports
                    if report["report_run_id"]
                },
                poll_seconds=settings.longest_poll_s,
                until=min(stuck_at, datetime.fromisoformat(deadline)).isoformat(),
                left={
                    "account_ids": account_ids,
                    "reports": reports,
                    "counts": counts,
                    "deadline": deadline,
                },
            ),
            method_name="resume",
        )
