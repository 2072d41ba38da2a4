from datetime import UTC, datetime, timedelta

import anthropic
import pytest
from airflow.sdk.exceptions import TaskDeferred

from include.config import thresholds
from include.llm.errors import VendorBusy
from nightshift.operators.wait_for_batches import WaitForBatches

UNTIL = "2026-11-21T03:00:00+00:00"


def operator(*ids):
    batches = {"vendor_batches": dict.fromkeys(ids, "anthropic"), "wait_until": UNTIL if ids else None}
    return WaitForBatches(task_id="wait", batches=batches)


def event(status, *pending, ended=0, unknown=None):
    return {
        "status": status, "ended": ended, "pending": list(pending), "unknown": unknown or {},
        "error": "HTTP 503",
    }  # fmt: skip


def test_with_nothing_to_wait_for_it_does_not_defer():
    assert operator().execute({}) == {"ended": 0, "cancelled": 0, "pending": 0, "unknown": 0}


def test_with_something_to_wait_for_it_defers_at_once():
    with pytest.raises(TaskDeferred) as deferred:
        operator("msgbatch_1").execute({})
    _, arguments = deferred.value.trigger.serialize()
    assert arguments["batches"] == {"msgbatch_1": "anthropic"}
    assert arguments["deadline"] == UNTIL
    assert arguments["poll_seconds"] == 2, "the connection's extra wins over the threshold"
    assert arguments["poll_failures_tolerated"] == thresholds().llm.poll_failures_tolerated


def test_the_end_of_the_wait_is_counts():
    done = operator("msgbatch_1").resume({}, event("ended", ended=1))
    assert done == {"ended": 1, "cancelled": 0, "pending": 0, "unknown": 0}


def test_a_vendor_out_of_reach_is_tried_again():
    with pytest.raises(VendorBusy, match="503"):
        operator("msgbatch_1").resume({}, event("unreachable", "msgbatch_1"))


def test_past_the_deadline_what_is_left_is_cancelled_and_waited_for_a_little(sandbox):
    params = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
    client = anthropic.Anthropic(base_url=sandbox.anthropic_url, api_key=sandbox.api_key)
    unknown = {"msgbatch_nobodys": "HTTP 404"}
    # Nothing of it is worked on, so it has not ended by itself, however slow this machine is.
    never = {"vendor": "anthropic", "kind": "expire", "args": {"share": 1.0, "after_seconds": 80_000}}
    sandbox.client.post("/control/faults", json=never).raise_for_status()
    batch_id = client.messages.batches.create(requests=[{"custom_id": "a", "params": params}]).id
    with pytest.raises(TaskDeferred) as deferred:
        operator("msgbatch_nobodys", batch_id).resume({}, event("deadline", batch_id, unknown=unknown))
    assert client.messages.batches.retrieve(batch_id).cancel_initiated_at is not None
    assert deferred.value.method_name == "resume_after_cancelling"
    assert deferred.value.kwargs == {"unknown": unknown}
    _, arguments = deferred.value.trigger.serialize()
    assert arguments["batches"] == {batch_id: "anthropic"}
    assert datetime.fromisoformat(arguments["deadline"]) < datetime.now(UTC) + timedelta(hours=1)


def test_what_has_not_ended_even_so_is_left_for_later():
    waiting = operator("msgbatch_1", "msgbatch_2", "msgbatch_nobodys")
    unknown = {"msgbatch_nobodys": "HTTP 404"}
    done = waiting.resume_after_cancelling({}, event("deadline", "msgbatch_2"), unknown)
    assert done == {"ended": 1, "cancelled": 1, "pending": 1, "unknown": 1}
