"""What follows from a severity, and what stands against it."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from ml.drift.decision import Situation, decide
from ml.drift.settings import Decision, Severity

DAY = date(2026, 3, 31)
FREE = Situation(DAY, "ctr v3", unseen_rows=500)


def kinds(performance="high", quality="none"):
    told = dict.fromkeys(("features", "prediction"), Severity.NONE)
    return {**told, "performance": Severity(performance), "quality": Severity(quality)}


@pytest.mark.parametrize(
    ("severity", "decision"),
    [
        ("cannot_tell", "no_action"),
        ("none", "no_action"),
        ("low", "no_action"),
        ("medium", "incremental"),
        ("high", "update"),
        ("critical", "update"),
    ],
)
def test_each_severity_calls_for_what_the_house_says(settings, severity, decision):
    found, reason = decide(Severity(severity), kinds(severity), FREE, settings)
    assert found is Decision(decision)
    assert reason.endswith(".")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"unseen_rows": 99}, "only 99 rows are newer than what ctr v3 learnt from, at least 100"),
        ({"training_runs": True}, "a training of ctr is running"),
        ({"waiting": "v4"}, "v4 has learnt these days and waits as challenger"),
        (
            {"asked_on": (DAY - timedelta(days=3),)},
            "one was asked for on 2026-03-28; the next may follow on 2026-04-01",
        ),
        ({"can_retrain": False}, "no training of ctr v3 can be asked for"),
        (
            {"asked_on": tuple(DAY - timedelta(days=days) for days in (4, 8, 12, 16, 20, 24))},
            "6 were asked for in 30 days",
        ),
    ],
)
def test_what_stands_against_a_retrain_is_said_and_people_are_told_instead(settings, change, says):
    situation = replace(FREE, **change)
    found, reason = decide(Severity.HIGH, kinds("high"), situation, settings)
    assert found is Decision.ALERT
    assert says in reason
    found, _ = decide(Severity.MEDIUM, kinds("medium"), situation, settings)
    assert found is Decision.NO_ACTION


def test_assessing_a_day_again_is_not_stopped_by_its_own_request(settings):
    asked = replace(FREE, asked_on=(DAY, DAY - timedelta(days=4)))
    assert decide(Severity.HIGH, kinds("high"), asked, settings)[0] is Decision.UPDATE


def test_a_day_of_the_past_asks_for_nothing(settings):
    later = replace(FREE, judged_later=DAY + timedelta(days=2))
    found, reason = decide(Severity.HIGH, kinds("high"), later, settings)
    assert found is Decision.ALERT
    assert "a later day, 2026-04-02, has been judged already" in reason
    asked_later = replace(FREE, asked_on=(DAY + timedelta(days=1),))
    assert decide(Severity.HIGH, kinds("high"), asked_later, settings)[0] is Decision.ALERT


def test_no_model_learns_from_broken_data(settings):
    found, reason = decide(Severity.HIGH, kinds("low", quality="high"), FREE, settings)
    assert found is Decision.ALERT
    assert "broken" in reason
    # A column that broke is what makes the model wrong: no retrain then either.
    assert decide(Severity.HIGH, kinds("high", quality="high"), FREE, settings)[0] is Decision.ALERT
    assert decide(Severity.HIGH, kinds("high", quality="low"), FREE, settings)[0] is Decision.UPDATE


def test_a_severity_can_be_made_to_call_for_people_only(settings):
    changed = replace(settings, actions={**settings.actions, Severity.HIGH: Decision.ALERT})
    assert decide(Severity.HIGH, kinds("high"), FREE, changed)[0] is Decision.ALERT
