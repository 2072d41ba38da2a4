"""The AI council: one robust verdict of several vendors' models, live and by way of the night."""

import asyncio
from datetime import date
from decimal import Decimal

import pytest

from include.config import thresholds
from include.llm.asking import How, Reply
from include.llm.batches import plan_night
from include.llm.cache import SemanticCache
from include.llm.cache.embedder import default_embedder
from include.llm.cached import AsyncCachedLLM, CachedLLM
from include.llm.collection import collect_batches
from include.llm.council import combined, judge, judge_with, queue_council
from include.llm.errors import CouncilWithoutVerdict, RequestInvalid, VendorBusy
from include.llm.flights import Claims
from include.llm.rubric import CRITERIA
from include.llm.submission import submit_batches
from include.llm.warming import keep_answered
from tests.include.llm.clients import async_models_on, calls, fault, models_on, rows, settings_with
from tests.include.llm.conftest import vendors_of

SETTINGS = settings_with()
COUNCIL = SETTINGS.llm.council
HOOK = {"hook_text": "3 mistakes busy people make", "persona": "busy_professional", "niche": "saas"}


def said(overall, **more):
    return Reply(
        {**dict.fromkeys(CRITERIA, overall), "overall": overall, "critique": "Fine."}, How.MODEL, **more
    )


def verdict(*answers, **changes):
    members = COUNCIL.members[: len(answers)]
    return combined(dict(zip(members, answers, strict=True)), COUNCIL.model_copy(update=changes))


@pytest.fixture
def make_llm(db, sandbox, tmp_path):
    def make():
        models = async_models_on(sandbox, db, SETTINGS, tmp_path)
        cache = SemanticCache(db, default_embedder(), SETTINGS.llm.cache)
        return AsyncCachedLLM(cache, models, Claims(db, SETTINGS), SETTINGS)

    return make


def judged(make_llm, creative=HOOK, times=1):
    async def ask():
        async with make_llm() as llm:
            return [await judge(llm, creative, tenant="a1") for _ in range(times)]

    return asyncio.run(ask())


def test_members_of_different_vendors_score_by_the_rubric_and_stay_apart_in_the_cache(make_llm, db, sandbox):
    first, again = judged(make_llm, times=2)

    assert [opinion.model for opinion in first.opinions] == [str(member) for member in COUNCIL.members]
    assert {opinion.model.split("/")[0] for opinion in first.opinions} == {"anthropic", "openai"}
    assert set(first.criteria) == set(CRITERIA)
    assert all(0 <= score <= 100 for score in (first.score, *first.criteria.values()))
    assert {opinion.reply.how for opinion in again.opinions} == {How.EXACT}
    assert again.score == first.score
    assert again.paid_usd == Decimal(0) < first.paid_usd
    assert calls(sandbox) + calls(sandbox, "openai") == 3
    namespaces = rows(db, "SELECT model FROM llm.cache_namespace")
    assert {row["model"] for row in namespaces} == {str(member) for member in COUNCIL.members}


def test_all_members_are_asked_at_once(make_llm, sandbox):
    for vendor in ("anthropic", "openai"):
        fault(sandbox, "delay", vendor=vendor, times=None, args={"seconds": 0.6})

    async def ask():
        async with make_llm() as llm:
            began = asyncio.get_running_loop().time()
            await judge(llm, HOOK, tenant="a1")
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(ask()) < 1.5


def test_with_one_vendor_down_the_others_answer_and_it_is_said(make_llm, sandbox):
    fault(sandbox, "server_error", vendor="openai", times=None, args={"status": 503})
    (found,) = judged(make_llm)

    assert [opinion.model for opinion in found.opinions] == ["anthropic/claude-sonnet-4-5"]
    assert set(found.absent) == {"openai/gpt-5-mini", "openai/gpt-4.1-mini"}
    assert found.score == found.opinions[0].overall
    assert "gpt-5-mini did not answer" in found.told


def test_with_all_vendors_down_there_is_no_verdict(make_llm, sandbox):
    for vendor in ("anthropic", "openai"):
        fault(sandbox, "rate_limit", vendor=vendor, times=None)
    with pytest.raises(CouncilWithoutVerdict, match="0 of 3 members"):
        judged(make_llm)


def test_an_answer_against_the_rubric_is_no_opinion(make_llm, sandbox):
    fault(sandbox, "truncate", vendor="anthropic", args={"bytes": 20, "clean": True})
    (found,) = judged(make_llm)
    assert set(found.absent) == {"anthropic/claude-sonnet-4-5"}


def test_a_thread_gets_the_same_verdict(make_llm, db, sandbox, tmp_path):
    (live,) = judged(make_llm)
    models = models_on(sandbox, db, SETTINGS, tmp_path)
    cache = SemanticCache(db, default_embedder(), SETTINGS.llm.cache)
    with CachedLLM(cache, models, Claims(db, SETTINGS), SETTINGS) as llm:
        found = judge_with(llm, HOOK, tenant="a1")
    assert found.score == live.score
    assert found.paid_usd == 0


def test_what_the_night_answered_is_tomorrows_verdict(make_llm, db, sandbox):
    """The batch's questions are the live ones, to the letter."""
    day = date(2026, 11, 20)
    queue_council(db, [("c1", HOOK)], tenant="a1", day=day, settings=SETTINGS)
    with vendors_of(sandbox) as vendors:
        plan = plan_night(db, day, SETTINGS)
        submit_batches(db, vendors, plan.open_batch_ids, SETTINGS.llm)
        sandbox.client.post("/control/clock", json={"advance_seconds": 90_000}).raise_for_status()
        collect_batches(db, vendors, plan.open_batch_ids, SETTINGS)
    with SemanticCache(db, default_embedder(), SETTINGS.llm.cache) as cache:
        assert keep_answered(db, cache, SETTINGS).kept == 3

    (found,) = judged(make_llm)

    assert {opinion.reply.how for opinion in found.opinions} == {How.EXACT}
    assert calls(sandbox) + calls(sandbox, "openai") == 0
    stored = rows(db, "SELECT answer FROM llm.llm_request")
    assert sorted(row["answer"]["overall"] for row in stored) == sorted(o.overall for o in found.opinions)


def test_the_score_is_the_weighted_mean():
    assert verdict(said(60), said(70), said(65)).score == 65.0
    assert verdict(said(60), said(70), said(50)).score == 62.0


def test_one_that_goes_astray_does_not_move_the_score_and_is_named():
    found = verdict(said(70), said(74), said(5))

    assert found.score == 72.0
    assert [opinion.counts for opinion in found.opinions] == [True, True, False]
    assert found.of_two_minds
    assert "gpt-4.1-mini stands apart with 5" in found.told


def test_two_that_disagree_are_of_two_minds_and_both_count():
    found = verdict(said(20), said(80))
    assert (found.score, found.spread, found.of_two_minds) == (50.0, 60, True)


def test_a_quorum_can_be_asked_for():
    with pytest.raises(CouncilWithoutVerdict, match="1 of 2 members"):
        verdict(said(20), VendorBusy("openai: away"), least_members=2)


def test_a_defect_is_no_absence():
    with pytest.raises(ZeroDivisionError):
        verdict(said(20), ZeroDivisionError())


def test_nothing_to_judge_is_refused(make_llm):
    with pytest.raises(RequestInvalid, match="at least one of"):
        judged(make_llm, {"creative_id": "c1"})


def test_the_council_of_the_thresholds_has_two_vendors_and_prices():
    known = thresholds()
    priced = {(price.provider, price.model) for price in known.prices}
    assert {(m.provider, m.model) for m in known.llm.council.members} <= priced
    assert len({member.provider for member in known.llm.council.members}) > 1
