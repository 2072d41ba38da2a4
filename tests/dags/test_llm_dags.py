"""Warming and housekeeping, run for real after a real night of batches."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.dags.running import run_dag

DAY = "2026-03-31"

pytestmark = pytest.mark.usefixtures("airflow_db")


def test_after_a_night_the_cache_knows_what_tomorrow_will_ask_and_housekeeping_leaves_it(
    db: Engine, sandbox: Any
) -> None:
    load_world(db, WorldConfig(accounts=1, days=21, start=date(2026, 3, 10)))
    night = run_dag("nightly_batch_api", day=DAY)
    warmed = run_dag("warm_caches", day=DAY)
    again = run_dag("warm_caches", day=DAY)
    kept = run_dag("housekeeping")

    assert {night.state, warmed.state, again.state, kept.state} == {"success"}
    assert night.report["succeeded"] == warmed.report["kept"] > 50
    assert warmed.report["known"] == warmed.report["wanted"]
    assert (again.report["kept"], again.report["asked"]) == (0, 0)
    assert "expected questions can be answered (100%)" in warmed.report["summary"]
    assert kept.report["summary"].startswith("nothing was old enough to remove")
    with db.connect() as conn:
        entries = conn.execute(text("SELECT count(*) FROM llm.cache_entry")).scalar_one()
    assert entries == warmed.report["kept"] + warmed.report["asked"]


def test_with_nothing_to_warm_it_succeeds_and_says_so(db: Engine, sandbox: Any) -> None:
    warmed = run_dag("warm_caches", day=DAY)
    assert warmed.state == "success"
    assert warmed.report["summary"].startswith("0 answers of the nights kept; 0 of 0 expected questions")
    assert run_dag("housekeeping", dry_run=True).report["dry_run"]
