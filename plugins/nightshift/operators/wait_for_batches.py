"""A task that waits for batches deferred: it holds no worker while the vendors work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator

from nightshift.connections import VENDORS, batch_vendors, poll_seconds
from nightshift.pages.links import NightBatchesLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class WaitForBatches(BaseOperator):
    """Defers until every batch has ended; past the deadline it cancels the rest and waits a little for that.

    A cancelled batch ends with what was done so far, which is collected like any other. Killing or clearing
    this task loses nothing: it finds the same batches again. Marking it failed cancels them.

    Args:
        batches: what `submit_batches` returned: `vendor_batches` (the vendor's id of each -> the vendor's
            name) and `wait_until` (ISO time, null where there is nothing to wait for).

    Returns:
        counts: `ended`, `cancelled` (asked to stop at the deadline), `pending` (not ended even so) and
        `unknown` (the vendor does not know them, or not with our key).
    """

    template_fields = ("batches",)
    operator_extra_links = (NightBatchesLink(),)
    ui_color = "#e8e2f4"

    def __init__(self, *, batches: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batches = batches

    def execute(self, context: Context) -> dict[str, int]:
        """Defer at once, or return where there is nothing to wait for."""
        if self.batches["vendor_batches"]:
            self._wait(list(self.batches["vendor_batches"]), self.batches["wait_until"], "resume")
        self.log.info("no batch is with the vendor: nothing to wait for")
        return {"ended": 0, "cancelled": 0, "pending": 0, "unknown": 0}

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """Go on from what the trigger said.

        Raises:
            VendorBusy: the vendor could not be reached for too long; the retry waits on.
        """
        if event["status"] == "deadline":
            from include.config import thresholds

            grace = timedelta(minutes=thresholds().llm.cancel_grace_minutes)
            self.log.warning("deadline passed: cancelling %s", ", ".join(event["pending"]))
            self._cancel(event["pending"])
            until = (datetime.now(UTC) + grace).isoformat()
            self._wait(event["pending"], until, "resume_after_cancelling", unknown=event["unknown"])
        return self._counts(event, cancelled=0)

    def resume_after_cancelling(
        self, context: Context, event: dict[str, Any], unknown: dict[str, str]
    ) -> dict[str, int]:
        """The same, when what was left has been cancelled: whatever has not ended now is left for later.

        Args:
            unknown: those the vendor did not know before that, with the reason.
        """
        cancelled = event["ended"] + len(event["pending"]) + len(event["unknown"])
        return self._counts({**event, "unknown": unknown | event["unknown"]}, cancelled=cancelled)

    def _counts(self, event: dict[str, Any], *, cancelled: int) -> dict[str, int]:
        from include.llm.errors import VendorBusy

        for vendor_batch_id, reason in event["unknown"].items():
            self.log.error("batch %s: %s", vendor_batch_id, reason)
        pending, unknown = len(event["pending"]), len(event["unknown"])
        if event["status"] == "unreachable":
            raise VendorBusy(f"waiting for {pending} batches: {event['error']}")
        ended = len(self.batches["vendor_batches"]) - pending - unknown
        return {"ended": ended, "cancelled": cancelled, "pending": pending, "unknown": unknown}

    def _wait(self, vendor_batch_ids: list[str], until: str, then: str, **known: Any) -> NoReturn:
        from include.config import thresholds
        from nightshift.triggers.llm_batch import LlmBatchTrigger

        llm = thresholds().llm
        batches = {each: self.batches["vendor_batches"][each] for each in vendor_batch_ids}
        pauses = [poll_seconds(VENDORS[vendor]) or llm.poll_seconds for vendor in set(batches.values())]
        self.defer(
            trigger=LlmBatchTrigger(
                batches=batches,
                poll_seconds=min(pauses),
                poll_failures_tolerated=llm.poll_failures_tolerated,
                deadline=until,
            ),
            method_name=then,
            kwargs=known,
        )

    def _cancel(self, vendor_batch_ids: list[str]) -> None:
        with batch_vendors() as vendors:
            for vendor_batch_id in vendor_batch_ids:
                vendors[self.batches["vendor_batches"][vendor_batch_id]].cancel(vendor_batch_id)
