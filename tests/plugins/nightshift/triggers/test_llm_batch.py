import asyncio
import json
from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from nightshift.triggers.llm_batch import LlmBatchTrigger

RETRIEVE = "GET /v1/messages/batches/*"


@pytest.fixture
def vendor(sandbox):
    """The sandbox, with what the tests do to it."""

    class Vendor:
        client = anthropic.Anthropic(base_url=sandbox.anthropic_url, api_key=sandbox.api_key, max_retries=0)

        def batch(self):
            params = {
                "model": "claude-haiku-4-5",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "?"}],
            }
            return self.client.messages.batches.create(requests=[{"custom_id": "a", "params": params}]).id

        def finish(self):
            sandbox.client.post("/control/clock", json={"advance_seconds": 90_000})

        def fault(self, **order):
            body = {"vendor": "anthropic", "route": RETRIEVE, **order}
            sandbox.client.post("/control/faults", json=body).raise_for_status()

        def status(self, batch_id):
            return self.client.messages.batches.retrieve(batch_id).processing_status

    return Vendor()


def trigger(*batch_ids, seconds=60.0, **changes):
    deadline = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    arguments = {
        "batches": dict.fromkeys(batch_ids, "anthropic"), "poll_seconds": 0.05,
        "poll_failures_tolerated": 2, "deadline": deadline,
    }  # fmt: skip
    return LlmBatchTrigger(**{**arguments, **changes})


def events(waiting, meanwhile=None):
    async def collect():
        found = []
        task = asyncio.create_task(anext(aiter(waiting.run())))
        if meanwhile is not None:
            await asyncio.sleep(0.3)
            assert not task.done()
            await asyncio.to_thread(meanwhile)
        found.append((await task).payload)
        return found

    return asyncio.run(collect())


def test_one_event_when_all_batches_have_ended(vendor):
    ids = [vendor.batch(), vendor.batch()]
    (event,) = events(trigger(*ids), meanwhile=vendor.finish)
    assert event == {"status": "ended", "ended": 2, "pending": [], "unknown": {}, "error": ""}


def test_failed_looks_are_tolerated(vendor):
    batch_id = vendor.batch()
    vendor.finish()
    vendor.fault(kind="server_error", times=2, args={"status": 503})
    (event,) = events(trigger(batch_id))
    assert (event["status"], event["ended"]) == ("ended", 1)


def test_a_vendor_out_of_reach_ends_the_wait_with_the_reason(vendor):
    batch_id = vendor.batch()
    vendor.fault(kind="server_error", times=None, args={"status": 503})
    (event,) = events(trigger(batch_id, poll_failures_tolerated=0))
    assert (event["status"], event["pending"]) == ("unreachable", [batch_id])
    assert "503" in event["error"]


def test_the_deadline_is_a_point_in_time_that_a_restart_does_not_move(vendor):
    batch_id = vendor.batch()
    path, arguments = trigger(batch_id, seconds=0.4).serialize()
    assert path == f"{LlmBatchTrigger.__module__}.{LlmBatchTrigger.__qualname__}"
    restarted = LlmBatchTrigger(**json.loads(json.dumps(arguments)))
    (event,) = events(restarted)
    assert (event["status"], event["pending"]) == ("deadline", [batch_id])
    assert datetime.now(UTC) >= datetime.fromisoformat(arguments["deadline"])


def test_a_batch_the_vendor_does_not_know_is_not_waited_for(vendor):
    known = vendor.batch()
    vendor.finish()
    (event,) = events(trigger("msgbatch_nobody", known))
    assert (event["status"], event["ended"]) == ("ended", 1)
    assert "404" in event["unknown"]["msgbatch_nobody"]


def test_what_is_stored_of_the_trigger_names_the_connection_and_holds_no_key(sandbox):
    stored = json.dumps(trigger("msgbatch_1").serialize())
    assert "anthropic" in stored
    assert sandbox.api_key not in stored
    assert sandbox.url not in stored


def test_clearing_the_task_leaves_the_batches_with_the_vendor(vendor):
    batch_id = vendor.batch()
    asyncio.run(trigger(batch_id).on_kill())
    assert vendor.status(batch_id) == "in_progress"


def test_giving_the_task_up_cancels_every_batch_it_can(vendor):
    class GivenUp(LlmBatchTrigger):
        async def _given_up(self):
            return True

    first, second = vendor.batch(), vendor.batch()
    _, arguments = trigger(first, "msgbatch_nobody", second).serialize()
    asyncio.run(GivenUp(**arguments).on_kill())
    assert [vendor.status(batch_id) for batch_id in (first, second)] == ["canceling", "canceling"]
