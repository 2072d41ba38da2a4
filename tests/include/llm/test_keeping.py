"""Housekeeping: what is old goes, its bill stays, and nothing that is still to be answered is touched."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from include.llm.keeping import keep_house
from tests.include.llm.clients import settings_with


def age(night, days: int) -> None:
    with night.engine.begin() as conn:
        for statement in (
            "UPDATE llm.llm_request SET finished_at = finished_at - :days * interval '1 day'",
            "UPDATE llm.llm_batch SET intent_at = intent_at - :days * interval '1 day'",
            "UPDATE llm.quarantined_line SET seen_at = seen_at - :days * interval '1 day'",
            "UPDATE llm.llm_cost SET booked_on = CURRENT_DATE - CAST(:days AS integer)",
        ):
            conn.execute(text(statement), {"days": days})


def counts(night) -> dict[str, int]:
    tables = (
        "llm_request",
        "llm_batch",
        "llm_batch_item",
        "llm_request_asker",
        "llm_cost",
        "quarantined_line",
    )
    return {table: night.one(f"SELECT count(*) FROM llm.{table}") for table in tables}


@pytest.fixture
def night(make_night):
    """A night with both vendors, a damaged line, and a request that is still queued."""
    night = make_night(creatives=2)
    night.ask_openai(5)
    night.queue()
    night.submit()
    night.let_the_vendor_finish()
    night.fault("malformed_line", "GET /v1/files/*/content", vendor="openai")
    night.collect()
    assert night.states() == {"succeeded": 7}
    night.ask_openai(1, prompt_version="later")
    return night


def test_what_is_young_stays(night):
    before = counts(night)
    done = keep_house(night.engine, settings_with())
    assert counts(night) == before
    assert done.summary.startswith("nothing was old enough to remove")


def test_old_answers_go_and_their_bill_stays(night):
    paid = night.one("SELECT sum(paid_usd) FROM llm.llm_cost")
    age(night, 130)
    done = keep_house(night.engine, settings_with())
    assert done.removed["answers"] == 5
    assert counts(night) == {
        "llm_request": 3, "llm_batch": 1, "llm_batch_item": 2, "llm_request_asker": 3, "llm_cost": 7,
        "quarantined_line": 0,
    }  # fmt: skip
    assert night.one("SELECT sum(paid_usd) FROM llm.llm_cost") == paid
    assert night.one("SELECT count(*) FROM llm.creative_score") == 2, "a score keeps the request it came from"
    assert night.states() == {"succeeded": 2, "queued": 1}


def test_age_counts_from_the_day_that_is_asked_about(night):
    age(night, 130)
    then = datetime.now(UTC).date() - timedelta(days=60)
    assert keep_house(night.engine, settings_with(), then).removed["answers"] == 0
    ahead = datetime.now(UTC).date() + timedelta(days=600)
    assert keep_house(night.engine, settings_with(), ahead).removed["ledger"] == 0


def test_the_bill_goes_in_the_end(night):
    age(night, 500)
    assert keep_house(night.engine, settings_with()).removed["ledger"] == 7
    assert night.one("SELECT count(*) FROM llm.llm_cost") == 0


def test_a_dry_run_counts_and_changes_nothing(night):
    age(night, 130)
    before = counts(night)
    told = keep_house(night.engine, settings_with(), dry_run=True)
    assert counts(night) == before
    assert told.removed["answers"] == 5
    assert told.summary.startswith("would have: removed 5 answers")
    done = keep_house(night.engine, settings_with())
    assert done.removed["answers"] == told.removed["answers"]


def test_twice_is_as_once_and_pages_of_one_come_to_the_same_end(night):
    age(night, 130)
    settings = settings_with()
    keep = settings.llm.keep.model_copy(update={"page_rows": 1})
    slow = settings.model_copy(update={"llm": settings.llm.model_copy(update={"keep": keep})})
    assert keep_house(night.engine, slow).removed["answers"] == 5
    after = counts(night)
    assert keep_house(night.engine, slow).removed["answers"] == 0
    assert counts(night) == after


def test_what_waited_long_ago_is_no_longer_told(night):
    with night.engine.begin() as conn:
        conn.execute(
            text("""
            INSERT INTO llm.llm_night_waiting
                (run_date, reason, tenant, provider, model, requests, estimated_usd)
            VALUES (:day, 'night_budget', 'a1', 'openai', 'm', 1, 0)"""),
            {"day": date(2020, 1, 1)},
        )
    assert keep_house(night.engine, settings_with()).removed["waiting"] == 1
