"""train_ctr_model and drift_report, run for real on a small simulated platform and on a real export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from include.db import ml
from include.db.model_updates import model_updates
from include.simulator import DriftEvent, WorldConfig
from include.simulator.loading import load_world
from ml.ctr.evaluation import normalized_entropy
from ml.features import build_ad_features
from ml.registry import connect, load_ctr_model, registered_models
from tests.dags.running import run_dag
from tests.ml.simulated import simulated_rows

DAY = date(2026, 3, 31)
DAYS = 85
# What works changes on the first of the last so many days.
DRIFT_DAYS = 7


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
    load_world(db, _world(DriftEvent(DAY - timedelta(days=DRIFT_DAYS - 1))))
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


def test_the_whole_loop_from_a_planted_change_to_a_better_challenger(drifted, registry, mlflow_uri, sandbox):
    before, asked_before = DAY - timedelta(days=DRIFT_DAYS), len(_retrain_events())
    champion = run_dag("train_ctr_model", day=before.isoformat())
    assert champion.report["alias"] == "champion"

    quiet = run_dag("drift_report", day=before.isoformat())
    assert quiet.report["decision"] == "no_action", quiet.report
    for day in (DAY - timedelta(days=1), DAY, DAY):
        watched = run_dag("drift_report", day=day.isoformat())
        assert watched.state == "success"
    assert watched.report["severity"] in {"high", "critical"}, watched.report
    assert watched.tasks["alert"] == "success"
    assert "hook_type" in watched.report["summary"]
    asked = _retrain_events()[asked_before:]
    first = asked[0].extra
    assert first["mode"] == "update"
    assert first["scope"] == "all"
    assert first["incident"].startswith("drift:ctr:all:")
    # The day again asks again, and is told once: the message belongs to the incident.
    assert [message["thread_ts"] for message in _told(sandbox)] == [None]

    updated = run_dag("train_ctr_model", started_by=[asked[0].id])
    assert updated.state == "success"
    assert updated.report["alias"] == "challenger", updated.report
    assert updated.report["model_version"] == 2
    assert "before" in updated.report["summary"]
    (held,) = model_updates(drifted, "ctr")
    assert (held.version, held.incident) == (2, first["incident"])
    assert held.ne_after < held.ne_before
    again = run_dag("train_ctr_model", started_by=[asked[0].id])
    assert again.report["trained"] is False

    # On days that neither has seen, under what works now, the challenger errs less.
    later = _later_days(7)
    losses = {
        version: normalized_entropy(
            load_ctr_model(mlflow_uri, f"models:/ctr/{version}").predict(later.X),
            later.clicks,
            later.impressions,
        )
        for version in (1, 2)
    }
    assert losses[2] < losses[1]

    opened, answer = _told(sandbox)
    assert "drift" in opened["text"].lower()
    assert answer["thread_ts"] == opened["ts"]
    assert "v2" in answer["text"]

    waiting = run_dag("drift_report", day=DAY.isoformat())
    assert waiting.report["decision"] == "alert"
    assert "v2 has learnt these days and waits as challenger" in waiting.report["reason"]
    assert len(_told(sandbox)) == 2


def test_a_quiet_week_asks_for_nothing_and_tells_nobody(quiet, registry, sandbox):
    asked_before = _retrain_events()
    run_dag("train_ctr_model", day=(DAY - timedelta(days=7)).isoformat())
    for ago in range(6, -1, -1):
        watched = run_dag("drift_report", day=(DAY - timedelta(days=ago)).isoformat())
        assert watched.report["decision"] == "no_action", watched.report
    assert len(ml.drift_reports(quiet)) == 7
    assert _retrain_events() == asked_before
    assert _told(sandbox) == []


def test_a_model_that_cannot_be_judged_fails_the_run_and_holds_up_no_other(
    drifted, registry, sandbox, reconfigured
):
    run_dag("train_ctr_model", day=(DAY - timedelta(days=DRIFT_DAYS)).isoformat())
    table = {"table": "ml.nowhere", "day": "d", "cluster": "c", "inputs": ["x"], "loss": "squared_error"}
    reconfigured(lambda values: values["drift"]["models"].update(broken={"source": "table", **table}))
    run = registry.create_run(registry.create_experiment(f"broken {uuid4()}")).info.run_id
    registry.create_registered_model("broken")
    tags = {"window_end": "some day in March"}
    made = registry.create_model_version("broken", source=f"runs:/{run}/model", run_id=run, tags=tags)
    registry.set_registered_model_alias("broken", "champion", made.version)
    watched = run_dag("drift_report", day=DAY.isoformat())
    assert watched.state == "failed"
    assert watched.tasks["alert"] == watched.tasks["retrain"] == "success"
    assert watched.tasks["no_action"] == "skipped"
    # One message about the drift, and one that the run failed.
    assert sorted("High drift: ctr" in message["text"] for message in _told(sandbox)) == [False, True]
    assert [report.model_name for report in ml.drift_reports(drifted)] == ["ctr"]


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


def _told(sandbox) -> list[dict]:
    answer = sandbox.client.get("/control/slack/nightshift-alerts")
    return answer.raise_for_status().json()["messages"] if answer.status_code != 404 else []


def _later_days(days: int):
    """Rows of the days after `DAY` on the same changed platform, which no version has seen."""
    world = replace(_world(DriftEvent(DAY - timedelta(days=DRIFT_DAYS - 1))), days=DAYS + days)
    return build_ad_features(simulated_rows(world), since=DAY + timedelta(days=1))


@dataclass(frozen=True)
class Asked:
    """One event that asked for a new model."""

    id: int
    extra: dict


def _retrain_events() -> list[Asked]:
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
        return [Asked(event.id, event.extra) for event in found]
