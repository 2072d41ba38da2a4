"""MLflow away, a version that cannot be read, the database away: the service goes on and loses no line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import httpx
from sqlalchemy import create_engine, text

from include.db.predictions import LoggedPrediction
from include.serving.predictions.log import PredictionLog
from tests.include.serving.predictions.conftest import quick, told

NOBODY = "http://127.0.0.1:1"


def count(engine) -> int:
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM ml.prediction_log")).scalar_one()


def line(**changes) -> LoggedPrediction:
    known = LoggedPrediction(
        id=uuid4(), predicted_at=datetime.now(UTC), model_name="ctr", model_version=1, arm="champion",
        ab_test_id=None, unit_key="a", account_id="a", ad_id=None, about_day=None, features_hash="h",
        rate=0.01, other_version=None, other_rate=None, source="computed", latency_us=100,
    )  # fmt: skip
    return replace(known, **changes)


def test_what_was_served_last_is_served_at_once_when_mlflow_is_away(make_service, tmp_path):
    before = told(make_service(folder=tmp_path).predict())
    again = make_service(folder=tmp_path, uri=NOBODY)
    assert told(again.predict())["ctr"] == before["ctr"]
    assert httpx.get(f"{again.url}/readyz").status_code == 200


def test_with_nothing_ever_served_it_says_so_and_lives(make_service, tmp_path):
    service = make_service(folder=tmp_path / "new", uri=NOBODY, wait=False)
    response = service.predict()
    assert response.status_code == 503
    assert "run train_ctr_model" in response.json()["error"]["message"]
    assert httpx.get(f"{service.url}/healthz").status_code == 200
    assert httpx.get(f"{service.url}/readyz").status_code == 503


def test_a_damaged_file_of_the_last_start_costs_no_more_than_a_fetch(make_service, tmp_path):
    first = make_service(folder=tmp_path)
    for path in (tmp_path / "models").rglob("ctr.onnx"):
        path.write_bytes(b"half a file")
    again = make_service(folder=tmp_path)
    assert told(again.predict())["ctr"] == told(first.predict())["ctr"]


def test_an_alias_that_is_gone_or_leads_to_no_bundle_changes_nothing(service, registered, model_name):
    registered.delete_registered_model_alias(model_name, "champion")
    for _ in range(5):
        assert told(service.predict())["version"] == 1
    run = registered.create_run("0")
    bare = registered.create_model_version(
        model_name, source=f"runs:/{run.info.run_id}/nothing", run_id=run.info.run_id
    )
    registered.set_registered_model_alias(model_name, "champion", bare.version)
    for _ in range(10):
        assert told(service.predict())["version"] == 1


def test_lines_wait_in_a_file_while_the_database_is_away_and_come_in_once(db, tmp_path):
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})
    lines = [line() for _ in range(7)]
    log = PredictionLog(away, tmp_path, quick().predictions)
    log.add(lines)
    log.close()
    assert log.spooled == 1
    (waiting,) = tmp_path.glob("*.jsonl")
    kept = waiting.read_text()
    later = PredictionLog(db, tmp_path, quick().predictions)
    later.flush()
    assert (count(db), later.spooled) == (7, 0)
    waiting.write_text(kept)
    later.flush()
    assert count(db) == 7


def test_a_graceful_stop_loses_nothing(make_service, platform):
    service = make_service(log_seconds=3600, log_rows=10**6)
    for _ in range(30):
        told(service.predict())
    assert count(platform) == 0
    make_service.stop()
    assert count(platform) >= 30


def test_more_lines_than_memory_is_given_go_to_a_file(db, tmp_path):
    log = PredictionLog(db, tmp_path, quick(log_waiting=10, log_rows=10**6).predictions)
    log.add([line() for _ in range(11)])
    assert (log.waiting, log.spooled) == (0, 1)
    log.flush()
    assert (count(db), log.spooled) == (11, 0)


def test_a_line_that_the_database_refuses_holds_up_nobody(db, tmp_path):
    log = PredictionLog(db, tmp_path, quick().predictions)
    log.add([line(arm="nobody's")])
    log.flush()
    log.add([line(), line()])
    log.flush()
    assert count(db) == 2
    assert [each.suffix for each in tmp_path.iterdir()] == [".broken"]


def test_a_line_that_is_none_is_left_and_the_others_come_in(db, tmp_path):
    log = PredictionLog(db, tmp_path, quick(log_waiting=1).predictions)
    log.add([line(), line()])
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text() + json.dumps({"id": "x"}) + "\n{half")
    log.flush()
    assert count(db) == 2
    assert [each.suffix for each in tmp_path.iterdir()] == [".broken"]
