"""train_pipeline_value and forecast_pipeline, run for real: PostgreSQL, MLflow, Airflow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import mlflow
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from include.promotion import promote, reconcile, roll_back
from include.simulator import WorldConfig
from ml.registry import aliases_of, connect, find_version
from nightshift.pipeline_source import FAMILY
from tests.crm_loading import load_crm
from tests.dags.running import run_dag

CONFIG = WorldConfig(seed=5, accounts=30, days=170)
DAY = datetime(2026, 6, 20, tzinfo=UTC)


@pytest.fixture
def no_model(mlflow_uri: str) -> None:
    """The registry has forgotten `pipeline_value`."""
    client = connect(mlflow_uri)
    if client.search_registered_models(f"name = '{FAMILY}'"):
        client.delete_registered_model(FAMILY)


@pytest.fixture
def house(
    airflow_db: None,
    db: Engine,
    sandbox: Any,
    no_model: None,
    reconfigured: Callable[[Any], None],
) -> str:
    """A CRM with deals, and a registry that has no model of them. Returns the model's name."""
    reconfigured(_quick)
    load_crm(db, CONFIG)
    return FAMILY


def _quick(values: dict[str, Any]) -> None:
    values["pipeline_value"]["hazard"] |= {"rounds": 40, "learning_rate": 0.2}
    values["pipeline_value"] |= {"min_campaign_deals": 15, "draws": 200}
    # What is tested is the way, not how good a small model of a small world is.
    values["pipeline_value"]["gates"] |= {
        "mape_campaign": 5.0, "ratio_low": 0.1, "ratio_high": 10.0, "coverage_low": 0.01,
    }  # fmt: skip


def test_deals_become_a_champion_a_forecast_a_challenger_and_the_way_back(
    house: str, db: Engine, mlflow_uri: str
) -> None:
    client = connect(mlflow_uri)
    nothing = run_dag("forecast_pipeline", day=DAY.date().isoformat())
    assert nothing.state == "success"
    assert "no champion yet" in nothing.report["summary"]

    earlier = (DAY - timedelta(days=7)).date().isoformat()
    first = run_dag("train_pipeline_value", day=earlier, reason="first")
    assert first.state == "success"
    assert (first.report["model_version"], first.report["alias"], first.report["trained"]) == (
        1,
        "champion",
        True,
    )
    again = run_dag("train_pipeline_value", day=earlier)
    assert (again.report["model_version"], again.report["trained"]) == (1, False)

    made = run_dag("forecast_pipeline", day=DAY.date().isoformat())
    assert made.state == "success"
    rows = _forecast(db)
    assert rows
    assert {row["model_version"] for row in rows} == {1}
    for row in rows:
        total = row["won_value"] + row["expected_value"]
        assert row["value_low"] - 1 <= total <= row["value_high"] + 1
    run_dag("forecast_pipeline", day=DAY.date().isoformat())
    assert _forecast(db) == rows, "a day forecast again is the same day"

    second = run_dag("train_pipeline_value", day=DAY.date().isoformat())
    assert (second.report["model_version"], second.report["alias"]) == (2, "challenger")
    reconcile(db, client, house)
    promote(db, client, house, 2, expected_champion=1, who="a tester", why="it is newer", evidence={})
    assert aliases_of(client, house)["champion"] == 2
    run_dag("forecast_pipeline", day=DAY.date().isoformat())
    assert {row["model_version"] for row in _forecast(db)} == {2}
    roll_back(db, client, house, who="a tester", why="a drill")
    assert aliases_of(client, house)["champion"] == 1
    watched = run_dag("watch_registry")
    assert watched.state == "success"
    assert not [finding for finding in watched.report["findings"] if finding.startswith(f"{house}:")]

    version = find_version(client, house, 1)
    assert version is not None
    assert version.tags["reason"] == "first"
    assert version.tags["window_end"] < earlier
    assert {"mape_campaign", "mape_stage_table", "mape_last_month", "coverage"} <= set(version.metrics)
    files = {each.path for each in client.list_artifacts(version.run_id)}
    assert {"model_card.md", "judgement.png", "features.json", "environment.json", "campaigns.json"} <= files
    _loads_anywhere(mlflow_uri, house)


def _loads_anywhere(mlflow_uri: str, name: str) -> None:
    mlflow.set_tracking_uri(mlflow_uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{name}/1")
    example = mlflow.artifacts.load_dict(f"models:/{name}/1/input_example.json")
    told = loaded.predict(pd.DataFrame(example["data"], columns=example["columns"]))
    assert ((told["won_ever"] >= told["won_within_30_days"]) & (told["won_ever"] <= 1)).all()
    assert (told["expected_value"] >= 0).all()


def test_too_few_deals_are_said_and_make_no_model(
    house: str, reconfigured: Callable[[Any], None], mlflow_uri: str
) -> None:
    reconfigured(lambda values: values["pipeline_value"].update(min_deals=10_000_000))
    run = run_dag("train_pipeline_value", day=DAY.date().isoformat())
    assert run.state == "success"
    assert "too few deals" in run.report["summary"]
    assert "10000000 needed" in run.report["summary"]
    assert (run.report["trained"], find_version(connect(mlflow_uri), house, 1)) == (False, None)


def test_without_a_crm_both_runs_say_so(airflow_db: None, db: Engine, sandbox: Any, no_model: None) -> None:
    trained = run_dag("train_pipeline_value", day=DAY.date().isoformat())
    assert "0 closed" in trained.report["summary"]
    forecast = run_dag("forecast_pipeline", day=DAY.date().isoformat())
    assert (forecast.state, forecast.report["forecast"]) == ("success", False)


def _forecast(db: Engine) -> list[dict[str, Any]]:
    with db.connect() as connection:
        found = connection.execute(
            text("SELECT * FROM ml.pipeline_forecast ORDER BY level, account_id, campaign_id, ad_id")
        ).mappings()
        return [dict(row) for row in found]
