"""Every kind of fault, as the vendors' clients meet it."""

from __future__ import annotations

import json
import time

import anthropic
import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from include.sandbox.server import SandboxServer

from .conftest import BATCH_SECONDS, KEY, advance, order_fault, question, questions, state

CREATE = "POST /v1/messages/batches"


def test_a_rate_limit_says_when_to_come_back(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    order_fault(sandbox, "anthropic", "rate_limit", CREATE, args={"retry_after": 7})
    with pytest.raises(anthropic.RateLimitError) as refused:
        claude.messages.batches.create(requests=questions(1))
    assert refused.value.response.headers["retry-after"] == "7"
    body = refused.value.body
    assert isinstance(body, dict)
    assert body["error"]["type"] == "rate_limit_error"
    claude.messages.batches.create(requests=questions(1))
    told = state(sandbox)
    assert told["batches"]["created"] == 1
    assert told["requests"]["anthropic"][CREATE] == 2


@pytest.mark.parametrize(
    ("status", "type_"), [(500, "api_error"), (503, "api_error"), (529, "overloaded_error")]
)
def test_a_server_error_has_the_vendors_form(
    sandbox: SandboxServer, claude: anthropic.Anthropic, status: int, type_: str
) -> None:
    order_fault(sandbox, "anthropic", "server_error", args={"status": status})
    with pytest.raises(anthropic.InternalServerError) as failed:
        claude.messages.create(**question())
    assert failed.value.status_code == status
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["error"]["type"] == type_
    assert state(sandbox)["bill"] == []


def test_a_dropped_response_is_carried_out_all_the_same(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    order_fault(sandbox, "anthropic", "drop_response", CREATE)
    with pytest.raises(anthropic.APIConnectionError):
        claude.messages.batches.create(requests=questions(3))
    assert state(sandbox)["batches"]["created"] == 1
    assert claude.messages.batches.list().data[0].request_counts.processing == 3


def test_a_client_that_retries_pays_for_every_lost_response(sandbox: SandboxServer) -> None:
    order_fault(sandbox, "anthropic", "drop_response", CREATE, times=None)
    careless = anthropic.Anthropic(base_url=sandbox.anthropic_url, api_key=KEY)
    with pytest.raises(anthropic.APIConnectionError):
        careless.messages.batches.create(requests=questions(1))
    assert state(sandbox)["batches"]["created"] == 3


def test_a_delay_is_waited_for(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    order_fault(sandbox, "anthropic", "delay", args={"seconds": 0.3})
    started = time.monotonic()
    claude.messages.create(**question())
    assert time.monotonic() - started >= 0.3
    order_fault(sandbox, "anthropic", "delay", args={"seconds": 1})
    with pytest.raises(anthropic.APITimeoutError):
        claude.with_options(timeout=0.1).messages.create(**question())


def test_a_malformed_line_cannot_be_read_once(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    batch = claude.messages.batches.create(requests=questions(5))
    advance(sandbox, BATCH_SECONDS)
    order_fault(sandbox, "anthropic", "malformed_line", args={"lines": 2})
    with pytest.raises(json.JSONDecodeError):
        list(claude.messages.batches.results(batch.id))
    assert len(list(claude.messages.batches.results(batch.id))) == 5


def test_a_truncated_stream_breaks_in_the_middle(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    batch = claude.messages.batches.create(requests=questions(50))
    advance(sandbox, BATCH_SECONDS)
    order_fault(sandbox, "anthropic", "truncate", "GET /v1/messages/batches/{id}/results")
    seen = []
    with pytest.raises(Exception, match=r"peer closed|incomplete"):
        seen.extend(line.custom_id for line in claude.messages.batches.results(batch.id))
    assert len(seen) < 50


def test_a_clean_truncation_looks_whole_to_http(sandbox: SandboxServer) -> None:
    order_fault(sandbox, "meta", "truncate", args={"bytes": 5, "clean": True})
    response = sandbox.client.get("/meta/v26.0/me/adaccounts")
    assert response.status_code == 200
    assert len(response.content) == 5


def test_part_of_a_batch_fails_with_the_error_asked_for(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    order_fault(
        sandbox, "anthropic", "partial_failure", args={"share": 0.25, "error_type": "invalid_request_error"}
    )
    batch = claude.messages.batches.create(requests=questions(200))
    advance(sandbox, BATCH_SECONDS)
    errored = [
        line.result.error.error.type
        for line in claude.messages.batches.results(batch.id)
        if line.result.type == "errored"
    ]
    assert set(errored) == {"invalid_request_error"}
    assert 20 < len(errored) < 80


def test_a_whole_batch_can_expire_early(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    order_fault(sandbox, "anthropic", "expire", CREATE, args={"after_seconds": 60})
    batch = claude.messages.batches.create(requests=questions(4))
    advance(sandbox, 60)
    assert claude.messages.batches.retrieve(batch.id).request_counts.expired == 4


def test_a_fault_waits_for_its_turn_and_stops_after_its_times(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    order_fault(sandbox, "anthropic", "server_error", "POST /v1/messages", after=1, times=2)
    outcomes = []
    for _ in range(4):
        try:
            claude.messages.create(**question())
            outcomes.append("answered")
        except anthropic.InternalServerError:
            outcomes.append("failed")
    assert outcomes == ["answered", "failed", "failed", "answered"]
    (fault,) = sandbox.client.get("/control/faults").json()["faults"]
    assert (fault["fired"], fault["times"], fault["after"]) == (2, 2, 1)
    sandbox.client.delete("/control/faults")
    assert sandbox.client.get("/control/faults").json() == {"faults": []}


def test_slack_and_meta_fail_in_their_own_words(sandbox: SandboxServer, slack: WebClient) -> None:
    order_fault(sandbox, "slack", "rate_limit", "POST /api/chat.postMessage", args={"retry_after": 30})
    with pytest.raises(SlackApiError) as limited:
        slack.chat_postMessage(channel="#nightshift-alerts", text="x")
    assert limited.value.response["error"] == "ratelimited"
    assert limited.value.response.headers["retry-after"] == "30"
    order_fault(sandbox, "meta", "rate_limit", "GET /v26.0/*/insights")
    assert sandbox.client.get("/meta/v26.0/me/adaccounts").status_code == 200
    refused = sandbox.client.get("/meta/v26.0/act_1/insights")
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == 80000


def test_a_dropped_slack_answer_has_posted_the_message(sandbox: SandboxServer) -> None:
    order_fault(sandbox, "slack", "drop_response")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        sandbox.client.post(
            "/slack/api/chat.postMessage", json={"channel": "#nightshift-alerts", "text": "x"}
        )
    assert state(sandbox)["slack"]["nightshift-alerts"] == 1


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({"vendor": "slack", "kind": "expire"}, "only the batches of 'anthropic'"),
        ({"vendor": "meta", "kind": "delay"}, "args.seconds: Field required"),
        ({"vendor": "meta", "kind": "delay", "args": {"second": 1}}, "args.second: Extra inputs"),
        ({"vendor": "meta", "kind": "rate_limit", "route": "insights"}, "METHOD /path"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(
    sandbox: SandboxServer, order: dict[str, object], complaint: str
) -> None:
    response = sandbox.client.post("/control/faults", json=order)
    assert response.status_code == 422
    assert complaint in response.json()["detail"]


def test_the_control_routes_need_the_key(sandbox: SandboxServer) -> None:
    for method, path in (("GET", "state"), ("POST", "reset"), ("GET", "faults"), ("POST", "clock")):
        assert httpx.request(method, f"{sandbox.url}/control/{path}").status_code == 401
