"""Which type a hook is of: one of ten, everybody's to know, live and by way of the night."""

import asyncio
from datetime import date

import pytest

from include.config.platform import HOOK_TYPES, HookType
from include.llm.asking import How
from include.llm.cache import SemanticCache
from include.llm.cache.embedder import default_embedder
from include.llm.cached import AsyncCachedLLM, CachedLLM
from include.llm.errors import RequestInvalid
from include.llm.flights import Claims
from include.llm.hook_classifier import classify_hook, classify_hook_async, queue_hooks
from include.llm.questions import hook_question
from tests.include.llm.clients import async_models_on, calls, models_on, rows, settings_with

SETTINGS = settings_with()
WORDS = "Only 200 left: the meal kit busy people wait for"


@pytest.fixture
def llm(db, sandbox, tmp_path):
    models = models_on(sandbox, db, SETTINGS, tmp_path)
    cache = SemanticCache(db, default_embedder(), SETTINGS.llm.cache)
    with CachedLLM(cache, models, Claims(db, SETTINGS), SETTINGS) as made:
        yield made


def test_a_hook_is_of_one_of_the_ten_types_with_a_confidence(llm):
    found = classify_hook(llm, WORDS, tenant="a1")

    assert found.hook_type in HookType
    assert 0 <= found.confidence <= 1
    assert len(HOOK_TYPES) == 10


def test_what_one_account_paid_for_all_accounts_know(llm, db, sandbox):
    first = classify_hook(llm, WORDS, tenant="a1")
    llm._kept.finish(5)
    second = classify_hook(llm, f"  {WORDS.replace(' ', '  ')} ", tenant="a2")

    assert second.hook_type is first.hook_type
    assert second.reply.how is How.EXACT
    assert calls(sandbox) == 1
    (namespace,) = rows(db, "SELECT tenant FROM llm.cache_namespace")
    assert namespace["tenant"] == "*"
    assert llm._models.bill.flush()
    assert [row["tenant"] for row in rows(db, "SELECT tenant FROM llm.llm_cost")] == ["a1"]


def test_an_event_loop_gets_the_same(llm, db, sandbox, tmp_path):
    first = classify_hook(llm, WORDS, tenant="a1")
    llm._kept.finish(5)

    async def ask():
        models = async_models_on(sandbox, db, SETTINGS, tmp_path)
        cache = SemanticCache(db, default_embedder(), SETTINGS.llm.cache)
        async with AsyncCachedLLM(cache, models, Claims(db, SETTINGS), SETTINGS) as other:
            return await classify_hook_async(other, WORDS, tenant="a1")

    assert asyncio.run(ask()).hook_type is first.hook_type


def test_the_night_is_asked_the_same_question(db):
    found = queue_hooks(db, [("c1", WORDS)], tenant="a1", day=date(2026, 11, 20), settings=SETTINGS)
    assert [each.request_key for each in found.stored] == [hook_question(WORDS, "a2", SETTINGS).key]


@pytest.mark.parametrize("words", ["", "  ", "x" * 2_001])
def test_what_is_no_hook_is_refused(llm, words):
    with pytest.raises(RequestInvalid, match="a hook has 1 to 2000 characters"):
        classify_hook(llm, words, tenant="a1")
