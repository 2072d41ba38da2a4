"""Message Batches through Anthropic's own clients."""

from __future__ import annotations

import http.client
from collections import Counter
from datetime import timedelta
from typing import Any

import anthropic
import pytest

from include.sandbox.server import SandboxServer

from .conftest import BATCH_SECONDS, KEY, advance, order_fault, question, questions, state


def test_a_batch_is_created_worked_on_and_read(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    created = claude.messages.batches.create(requests=questions(20))
    assert created.processing_status == "in_progress"
    assert created.request_counts.processing == 20
    assert created.results_url is None
    assert created.expires_at - created.created_at == timedelta(hours=24)

    advance(sandbox, BATCH_SECONDS / 2)
    assert claude.messages.batches.retrieve(created.id).request_counts.processing == 20

    advance(sandbox, BATCH_SECONDS / 2)
    ended = claude.messages.batches.retrieve(created.id)
    assert ended.processing_status == "ended"
    assert ended.request_counts.succeeded == 20
    assert ended.results_url is not None
    assert ended.results_url.startswith(sandbox.url)
    results = list(claude.messages.batches.results(created.id))
    names = [result.custom_id for result in results]
    assert sorted(names) == sorted(f"r{n}" for n in range(20))
    assert names != [f"r{n}" for n in range(20)]
    for result in results:
        assert result.result.type == "succeeded"
        assert result.result.message.usage.service_tier == "batch"
    assert results == list(claude.messages.batches.results(created.id))


async def _whole_life(sandbox: SandboxServer) -> list[str]:
    async with anthropic.AsyncAnthropic(base_url=sandbox.anthropic_url, api_key=KEY, max_retries=0) as client:
        batch = await client.messages.batches.create(requests=questions(3))
        advance(sandbox, BATCH_SECONDS)
        return [line.custom_id async for line in await client.messages.batches.results(batch.id)]


def test_the_async_client_sees_the_same(sandbox: SandboxServer) -> None:
    import asyncio

    assert sorted(asyncio.run(_whole_life(sandbox))) == ["r0", "r1", "r2"]


def test_a_cancelled_batch_keeps_what_was_done(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    batch = claude.messages.batches.create(requests=questions(200))
    advance(sandbox, BATCH_SECONDS / 2)
    canceling = claude.messages.batches.cancel(batch.id)
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at is not None
    assert canceling.request_counts.processing == 200
    advance(sandbox, 1)
    ended = claude.messages.batches.retrieve(batch.id)
    assert ended.processing_status == "ended"
    counts = ended.request_counts
    assert counts.succeeded + counts.canceled == 200
    assert 50 < counts.succeeded < 150
    found = Counter(line.result.type for line in claude.messages.batches.results(batch.id))
    assert found == {"succeeded": counts.succeeded, "canceled": counts.canceled}
    assert state(sandbox)["bill"][0]["requests"] == counts.succeeded
    with pytest.raises(anthropic.BadRequestError, match="already ended"):
        claude.messages.batches.cancel(batch.id)


def test_what_is_not_done_after_a_day_expires(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    order_fault(sandbox, "anthropic", "expire", args={"share": 0.5})
    batch = claude.messages.batches.create(requests=questions(100))
    advance(sandbox, 23 * 3600)
    assert claude.messages.batches.retrieve(batch.id).processing_status == "in_progress"
    advance(sandbox, 3600)
    counts = claude.messages.batches.retrieve(batch.id).request_counts
    assert counts.succeeded + counts.expired == 100
    assert 20 < counts.expired < 80
    found = Counter(line.result.type for line in claude.messages.batches.results(batch.id))
    assert found["expired"] == counts.expired


def test_results_are_kept_29_days(sandbox: SandboxServer, claude: anthropic.Anthropic) -> None:
    batch = claude.messages.batches.create(requests=questions(1))
    advance(sandbox, 29 * 24 * 3600)
    archived = claude.messages.batches.retrieve(batch.id)
    assert archived.archived_at is not None
    assert archived.results_url is None
    with pytest.raises(anthropic.NotFoundError):
        claude.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)


def test_only_an_ended_batch_is_deleted_and_it_stays_on_the_bill(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    batch = claude.messages.batches.create(requests=questions(2))
    with pytest.raises(anthropic.BadRequestError, match="has not ended"):
        claude.messages.batches.delete(batch.id)
    advance(sandbox, BATCH_SECONDS)
    assert claude.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.batches.retrieve(batch.id)
    told = state(sandbox)
    assert told["batches"] == {"created": 1, "requests": 2, "deleted": 1, "ended": 1, "cancelled": 0}
    assert told["bill"][0]["requests"] == 2


def test_batches_are_listed_newest_first_in_pages(claude: anthropic.Anthropic) -> None:
    ids = [claude.messages.batches.create(requests=questions(1)).id for _ in range(5)][::-1]
    assert [batch.id for batch in claude.messages.batches.list(limit=2)] == ids
    page = claude.messages.batches.list(limit=2, after_id=ids[1])
    assert [batch.id for batch in page.data] == ids[2:4]
    assert page.has_more
    newer = claude.messages.batches.list(limit=2, before_id=ids[3])
    assert [batch.id for batch in newer.data] == ids[1:3]
    assert newer.has_more
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        claude.messages.batches.list(limit=1001)


def test_bad_parameters_are_found_only_when_worked_on(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    requests: list[Any] = [
        {"custom_id": "good", "params": question()},
        {"custom_id": "no_tokens", "params": question(max_tokens=0)},
        {"custom_id": "no_messages", "params": question(messages=[])},
        {"custom_id": "streamed", "params": question(stream=True)},
        {"custom_id": "strange_model", "params": question(model="other-1")},
        {"custom_id": "no_object", "params": 7},
    ]
    batch = claude.messages.batches.create(requests=requests)
    advance(sandbox, BATCH_SECONDS)
    results = {line.custom_id: line.result for line in claude.messages.batches.results(batch.id)}
    assert results.pop("good").type == "succeeded"
    kinds = {}
    for name, result in results.items():
        assert result.type == "errored"
        kinds[name] = result.error.error.type
    assert kinds.pop("strange_model") == "not_found_error"
    assert set(kinds.values()) == {"invalid_request_error"}
    assert [entry["requests"] for entry in state(sandbox)["bill"]] == [1]


@pytest.mark.parametrize(
    ("requests", "complaint"),
    [
        ([], "at least 1 item"),
        ([{"custom_id": "x" * 65, "params": {}}], "custom_id: String should match pattern"),
        ([{"custom_id": "a b", "params": {}}], "custom_id: String should match pattern"),
        ([{"custom_id": "a", "params": {}}, {"custom_id": "a", "params": {}}], "'a' is not unique"),
        ([{"custom_id": "a"}], "params: Field required"),
        ([{"custom_id": "a", "params": {}, "metadata": {}}], "metadata: Extra inputs are not permitted"),
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(
    sandbox: SandboxServer, claude: anthropic.Anthropic, requests: list[Any], complaint: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=complaint):
        claude.messages.batches.create(requests=requests)
    assert state(sandbox)["batches"]["created"] == 0


def test_more_than_100000_requests_are_too_large(claude: anthropic.Anthropic) -> None:
    requests: Any = [{"custom_id": f"r{n}", "params": {}} for n in range(100_001)]
    with pytest.raises(anthropic.APIStatusError, match="request_too_large") as refused:
        claude.messages.batches.create(requests=requests)
    assert refused.value.status_code == 413


def test_more_than_256_megabytes_are_refused_unread(sandbox: SandboxServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    connection.putrequest("POST", "/anthropic/v1/messages/batches")
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "content-length": "256000001"}
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_the_bill_is_the_sum_of_what_the_results_say(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    order_fault(sandbox, "anthropic", "partial_failure", args={"share": 0.3})
    batch = claude.messages.batches.create(requests=questions(50))
    assert state(sandbox)["bill"] == []
    advance(sandbox, BATCH_SECONDS)
    spent: Counter[str] = Counter()
    for line in claude.messages.batches.results(batch.id):
        if line.result.type == "succeeded":
            usage = line.result.message.usage
            spent.update(requests=1, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    assert 0 < spent["requests"] < 50
    (told,) = state(sandbox)["bill"]
    assert (told["vendor"], told["mode"], told["model"]) == ("anthropic", "batch", "claude-haiku-4-5")
    assert {name: told[name] for name in spent} == spent


def test_a_marked_beginning_is_written_once_and_read_afterwards(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    rubric = [{"type": "text", "text": "Judge by the rubric. " * 300, "cache_control": {"type": "ephemeral"}}]
    asked: list[Any] = [
        {"custom_id": f"r{n}", "params": question(f"Question {n}", system=rubric)} for n in range(4)
    ]
    batch = claude.messages.batches.create(requests=asked)
    advance(sandbox, BATCH_SECONDS)
    usage = [each.result.message.usage for each in claude.messages.batches.results(batch.id)]  # type: ignore[union-attr]
    written = sorted(each.cache_creation_input_tokens for each in usage)
    read = sorted(each.cache_read_input_tokens for each in usage)
    assert written[:3] == [0, 0, 0]
    assert read == [0, *[written[3]] * 3]
    assert written[3] >= 1024
    live = claude.messages.create(**question("Another", system=rubric))
    assert live.usage.cache_read_input_tokens == written[3]
    (batched, called) = state(sandbox)["bill"]
    assert (batched["cache_write_tokens"], batched["cache_read_tokens"]) == (written[3], 3 * written[3])
    assert called["cache_read_tokens"] == written[3]
