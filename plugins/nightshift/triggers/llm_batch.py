"""Waits for batches of every vendor in the triggerer's event loop, without holding a worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from nightshift.connections import VENDORS, async_batch_vendor

# Looks are spread by this share, so that many triggers do not ask all at once.
JITTER = 0.2
HTTP_TIMEOUT_S = 30.0


class LlmBatchTrigger(BaseTrigger):
    """Fires once: when every batch has ended, at the deadline, or when a vendor stays out of reach.

    The deadline is a point in time, so a restart of the triggerer does not move it. What is serialised holds
    the names of vendors, whose connections have the keys.

    Args:
        batches: the vendor's id of each batch -> the vendor's name.
        poll_seconds: time between two looks.
        poll_failures_tolerated: rounds in a row that may fail.
        deadline: ISO time with offset, after which to stop waiting.

    The event's payload: `status` (`ended`, `deadline` or `unreachable`), `ended` (count), `pending` (ids),
    `unknown` (ids the vendor does not give us, with the reason) and `error`. What each look saw is written to
    the log and, for the page of the night's batches, to the database.
    """

    def __init__(
        self,
        batches: dict[str, str],
        poll_seconds: float,
        poll_failures_tolerated: int,
        deadline: str,
    ) -> None:
        super().__init__()
        self.batches = batches
        self.poll_seconds = poll_seconds
        self.poll_failures_tolerated = poll_failures_tolerated
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return (
            "nightshift.triggers.llm_batch.LlmBatchTrigger",
            {
                "batches": self.batches,
                "poll_seconds": self.poll_seconds,
                "poll_failures_tolerated": self.poll_failures_tolerated,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the batches until there is something to say."""
        errors = await asyncio.to_thread(import_module, "include.errors")
        deadline = datetime.fromisoformat(self.deadline)
        pending, unknown = list(self.batches), {}
        failures, error = 0, ""
        async with AsyncExitStack() as stack:
            vendors = await self._vendors(stack)
            while True:
                failed: set[str] = set()
                seen: dict[str, dict[str, int]] = {}
                for vendor_batch_id in list(pending):
                    vendor = self.batches[vendor_batch_id]
                    # One vendor out of reach does not keep us from looking at the other.
                    if vendor in failed:
                        continue
                    try:
                        progress = await vendors[vendor].look(vendor_batch_id)
                    except errors.PermanentError as refusal:
                        unknown[vendor_batch_id] = str(refusal)
                        pending.remove(vendor_batch_id)
                    except errors.TransientError as busy:
                        failed.add(vendor)
                        error = str(busy)
                        self.log.warning(
                            "look %s of %s in a row failed: %s",
                            failures + 1,
                            self.poll_failures_tolerated,
                            busy,
                        )
                    else:
                        self.log.info("batch %s is %s", vendor_batch_id, progress.told)
                        seen[vendor_batch_id] = dict(progress.counts)
                        if progress.ended:
                            pending.remove(vendor_batch_id)
                await self._show(seen)
                failures = failures + 1 if failed else 0
                status = self._status(pending, failures, deadline)
                if status:
                    ended = len(self.batches) - len(pending) - len(unknown)
                    yield TriggerEvent(
                        {
                            "status": status,
                            "ended": ended,
                            "pending": pending,
                            "unknown": unknown,
                            "error": error,
                        }
                    )
                    return
                await asyncio.sleep(self._pause(deadline))

    async def on_kill(self) -> None:
        """Cancel the batches when a person gave the task up; leave them when it was cleared to run again."""
        if not await self._given_up():
            self.log.info("the batches stay with the vendor: the task that waits again finds them")
            return
        errors = await asyncio.to_thread(import_module, "include.errors")
        async with AsyncExitStack() as stack:
            vendors = await self._vendors(stack)
            for vendor_batch_id, vendor in self.batches.items():
                try:
                    await vendors[vendor].cancel(vendor_batch_id)
                except errors.NightshiftError as failure:
                    self.log.error("batch %s goes on: %s", vendor_batch_id, failure)
                else:
                    self.log.info("batch %s: asked the vendor to stop", vendor_batch_id)

    async def _vendors(self, stack: AsyncExitStack) -> dict[str, Any]:
        return {
            name: await stack.enter_async_context(
                await async_batch_vendor(VENDORS[name], timeout_s=HTTP_TIMEOUT_S)
            )
            for name in sorted(set(self.batches.values()))
        }

    async def _show(self, seen: dict[str, dict[str, int]]) -> None:
        """Keep what was seen for people who watch. Not being able to is no reason to stop waiting."""
        if not seen:
            return
        try:
            await asyncio.to_thread(_note, seen)
        except Exception as failure:
            self.log.warning("progress could not be noted: %s", type(failure).__name__)

    def _status(self, pending: list[str], failures: int, deadline: datetime) -> str:
        if not pending:
            return "ended"
        if datetime.now(UTC) >= deadline:
            return "deadline"
        return "unreachable" if failures > self.poll_failures_tolerated else ""

    def _pause(self, deadline: datetime) -> float:
        spread = self.poll_seconds * random.uniform(1 - JITTER, 1 + JITTER)
        return max(0.0, min(spread, (deadline - datetime.now(UTC)).total_seconds()))

    async def _given_up(self) -> bool:
        """Whether the task was marked failed, as opposed to cleared."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        instance = self.task_instance
        if instance is None:
            return False
        states = await asyncio.to_thread(
            RuntimeTaskInstance.get_task_states,
            dag_id=instance.dag_id,
            task_ids=[instance.task_id],
            run_ids=[instance.run_id],
            map_index=instance.map_index,
        )
        return bool(states.get(instance.run_id, {}).get(instance.task_id) == "failed")


def _note(seen: dict[str, dict[str, int]]) -> None:
    """Write counts into the database, in a thread of its own."""
    from include.db.llm_batches import note_progress
    from nightshift.connections import nightshift_engine

    engine = nightshift_engine()
    try:
        with engine.begin() as conn:
            note_progress(conn, seen)
    finally:
        engine.dispose()
