"""OpenAI's stand-in through OpenAI's own client: files, batches and live calls, and how each can end."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest

from include.sandbox.server import SandboxServer

from .conftest import BATCH_SECONDS, KEY, advance, order_fault, state

CHAT = "/v1/chat/completions"


@pytest.fixture
def gpt(sandbox: SandboxServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=sandbox.openai_url, api_key=KEY, max_retries=0) as client:
        yield client


def body(n: int = 0, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"Question {n}"}], **more}


def line(n: int, given: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"custom_id": f"r{n}", "method": "POST", "url": CHAT, "body": given or body(n), **more}


def upload(gpt: openai.OpenAI, lines: list[Any]) -> str:
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines)
    return gpt.files.create(file=("in.jsonl", io.BytesIO(text.encode())), purpose="batch").id


def create(gpt: openai.OpenAI, lines: list[Any], endpoint: Any = CHAT, **more: Any) -> Any:
    file_id = upload(gpt, lines)
    return gpt.batches.create(input_file_id=file_id, endpoint=endpoint, completion_window="24h", **more)


def results(gpt: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(each) for each in gpt.files.content(str(file_id)).text.splitlines()]


def bill_of(sandbox: SandboxServer, mode: str = "batch") -> dict[str, int]:
    (told,) = [each for each in state(sandbox)["bill"] if (each["vendor"], each["mode"]) == ("openai", mode)]
    return told


def test_a_batch_is_validated_worked_on_finished_and_read(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    batch = create(gpt, [line(n) for n in range(20)], metadata={"intent": "a"})
    assert (batch.status, batch.request_counts.total, batch.metadata) == ("validating", 0, {"intent": "a"})
    seen = []
    for _ in range(4):
        advance(sandbox, BATCH_SECONDS / 4)
        seen.append(gpt.batches.retrieve(batch.id))
    assert [each.status for each in seen] == ["in_progress", "in_progress", "in_progress", "completed"]
    done = [each.request_counts.completed for each in seen]
    assert done == sorted(done)
    assert 0 < done[1] < 20 == done[3]
    assert seen[3].error_file_id is None
    told = results(gpt, seen[3].output_file_id)
    assert sorted(each["custom_id"] for each in told) == sorted(f"r{n}" for n in range(20))
    assert [each["custom_id"] for each in told] != [f"r{n}" for n in range(20)]
    usage = [each["response"]["body"]["usage"] for each in told]
    assert bill_of(sandbox)["input_tokens"] == sum(each["prompt_tokens"] for each in usage)
    assert bill_of(sandbox)["output_tokens"] == sum(each["completion_tokens"] for each in usage)
    assert seen[3].usage.total_tokens == sum(each["total_tokens"] for each in usage)


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([line(1), "{not json"], "invalid_json_line", 2),
        ([line(1), line(1)], "duplicate_custom_id", 2),
        ([line(1), line(2, url="/v1/embeddings")], "mismatched_endpoint", 2),
        ([line(1), line(2, {**body(), "model": "gpt-4.1-mini"})], "mismatched_model", None),
        ([""], "empty_file", None),
    ],
)
def test_a_file_with_a_flaw_is_taken_and_fails_later(
    sandbox: SandboxServer, gpt: openai.OpenAI, lines: list[Any], code: str, number: int | None
) -> None:
    batch = create(gpt, lines)
    assert batch.status == "validating"
    advance(sandbox, BATCH_SECONDS)
    failed = gpt.batches.retrieve(batch.id)
    assert (failed.status, failed.output_file_id) == ("failed", None)
    assert [(each.code, each.line) for each in failed.errors.data] == [(code, number)]
    assert state(sandbox)["bill"] == []


def test_the_quota_of_enqueued_tokens_is_told_after_the_batch_was_accepted(
    sandbox: SandboxServer, gpt: openai.OpenAI
) -> None:
    order_fault(sandbox, "openai", "token_limit")
    batch = create(gpt, [line(1)])
    advance(sandbox, BATCH_SECONDS)
    failed = gpt.batches.retrieve(batch.id)
    assert failed.status == "failed"
    assert failed.errors.data[0].code == "token_limit_exceeded"


def test_requests_that_fail_are_in_the_error_file_and_cost_nothing(
    sandbox: SandboxServer, gpt: openai.OpenAI
) -> None:
    order_fault(sandbox, "openai", "partial_failure", args={"share": 1.0})
    batch = create(gpt, [line(n) for n in range(3)])
    advance(sandbox, BATCH_SECONDS)
    ended = gpt.batches.retrieve(batch.id)
    assert (ended.status, ended.output_file_id, ended.request_counts.failed) == ("completed", None, 3)
    assert {each["response"]["status_code"] for each in results(gpt, ended.error_file_id)} == {500}
    assert state(sandbox)["bill"] == []


def test_an_expired_batch_keeps_and_bills_what_was_done(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    order_fault(sandbox, "openai", "expire", args={"share": 0.5, "after_seconds": 7200})
    batch = create(gpt, [line(n) for n in range(40)])
    advance(sandbox, 7200)
    ended = gpt.batches.retrieve(batch.id)
    good, bad = results(gpt, ended.output_file_id), results(gpt, ended.error_file_id)
    assert ended.status == "expired"
    assert len(good) + len(bad) == 40
    assert good
    assert {each["error"]["code"] for each in bad} == {"batch_expired"}
    assert bill_of(sandbox)["requests"] == len(good)


def test_a_cancelled_batch_keeps_what_was_done(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    batch = create(gpt, [line(n) for n in range(40)])
    advance(sandbox, BATCH_SECONDS / 2)
    assert gpt.batches.cancel(batch.id).status == "cancelling"
    advance(sandbox, 2)
    ended = gpt.batches.retrieve(batch.id)
    assert ended.status == "cancelled"
    assert 0 < ended.request_counts.completed < 40
    assert len(results(gpt, ended.output_file_id)) == ended.request_counts.completed
    with pytest.raises(openai.ConflictError):
        gpt.batches.cancel(batch.id)


def test_ids_of_files_that_are_not_there_can_be_empty_texts(
    sandbox: SandboxServer, gpt: openai.OpenAI
) -> None:
    order_fault(sandbox, "openai", "empty_file_ids")
    batch = create(gpt, [line(1)])
    advance(sandbox, BATCH_SECONDS)
    assert gpt.batches.retrieve(batch.id).error_file_id == ""


def test_results_are_gone_after_thirty_days(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    batch = create(gpt, [line(1)])
    advance(sandbox, BATCH_SECONDS)
    output = gpt.batches.retrieve(batch.id).output_file_id
    advance(sandbox, 30 * 24 * 3600)
    with pytest.raises(openai.NotFoundError):
        gpt.files.content(str(output))


def test_a_long_beginning_is_cheaper_the_second_time(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    rubric = "Judge the creative by the rubric. " * 200
    asked = [
        {"model": "gpt-5-mini", "messages": [{"role": "system", "content": rubric}, *body(n)["messages"]]}
        for n in range(3)
    ]
    batch = create(gpt, [line(n, given) for n, given in enumerate(asked)])
    advance(sandbox, BATCH_SECONDS)
    told = results(gpt, gpt.batches.retrieve(batch.id).output_file_id)
    cached = [each["response"]["body"]["usage"]["prompt_tokens_details"]["cached_tokens"] for each in told]
    assert sorted(cached)[0] == 0
    assert sorted(cached)[1] == sorted(cached)[2] >= 1024
    assert bill_of(sandbox)["cache_read_tokens"] == sum(cached)


def test_embeddings_are_unit_vectors_in_which_shared_words_count(gpt: openai.OpenAI) -> None:
    texts = ["cheap running shoes", "running shoes for cheap", "tax advice"]
    given = gpt.embeddings.create(model="text-embedding-3-small", input=texts, dimensions=256)
    a, b, c = (np.asarray(each.embedding) for each in given.data)
    assert a.shape == (256,)
    assert np.allclose([a @ a, b @ b, c @ c], 1, atol=1e-5)
    assert a @ b > 0.7 > 0.4 > a @ c
    raw = gpt.embeddings.with_raw_response.create(
        model="text-embedding-3-small", input="a", encoding_format="base64"
    )
    text = json.loads(raw.text)["data"][0]["embedding"]
    assert len(base64.b64decode(text)) == 4 * 1536


def test_live_calls_answer_in_both_forms_and_are_billed(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 100}}}
    chat = gpt.chat.completions.create(
        **body(),
        response_format={"type": "json_schema", "json_schema": {"name": "score", "schema": schema}},
    )
    assert 0 <= json.loads(chat.choices[0].message.content)["score"] <= 100
    said = gpt.responses.create(model="gpt-5-mini", input="Why?", max_output_tokens=5)
    assert said.status == "incomplete"
    assert said.incomplete_details.reason == "max_output_tokens"
    assert bill_of(sandbox, "live")["requests"] == 2


def test_refusals_have_the_vendors_form(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        gpt.chat.completions.create(model="gpt-none!", messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.BadRequestError, match="input_file_id"):
        gpt.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=sandbox.openai_url, api_key="other", max_retries=0).files.list()
    order_fault(sandbox, "openai", "rate_limit", args={"retry_after": 3})
    with pytest.raises(openai.RateLimitError) as limited:
        gpt.files.list()
    assert limited.value.response.headers["retry-after"] == "3"


def test_a_dropped_answer_leaves_the_batch_behind_and_the_list_shows_it(
    sandbox: SandboxServer, gpt: openai.OpenAI
) -> None:
    file_id = upload(gpt, [line(1)])
    order_fault(sandbox, "openai", "drop_response", "POST /v1/batches")
    with pytest.raises(openai.APIConnectionError):
        gpt.batches.create(
            input_file_id=file_id, endpoint=CHAT, completion_window="24h", metadata={"intent": "lost"}
        )
    assert [each.metadata for each in gpt.batches.list(limit=10)] == [{"intent": "lost"}]


def test_lists_go_on_page_by_page(sandbox: SandboxServer, gpt: openai.OpenAI) -> None:
    made = [create(gpt, [line(n)]).id for n in range(5)]
    assert [each.id for each in gpt.batches.list(limit=2)] == made[::-1]


def test_the_async_client_sees_the_same_and_a_restart_forgets_nothing(
    sandbox: SandboxServer, gpt: openai.OpenAI
) -> None:
    batch = create(gpt, [line(1)])
    sandbox.restart()
    advance(sandbox, BATCH_SECONDS)

    async def look() -> str:
        async with openai.AsyncOpenAI(base_url=sandbox.openai_url, api_key=KEY, max_retries=0) as client:
            return (await client.batches.retrieve(batch.id)).status

    assert asyncio.run(look()) == "completed"
