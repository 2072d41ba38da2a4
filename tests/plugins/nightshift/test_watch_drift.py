"""What follows from a verdict."""

import pytest

from include.config import thresholds
from nightshift.watch_drift import actions, drift_settings, retrain_request


@pytest.mark.parametrize(
    ("severity", "decision", "follows"),
    [
        ("none", "no_action", ["no_action"]),
        ("cannot_tell", "no_action", ["no_action"]),
        ("high", "alert", ["alert"]),
        ("high", "retrain", ["retrain", "alert"]),
        ("medium", "retrain", ["retrain"]),
    ],
)
def test_a_verdict_leads_to_its_tasks(severity, decision, follows):
    assert actions({"severity": severity, "decision": decision}) == follows


def test_a_retrain_carries_scope_day_reason_and_window():
    assert retrain_request(
        {"scope": "all", "day": "2026-03-31", "severity": "high", "retrain_since": "2026-03-04"}
    ) == {
        "scope": "all",
        "day": "2026-03-31",
        "reason": "high drift on 2026-03-31",
        "severity": "high",
        "window": {"since": "2026-03-04", "until": "2026-03-31"},
    }


def test_the_thresholds_of_the_house_make_settings():
    settings = drift_settings(thresholds().drift)
    assert settings.inputs.low < settings.inputs.critical
    assert settings.outcomes.low < settings.outcomes.critical
    assert settings.retrain_from >= settings.alert_from
