from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.llm.bodies import Endpoint, embedding_body
from include.llm.errors import PriceUnknown, RequestInvalid
from include.llm.requests import LlmRequest, enqueue, request_key

DAY = date(2026, 11, 20)
MODEL = "claude-haiku-4-5"


def question(tenant="a1", subject="c1", words="hello", **changes):
    params = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": words}]}
    return LlmRequest("test", tenant, subject, "anthropic", MODEL, "v1", **{"params": params, **changes})


def test_the_key_depends_on_everything_that_decides_the_answer():
    keys = {
        request_key("p", "m", "1", {"a": 1}),
        request_key("q", "m", "1", {"a": 1}),
        request_key("p", "n", "1", {"a": 1}),
        request_key("p", "m", "2", {"a": 1}),
        request_key("p", "m", "1", {"a": 2}),
        request_key("p", "m", "1", {"a": "1"}),
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"a": "x\0y"}, "NUL"),
        ({"a": float("nan")}, "JSON"),
        ({"a": {1, 2}}, "JSON"),
        ({"a": "\ud800"}, "JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_one_sentence(params, complaint):
    with pytest.raises(RequestInvalid, match=complaint):
        request_key("p", "m", "1", params)


def test_a_backslash_before_u0000_is_ordinary_text(db):
    with db.begin() as conn:
        assert enqueue(conn, [question(words=r"a \u0000 b \\u0000")], DAY).new == 1


def test_the_same_question_is_stored_once_and_everyone_who_asked_is_remembered(db):
    with db.begin() as conn:
        first = enqueue(conn, [question("a1"), question("a2"), question("a1", words="other")], DAY)
        again = enqueue(conn, [question("a3"), question("a1")], DAY)
        askers = conn.execute(text("SELECT tenant FROM llm.llm_request_asker ORDER BY 1")).scalars().all()
        payers = conn.execute(text("SELECT count(*), min(tenant) FROM llm.llm_request")).one()
    assert (first.distinct, first.new, again.distinct, again.new) == (2, 2, 1, 0)
    assert list(askers) == ["a1", "a1", "a2", "a3"]
    assert tuple(payers) == (2, "a1")


def test_only_a_queued_question_takes_a_new_priority(db):
    def priority(conn):
        return conn.execute(text("SELECT priority FROM llm.llm_request")).scalar_one()

    with db.begin() as conn:
        enqueue(conn, [question(priority=Decimal(1))], DAY)
        enqueue(conn, [question(priority=Decimal(2))], DAY)
        assert priority(conn) == 2
        conn.execute(text("UPDATE llm.llm_request SET state = 'succeeded'"))
        assert len(enqueue(conn, [question(priority=Decimal(3))], DAY).answered_ids) == 1
        assert priority(conn) == 2


@pytest.mark.parametrize("field", ["tenant", "subject"])
def test_an_empty_field_is_named(db, field):
    with db.begin() as conn, pytest.raises(RequestInvalid, match=f"{field} is empty"):
        enqueue(conn, [question(**{field: ""})], DAY)


def test_the_endpoint_is_part_of_the_question():
    assert request_key("openai", "m", "1", {"a": 1}, Endpoint.CHAT) != request_key(
        "openai", "m", "1", {"a": 1}, Endpoint.RESPONSES
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"endpoint": Endpoint.CHAT}, "is not an endpoint of anthropic"),
        ({"params": {"model": "other", "max_tokens": 1}}, "params.model is not"),
        ({"params": {"model": MODEL}}, "max_tokens is missing"),
        ({"params": {"model": MODEL, "max_tokens": 1, "stream": True}}, "cannot stream"),
        ({"not_after": datetime(2020, 1, 1, tzinfo=UTC)}, "has passed"),
        ({"not_after": datetime(2030, 1, 1)}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_what_no_vendor_could_answer_is_refused_at_the_door(db, changes, complaint):
    with db.begin() as conn, pytest.raises(RequestInvalid, match=complaint):
        enqueue(conn, [question(), question(words="b", **changes)], DAY)
    with db.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM llm.llm_request")).scalar_one() == 0


def test_a_model_without_a_price_is_not_stored(db):
    params = {"model": "claude-none", "max_tokens": 5, "messages": []}
    request = LlmRequest("test", "a", "s", "anthropic", "claude-none", "v1", params=params)
    with db.begin() as conn, pytest.raises(PriceUnknown, match="claude-none"):
        enqueue(conn, [request], DAY)


def test_the_most_patient_asker_decides_how_long_a_question_waits(db):
    soon, late = (datetime.now(UTC) + timedelta(hours=hours) for hours in (1, 5))

    def waits(conn):
        return conn.execute(text("SELECT not_after FROM llm.llm_request")).scalar_one()

    with db.begin() as conn:
        enqueue(conn, [question("a1", not_after=soon), question("a2", not_after=late)], DAY)
        assert waits(conn) == late
        enqueue(conn, [question("a3", not_after=soon)], DAY)
        assert waits(conn) == late
        enqueue(conn, [question("a4")], DAY)
        assert waits(conn) is None


def test_an_embedding_request_counts_its_texts_and_costs_no_output(db):
    body = embedding_body("text-embedding-3-small", ["a" * 300, "b"])
    request = LlmRequest(
        "embedding", "a1", "s", "openai", "text-embedding-3-small", "v1", body, endpoint=Endpoint.EMBEDDINGS
    )
    with db.begin() as conn:
        enqueue(conn, [request], DAY)
        row = conn.execute(text("SELECT * FROM llm.llm_request")).one()
    assert row.input_count == 2
    assert 100 < row.estimated_tokens < 200
    assert row.estimated_usd == Decimal(row.estimated_tokens) * Decimal("0.01") / 1_000_000


def test_nothing_to_ask_is_fine(db):
    with db.begin() as conn:
        assert enqueue(conn, [], DAY).distinct == 0
