"""The weekly report, run for real: one message for one week, however often it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, text

from tests.dags.running import run_dag

if TYPE_CHECKING:
    from include.sandbox.server import SandboxServer

WEEK = """
    INSERT INTO ml.training_run (training_key, model_name, model_version, scope, mlflow_run_id, trained_for,
                                 trigger, rows, metrics, alias)
    VALUES ('k1', 'ctr', 1, 'all', 'r1', '2025-11-20', 'manual', 900,
            '{"mae_pp": 0.5, "normalized_entropy": 0.95}', 'champion')
"""


def reports(sandbox: SandboxServer) -> list[dict[str, Any]]:
    answer = sandbox.client.get("/control/slack/nightshift-reports")
    answer.raise_for_status()
    return list(answer.json()["messages"])


@pytest.mark.usefixtures("airflow_db")
def test_a_week_is_reported_once_with_chart_and_links(db: Engine, sandbox: SandboxServer) -> None:
    with db.begin() as connection:
        connection.execute(text(WEEK))

    first = run_dag("weekly_learning_report", day="2025-11-23")
    again = run_dag("weekly_learning_report", day="2025-11-23")

    assert (first.state, again.state) == ("success", "success")
    (message,) = reports(sandbox)
    assert [block["type"] for block in message["blocks"]][-2:] == ["image", "actions"]
    assert "ctr/versions/1" in str(message["blocks"])
    assert "/dags/weekly_learning_report/runs/manual__" in str(message["blocks"])
    assert first.report == {
        "slack_ts": message["ts"],
        "messages": 1,
        "summary": "Week to 2025-11-23: 1 model version trained, no drift report, no language-model work.",
    }
    assert again.report["slack_ts"] == message["ts"]
    assert again.report["messages"] == 0
    assert again.report["summary"].endswith("It had been posted before.")


@pytest.mark.usefixtures("airflow_db", "db")
def test_a_week_in_which_nothing_happened_is_reported_as_such(sandbox: SandboxServer) -> None:
    run = run_dag("weekly_learning_report", day="2025-11-23")

    assert run.state == "success"
    assert run.report["summary"] == "Week to 2025-11-23: nothing was trained, checked, asked or delivered."
    assert len(reports(sandbox)) == 1
