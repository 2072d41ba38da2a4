"""Waits for message batches in the triggerer's event loop, without holding a worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from nightshift.connections import AnthropicConnection, anthropic_connection_async

# Looks are spread by this share, so that many triggers do not ask all at once.
JITTER = 0.2
HTTP_TIMEOUT_S = 30.0


class AnthropicBatchTrigger(BaseTrigger):
    """Fires once: when every batch has ended, at the deadline, or when the vendor stays out of reach.

    The deadline is a point in time, so a restart of the triggerer does not move it. What is serialised holds
    the name of the connection and never its key.

    Args:
        conn_id: the Anthropic connection.
        vendor_batch_ids: the vendor's ids of the batches.
        poll_seconds: time between two looks.
        poll_failures_tolerated: rounds in a row that may fail.
        deadline: ISO time with offset, after which to stop waiting.

    The event's payload: `status` (`ended`, `deadline` or `unreachable`), `ended` (count), `pending` (ids),
    `unknown` (ids the vendor does not give us, with the reason) and `error`.
    """

    def __init__(
        self,
        conn_id: str,
        vendor_batch_ids: list[str],
        poll_seconds: float,
        poll_failures_tolerated: int,
        deadline: str,
    ) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.vendor_batch_ids = vendor_batch_ids
        self.poll_seconds = poll_seconds
        self.poll_failures_tolerated = poll_failures_tolerated
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return (
            "nightshift.triggers.anthropic_batch.AnthropicBatchTrigger",
            {
                "conn_id": self.conn_id,
                "vendor_batch_ids": self.vendor_batch_ids,
                "poll_seconds": self.poll_seconds,
                "poll_failures_tolerated": self.poll_failures_tolerated,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the batches until there is something to say."""
        # Importing the SDK takes a second or two: not in the event loop that all triggers share.
        progress = await asyncio.to_thread(import_module, "include.llm.progress")
        errors = await asyncio.to_thread(import_module, "include.errors")
        deadline = datetime.fromisoformat(self.deadline)
        pending, unknown = list(self.vendor_batch_ids), {}
        failures, error = 0, ""
        async with await self._client() as client:
            # A failed look is our affair: retries of the SDK would only stretch what is tolerated.
            client = client.with_options(max_retries=0)
            while True:
                failed_round = False
                for vendor_batch_id in list(pending):
                    try:
                        seen = await progress.poll_batch_async(client, vendor_batch_id)
                    except errors.PermanentError as refusal:
                        unknown[vendor_batch_id] = str(refusal)
                        pending.remove(vendor_batch_id)
                    except errors.TransientError as busy:
                        failed_round, error = True, str(busy)
                        self.log.warning(
                            "look %s of %s in a row failed: %s",
                            failures + 1,
                            self.poll_failures_tolerated,
                            busy,
                        )
                        break
                    else:
                        self.log.info("batch %s is %s: %s", vendor_batch_id, seen.status, seen.counts)
                        if seen.ended:
                            pending.remove(vendor_batch_id)
                failures = failures + 1 if failed_round else 0
                status = self._status(pending, failures, deadline)
                if status:
                    ended = len(self.vendor_batch_ids) - len(pending) - len(unknown)
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
        progress = await asyncio.to_thread(import_module, "include.llm.progress")
        errors = await asyncio.to_thread(import_module, "include.errors")
        async with await self._client() as client:
            for vendor_batch_id in self.vendor_batch_ids:
                try:
                    await progress.cancel_batch_async(client, vendor_batch_id)
                except errors.NightshiftError as failure:
                    self.log.error("batch %s goes on: %s", vendor_batch_id, failure)
                else:
                    self.log.info("batch %s: asked the vendor to stop", vendor_batch_id)

    async def _client(self) -> Any:
        connection: AnthropicConnection = await anthropic_connection_async(self.conn_id)
        vendor = await asyncio.to_thread(import_module, "include.llm.vendor")
        return vendor.async_anthropic_client(
            connection.base_url, connection.api_key, timeout_s=HTTP_TIMEOUT_S
        )

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
