"""A failed run is told of once, with its first error, in the words of Airflow's real callbacks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine

from include.db.alerts import record_task_failure

if TYPE_CHECKING:
    from include.sandbox.server import SandboxServer

FAILING_DAG = '''
"""Fails.

## Can it wait?
Yes, it is only a test.
"""
from datetime import timedelta

from airflow.sdk import dag, task

from nightshift.policy import house


@dag(
    **house(schedule=None, tags=["ads"], dagrun_timeout=timedelta(minutes=90)),
    dag_id="always_fails",
    doc_md=__doc__,
)
def always_fails():
    @task(retries=1, retry_delay=timedelta(seconds=0))
    def fetch(number):
        raise RuntimeError(f"shard {number}: no answer from postgresql://u:hunter2@db/x\\nmore lines")

    @task(trigger_rule="all_done", retries=0)
    def tidy():
        raise OSError("disk full")

    fetch.expand(number=[1, 2, 3]) >> tidy()


always_fails()
'''


def alerts(sandbox: SandboxServer) -> list[dict[str, Any]]:
    answer = sandbox.client.get("/control/slack/nightshift-alerts")
    answer.raise_for_status()
    return list(answer.json()["messages"])


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Everything logged so far: Airflow has some loggers write to handlers and some to the screen."""
    printed = []

    def everything() -> str:
        printed.extend(capfd.readouterr())
        return caplog.text + "".join(printed)

    return everything


@pytest.fixture
def dag_file(tmp_path: Path) -> Path:
    file = tmp_path / "always_fails.py"
    file.write_text(FAILING_DAG)
    return file


@pytest.fixture
def dag(dag_file: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(dag_file), bundle_path=dag_file.parent)
    assert not bag.import_errors
    return bag.dags["always_fails"]


@pytest.mark.usefixtures("airflow_db", "db")
def test_a_run_with_retries_and_mapped_failures_makes_one_message(
    dag: Any, dag_file: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = {
        "name": "failing",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(dag_file.parent)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))

    run = dag.test(logical_date=None)

    assert str(run.state) == "failed"
    (message,) = alerts(sandbox)
    shown = json.dumps(message["blocks"], ensure_ascii=False)
    assert "always_fails failed" in message["text"]
    assert "`fetch` failed, in 3 mapped instances; 1 more task failed after it." in shown
    # Whichever of them Airflow let fail first.
    assert re.search(r"RuntimeError: shard [123]: no answer from postgresql://\*\*\*@db/x", shown)
    assert shown.count("RuntimeError") == 1
    assert "hunter2" not in shown
    assert "more lines" not in shown
    assert "Yes, it is only a test." in shown
    assert "/dags/always_fails/runs/manual__" in shown


def airflow_calls_back(dag_file: Path, *, reason: str, with_context: bool = True, cleared: int = 0) -> None:
    """What the dag-processor does when the scheduler says that a run failed."""
    import structlog
    from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun, TaskInstance
    from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext
    from airflow.dag_processing.dagbag import DagBag
    from airflow.dag_processing.processor import _execute_callbacks

    context = None
    if with_context:
        run = DagRun.model_validate(
            {
                "dag_id": "always_fails",
                "run_id": "r1",
                "logical_date": datetime(2025, 11, 24, 1, tzinfo=UTC),
                "run_after": datetime(2025, 11, 24, 1, tzinfo=UTC),
                "start_date": datetime(2025, 11, 24, 1, tzinfo=UTC),
                "end_date": datetime(2025, 11, 24, 2, tzinfo=UTC),
                "data_interval_start": None,
                "data_interval_end": None,
                "partition_key": None,
                "run_type": "manual",
                "state": "failed",
                "clear_number": cleared,
                "consumed_asset_events": [],
            }
        )
        last = TaskInstance.model_validate(
            {
                "id": "01929d2e-0000-7000-8000-000000000001",
                "dag_version_id": "01929d2e-0000-7000-8000-000000000002",
                "task_id": "tidy",
                "dag_id": "always_fails",
                "run_id": "r1",
                "try_number": 1,
                "map_index": -1,
            }
        )
        context = DagRunContext(dag_run=run, last_ti=last)
    request = DagCallbackRequest(
        filepath=dag_file.name,
        bundle_name="failing",
        bundle_version=None,
        dag_id="always_fails",
        run_id="r1",
        context_from_server=context,
        is_failure_callback=True,
        msg=reason,
    )
    bag = DagBag(dag_folder=str(dag_file), bundle_path=dag_file.parent)
    _execute_callbacks(bag, [request], structlog.get_logger())


def record(db: Engine, task_id: str, error: str | None, clear_number: int = 0) -> None:
    record_task_failure(
        db,
        dag_id="always_fails",
        run_id="r1",
        clear_number=clear_number,
        task_id=task_id,
        map_index=-1,
        try_number=1,
        error=error,
    )


def test_the_task_that_failed_first_is_named_though_airflow_names_the_last(
    dag_file: Path, db: Engine, sandbox: SandboxServer
) -> None:
    record(db, "fetch", "RuntimeError: first")
    record(db, "tidy", "OSError: last")

    airflow_calls_back(dag_file, reason="task_failure")

    (message,) = alerts(sandbox)
    assert message["text"] == "always_fails failed: RuntimeError: first"
    assert "Mon 2025-11-24 01:00 UTC" in json.dumps(message["blocks"])


def test_a_callback_that_runs_twice_makes_one_message(
    dag_file: Path, db: Engine, sandbox: SandboxServer
) -> None:
    airflow_calls_back(dag_file, reason="task_failure")
    airflow_calls_back(dag_file, reason="task_failure")

    assert len(alerts(sandbox)) == 1


def test_a_run_that_fails_again_after_it_was_cleared_makes_a_second_message(
    dag_file: Path, db: Engine, sandbox: SandboxServer
) -> None:
    airflow_calls_back(dag_file, reason="task_failure")
    airflow_calls_back(dag_file, reason="task_failure", cleared=1)

    assert [message["text"] for message in alerts(sandbox)] == [
        "always_fails failed",
        "always_fails failed again, after it was cleared",
    ]


def test_a_run_that_ran_out_of_time_is_told_apart(dag_file: Path, db: Engine, sandbox: SandboxServer) -> None:
    airflow_calls_back(dag_file, reason="timed_out")

    (message,) = alerts(sandbox)
    assert message["text"] == "always_fails ran out of time"
    assert "within the 1 h 30 min it is allowed. It was at `tidy`" in json.dumps(message["blocks"])


def test_it_works_without_a_task_or_run_in_the_context(
    dag_file: Path, db: Engine, sandbox: SandboxServer
) -> None:
    record(db, "fetch", "RuntimeError: first")

    airflow_calls_back(dag_file, reason="task_failure", with_context=False)

    (message,) = alerts(sandbox)
    assert message["text"] == "always_fails failed: RuntimeError: first"


def test_with_the_database_down_it_is_posted_nevertheless(
    dag_file: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_NIGHTSHIFT_DB",
        '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "u", "schema": "x"}',
    )

    airflow_calls_back(dag_file, reason="task_failure")

    (message,) = alerts(sandbox)
    assert "`tidy` failed. It left no error" in json.dumps(message["blocks"])


def test_with_slack_down_it_is_logged_and_nothing_is_raised(
    dag_file: Path, db: Engine, sandbox: SandboxServer, dag: Any, logged: Callable[[], str]
) -> None:
    fault = {"vendor": "slack", "kind": "server_error", "times": None, "args": {"status": 503}}
    sandbox.client.post("/control/faults", json=fault).raise_for_status()

    dag.on_failure_callback({"dag": dag, "run_id": "r1", "reason": "task_failure"})

    assert "the alert about run r1 was not sent" in logged()
    assert sandbox.api_key not in logged()


def test_a_task_that_cannot_record_its_failure_fails_no_worse(
    monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    from nightshift.notifiers.task_failure import record_task_failure as callback

    monkeypatch.delenv("AIRFLOW_CONN_NIGHTSHIFT_DB")

    callback({})  # type: ignore[typeddict-item]

    assert "could not be kept" in logged()


def test_every_dag_of_the_house_gets_both_callbacks() -> None:
    from nightshift.notifiers.failure_alert import FailureAlert
    from nightshift.notifiers.task_failure import record_task_failure as callback
    from nightshift.policy import house

    arguments = house(schedule=None, tags=[], dagrun_timeout=timedelta(hours=1))

    assert isinstance(arguments["on_failure_callback"], FailureAlert)
    assert arguments["default_args"]["on_failure_callback"] is callback
