"""The alert comes from where Airflow really calls back: a dag-processor, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from include.stack.programs import SCRIPTS

if TYPE_CHECKING:
    from include.sandbox.server import SandboxServer

FAILING_DAG = """
from datetime import timedelta

from airflow.sdk import dag, task

from nightshift.policy import house


@dag(**house(schedule=None, tags=["ads"], dagrun_timeout=timedelta(minutes=90)))
def fails_unseen():
    @task
    def fetch():
        return None

    fetch()


fails_unseen()
"""


@pytest.mark.usefixtures("airflow_db", "db")
def test_a_callback_that_the_scheduler_asked_for_becomes_one_message(
    sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fails_unseen.py").write_text(FAILING_DAG)
    bundle = {
        "name": "unseen",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(tmp_path)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    # How often it looks at a file, and with that, for callbacks.
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL", "1")
    _ask_for_callback()
    log = (tmp_path / "processor.log").open("wb")
    with subprocess.Popen([str(SCRIPTS / "airflow"), "dag-processor"], stdout=log, stderr=log) as processor:
        try:
            deadline = time.monotonic() + 90
            while not _alerts(sandbox) and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            processor.terminate()
    log.close()

    assert [message["text"] for message in _alerts(sandbox)] == ["fails_unseen failed"]


def _ask_for_callback() -> None:
    """What the scheduler does when it finds that a run has failed."""
    from airflow.callbacks.callback_requests import DagCallbackRequest
    from airflow.callbacks.database_callback_sink import DatabaseCallbackSink

    request = DagCallbackRequest(
        filepath="fails_unseen.py",
        bundle_name="unseen",
        bundle_version=None,
        dag_id="fails_unseen",
        run_id="r1",
        is_failure_callback=True,
        msg="task_failure",
    )
    DatabaseCallbackSink().send(request)


def _alerts(sandbox: SandboxServer) -> list[dict[str, Any]]:
    answer = sandbox.client.get("/control/slack/nightshift-alerts")
    answer.raise_for_status()
    return list(answer.json()["messages"])
