"""The cache before the day: what the nights answered, what tomorrow will be asked, and no cent beyond."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.llm.asking import How
from include.llm.cache import SemanticCache
from include.llm.cache.embedder import default_embedder
from include.llm.cached import CachedLLM
from include.llm.council import judge_with
from include.llm.flights import Claims
from include.llm.hook_classifier import classify_hook
from include.llm.questions import score_question
from include.llm.warming import ask_missing, keep_answered, queue_for_tomorrow, tomorrows_questions
from tests.include.llm.clients import calls, fault, models_on, settings_with

HOOKS = 3


@pytest.fixture
def night(make_night):
    """Three creatives of which the first spends most."""
    night = make_night(creatives=HOOKS)
    with night.engine.begin() as conn:
        conn.execute(text("INSERT INTO ads.campaign (account_id, campaign_id, name) VALUES ('a1', 'k', 'K')"))
        for number in range(1, HOOKS + 1):
            ad = {"n": number, "day": night.day, "spend": 100 - number}
            conn.execute(
                text("""
                INSERT INTO ads.ad (account_id, ad_id, campaign_id, creative_id, name)
                VALUES ('a1', 'ad' || :n, 'k', 'c' || :n, 'x')"""),
                ad,
            )
            conn.execute(
                text("""
                INSERT INTO ads.performance_metric
                    (account_id, ad_id, metric_date, impressions, clicks, spend, raw_data)
                VALUES ('a1', 'ad' || :n, :day, 10, 1, :spend, '{}')"""),
                ad,
            )
    patience = settings_with().llm
    llm = night.settings.llm.model_copy(update={"cache": patience.cache, "live": patience.live})
    night.settings = night.settings.model_copy(update={"llm": llm})
    return night


@pytest.fixture
def cache(night):
    with SemanticCache(night.engine, default_embedder(), night.settings.llm.cache) as cache:
        yield cache


@pytest.fixture
def models(night, sandbox, tmp_path):
    with models_on(sandbox, night.engine, night.settings, tmp_path) as models:
        yield models


def change(night, **warm):
    known = night.settings.llm
    llm = known.model_copy(update={"warm": known.warm.model_copy(update=warm)})
    night.settings = night.settings.model_copy(update={"llm": llm})


def wanted_count(night):
    warm = night.settings.llm.warm
    return HOOKS + HOOKS + HOOKS * len(warm.personas) * len(night.settings.llm.council.members)


def test_tomorrow_asks_about_what_spends_and_what_is_worth_most_comes_first(night):
    wanted = tomorrows_questions(night.engine, night.day, night.settings)
    assert len(wanted) == wanted_count(night)
    assert [each.worth for each in wanted] == sorted((each.worth for each in wanted), reverse=True)
    scores = [each for each in wanted if each.question.task == "creative_score"]
    assert [each.subject for each in scores] == ["c1", "c2", "c3"]
    assert len({each.question.key for each in wanted}) == len(wanted)


def test_the_night_answers_tomorrows_questions_at_half_the_price_and_the_morning_asks_nothing(
    night, cache, models, sandbox
):
    queued = queue_for_tomorrow(night.engine, cache, night.day, night.settings)
    assert (queued.wanted, queued.queued, queued.beyond_budget) == (
        wanted_count(night),
        wanted_count(night),
        0,
    )
    night.run()
    assert night.report().succeeded == queued.queued
    assert keep_answered(night.engine, cache, night.settings).kept == queued.queued

    warmed = ask_missing(night.engine, cache, models, night.day, night.settings)

    assert (warmed.known, warmed.asked, warmed.paid_usd) == (queued.wanted, 0, 0)
    assert calls(sandbox) + calls(sandbox, "openai") == 0
    again = keep_answered(night.engine, cache, night.settings)
    assert again.kept == 0, "what is there already stays as it is"
    with CachedLLM(cache, models, Claims(night.engine, night.settings), night.settings) as llm:
        assert classify_hook(llm, "Why does 1 win?", tenant="a1").reply.how is How.EXACT
        creative = {"hook_text": "Why does 1 win?", "persona": "student", "niche": "saas"}
        verdict = judge_with(llm, creative, tenant="a1")
        assert {opinion.reply.how for opinion in verdict.opinions} == {How.EXACT}


def test_what_no_night_answered_is_asked_live_once(night, cache, models, sandbox):
    change(night, personas=("student",))
    first = ask_missing(night.engine, cache, models, night.day, night.settings)
    assert (first.asked, first.failed, first.known) == (wanted_count(night),) * 1 + (0, wanted_count(night))
    models.bill.flush()
    assert first.paid_usd == night.one("SELECT sum(paid_usd) FROM llm.llm_cost") > 0
    again = ask_missing(night.engine, cache, models, night.day, night.settings)
    assert (again.asked, again.known) == (0, wanted_count(night))
    assert calls(sandbox) + calls(sandbox, "openai") == wanted_count(night)


def test_the_budget_takes_what_is_worth_most_and_says_what_it_left_out(night, cache, models):
    wanted = tomorrows_questions(night.engine, night.day, night.settings)
    change(night, budget_usd=wanted[0].live_usd)
    warmed = ask_missing(night.engine, cache, models, night.day, night.settings)
    assert warmed.asked >= 1
    assert warmed.asked + warmed.beyond_budget == wanted_count(night)
    assert warmed.paid_usd <= wanted[0].live_usd
    assert "left out by the budget" in warmed.summary
    spent = warmed.paid_usd
    again = ask_missing(night.engine, cache, models, night.day, night.settings)
    assert spent + again.paid_usd <= wanted[0].live_usd, "the budget is a night's, not a run's"
    change(night, budget_usd=Decimal(0))
    assert queue_for_tomorrow(night.engine, cache, night.day, night.settings).queued == 0


def test_a_night_run_again_queues_nothing_more_for_tomorrow(night, cache):
    wanted = tomorrows_questions(night.engine, night.day, night.settings)
    change(night, budget_usd=sum(each.most.batch_usd for each in wanted[:5]))
    first = queue_for_tomorrow(night.engine, cache, night.day, night.settings)
    assert 5 <= first.queued < len(wanted)
    night.run()
    assert keep_answered(night.engine, cache, night.settings).kept >= first.queued
    again = queue_for_tomorrow(night.engine, cache, night.day, night.settings)
    assert again.queued == 0 < again.beyond_budget


def test_a_request_that_waits_is_answered_by_what_the_morning_asked(night, cache, models):
    night.queue()
    warmed = ask_missing(night.engine, cache, models, night.day, night.settings)
    assert warmed.queue_answered == HOOKS
    assert "3 waiting requests answered" in warmed.summary
    assert night.states() == {"succeeded": HOOKS}
    assert night.one("SELECT count(*) FROM llm.creative_score") == HOOKS


def test_a_vendor_that_is_down_costs_its_questions_alone(night, cache, models, sandbox):
    change(night, personas=("student",))
    fault(sandbox, "server_error", vendor="openai", times=None, args={"status": 503})
    warmed = ask_missing(night.engine, cache, models, night.day, night.settings)
    assert warmed.failed == 2 * HOOKS
    assert warmed.known == wanted_count(night) - 2 * HOOKS
    assert "got no answer" in warmed.summary


def test_every_tenant_that_asked_may_read_and_no_other(night, cache):
    night.run()
    for tenant in ("a2", "a3"):
        with night.engine.begin() as conn:
            conn.execute(
                text("""
                INSERT INTO llm.llm_request_asker (request_id, purpose, tenant, subject)
                SELECT min(request_id), 'creative_score', :tenant, 's' FROM llm.llm_request"""),
                {"tenant": tenant},
            )
    assert keep_answered(night.engine, cache, night.settings).kept == HOOKS + 2
    tenants = night.rows("SELECT tenant, count(*) AS n FROM llm.cache_namespace GROUP BY tenant ORDER BY 1")
    assert [(row["tenant"], row["n"]) for row in tenants] == [("a1", 1), ("a2", 1), ("a3", 1)]


def test_an_answer_lives_as_long_as_if_it_had_been_kept_when_it_came(night, cache):
    night.run()
    hours = night.settings.llm.cache.ttl_hours
    with night.engine.begin() as conn:
        conn.execute(
            text("""
            UPDATE llm.llm_request SET finished_at = now() - :age * interval '1 hour'
            WHERE request_id = (SELECT min(request_id) FROM llm.llm_request)"""),
            {"age": hours - 1},
        )
        conn.execute(
            text("""
            UPDATE llm.llm_request SET finished_at = now() - :age * interval '1 hour'
            WHERE request_id = (SELECT max(request_id) FROM llm.llm_request)"""),
            {"age": hours + 1},
        )
    change(night, history_days=60)
    kept = keep_answered(night.engine, cache, night.settings)
    assert (kept.kept, kept.too_old) == (HOOKS - 1, 1)
    soonest = night.one("SELECT min(expires_at) FROM llm.cache_entry")
    assert timedelta(minutes=55) < soonest - datetime.now(UTC) < timedelta(minutes=61)


def test_the_queue_is_answered_by_the_cache_before_a_batch_is_made(night, cache, models):
    ask_missing(night.engine, cache, models, night.day, night.settings)
    night.queue()
    assert night.plan() == ()
    assert night.states() == {"succeeded": HOOKS}
    assert night.one("SELECT count(*) FROM llm.creative_score") == HOOKS
    assert {row["answered_from"] for row in night.rows("SELECT answered_from FROM llm.llm_request")} == {
        "cache"
    }


def test_the_live_question_of_a_creative_is_the_nights(night):
    night.queue()
    wanted = tomorrows_questions(night.engine, night.day, night.settings)
    keys = {each.question.key for each in wanted if each.question.task == "creative_score"}
    assert keys == {row["request_key"] for row in night.rows("SELECT request_key FROM llm.llm_request")}
    assert score_question({"hook_text": "Other"}, "a1", night.settings).key not in keys
