"""What leaves in a night and what waits: vendors' limits, quotas, budgets, turns, deadlines."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.llm.bodies import Endpoint, Image, embedding_body, question_body
from include.llm.errors import RequestInvalid
from include.llm.requests import LlmRequest, enqueue


@pytest.fixture
def night(make_night):
    return make_night(creatives=0)


def change(night, **llm):
    known = night.settings.llm.model_copy(update=llm)
    night.settings = night.settings.model_copy(update={"llm": known})


def limit(night, vendor, **limits):
    vendors = night.settings.llm.vendors
    change(night, vendors={**vendors, vendor: vendors[vendor].model_copy(update=limits)})


def budget(night, **changes):
    change(night, budget=night.settings.llm.budget.model_copy(update=changes))


def left(night):
    rows = night.rows("""
        SELECT tenant, count(*) FILTER (WHERE state = 'batched') AS n FROM llm.llm_request GROUP BY tenant""")
    return {row["tenant"]: row["n"] for row in rows}


def waits(night):
    return {each.reason: each.requests for each in night.report().left_waiting}


def test_a_tenant_over_its_budget_waits_and_does_not_hold_up_the_others(night):
    night.ask_openai(5, tenant="big")
    night.ask_openai(2, tenant="small", prompt_version="v2")
    one = night.rows("SELECT max(estimated_usd) AS usd FROM llm.llm_request")[0]["usd"]
    budget(night, tenant_night_usd=one * 2)
    night.plan()
    assert left(night) == {"big": 2, "small": 2}
    assert waits(night) == {"tenant_budget": 3}
    assert "big" in night.report().summary


def test_a_tenant_can_have_a_budget_of_its_own(night):
    night.ask_openai(3, tenant="big")
    night.ask_openai(3, tenant="none", prompt_version="v2")
    budget(night, tenants={"none": Decimal(0)})
    night.plan()
    assert left(night) == {"big": 3, "none": 0}


def test_the_nights_budget_is_shared_in_turns_and_each_gives_its_most_important_first(night):
    night.ask_openai(4, tenant="a")
    night.ask_openai(4, tenant="b", prompt_version="v2", priority=Decimal(99))
    with night.engine.begin() as conn:
        conn.execute(text("UPDATE llm.llm_request SET estimated_usd = 0.01"))
        conn.execute(
            text("UPDATE llm.llm_request SET priority = 7 WHERE params ->> 'messages' LIKE '%example 3%'")
        )
    budget(night, night_usd=Decimal("0.03"))
    night.plan()
    assert sorted(left(night).values()) == [1, 2]
    sent = night.rows("SELECT priority FROM llm.llm_request WHERE state = 'batched' AND tenant = 'a'")
    assert sent[0]["priority"] == 7
    assert waits(night) == {"night_budget": 5}


def test_a_night_planned_again_spends_nothing_more_although_estimates_were_too_high(night):
    night.ask_openai(6)
    one = night.rows("SELECT max(estimated_usd) AS usd FROM llm.llm_request")[0]["usd"]
    budget(night, night_usd=one * 3)
    first = night.run()
    assert (first.requests, first.paid_usd < one * 3) == (3, True)
    assert night.run() == first
    night.day += timedelta(days=1)
    assert night.run().requests == 3


def test_the_vendors_quota_of_enqueued_tokens_counts_what_is_with_it_already(night):
    night.ask_openai(6)
    one = night.rows("SELECT max(estimated_tokens) AS n FROM llm.llm_request")[0]["n"]
    limit(night, "openai", enqueued_tokens=one * 4)
    night.submit()
    assert left(night) == {"a1": 4}
    assert waits(night) == {"enqueued_tokens": 2}
    night.day += timedelta(days=1)
    night.plan()
    assert waits(night) == {"enqueued_tokens": 2}, "the first four are still with the vendor"
    night.let_the_vendor_finish()
    night.collect()
    night.plan()
    assert waits(night) == {}


def test_batches_keep_every_limit_of_their_vendor(night):
    limit(night, "openai", embedding_inputs=5)
    texts = [[f"t{n}-{k}" for k in range(3)] for n in range(4)]
    requests = [
        LlmRequest(
            "embedding", "a1", f"s{n}", "openai", "text-embedding-3-small", "v1",
            embedding_body("text-embedding-3-small", each), endpoint=Endpoint.EMBEDDINGS,
        )
        for n, each in enumerate(texts)
    ]  # fmt: skip
    with night.engine.begin() as conn:
        enqueue(conn, requests, night.day)
    night.ask_openai(5)
    limit(night, "openai", batch_requests=2, embedding_inputs=5)
    report = night.run()
    assert report.succeeded == 9
    sizes = night.rows("SELECT endpoint, request_count FROM llm.llm_batch ORDER BY batch_id")
    assert [row["request_count"] for row in sizes if row["endpoint"] == Endpoint.CHAT] == [2, 2, 1]
    assert [row["request_count"] for row in sizes if row["endpoint"] == Endpoint.EMBEDDINGS] == [1, 1, 1, 1]


def test_one_request_too_large_fails_alone(night):
    night.ask_openai(2)
    body = question_body(Endpoint.CHAT, model="gpt-5-mini", text="long " * 3000, max_tokens=5)
    with night.engine.begin() as conn:
        enqueue(
            conn,
            [LlmRequest("x", "a1", "s", "openai", "gpt-5-mini", "v1", body, endpoint=Endpoint.CHAT)],
            night.day,
        )
    limit(night, "openai", request_bytes=10_000)
    assert night.run().succeeded == 2
    assert "too large" in night.one("SELECT error FROM llm.llm_request WHERE state = 'failed'")


def test_what_nobody_wants_any_more_is_not_asked_and_asked_again_it_is(night):
    night.ask_openai(2, not_after=datetime.now(UTC) + timedelta(hours=1))
    with night.engine.begin() as conn:
        conn.execute(text("UPDATE llm.llm_request SET not_after = now() - interval '1 minute'"))
    assert night.run().requests == 0
    assert night.states() == {"failed": 2}
    assert night.rows("SELECT error FROM llm.llm_request")[0]["error"] == "not asked by its deadline"
    night.ask_openai(2)
    assert night.states() == {"queued": 2}
    assert night.run().succeeded == 2


def test_planners_at_once_give_each_request_to_one_batch(night):
    night.ask_openai(40)
    change(night, batch_max_requests=10)
    with ThreadPoolExecutor(4) as workers:
        plans = list(workers.map(lambda _: night.plan(), range(4)))
    assert {len(plan) for plan in plans} == {4}
    assert night.one("SELECT count(DISTINCT request_id) FROM llm.llm_batch_item") == 40


def test_pictures_travel_to_both_vendors(night):
    picture = Image("image/png", "iVBORw0KGgo=")
    requests = []
    for endpoint, model in (
        (Endpoint.MESSAGES, "claude-haiku-4-5"),
        (Endpoint.CHAT, "gpt-5-mini"),
        (Endpoint.RESPONSES, "gpt-5-mini"),
    ):
        body = question_body(endpoint, model=model, text="What is it?", images=[picture], max_tokens=50)
        requests.append(
            LlmRequest("creative_image", "a1", "s", endpoint.provider, model, "v1", body, endpoint=endpoint)
        )
    with night.engine.begin() as conn:
        enqueue(conn, requests, night.day)
    report = night.run()
    assert report.succeeded == 3
    assert report.paid_usd == night.vendor_bill_usd()
    assert min(row["usage"].get("input_tokens", row["usage"].get("prompt_tokens", 0))
               for row in night.rows("SELECT usage FROM llm.llm_request")) > 1000  # fmt: skip


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "either data or a url"),
        ({"url": "http://plain"}, "https"),
        ({"media_type": "image/tiff", "data": "AAAA"}, "image/tiff"),
        ({"media_type": "image/png", "data": "not base64!"}, "no base64"),
    ],
)
def test_a_picture_no_vendor_takes_is_refused(values, complaint):
    with pytest.raises(RequestInvalid, match=complaint):
        Image(**values)
