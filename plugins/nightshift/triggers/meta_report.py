"""Waits for Meta's report runs in the triggerer's event loop, without holding a worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

# Looks are spread by this share, so that many triggers do not ask all at once.
JITTER = 0.2


class MetaReportTrigger(BaseTrigger):
    """Fires once: when no report is running any more, or at a point in time.

    How a report ended is for the task to see, and so is an error that stays: it takes the report up again and
    meets it where the errors are told. What passes is waited out.

    Args:
        reports: id of each report run -> its account.
        poll_seconds: time between two looks.
        until: ISO time with offset, after which to stop waiting.
        left: what the task needs to go on; it is told back.

    The event's payload: `running`, the ids of the reports that had not ended, and `left`.
    """

    def __init__(
        self, reports: dict[str, str], poll_seconds: float, until: str, left: dict[str, Any]
    ) -> None:
        super().__init__()
        self.reports = reports
        self.poll_seconds = poll_seconds
        self.until = until
        self.left = left

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return (
            "nightshift.triggers.meta_report.MetaReportTrigger",
            {
                "reports": self.reports,
                "poll_seconds": self.poll_seconds,
                "until": self.until,
                "left": self.left,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the reports until there is something to say."""
        from airflow.sdk import Connection

        meta = await Connection.async_get("meta_ads_default")
        until, running = datetime.fromisoformat(self.until), dict(self.reports)
        while running:
            left = (until - datetime.now(UTC)).total_seconds()
            if left <= 0:
                break
            pause = self.poll_seconds * random.uniform(1 - JITTER, 1 + JITTER)
            await asyncio.sleep(min(pause, left))
            # The SDK blocks, and importing it takes a while: not in the event loop that all triggers share.
            running = await asyncio.to_thread(_still_running, meta.host or "", meta.password or "", running)
            self.log.info("%d of %d reports are running", len(running), len(self.reports))
        yield TriggerEvent({"running": list(running), "left": self.left})


def _still_running(base_url: str, token: str, reports: dict[str, str]) -> dict[str, str]:
    """Those of the reports that Meta is still working on, as far as it can be known now."""
    from include.config import thresholds
    from include.errors import PermanentError, TransientError
    from include.meta_ads.client import MetaClient, ReportStatus

    running = dict(reports)
    try:
        with MetaClient.of_settings(base_url, token, thresholds().ads) as client:
            for report_run_id, account_id in reports.items():
                state = client.look_at_report(account_id, report_run_id)
                if state.status is not ReportStatus.RUNNING:
                    del running[report_run_id]
    except PermanentError:
        return {}
    except TransientError:
        return running
    return running
