"""The DAG that mines features, run for real: everything once, then what changed, and a verdict a week."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from include.db.mined_reports import newest_feature_reports
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.dags.running import run_dag

CONFIG = WorldConfig(accounts=8, days=40, start=date(2025, 3, 3), ads_per_account=10)
DAY = CONFIG.until
EFFECTLESS = {"ios_share", "ios_android_ctr_gap", "desktop_ctr_lift"}

pytestmark = pytest.mark.usefixtures("airflow_db")


def stored(db: Engine) -> list[tuple[Any, ...]]:
    with db.connect() as connection:
        query = text("SELECT * FROM ads.mined_feature ORDER BY account_id, ad_id, metric_date")
        return [tuple(row) for row in connection.execute(query)]


def values(rows: list[tuple[Any, ...]]) -> np.ndarray:
    """The features of stored rows, without their keys and the time of mining."""
    return np.array([row[3:-1] for row in rows], dtype="float64")


def few_trees(values: dict[str, Any]) -> None:
    values["ctr"]["lightgbm"] |= {"rounds": 40, "early_stopping_rounds": 10}
    values["mined"]["judging"] |= {"folds": 2, "repeats": 2}


def test_a_night_mines_everything_then_what_changed_and_judges_once_a_week(
    db: Engine, reconfigured: Callable[[Any], None]
) -> None:
    reconfigured(few_trees)
    load_world(db, CONFIG)
    first = run_dag("mine_ad_features", day=DAY.isoformat())
    assert first.state == "success"
    assert first.report["accounts"] == CONFIG.accounts
    assert first.report["rows"] == first.report["changed"] == len(stored(db)) > 500
    assert first.report["judged"] is True
    reports = {report.target: report.numbers for report in newest_feature_reports(db)}
    assert set(reports) == {"ctr", "conversion"}
    for numbers in reports.values():
        # In the simulated world no device changes anything.
        found = {each["name"]: each["verdict"] for each in numbers["features"]}
        assert set(found) >= EFFECTLESS
        assert [name for name in EFFECTLESS if found[name] == "earns its place"] == []
    before = stored(db)

    again = run_dag("mine_ad_features", day=DAY.isoformat())
    assert (again.state, again.report["rows"], again.report["judged"]) == ("success", 0, False)
    assert again.report["summary"].startswith("Nothing changed since the last run. features were judged on")
    assert stored(db) == before

    load_world(db, CONFIG.reaching(DAY + timedelta(days=1)))
    grown = run_dag("mine_ad_features", day=(DAY + timedelta(days=1)).isoformat())
    after = stored(db)
    assert grown.report["rows"] == grown.report["changed"] == len(after) - len(before) > 0
    assert [row for row in after if row[2] <= DAY] == before

    with db.begin() as connection:
        connection.execute(text("TRUNCATE ads.mined_feature, ads.mined_account"))
    run_dag("mine_ad_features", day=DAY.isoformat())
    anew = stored(db)
    assert [row[:3] for row in anew] == [row[:3] for row in after]
    np.testing.assert_allclose(values(anew), values(after), rtol=1e-4, atol=1e-6)


def test_without_accounts_there_is_nothing_to_mine_or_judge(db: Engine) -> None:
    done = run_dag("mine_ad_features", day="2025-03-03")
    assert done.state == "success"
    assert done.report["rows"] == 0
    assert "nothing to judge" in done.report["summary"]


def test_a_figure_that_is_no_number_fails_the_run_in_words(db: Engine) -> None:
    load_world(db, WorldConfig(accounts=1, days=3, start=date(2025, 3, 3)))
    with db.begin() as connection:
        connection.execute(
            text("""
            UPDATE ads.performance_metric SET raw_data = jsonb_set(raw_data, '{reach}', '"many"')
            WHERE metric_date = '2025-03-04'
            """)
        )
    done = run_dag("mine_ad_features", day="2025-03-05")
    assert done.state == "failed"
    assert done.tasks["report"] == "upstream_failed"
    assert stored(db) == []
