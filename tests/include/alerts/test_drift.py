"""The message about drift."""

import json
from datetime import date

from include.alerts.drift import DriftAlert, drift_key, drift_message


def test_it_says_what_moved_and_what_the_system_does_about_it() -> None:
    alert = DriftAlert(
        scope="all",
        day=date(2025, 11, 24),
        model="ctr version 3",
        severity="high",
        decision="retrain",
        summary="5 of 12 columns moved",
        drifted=[f"column_{n}" for n in range(12)],
        reference="28 days to 2025-11-17",
        current="7 days to 2025-11-24",
        run_url="http://127.0.0.1:8080/dags/drift_report/runs/x",
        report_url="http://127.0.0.1:5055/report",
    )

    message = drift_message(alert)
    shown = json.dumps(message.blocks)

    assert message.text == "High drift in the data of all accounts: 5 of 12 columns moved"
    assert "Training on the newest data has been started" in shown
    assert "`column_7` and 4 more" in shown
    assert alert.report_url in shown
    assert alert.run_url in shown


def test_a_report_is_told_of_once_per_model_scope_and_day() -> None:
    day = date(2025, 11, 24)

    keys = [drift_key(scope, day, name) for scope, name in (("all", "ctr"), ("act_1", "ctr"), ("all", "x"))]

    assert len(set(keys)) == 3
    assert drift_key("all", day, "ctr") == keys[0]
