"""What Slack hears of incidents: once, whatever is run again, backfilled, or could not be sent at first."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from include.alerts import SlackChannel, SlackRefused
from include.db.ml import DriftReport, record_drift_report
from include.db.model_updates import ModelUpdate, record_model_update
from nightshift.tell_drift import incident_of, tell_incidents, tell_updates, updates_to_tell
from tests.ml.drift.reports import numbers

FIRST = date(2026, 3, 2)
SEVERITIES = {"n": "none", "l": "low", "m": "medium", "h": "high", "c": "critical", "?": "cannot_tell"}


@pytest.fixture
def channel(sandbox: Any) -> SlackChannel:
    return SlackChannel("#nightshift-alerts", sandbox.api_key, sandbox.slack_url)


def day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def keep(db: Any, letters: str, since: int = 1) -> None:
    """A report a day, from day `since` on; a blank is a day without one."""
    for number, letter in enumerate(letters, start=since):
        if letter != " ":
            record_drift_report(
                db,
                DriftReport(
                    "ctr",
                    "all",
                    day(number),
                    3,
                    "then",
                    "now",
                    SEVERITIES[letter],
                    "alert",
                    "s",
                    numbers(),
                    None,
                ),
            )


def tell(db: Any, channel: SlackChannel, number: int) -> int:
    """What the task of that day's run does."""
    assessed = [{"day": day(number).isoformat(), "model_name": "ctr", "scope": "all"}]
    return tell_incidents(
        assessed, engine=db, channel=channel, run_id="r", run_url="http://airflow.example/r"
    )


def told(sandbox: Any) -> list[dict[str, Any]]:
    answer = sandbox.client.get("/control/slack/nightshift-alerts")
    return answer.json()["messages"] if answer.status_code == 200 else []


def live(db: Any, channel: SlackChannel, letters: str) -> list[int]:
    """The days one after the other, each told on its morning; how many messages each gave."""
    posted = []
    for number, letter in enumerate(letters, start=1):
        keep(db, letter, since=number)
        posted.append(tell(db, channel, number))
    return posted


def test_an_incident_is_told_when_it_opens_and_when_it_is_over(db: Any, channel: Any, sandbox: Any) -> None:
    assert live(db, channel, "nhhm?lnnn") == [0, 1, 0, 0, 0, 0, 1, 0, 0]
    opened, over = told(sandbox)
    assert over["thread_ts"] == opened["ts"]
    assert "over" in over["text"]


def test_two_incidents_apart_are_two(db: Any, channel: Any, sandbox: Any) -> None:
    assert live(db, channel, "hnnnnnnnnhnn") == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]


def test_an_older_bad_day_that_is_backfilled_tells_nobody_and_makes_no_other_incident(
    db: Any, channel: Any, sandbox: Any
) -> None:
    live(db, channel, "nnnhh")
    keep(db, "h", since=3)
    assert tell(db, channel, 3) == 0
    keep(db, "h", since=6)
    assert tell(db, channel, 6) == 0
    keep(db, "nn", since=7)
    assert [tell(db, channel, number) for number in (7, 8)] == [0, 1]
    assert len(told(sandbox)) == 2


def test_the_first_day_run_again_after_a_promotion_makes_no_other_incident(
    db: Any, channel: Any, sandbox: Any
) -> None:
    live(db, channel, "nhhh")
    keep(db, "?", since=2)
    keep(db, "h", since=5)
    assert tell(db, channel, 5) == 0
    keep(db, "nn", since=6)
    assert [tell(db, channel, number) for number in (6, 7)] == [0, 1]


def test_a_recovery_that_slack_could_not_take_is_told_on_a_later_morning(
    db: Any, channel: Any, sandbox: Any
) -> None:
    live(db, channel, "hn")
    keep(db, "n", since=3)
    wrong = SlackChannel("#nightshift-alerts", "xoxb-wrong-token", sandbox.slack_url)
    with pytest.raises(SlackRefused):
        tell(db, wrong, 3)
    keep(db, "n", since=4)
    assert tell(db, channel, 4) == 1
    assert "over" in told(sandbox)[-1]["text"]


def test_an_opening_that_was_late_tells_of_the_worst_day(db: Any, channel: Any, sandbox: Any) -> None:
    keep(db, "chm")
    assert tell(db, channel, 3) == 1
    assert "Critical drift" in told(sandbox)[0]["text"]


def test_an_end_whose_beginning_nobody_heard_of_is_not_told(db: Any, channel: Any) -> None:
    keep(db, "hnn")
    assert tell(db, channel, 3) == 0


def test_without_an_incident_there_is_nothing(db: Any) -> None:
    keep(db, "nlm")
    assert incident_of(db, "ctr", "all", day(3)) is None


def training(**changes: Any) -> dict[str, Any]:
    made = {
        "scope": "all",
        "day": day(2).isoformat(),
        "model_name": "ctr",
        "model_version": 4,
        "alias": "challenger",
        "gates": "passed",
        "outcome": "",
        "incident": f"drift:ctr:all:{day(2)}",
        "update": {"parent": 3},
    }
    return {**made, **changes}


def hold(db: Any, **changes: Any) -> None:
    held = {
        "model_name": "ctr",
        "day": day(2),
        "parent_version": 3,
        "mode": "update",
        "reason": "high drift",
        "severity": "high",
        "incident": f"drift:ctr:all:{day(2)}",
        "candidates": [],
        "winner": "continue",
        "version": 4,
        "ne_before": 0.99,
        "ne_after": 0.98,
        "judged_rows": 100,
        "judged_since": day(1),
        "judged_until": day(2),
        "outcome": "continue beats v3",
    }
    record_model_update(db, ModelUpdate(**{**held, **changes}))


@pytest.mark.parametrize(
    ("changes", "held", "says"),
    [
        ({}, {}, "v4 waits as challenger"),
        ({"alias": "", "gates": "calibration is off"}, {}, "v4 was made, but is no challenger"),
        ({"model_version": 3, "alias": "champion"}, {"version": None, "winner": "keep"}, "v3 stays"),
        (
            {"update": None, "model_version": 3, "outcome": "nothing newer to judge by"},
            None,
            "could be tried",
        ),
    ],
)
def test_the_outcome_of_an_update_answers_its_incident_once(
    db: Any, channel: Any, sandbox: Any, changes: dict[str, Any], held: dict[str, Any] | None, says: str
) -> None:
    live(db, channel, "nh")
    if held is not None:
        hold(db, **held)
    asked = updates_to_tell([training(**changes), training(incident=None)])
    assert len(asked) == 1
    where = {"run_id": "r", "run_url": "http://airflow.example/r", "promote_url": "http://airflow.example/p"}
    assert tell_updates(asked, engine=db, channel=channel, **where) == 1
    assert tell_updates(asked, engine=db, channel=channel, **where) == 0
    opened, answer = told(sandbox)
    assert says in answer["text"]
    assert answer["thread_ts"] == opened["ts"]
