"""Report runs over Insights: a question that takes a while by the sandbox's clock, and how it ends."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from include.sandbox.faults import Fault, ReportEnds, arguments_of
from include.sandbox.meta_world import MetaRefusal, Question
from include.sandbox.state import SandboxState, VirtualClock

# A report takes a moment, and longer the more days it is about.
BASE_SECONDS = 1.0
SECONDS_PER_DAY = 0.05
_STUCK_PERCENT = 40
_ENDINGS = {"completed": "Job Completed", "failed": "Job Failed", "skipped": "Job Skipped"}


class ReportRuns:
    """The report runs on order, kept in the sandbox's state."""

    def __init__(self, state: SandboxState, clock: VirtualClock) -> None:
        self._state = state
        self._clock = clock

    def start(self, question: Question, faults: list[Fault]) -> str:
        """Take a question; returns the id of its run."""
        now = self._clock.now()
        ends = arguments_of(faults, ReportEnds)
        asked = {**asdict(question), "as_of": str(question.as_of or datetime.fromtimestamp(now, UTC).date())}
        values = (
            question.account_id,
            json.dumps(asked, default=str),
            now,
            now + BASE_SECONDS + SECONDS_PER_DAY * question.days,
            ends.how if ends else "completed",
        )
        with self._state.writing() as db:
            # An id as long as Meta's, so that nothing can mistake it for an account's.
            row = db.execute(
                "INSERT INTO meta_report (id, account_id, question, created_at, ends_at, ending)"
                " SELECT 23850000000000 + coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ? FROM meta_report"
                " RETURNING id",
                values,
            ).fetchone()
        return str(row["id"])

    def status(self, report_run_id: str) -> dict[str, Any]:
        """How far a run is, as Meta tells it."""
        row = self._row(report_run_id)
        passed = (self._clock.now() - row["created_at"]) / (row["ends_at"] - row["created_at"])
        percent = min(100, int(100 * passed))
        told = "Job Running" if passed >= 0.1 else "Job Not Started"
        if row["ending"] == "stuck":
            percent = min(percent, _STUCK_PERCENT)
        elif passed >= 1:
            told = _ENDINGS[row["ending"]]
        return {
            "id": row["id"],
            "account_id": row["account_id"].removeprefix("act_"),
            "async_status": told,
            "async_percent_completion": percent,
        }

    def question(self, report_run_id: str) -> Question:
        """The question of a run that is completed."""
        if self.status(report_run_id)["async_status"] != "Job Completed":
            raise MetaRefusal(
                400, 2601, "(#2601) The report is not ready: its run has not completed", subcode=1815107
            )
        asked = json.loads(self._row(report_run_id)["question"])
        days = {name: date.fromisoformat(asked[name]) for name in ("since", "until", "as_of")}
        names = {name: tuple(asked[name]) for name in ("fields", "windows")}
        return Question(**{**asked, **days, **names})

    def account_of(self, report_run_id: str) -> str:
        """The account a run is about."""
        return str(self._row(report_run_id)["account_id"])

    def _row(self, report_run_id: str) -> Any:
        row = self._state.row("SELECT * FROM meta_report WHERE id = ?", (report_run_id,))
        if row is None:
            raise MetaRefusal(
                400,
                100,
                f"Unsupported get request. Object with ID '{report_run_id}' does not exist, cannot be loaded "
                "due to missing permissions, or does not support this operation.",
                "GraphMethodException",
            )
        return row
