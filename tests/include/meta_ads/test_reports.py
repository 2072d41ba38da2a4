"""Which way a question goes to Meta, and what becomes of reports that are too large, stuck, or left."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from include.config import thresholds
from include.meta_ads.client import MetaClient, ReportStatus
from include.meta_ads.errors import MetaRequestRefused, MetaThrottled, ReportUnfinished
from include.meta_ads.loading import load_window
from include.meta_ads.queries import Query
from include.meta_ads.reports import Answer, InsightReader, StartedReport
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.include.meta_ads.pretended import Waiting, order

CONFIG = WorldConfig(accounts=2, days=21, start=date(2025, 3, 3))
ACCOUNT, OTHER = "act_1000700000", "act_1000700001"
WEEK = Query(ACCOUNT, CONFIG.start, CONFIG.start + timedelta(days=6), "age,gender")
SETTINGS = thresholds().ads.reports.model_copy(update={"poll_s": 2.0, "stuck_s": 20.0, "attempts": 2})
TOKEN_IN_URL = "access_token"


@pytest.fixture
def waiting(db: Engine, sandbox: Any) -> Waiting:
    load_world(db, CONFIG)
    return Waiting(sandbox)


@pytest.fixture
def client(sandbox: Any, waiting: Waiting) -> Iterator[MetaClient]:
    settings = thresholds().ads
    with MetaClient.of_settings(sandbox.meta_url, sandbox.api_key, settings, waiting.pause) as client:
        yield client


def reader(client: MetaClient, waiting: Waiting, **changes: Any) -> InsightReader:
    return InsightReader(client, SETTINGS, pause=waiting.pause, now=waiting.now, **changes)


def asked(client: MetaClient, waiting: Waiting, *queries: Query, at_once: bool = False) -> list[Answer]:
    questions = reader(client, waiting)
    for query in queries:
        questions.want(query, at_once=at_once)
    return list(questions.answers())


def key(row: dict[str, Any]) -> tuple[str, ...]:
    return row["date_start"], row["ad_id"], row["age"], row["gender"]


def served(sandbox: Any) -> dict[str, int]:
    return dict(sandbox.client.get("/control/state").json()["requests"]["meta"])


def test_a_report_has_the_same_rows_as_the_answer_at_once(client: MetaClient, waiting: Waiting) -> None:
    (at_once,) = asked(client, waiting, WEEK, at_once=True)
    (report,) = asked(client, waiting, WEEK)
    assert at_once.rows == report.rows != []


def test_what_is_too_much_at_once_becomes_a_report(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    expected = client.insights(WEEK)
    order(sandbox, "too_much_data", times=None, days=3, at_once=True)
    (answer,) = asked(client, waiting, WEEK, at_once=True)
    assert answer.rows == expected
    assert served(sandbox)["POST /v26.0/{account_id}/insights"] == 1


def test_what_is_too_much_for_a_report_is_asked_for_in_halves(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    expected = client.insights(WEEK)
    order(sandbox, "too_much_data", times=None, days=2)
    (answer,) = asked(client, waiting, WEEK)
    assert answer.query == WEEK
    assert sorted(answer.rows, key=key) == sorted(expected, key=key)


def test_a_day_that_is_too_much_cannot_be_helped(client: MetaClient, waiting: Waiting, sandbox: Any) -> None:
    order(sandbox, "too_much_data", times=None, days=0)
    (answer,) = asked(client, waiting, WEEK)
    assert isinstance(answer.error, MetaRequestRefused)
    assert "one day cannot be asked for in parts" in str(answer.error)


@pytest.mark.parametrize("how", ["failed", "skipped", "stuck"])
def test_a_report_that_keeps_ending_badly_is_made_again_and_then_halved(
    client: MetaClient, waiting: Waiting, sandbox: Any, how: str
) -> None:
    expected = client.insights(WEEK)
    order(sandbox, "report_ends", times=2, how=how)
    (answer,) = asked(client, waiting, WEEK)
    assert sorted(answer.rows, key=key) == sorted(expected, key=key)
    assert served(sandbox)["POST /v26.0/{account_id}/insights"] == 4


def test_a_report_that_always_fails_is_given_up_as_something_that_may_pass(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    order(sandbox, "report_ends", times=None, how="failed")
    (answer,) = asked(client, waiting, Query(ACCOUNT, CONFIG.start, CONFIG.start))
    assert isinstance(answer.error, ReportUnfinished)
    assert "Job Failed, 2 times in a row" in str(answer.error)


def test_one_account_is_given_up_without_the_other(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    order(sandbox, "too_much_data", times=3, days=0)
    others = Query(OTHER, WEEK.since, WEEK.until, WEEK.breakdown)
    day = Query(ACCOUNT, WEEK.since, WEEK.since, WEEK.breakdown)
    answers = asked(client, waiting, day, Query(ACCOUNT, WEEK.since, WEEK.until), others)
    by_account = {answer.query.account_id: answer for answer in answers}
    assert len(answers) == 2
    assert by_account[ACCOUNT].error is not None
    assert by_account[OTHER].rows


def test_no_more_reports_run_at_once_than_allowed(client: MetaClient, waiting: Waiting, sandbox: Any) -> None:
    limited = SETTINGS.model_copy(update={"in_flight": 2})
    questions = InsightReader(client, limited, pause=waiting.pause, now=waiting.now)
    days = [
        Query(ACCOUNT, CONFIG.start + timedelta(days=n), CONFIG.start + timedelta(days=n)) for n in range(6)
    ]
    for day in days:
        questions.want(day, at_once=False)
    seen = []
    for answer in questions.answers():
        seen.append(answer.query)
        status = [
            client.look_at_report(ACCOUNT, started.report_run_id).status
            for started in questions.under_way([ACCOUNT])
        ]
        assert status.count(ReportStatus.RUNNING) <= 2
    assert sorted(seen, key=lambda query: query.since) == days


def test_reports_left_under_way_are_taken_up_and_not_started_again(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    expected = client.insights(WEEK)
    first = reader(client, waiting, hold_s=0.5)
    first.want(WEEK, at_once=False)
    assert list(first.answers()) == []
    assert first.waits
    (left,) = first.under_way([ACCOUNT])
    assert StartedReport.from_json(left.to_json()) == left
    waiting.pause(60)
    second = reader(client, waiting, adopted=[left])
    second.want(WEEK, at_once=False)
    (answer,) = second.answers()
    assert answer.rows == expected
    assert served(sandbox)["POST /v26.0/{account_id}/insights"] == 1


def test_a_report_that_was_waited_for_long_enough_is_made_again(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    order(sandbox, "report_ends", how="stuck")
    first = reader(client, waiting, hold_s=0.5)
    first.want(WEEK, at_once=False)
    assert list(first.answers()) == []
    assert first.waits
    (left,) = first.under_way([ACCOUNT])
    given_up = StartedReport(left.query, left.report_run_id, left.attempts, stuck=True)
    second = reader(client, waiting, adopted=[given_up])
    second.want(WEEK, at_once=False)
    (answer,) = second.answers()
    assert answer.rows
    assert served(sandbox)["POST /v26.0/{account_id}/insights"] == 2


def test_a_report_meta_forgot_is_made_again(client: MetaClient, waiting: Waiting) -> None:
    questions = reader(client, waiting, adopted=[StartedReport(WEEK, "12345")])
    questions.want(WEEK, at_once=False)
    (answer,) = questions.answers()
    assert answer.rows


def test_a_refusal_that_holds_for_every_account_ends_everything_with_the_time_to_go_on(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    order(sandbox, "app_limit", times=None)
    with pytest.raises(MetaThrottled, match=r"it can go on at \d\d:\d\d UTC") as stopped:
        asked(client, waiting, WEEK, Query(OTHER, WEEK.since, WEEK.until))
    assert stopped.value.everywhere


def test_the_token_is_in_no_address_and_no_message(
    sandbox: Any,
    waiting: Waiting,
    client: MetaClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    # What names the addresses must speak, whatever an earlier test made of the loggers.
    for name in ("urllib3", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, logger=name)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    order(sandbox, "server_error", times=2, after=1)
    order(sandbox, "report_ends", how="failed")
    asked(client, waiting, WEEK)
    with pytest.raises(MetaRequestRefused) as refused:
        client.insights(Query("act_999", WEEK.since, WEEK.until))
    told = f"{caplog.text} {refused.value} {refused.value.__cause__}"
    assert "tried" not in told
    assert "GET /meta/v26.0" in told
    assert sandbox.api_key not in told
    assert TOKEN_IN_URL not in told


def test_totals_that_were_a_report_are_not_made_again_while_their_cells_are_waited_for(
    db: Engine, client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    everything = thresholds().ads
    reports = SETTINGS.model_copy(update={"from_days": 1, "from_rows": 1})
    settings = everything.model_copy(update={"reports": reports})
    span = (CONFIG.start, CONFIG.start + timedelta(days=6))
    clock: dict[str, Any] = {"pause": waiting.pause, "now": waiting.now}
    left: list[StartedReport] = []
    accounts, loaded, tries = [ACCOUNT, OTHER], 0, 0
    while accounts:
        tries += 1
        assert tries < 10
        done = load_window(
            db, client, accounts, *span, settings, run_key="held", hold_s=0.5, adopted=left, **clock
        )
        loaded += done.accounts
        accounts, left = done.unloaded, [StartedReport.from_json(each.to_json()) for each in done.under_way]
        waiting.pause(30)
    assert (loaded, tries) == (2, 3)
    assert served(sandbox)["POST /v26.0/{account_id}/insights"] == 10


def test_a_window_that_was_halved_stays_halved_when_it_is_taken_up(
    client: MetaClient, waiting: Waiting, sandbox: Any
) -> None:
    expected = client.insights(WEEK)
    order(sandbox, "too_much_data", times=1, days=3)
    first = reader(client, waiting, hold_s=0.5)
    first.want(WEEK, at_once=False)
    assert list(first.answers()) == []
    left = first.under_way([ACCOUNT])
    assert [each.halved for each in left] == [True, False, False]
    waiting.pause(60)
    second = reader(client, waiting, adopted=left)
    second.want(WEEK, at_once=False)
    (answer,) = second.answers()
    assert sorted(answer.rows, key=key) == sorted(expected, key=key)
    # One that was refused, and the two halves.
    assert served(sandbox)["POST /v26.0/{account_id}/insights"] == 3
