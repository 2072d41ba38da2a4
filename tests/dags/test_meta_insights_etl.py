"""The night's first DAG, run for real: it fetches the window, and twice is once."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.db import ads
from include.meta_ads.importer import import_export
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.dags.running import run_dag

CONFIG = WorldConfig(accounts=3, days=28, start=date(2025, 3, 3))
NIGHT = CONFIG.until + timedelta(days=1)

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
        (NIGHT - timedelta(days=3)).isoformat(),
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
    assert done.report["since"] == (NIGHT - timedelta(days=3)).isoformat()
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
