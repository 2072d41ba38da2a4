"""The night's first DAG, run for real: it fetches the window, and twice is once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.config import thresholds
from include.db import ads
from include.meta_ads.importer import import_export
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.dags.running import run_dag

CONFIG = WorldConfig(accounts=3, days=28, start=date(2025, 3, 3))
NIGHT = CONFIG.until + timedelta(days=1)
RESTATED = thresholds().ads.restatement_days

pytestmark = pytest.mark.usefixtures("airflow_db")


def rows(db: Engine) -> list[tuple]:
    with db.connect() as connection:
        query = text("SELECT * FROM ads.performance_metric ORDER BY account_id, ad_id, metric_date")
        return [tuple(row) for row in connection.execute(query)]


def test_a_night_fetches_its_window_once_however_often_it_runs(db: Engine, sandbox: Any) -> None:
    load_world(db, CONFIG)
    first = run_dag("meta_insights_etl", day=NIGHT.isoformat())
    assert first.state == "success"
    assert (first.report["accounts"], first.report["mismatches"]) == (3, 0)
    assert (first.report["since"], first.report["until"]) == (
        (NIGHT - timedelta(days=RESTATED)).isoformat(),
        NIGHT.isoformat(),
    )
    assert first.report["rows"] > first.report["inserted"] > 0
    assert ads.latest_day(db) == NIGHT
    before = rows(db)
    second = run_dag("meta_insights_etl", day=NIGHT.isoformat())
    assert (second.report["inserted"], second.report["changed"]) == (0, 0)
    assert rows(db) == before


def test_a_night_after_missed_ones_catches_up(db: Engine, sandbox: Any) -> None:
    load_world(db, CONFIG)
    done = run_dag("meta_insights_etl", day=(NIGHT + timedelta(days=9)).isoformat())
    assert done.report["since"] == (NIGHT - timedelta(days=RESTATED)).isoformat()
    with db.connect() as connection:
        days = connection.execute(text("SELECT DISTINCT metric_date FROM ads.performance_metric")).scalars()
        assert set(days) == {CONFIG.start + timedelta(days=n) for n in range(CONFIG.days + 10)}


def test_with_imported_accounts_alone_there_is_nothing_to_fetch(
    db: Engine, sandbox: Any, tmp_path: Path
) -> None:
    file = tmp_path / "export.csv"
    file.write_text("Ad ID,Impressions,Clicks,Spent\n1,100,2,1.50\n")
    import_export(db, file, "Acme")
    done = run_dag("meta_insights_etl", day="2026-05-04")
    assert done.state == "success"
    assert done.report["rows"] == 0
    assert done.report["summary"].startswith("no account is fed by an API")
    assert len(rows(db)) == 1


def test_a_refused_token_fails_the_run_without_a_retry(
    db: Engine, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_world(db, CONFIG)
    monkeypatch.setenv(
        "AIRFLOW_CONN_META_ADS_DEFAULT",
        f'{{"conn_type": "http", "host": "{sandbox.meta_url}", "password": "expired"}}',
    )
    done = run_dag("meta_insights_etl", day=NIGHT.isoformat())
    assert done.state == "failed"
    assert done.tasks["report"] == "upstream_failed"
    assert ads.latest_day(db) == CONFIG.until


def all_by_report(values: dict[str, Any]) -> None:
    """Everything is asked for as a report, for which the task waits deferred at once."""
    values["ads"]["reports"].update(from_days=1, from_rows=1, poll_s=0.1, longest_poll_s=0.3, hold_s=0.05)


def test_a_task_that_waits_for_reports_is_deferred_and_goes_on_with_them(
    db: Engine, sandbox: Any, reconfigured: Callable[[Any], None]
) -> None:
    load_world(db, CONFIG)
    at_once = run_dag("meta_insights_etl", day=NIGHT.isoformat())
    before = contents(db)
    reconfigured(all_by_report)
    reports = run_dag("meta_insights_etl", day=NIGHT.isoformat())
    assert reports.state == "success"
    assert reports.report["rows"] == at_once.report["rows"]
    assert (reports.report["inserted"], reports.report["changed"]) == (0, 0)
    assert contents(db) == before
    requests = sandbox.client.get("/control/state").json()["requests"]["meta"]
    # Three accounts, five questions each: however often the task was deferred, no report was started twice.
    assert requests["POST /v26.0/{account_id}/insights"] == 15


def test_a_report_that_stands_still_is_made_again_after_the_task_waited_for_it(
    db: Engine, sandbox: Any, reconfigured: Callable[[Any], None]
) -> None:
    def impatient(values: dict[str, Any]) -> None:
        all_by_report(values)
        values["ads"]["reports"].update(stuck_s=4)

    load_world(db, CONFIG)
    reconfigured(impatient)
    stuck = {"vendor": "meta", "kind": "report_ends", "after": 3, "args": {"how": "stuck"}}
    sandbox.client.post("/control/faults", json=stuck).raise_for_status()
    done = run_dag("meta_insights_etl", day=NIGHT.isoformat())
    assert done.state == "success"
    assert done.report["accounts"] == 3
    requests = sandbox.client.get("/control/state").json()["requests"]["meta"]
    assert requests["POST /v26.0/{account_id}/insights"] == 16


def test_what_meta_hides_and_an_ad_it_deleted_are_told_and_stored(db: Engine, sandbox: Any) -> None:
    load_world(db, CONFIG)
    for kind in ("hidden_cells", "deleted_ads"):
        order = {"vendor": "meta", "kind": kind, "times": None}
        sandbox.client.post("/control/faults", json=order).raise_for_status()
    done = run_dag("meta_insights_etl", day=NIGHT.isoformat())
    assert done.state == "success"
    shares = done.report["unallocated"]
    assert set(shares) == set(thresholds().ads.breakdowns)
    assert all(0.2 < share < 0.5 for share in shares.values())
    assert "of the spend is in no cell by" in done.report["summary"]
    query = text("""
        SELECT sum((cell ->> 'spend')::numeric) / (SELECT sum(spend) FROM ads.performance_metric
                                                   WHERE metric_date BETWEEN :since AND :until)
        FROM ads.performance_metric, jsonb_array_elements(raw_data #> '{breakdowns,"age,gender"}') AS cell
        WHERE metric_date BETWEEN :since AND :until AND cell ->> 'gender' = 'unallocated'
    """)
    span = {"since": NIGHT - timedelta(days=RESTATED), "until": NIGHT}
    with db.connect() as connection:
        assert float(connection.execute(query, span).scalar_one()) == pytest.approx(
            shares["age,gender"], abs=1e-4
        )
    assert ads.latest_day(db) == NIGHT


def test_a_backfill_loads_every_day_in_slices(
    db: Engine, sandbox: Any, reconfigured: Callable[[Any], None]
) -> None:
    def week_by_week(values: dict[str, Any]) -> None:
        values["ads"].update(backfill_slice_days=7)

    load_world(db, CONFIG)
    expected = rows_by_day(db)
    with db.begin() as connection:
        connection.execute(
            text("DELETE FROM ads.performance_metric WHERE metric_date < :day"), {"day": NIGHT}
        )
    reconfigured(week_by_week)
    done = run_dag("meta_insights_etl", day=CONFIG.until.isoformat(), since=CONFIG.start.isoformat())
    assert done.state == "success"
    assert rows_by_day(db) == expected
    assert done.report["inserted"] == done.report["rows"] == sum(expected.values())
    assert (done.report["accounts"], done.report["since"]) == (3, CONFIG.start.isoformat())


def test_a_breakdown_meta_does_not_serve_fails_the_run_before_anything_is_asked(
    db: Engine, sandbox: Any, reconfigured: Callable[[Any], None]
) -> None:
    def wrong(values: dict[str, Any]) -> None:
        values["ads"]["breakdowns"] = ["platform_position"]

    load_world(db, CONFIG)
    reconfigured(wrong)
    assert run_dag("meta_insights_etl", day=NIGHT.isoformat()).state == "failed"
    assert sandbox.client.get("/control/state").json()["requests"]["meta"] == {}


def rows_by_day(db: Engine) -> dict[date, int]:
    query = text("SELECT metric_date, count(*) FROM ads.performance_metric GROUP BY metric_date")
    with db.connect() as connection:
        return dict(connection.execute(query).tuples().all())


def contents(db: Engine) -> list[tuple]:
    query = text("""
        SELECT account_id, ad_id, metric_date, clicks, spend, conversions, raw_data::text
        FROM ads.performance_metric ORDER BY account_id, ad_id, metric_date
    """)
    with db.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]
