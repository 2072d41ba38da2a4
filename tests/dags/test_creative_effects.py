"""creative_effects on a small simulated platform: a report of each outcome, the same when run again."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import text

from include.db.creative_effects import effects_of_report, newest_reports
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.dags.running import run_dag

DAY = date(2026, 3, 31)


def test_what_sells_is_kept_for_the_page_and_running_again_changes_nothing(airflow_db, db):
    load_world(db, WorldConfig(accounts=15, days=60, start=DAY - timedelta(days=59)))
    run = run_dag("creative_effects", day=DAY.isoformat())
    assert run.state == "success", run.tasks
    assert run.report["tested"] > 20
    assert "effects on clicks were found" in run.report["summary"]
    clicks, conversions = newest_reports(db)
    assert clicks.numbers["until"] == DAY.isoformat()
    assert conversions.numbers["until"] == (DAY - timedelta(days=7)).isoformat()
    effects = effects_of_report(db, clicks)
    assert {each.niche for each in effects} >= {"all"}
    kept = _rows(db)

    again = run_dag("creative_effects", day=DAY.isoformat())
    assert again.report == run.report
    assert _rows(db) == kept


def test_nothing_to_learn_from_is_said_and_fails_nothing(airflow_db, db):
    run = run_dag("creative_effects", day=DAY.isoformat())
    assert run.state == "success"
    assert (run.report["tested"], run.report["found"]) == (0, 0)
    assert "nothing can be told yet" in run.report["summary"]


def _rows(db):
    with db.connect() as connection:
        reports = connection.execute(
            text("SELECT *, xmin::text FROM ml.creative_effect_report ORDER BY outcome")
        ).all()
        effects = connection.execute(text("SELECT * FROM ml.creative_effect ORDER BY 1, 2, 3, 4, 5, 6")).all()
    return reports, effects
