"""train_ctr_model and drift_report, run for real on a small simulated platform and on a real export."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from include.db import ml
from include.simulator import DriftEvent, WorldConfig
from include.simulator.loading import load_world
from ml.registry import connect, registered_models
from tests.dags.running import run_dag

DAY = date(2026, 3, 31)
DAYS = 85


@pytest.fixture
def registry(mlflow_uri):
    """A client of MLflow; what earlier tests registered is removed."""
    client = connect(mlflow_uri)
    for model in registered_models(client):
        client.delete_registered_model(model)
    return client


@pytest.fixture
def quiet(airflow_db, db, sandbox, registry):
    """Fifteen accounts in which nothing special happens."""
    load_world(db, _world())
    return db


@pytest.fixture
def drifted(airflow_db, db, sandbox, registry):
    """The same accounts, but what works changes in the last week."""
    load_world(db, _world(DriftEvent(DAY - timedelta(days=6))))
    return db


def _world(drift: DriftEvent | None = None) -> WorldConfig:
    return WorldConfig(accounts=15, start=DAY - timedelta(days=DAYS - 1), days=DAYS, drift=drift)


def test_a_quiet_night_trains_a_champion_and_finds_nothing_to_do(quiet, registry, sandbox):
    trained = run_dag("train_ctr_model", day=DAY.isoformat())
    assert trained.state == "success"
    assert trained.report["model_version"] == 1
    assert trained.report["alias"] == "champion"
    assert trained.report["trained"] is True
    assert trained.report["mae_pp"] < 2
    assert trained.report["normalized_entropy"] < 1

    again = run_dag("train_ctr_model", day=DAY.isoformat())
    assert again.report["trained"] is False
    assert again.report["model_version"] == 1
    assert len(registry.search_model_versions("name='ctr'")) == 1
    assert [run.model_version for run in ml.training_runs(quiet)] == [1]

    watched = run_dag("drift_report", day=DAY.isoformat())
    assert watched.state == "success"
    assert watched.report["decision"] == "no_action", watched.report
    assert watched.tasks["no_action"] == "success"
    assert {watched.tasks["alert"], watched.tasks["retrain"]} == {"skipped"}
    assert watched.report["html_uri"].startswith("runs:/")
    report = ml.drift_reports(quiet)[0]
    assert (report.model_name, report.model_version, report.decision) == ("ctr", 1, "no_action")
    assert _messages(quiet) == 0


def test_planted_drift_is_told_once_and_asks_for_a_new_model(drifted, registry):
    run_dag("train_ctr_model", day=DAY.isoformat())
    for _ in range(2):
        watched = run_dag("drift_report", day=DAY.isoformat())
        assert watched.state == "success"
        assert watched.report["severity"] in {"high", "critical"}
        assert watched.report["decision"] == "retrain"
        assert watched.tasks["retrain"] == watched.tasks["alert"] == "success"
        assert watched.tasks["no_action"] == "skipped"
    assert "ctr_vs_past" in watched.report["drifted_columns"]
    assert _messages(drifted) == 1
    assert len(ml.drift_reports(drifted)) == 1
    asked = _retrain_requests()[-1]
    assert asked["scope"] == "all"
    assert asked["day"] == DAY.isoformat()
    assert asked["window"]["since"] == (DAY - timedelta(days=27)).isoformat()


def test_without_a_champion_drift_cannot_be_told_and_nothing_is_done(quiet):
    watched = run_dag("drift_report", day=DAY.isoformat())
    assert watched.state == "success"
    assert watched.report["severity"] == "cannot_tell"
    assert watched.report["decision"] == "no_action"
    assert "no champion yet" in watched.report["summary"]


def test_a_scope_without_rows_fails_at_once_and_says_where_rows_come_from(quiet):
    run = run_dag("train_ctr_model", day=DAY.isoformat(), scope="act_unknown")
    assert run.state == "failed"
    assert run.tasks["report"] == "upstream_failed"


def test_a_real_export_is_trained_on_by_ad_and_compared_campaign_by_campaign(
    airflow_db, db, sandbox, registry, shared_data
):
    from include.meta_ads.importer import import_export

    path = shared_data / "meta_ads" / "KAG_conversion_data.csv"
    account = import_export(db, path, "KAG").account_id
    trained = run_dag("train_ctr_model", day=DAY.isoformat(), scope=account)
    assert trained.state == "success"
    assert trained.report["rows"] == 1143
    assert trained.report["model_name"] == f"ctr_{account}"
    watched = run_dag("drift_report", day=DAY.isoformat(), scope=account)
    assert watched.state == "success"
    assert watched.report["severity"] != "cannot_tell"
    assert ml.drift_reports(db)[0].current == "campaign 1178"


def _messages(db) -> int:
    with db.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM alerts.slack_message")).scalar_one()


def _retrain_requests() -> list[dict]:
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from nightshift.assets import RETRAIN_WANTED

    with create_session() as session:
        found = session.scalars(
            select(AssetEvent)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetModel.uri == RETRAIN_WANTED.uri)
            .order_by(AssetEvent.id)
        )
        return [event.extra for event in found]
