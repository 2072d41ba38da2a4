"""Calls that somebody waits for: one form for every endpoint, typed errors, a bill that misses nothing."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from include.llm.bill import Bill
from include.llm.bodies import Endpoint
from include.llm.errors import (
    AnswerInvalid,
    PriceUnknown,
    RequestInvalid,
    VendorBusy,
    VendorNotConnected,
    VendorRefused,
)
from include.llm.live import LiveModels
from tests.include.llm.clients import (
    CLAUDE,
    GPT,
    async_models_on,
    bill_of_vendors,
    calls,
    database_away,
    fault,
    models_on,
    rows,
    settings_with,
    talk,
)

SETTINGS = settings_with()


@pytest.fixture
def models(db, sandbox, tmp_path):
    with models_on(sandbox, db, SETTINGS, tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("model", "endpoint", "stop"),
    [
        (CLAUDE, Endpoint.MESSAGES, "end_turn"),
        (GPT, Endpoint.CHAT, "stop"),
        (GPT, Endpoint.RESPONSES, "completed"),
    ],
)
def test_every_endpoint_answers_in_the_same_form(models, model, endpoint, stop):
    done = models.complete(talk(model=model, endpoint=endpoint))

    assert "Why do hooks wear out?" in done.text
    assert done.stop_reason == stop
    assert done.usage.output_tokens > 0
    assert done.cost.paid_usd == done.cost.live_usd > 0
    assert done.latency_ms >= 0


def test_an_answer_in_json_is_asked_for_in_each_vendors_way(models):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for model, endpoint in ((CLAUDE, None), (GPT, Endpoint.CHAT), (GPT, Endpoint.RESPONSES)):
        done = models.complete(talk(model=model, endpoint=endpoint, answer_schema=schema))
        assert isinstance(json.loads(done.text)["n"], int)


def test_the_bill_equals_the_vendors_to_the_last_digit(db, sandbox, tmp_path):
    with models_on(sandbox, db, SETTINGS, tmp_path) as models:
        for number in range(5):
            models.complete(talk(f"Question {number}", tenant=f"a{number % 2}"))
            models.complete(talk(f"Question {number}", model=GPT))
    booked = rows(db, "SELECT tenant, purpose, provider, mode, paid_usd, latency_ms FROM llm.llm_cost")

    assert len(booked) == 10
    assert {row["purpose"] for row in booked} == {"talk"}
    assert {row["mode"] for row in booked} == {"live"}
    assert {row["tenant"] for row in booked} == {"a0", "a1"}
    assert sum(row["paid_usd"] for row in booked) == bill_of_vendors(
        sandbox, SETTINGS, datetime.now(UTC).date()
    )


def test_an_event_loop_asks_several_models_at_once(db, sandbox, tmp_path):
    fault(sandbox, "delay", times=None, args={"seconds": 0.5})
    fault(sandbox, "delay", vendor="openai", times=None, args={"seconds": 0.5})

    async def ask():
        async with async_models_on(sandbox, db, SETTINGS, tmp_path) as models:
            questions = [talk(f"q{n}", model=model) for n in range(3) for model in (CLAUDE, GPT)]
            began = asyncio.get_running_loop().time()
            done = await asyncio.gather(*map(models.complete, questions))
            return done, asyncio.get_running_loop().time() - began

    done, seconds = asyncio.run(ask())

    assert len(done) == 6
    assert seconds < 2.5
    assert len(rows(db, "SELECT FROM llm.llm_cost")) == 6


@pytest.mark.parametrize(
    ("kind", "args"), [("rate_limit", {}), ("server_error", {"status": 529}), ("drop_response", {})]
)
def test_a_vendor_in_trouble_is_said_to_be_busy(models, sandbox, kind, args):
    fault(sandbox, kind, args=args)
    with pytest.raises(VendorBusy, match="asking claude-haiku-4-5"):
        models.complete(talk())


def test_the_sdk_tries_again_where_it_may(db, sandbox, tmp_path):
    fault(sandbox, "server_error", vendor="openai", times=1)
    with models_on(sandbox, db, settings_with({"sdk_retries": 2}), tmp_path) as models:
        assert models.complete(talk(model=GPT)).text
    assert calls(sandbox, "openai") == 2


def test_an_answer_that_takes_too_long_is_given_up(db, sandbox, tmp_path):
    fault(sandbox, "delay", args={"seconds": 3})
    with (
        models_on(sandbox, db, settings_with({"timeout_s": 0.3}), tmp_path) as models,
        pytest.raises(VendorBusy),
    ):
        models.complete(talk())


def test_a_wrong_key_is_a_refusal_that_says_where_to_put_it_right(db, sandbox, tmp_path):
    with (
        models_on(sandbox, db, SETTINGS, tmp_path, key="wrong") as models,
        pytest.raises(VendorRefused, match="connection openai_default"),
    ):
        models.complete(talk(model=GPT))


def test_an_answer_cut_off_is_of_no_use_and_on_the_bill(db, sandbox, tmp_path):
    with (
        models_on(sandbox, db, SETTINGS, tmp_path) as models,
        pytest.raises(AnswerInvalid, match="cut off"),
    ):
        models.complete(talk(max_tokens=1))
    assert len(rows(db, "SELECT FROM llm.llm_cost")) == 1


def test_a_model_without_a_price_is_not_asked(models, sandbox):
    with pytest.raises(PriceUnknown, match="gpt-9"):
        models.complete(talk(model="openai/gpt-9"))
    assert calls(sandbox, "openai") == 0


def test_a_vendor_that_is_not_connected_is_named(db, tmp_path):
    with (
        LiveModels({}, Bill(db, SETTINGS, tmp_path), SETTINGS) as models,
        pytest.raises(VendorNotConnected, match="openai_default"),
    ):
        models.complete(talk(model=GPT))


@pytest.mark.parametrize("changes", [{"model": "claude"}, {"tenant": " "}, {"endpoint": Endpoint.CHAT}])
def test_a_question_that_makes_no_sense_is_refused(changes):
    with pytest.raises(RequestInvalid):
        talk(**changes)


def test_no_words_of_question_or_answer_are_shown(models):
    question = talk("the secret of the house")
    done = models.complete(question)

    assert "secret" not in repr(question) + repr(done)


def test_calls_are_booked_when_the_database_is_back(db, sandbox, tmp_path):
    with models_on(sandbox, db, SETTINGS, tmp_path) as models:
        with database_away(db):
            models.complete(talk())
            assert not models.bill.flush()
        models.complete(talk("Another"))
    assert len(rows(db, "SELECT FROM llm.llm_cost")) == 2


def test_calls_that_no_database_took_are_booked_by_the_next_program(db, sandbox, tmp_path):
    with database_away(db), models_on(sandbox, db, SETTINGS, tmp_path) as models:
        models.complete(talk())
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]

    with models_on(sandbox, db, SETTINGS, tmp_path) as models:
        models.complete(talk("Another"))

    assert list(tmp_path.iterdir()) == []
    assert len(rows(db, "SELECT FROM llm.llm_cost")) == 2
