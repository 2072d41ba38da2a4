"""evaluate_experiment and warm_caches with real versions of a model, on a small simulated platform."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import redis
from sqlalchemy import text

from include.db import experiments
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from ml.registry import aliases_of, connect, registered_models
from tests.dags.running import run_dag

DAY = date(2026, 3, 31)
DAYS = 85


@pytest.fixture
def trained(airflow_db, db, sandbox, mlflow_uri):
    """A platform with a champion."""
    client = connect(mlflow_uri)
    for model in registered_models(client):
        client.delete_registered_model(model)
    load_world(db, WorldConfig(accounts=15, start=DAY - timedelta(days=DAYS - 1), days=DAYS))
    assert run_dag("train_ctr_model", day=(DAY - timedelta(days=1)).isoformat()).state == "success"
    return client


def messages(db, kind):
    with db.connect() as connection:
        query = text("SELECT text FROM alerts.slack_message WHERE kind = :kind")
        return list(connection.execute(query, {"kind": kind}).scalars())


def test_the_next_challenger_is_tested_and_told_once(trained, db):
    nothing = run_dag("evaluate_experiment", day=DAY.isoformat())
    assert nothing.state == "success"
    assert nothing.report["gap"] == 1
    assert "the next training makes one" in nothing.report["summary"]

    second = run_dag("train_ctr_model", day=DAY.isoformat())
    assert second.report["alias"] == "challenger", second.report
    started = run_dag("evaluate_experiment", day=DAY.isoformat())
    assert started.state == "success"
    assert started.report["started"] == 1
    assert started.tasks["is_anything_better"] == "success"
    assert started.tasks["ask_for_promotion"] == "skipped"
    (test,) = experiments.running_experiments(db)
    assert (test.champion_version, test.challenger_version) == (1, 2)
    assert "would be seen with a chance of 80 %" in test.smallest_effect
    again = run_dag("evaluate_experiment", day=DAY.isoformat())
    assert (again.report["started"], again.report["looked"]) == (0, 1)
    (told,) = messages(db, "experiment")
    assert "ctr v2 is being tested against ctr v1" in told


def test_a_challenger_that_won_is_asked_to_be_promoted(trained, db):
    run_dag("train_ctr_model", day=DAY.isoformat())
    run_dag("evaluate_experiment", day=DAY.isoformat())
    (test,) = experiments.running_experiments(db)
    experiments.end_experiment(db, test.id, state="promote", reason="it predicts better")
    run = run_dag("evaluate_experiment", day=(DAY + timedelta(days=1)).isoformat())
    assert run.state == "success"
    assert run.tasks["ask_for_promotion"] == "success"
    (wanted,) = _promotions_wanted()[-1]["wanted"]
    assert (wanted["model"], wanted["version"]) == ("ctr", 2)
    assert wanted["verdict"]["paragraph"] == "it predicts better"


def test_predictions_are_computed_ahead_for_champion_and_challenger(trained, db, redis_server, mlflow_uri):
    client = redis.Redis(port=redis_server.port, password=redis_server.password)
    client.flushall()
    warmed = run_dag("warm_caches", day=DAY.isoformat())
    assert warmed.state == "success", warmed.tasks
    assert warmed.report["predictions"] > 500
    assert client.dbsize() == warmed.report["predictions"]
    assert "predictions computed ahead for ctr v1" in warmed.report["summary"]
    assert aliases_of(trained, "ctr")["champion"] == 1
    client.close()


def _promotions_wanted() -> list[dict]:
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from nightshift.assets import PROMOTION_WANTED

    with create_session() as session:
        found = session.scalars(
            select(AssetEvent)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetModel.uri == PROMOTION_WANTED.uri)
            .order_by(AssetEvent.id)
        )
        return [event.extra for event in found]
