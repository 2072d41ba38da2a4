"""Every DAG run for real, in this process, against PostgreSQL, MLflow and the vendor sandbox."""

from __future__ import annotations

import pytest

from tests.dags.running import run_dag

DAY = "2026-03-31"


@pytest.fixture
def night(airflow_db, db, sandbox):
    return db


def test_nightly_batch_with_nothing_queued_succeeds_and_says_so(night):
    run = run_dag("nightly_batch_api", day=DAY)
    assert run.state == "success"
    assert run.report["requests"] == 0
