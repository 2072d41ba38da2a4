"""The client of applications: asked once, answered from the cache, never waiting for it."""

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from include.llm.bodies import Image
from include.llm.cache import SemanticCache
from include.llm.cache.embedder import default_embedder
from include.llm.cached import AsyncCachedLLM, CachedLLM, How
from include.llm.errors import AnswerInvalid, VendorBusy
from include.llm.flights import Claims
from include.llm.requests import enqueue
from include.stack.settings import REPOSITORY
from tests.include.llm.clients import (
    GPT,
    async_models_on,
    calls,
    database_away,
    fault,
    models_on,
    rows,
    settings_with,
    talk,
)

PIXEL = Image("image/png", data="iVBORw0KGgo=")


@pytest.fixture(scope="module", autouse=True)
def _warm_embedder():
    default_embedder().embed(["warm"])


@pytest.fixture
def make_llm(db, sandbox, tmp_path):
    made = []

    def make(live=None, cache=None):
        settings = settings_with(live, cache)
        models = models_on(sandbox, db, settings, tmp_path)
        store = SemanticCache(db, default_embedder(), settings.llm.cache)
        made.append(CachedLLM(store, models, Claims(db, settings), settings))
        return made[-1]

    yield make
    for llm in made:
        llm.close()


@pytest.fixture
def llm(make_llm):
    return make_llm()


def settled(llm):
    """Wait for what is done behind the caller's back, and write it."""
    assert llm._kept.finish(5)
    assert llm._checks.finish(5)
    llm.cache.flush()
    return llm


def async_llm(db, sandbox, tmp_path, **live):
    settings = settings_with(live)
    models = async_models_on(sandbox, db, settings, tmp_path)
    store = SemanticCache(db, default_embedder(), settings.llm.cache)
    return AsyncCachedLLM(store, models, Claims(db, settings), settings)


def test_the_second_time_the_cache_answers_and_says_what_it_saved(llm, sandbox):
    first = llm.ask(talk())
    settled(llm)
    second = llm.ask(talk())

    assert (first.how, second.how) == (How.MODEL, How.EXACT)
    assert second.answer == first.answer
    assert second.text == first.text
    assert second.saved_usd == first.paid_usd > 0
    assert second.paid_usd == first.saved_usd == Decimal(0)
    assert calls(sandbox) == 1


def test_models_keep_their_answers_apart_and_so_do_prompts_and_tenants(llm, sandbox):
    asked = [talk(), talk(model=GPT), talk(prompt_version="v2"), talk(tenant="a2"), talk(task="other")]
    for question in asked:
        assert llm.ask(question).how is How.MODEL
    settled(llm)
    assert {llm.ask(question).how for question in asked} == {How.EXACT}


def test_fifty_threads_with_one_question_make_one_call(llm, sandbox, db):
    llm.ask(talk("Something else"))
    settled(llm)
    fault(sandbox, "delay", args={"seconds": 0.5})
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: llm.ask(talk()), range(50)))
    settled(llm)

    assert calls(sandbox) == 2
    assert len({reply.text for reply in replies}) == 1
    assert sorted(reply.how for reply in replies).count(How.MODEL) == 1
    assert sum(reply.paid_usd > 0 for reply in replies) == 1
    counted = rows(db, "SELECT kind, count(*) AS n FROM llm.cache_lookup GROUP BY kind")
    assert {row["kind"]: row["n"] for row in counted}["exact"] == 49


def test_tasks_and_threads_share_one_call_over_two_clients(llm, db, sandbox, tmp_path):
    fault(sandbox, "delay", args={"seconds": 0.5})

    async def ask():
        async with async_llm(db, sandbox, tmp_path) as other:
            threads = [asyncio.to_thread(llm.ask, talk()) for _ in range(4)]
            return await asyncio.gather(*threads, *(other.ask(talk()) for _ in range(20)))

    replies = asyncio.run(ask())

    assert calls(sandbox) == 1
    assert len({reply.text for reply in replies}) == 1


def asker(db, sandbox, tmp_path, *more):
    url = db.url.render_as_string(hide_password=False)
    arguments = [str(tmp_path), sandbox.anthropic_url, sandbox.api_key, url, "Why do hooks wear out?", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.include.llm.asker", *arguments],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_with_one_question_make_one_call(db, sandbox, tmp_path):
    fault(sandbox, "delay", args={"seconds": 6})
    programs = [asker(db, sandbox, tmp_path) for _ in range(2)]
    said = sorted(program.communicate(timeout=90)[0].strip() for program in programs)

    assert said == ["exact", "model"]
    assert calls(sandbox) == 1


def test_a_process_that_dies_while_it_asks_blocks_nobody(llm, db, sandbox, tmp_path):
    fault(sandbox, "delay", args={"seconds": 30})
    doomed = asker(db, sandbox, tmp_path, "1.5")
    while not calls(sandbox):
        time.sleep(0.02)
    began = time.monotonic()
    reply = llm.ask(talk())
    doomed.wait(30)

    assert doomed.returncode == 1
    assert reply.how is How.MODEL
    assert time.monotonic() - began < 4
    assert calls(sandbox) == 2


def test_waiting_for_another_has_an_end(make_llm, db, sandbox):
    llm = make_llm({"flight_wait_s": 0.3})
    elsewhere = Claims(db, settings_with())
    assert elsewhere.take(llm._desk.flight_key(talk()))

    assert llm.ask(talk()).how is How.MODEL
    elsewhere.close()


def test_a_task_that_is_cancelled_leaves_its_question_to_another(db, sandbox, tmp_path):
    fault(sandbox, "delay", args={"seconds": 3})

    async def ask():
        async with async_llm(db, sandbox, tmp_path) as llm:
            first = asyncio.create_task(llm.ask(talk()))
            while not await asyncio.to_thread(calls, sandbox):
                await asyncio.sleep(0.02)
            second = asyncio.create_task(llm.ask(talk()))
            await asyncio.sleep(0.1)
            first.cancel()
            began = asyncio.get_running_loop().time()
            reply = await second
            return reply, asyncio.get_running_loop().time() - began

    reply, seconds = asyncio.run(ask())

    assert reply.how is How.MODEL
    assert seconds < 2


def test_whoever_waits_for_a_call_that_fails_gets_its_error(llm, sandbox):
    fault(sandbox, "delay", args={"seconds": 0.4})
    fault(sandbox, "server_error", args={"status": 529})
    errors = []

    def ask():
        try:
            llm.ask(talk())
        except VendorBusy as error:
            errors.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join()

    assert len(errors) == 5
    assert calls(sandbox) == 1
    assert llm.ask(talk()).how is How.MODEL


def test_a_database_that_is_gone_costs_hits_and_nothing_else(make_llm, db, sandbox):
    llm = make_llm(cache={"breaker_failures": 2, "breaker_seconds": 0.3})
    with database_away(db):
        began = time.monotonic()
        replies = [llm.ask(talk(f"Question {number}")) for number in range(5)]
        assert time.monotonic() - began < 3
    assert {reply.how for reply in replies} == {How.MODEL}
    time.sleep(0.4)
    llm.ask(talk())
    settled(llm)
    assert llm.ask(talk()).how is How.EXACT
    assert llm._models.bill.flush()
    assert len(rows(db, "SELECT FROM llm.llm_cost")) == calls(sandbox)


def test_a_database_that_hangs_keeps_nobody_waiting(make_llm, db, sandbox):
    llm = make_llm({"claim_timeout_ms": 150}, {"lookup_timeout_ms": 150, "store_timeout_ms": 300})
    llm.ask(talk())
    settled(llm)
    with db.begin() as blocker:
        blocker.exec_driver_sql("LOCK llm.cache_entry, llm.cache_namespace IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        reply = llm.ask(talk("Something new"))
        seconds = time.monotonic() - began

    assert reply.how is How.MODEL
    assert seconds < 1.5


def test_an_answer_that_does_not_fit_its_schema_is_raised_and_never_kept(llm, sandbox, db):
    impossible = {"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 1000.5}}}
    question = talk(answer_schema=impossible)
    for _ in range(2):
        with pytest.raises(AnswerInvalid, match="n:"):
            llm.ask(question)
    settled(llm)

    assert calls(sandbox) == 2
    assert rows(db, "SELECT FROM llm.cache_entry") == []
    assert llm._models.bill.flush()
    assert len(rows(db, "SELECT FROM llm.llm_cost")) == 2


def test_an_answer_lives_as_long_as_it_was_given(llm, sandbox):
    llm.ask(talk(), ttl_s=0.5)
    settled(llm)
    assert llm.ask(talk()).how is How.EXACT
    time.sleep(0.6)
    assert llm.ask(talk()).how is How.MODEL


def test_answers_are_forgotten_by_tag(llm):
    llm.ask(talk(), tags=["creative:c1", "account:a1"])
    llm.ask(talk("Another"), tags=["creative:c2"])
    settled(llm)

    assert llm.cache.invalidate(tags=["creative:c1"]) == 1
    assert llm.ask(talk()).how is How.MODEL
    assert llm.ask(talk("Another")).how is How.EXACT


def test_a_question_with_a_picture_is_answered_by_itself_alone(llm, db):
    llm.ask(talk("What is this?", images=[PIXEL]))
    llm.ask(talk("What is it?"))
    settled(llm)

    assert llm.ask(talk("What is this?", images=[PIXEL])).how is How.EXACT
    (row,) = rows(db, "SELECT count(*) AS n FROM llm.cache_vector_384")
    assert row["n"] == 1
    assert talk("What is this?", images=[PIXEL], text_decides=True).words == "What is this?"


def test_what_the_night_answered_is_an_exact_hit_in_the_queue_too(llm, db):
    question = talk()
    live = llm.ask(question)
    settled(llm)
    with db.begin() as conn:
        from datetime import date

        from include.db.llm_cache import answer_queued

        enqueue(conn, [question.as_request("s1")], date(2026, 11, 20))
        assert len(answer_queued(conn)) == 1
    (row,) = rows(db, "SELECT answer, answered_from FROM llm.llm_request")
    assert row == {"answer": live.answer, "answered_from": "cache"}


def test_a_miss_says_whether_its_neighbour_would_have_been_right(llm, db):
    llm.ask(talk("Why do hooks wear out?"))
    settled(llm)
    llm.ask(talk("Why do hooks wear out so soon?"))
    settled(llm)

    (seen,) = rows(db, "SELECT kind, was_right, similarity FROM llm.cache_observation")
    assert (seen["kind"], seen["was_right"]) == ("miss", False)
    assert seen["similarity"] > 0.8


def test_nothing_that_was_asked_or_answered_gets_into_the_log(make_llm, db, sandbox, caplog):
    llm = make_llm(cache={"breaker_failures": 1})
    with caplog.at_level("DEBUG"), database_away(db):
        reply = llm.ask(talk("the secret of the house"))
        settled(llm)
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("include"))

    assert "without the cache" in told
    assert "secret" not in told
    assert sandbox.api_key not in caplog.text
    assert reply.text not in told


def test_a_question_that_comes_before_its_answer_is_stored_is_not_asked_again(llm, sandbox):
    for number in range(30):
        assert llm.ask(talk(f"Question {number}")).how is How.MODEL
        assert llm.ask(talk(f"Question {number}")).how is How.EXACT
    assert calls(sandbox) == 30
