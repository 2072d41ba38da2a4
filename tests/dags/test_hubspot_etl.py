"""The CRM's night, run for real: deals come once however often it runs, and nobody's address with them."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.dags.running import run_dag

CONFIG = WorldConfig(accounts=6, days=30, start=date(2025, 3, 3))

pytestmark = pytest.mark.usefixtures("airflow_db")


@pytest.fixture
def portal(db: Engine, sandbox: Any) -> Any:
    """A HubSpot with the deals of a world whose last day is past."""
    load_world(db, CONFIG)
    order = {"ten_seconds": 1e6, "search_per_second": 1e6}
    sandbox.client.post("/control/hubspot/limits", json=order).raise_for_status()
    return sandbox


def deals(db: Engine) -> list[tuple]:
    with db.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM crm.deal ORDER BY deal_id"))]


def test_a_night_reads_the_portal_once_however_often_it_runs(db: Engine, portal: Any) -> None:
    first = run_dag("hubspot_etl")
    assert first.state == "success"
    stored = deals(db)
    assert len(stored) == first.report["deals_new"] == first.report["deals_live"] > 100
    assert first.report["complete"]
    assert not first.report["warnings"]
    assert first.report["summary"].startswith(f"{len(stored):,} deals read, {len(stored):,} new, 0 changed")
    second = run_dag("hubspot_etl")
    assert (second.report["deals_new"], second.report["deals_changed"]) == (0, 0)
    assert deals(db) == stored
    with db.connect() as connection:
        runs = connection.execute(text("SELECT count(*) FROM crm.sync_run WHERE finished_at IS NOT NULL"))
        assert runs.scalar_one() == 12


def test_a_refused_token_fails_the_run_without_a_retry(
    db: Engine, portal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "http", "host": portal.hubspot_url, "password": "expired"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_HUBSPOT_DEFAULT", json.dumps(connection | {"extra": {"hmac_key": "k" * 32}})
    )
    done = run_dag("hubspot_etl")
    assert done.state == "failed"
    assert done.tasks["read_directory"] == "failed"
    assert done.tasks["report"] == "upstream_failed"
    assert not deals(db)


def test_a_used_up_day_ends_the_run_in_peace_and_the_next_goes_on(db: Engine, portal: Any) -> None:
    limits = "/control/hubspot/limits"
    # Not enough for the directory even, without which no deals can be read.
    portal.client.post(limits, json={"daily": 3}).raise_for_status()
    stopped = run_dag("hubspot_etl")
    asked = portal.client.get("/control/state").json()["requests"]["hubspot"]
    # The first refusal is enough: the tasks that follow ask nothing.
    assert sum(asked.values()) == 4
    assert stopped.state == "success"
    assert not stopped.report["complete"]
    assert stopped.tasks["publish"] == "skipped"
    assert "goes on from there" in stopped.report["summary"]
    with db.begin() as connection:
        connection.execute(text("UPDATE crm.sync_run SET started_at = now() - interval '4 days'"))
    still = run_dag("hubspot_etl")
    # After days of it somebody is told: by a run that fails.
    assert (still.state, still.tasks["is_complete"], still.tasks["publish"]) == (
        "failed", "failed", "upstream_failed",
    )  # fmt: skip
    portal.client.post(limits, json={"daily": 1e6}).raise_for_status()
    done = run_dag("hubspot_etl")
    assert done.report["complete"]
    assert done.tasks["publish"] == "success"
    assert done.report["deals_live"] == len(deals(db)) > 100
    # A pause is no standstill: the first run after it may end early in peace.
    with db.begin() as connection:
        connection.execute(text("UPDATE crm.sync_run SET started_at = started_at - interval '9 days'"))
    portal.client.post(limits, json={"daily": 3}).raise_for_status()
    late = run_dag("hubspot_etl")
    assert (late.state, late.report["complete"]) == ("success", False)
