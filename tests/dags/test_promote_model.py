"""promote_model, roll_back_model and watch_registry, run for real: MLflow, PostgreSQL, Airflow's own API."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from include.db import promotion as books
from include.promotion import promote
from ml.registry import connect
from tests.conftest import SETTINGS
from tests.dags.running import FinishedRun, run_dag
from tests.include.promotion.registry import aliases, register_version

PASSWORDS = SETTINGS.var / "airflow" / "simple_auth_manager_passwords.json"
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def api(airflow_db: None) -> Iterator[Any]:
    """Airflow's API, as the browser of an admin uses it."""
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from fastapi.testclient import TestClient

    purge_cached_app()
    with TestClient(create_app(), base_url="http://127.0.0.1") as client:
        password = json.loads(Path(PASSWORDS).read_text())["admin"]
        said = client.post("/auth/token", json={"username": "admin", "password": password})
        client.headers["authorization"] = f"Bearer {said.json()['access_token']}"
        yield client
    purge_cached_app()


@pytest.fixture
def client(mlflow_uri: str) -> Any:
    return connect(mlflow_uri)


@pytest.fixture
def model(airflow_db: None, db: Any, sandbox: Any, client: Any) -> str:
    """A model with champion v1, v2, and challenger v3."""
    name = f"m_{uuid.uuid4().hex[:8]}"
    for error in (0.30, 0.28, 0.25):
        register_version(client, name, metrics={"mae_pp": error})
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "challenger", "3")
    return name


def waiting(api: Any) -> dict[str, Any]:
    """The question that is open in Airflow, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = api.get(
            "/api/v2/dags/~/dagRuns/~/hitlDetails",
            params={"response_received": "false", "state": "awaiting_input"},
        ).json()["hitl_details"]
        if found:
            return found[0]
        time.sleep(0.3)
    raise AssertionError("nobody was asked")


def answering(api: Any, option: str, **form: Any) -> Callable[[], None]:
    """A person who answers."""

    def answer() -> None:
        instance = waiting(api)["task_instance"]
        path = f"{instance['dag_id']}/dagRuns/{instance['dag_run_id']}/taskInstances/{instance['task_id']}"
        said = api.patch(
            f"/api/v2/dags/{path}/-1/hitlDetails", json={"chosen_options": [option], "params_input": form}
        )
        assert said.status_code == 200, said.text

    return answer


def letting_time_pass(api: Any) -> Callable[[], None]:
    """Nobody answers, and the scheduler notices that the time is over."""

    def wait() -> None:
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        instance = waiting(api)["task_instance"]
        with create_session() as session:
            parked = session.get(TaskInstance, uuid.UUID(str(instance["id"])))
            assert parked is not None
            # Twenty-four hours from now, as the configuration says.
            left = parked.trigger_timeout - datetime.now(UTC)
            assert timedelta(hours=23) < left <= timedelta(hours=24)
            parked.trigger_timeout = datetime.now(UTC) - timedelta(seconds=1)
        SchedulerJobRunner(Job()).check_awaiting_input_timeouts()

    return wait


def run_with(person: Callable[[], None], dag_id: str, **conf: Any) -> FinishedRun:
    """A run, while a person does something."""
    failed: list[BaseException] = []

    def act() -> None:
        try:
            person()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    run = run_dag(dag_id, **conf)
    thread.join(10)
    assert failed == []
    return run


def told(db: Any) -> list[tuple[str, str]]:
    """Channel and text of every Slack message, oldest first."""
    with db.connect() as connection:
        found = connection.execute(text("SELECT channel, text FROM alerts.slack_message ORDER BY intent_at"))
        return [(row.channel.removeprefix("#nightshift-"), row.text) for row in found]


def test_an_approval_makes_the_challenger_champion_and_leaves_its_trace(
    api: Any, db: Any, client: Any, model: str
) -> None:
    asked: dict[str, Any] = {}

    def approve() -> None:
        asked.update(waiting(api))
        answering(api, "Approve", reason="figures are better")()

    run = run_with(approve, "promote_model", model=model, reason="it is time")
    assert run.state == "success"
    assert run.report["state"] == "promoted"
    assert run.tasks["promote"] == "success"
    assert {run.tasks[task] for task in ("reject", "time_out", "promote_automatically", "put_off")} == {
        "skipped"
    }
    assert asked["subject"] == f"Shall {model} v3 become champion?"
    assert "| mae\\_pp | 0.3 | 0.25 | better |" in asked["body"]
    assert asked["options"] == ["Approve", "Reject"]
    assert asked["defaults"] == ["Reject"]
    assert aliases(client, model) == {"champion": 3, "previous_champion": 1}
    kept = books.promotion(db, run.report["promotion_id"])
    assert (kept.state, kept.decided_by, kept.reason) == ("promoted", "admin", "figures are better")
    tags = client.get_model_version(model, "3").tags
    assert (tags["promotion_verdict"], tags["promotion_approver"]) == ("promoted", "admin")
    assert tags["promotion_evidence"].endswith(f"/nightshift/models/promotions/{kept.promotion_id}")
    assert [channel for channel, _ in told(db)] == ["alerts", "reports"]
    assert told(db)[0][1].startswith(f"Shall {model} v3 become champion?")


def test_a_rejection_is_an_end_of_its_own_with_its_reason(api: Any, db: Any, client: Any, model: str) -> None:
    run = run_with(answering(api, "Reject", reason="too few data"), "promote_model", model=model, version=2)
    assert run.state == "success"
    assert run.tasks["reject"] == "success"
    assert {run.tasks["promote"], run.tasks["time_out"]} == {"skipped"}
    assert run.report["summary"] == f"{model} v2 was rejected by admin: too few data"
    assert aliases(client, model) == {"champion": 1, "challenger": 3}
    assert client.get_model_version(model, "2").tags["promotion_reason"] == "too few data"
    assert told(db)[-1] == ("reports", f"{model} v2 was rejected: too few data")


def test_no_answer_is_a_rejection_that_is_told_apart(api: Any, db: Any, client: Any, model: str) -> None:
    run = run_with(letting_time_pass(api), "promote_model", model=model)
    assert run.state == "success"
    assert run.tasks["time_out"] == "success"
    assert {run.tasks["promote"], run.tasks["reject"]} == {"skipped"}
    assert run.report["state"] == "timed_out"
    assert aliases(client, model)["champion"] == 1
    assert client.get_model_version(model, "3").tags["promotion_verdict"] == "timed out"
    channel, message = told(db)[-1]
    assert channel == "alerts"
    assert message.startswith("Nobody answered")


def test_a_champion_that_changes_while_the_question_waits_refuses_the_promotion(
    api: Any, db: Any, client: Any, model: str
) -> None:
    def overtake() -> None:
        waiting(api)
        promote(db, client, model, 2, expected_champion=1, who="Ben", why="by terminal", evidence={})
        answering(api, "Approve")()

    run = run_with(overtake, "promote_model", model=model)
    assert run.state == "success"
    assert run.report["state"] == "refused"
    assert "decided against champion v1, but the champion in MLflow is v2" in run.report["summary"]
    assert aliases(client, model)["champion"] == 2
    channel, message = told(db)[-1]
    assert channel == "alerts"
    assert message.startswith(f"{model} v3 was approved, but not promoted")


def test_only_approvers_may_answer_where_there_are_any(
    api: Any, db: Any, client: Any, model: str, reconfigured: Any
) -> None:
    reconfigured(lambda values: values["promotion"].update(approvers=["admin", "ana"]))
    allowed: list[str] = []

    def approve() -> None:
        allowed.extend(user["id"] for user in waiting(api)["assigned_users"])
        answering(api, "Approve")()

    assert run_with(approve, "promote_model", model=model).report["decided_by"] == "admin"
    assert allowed == ["admin", "ana"]


def test_a_model_that_the_configuration_names_is_promoted_without_a_person(
    db: Any, client: Any, model: str, reconfigured: Any
) -> None:
    reconfigured(lambda values: values["promotion"].update(automatic=[model]))
    run = run_dag("promote_model", model=model, reason="won its experiment")
    assert run.state == "success"
    assert run.tasks["ask_a_person"] == "skipped"
    assert run.tasks["promote_automatically"] == "success"
    assert aliases(client, model)["champion"] == 3
    kept = books.promotion(db, run.report["promotion_id"])
    assert kept.decided_by == "nightshift (promotion.automatic)"
    assert kept.reason == "won its experiment"


def test_without_a_candidate_the_run_fails_at_once(db: Any, client: Any, model: str) -> None:
    client.delete_registered_model_alias(model, "challenger")
    run = run_dag("promote_model", model=model)
    assert run.state == "failed"
    assert run.tasks["report"] == "upstream_failed"


def test_a_roll_back_is_one_trigger_and_told_once(db: Any, client: Any, model: str) -> None:
    promote(db, client, model, 3, expected_champion=1, who="Ana", why="better", evidence={})
    run = run_dag("roll_back_model", model=model, reason="clicks fell")
    assert run.state == "success"
    assert (run.report["from_version"], run.report["to_version"]) == (3, 1)
    assert aliases(client, model) == {"champion": 1}
    assert told(db) == [
        ("alerts", f"{model} was rolled back to v1: {model} v1 is champion again instead of {model} v3.")
    ]
    again = run_dag("roll_back_model", model=model, reason="clicks fell")
    assert again.state == "failed"
    assert aliases(client, model) == {"champion": 1}


def test_what_happened_in_mlflow_is_noticed_and_told_once(
    db: Any, client: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NIGHTSHIFT_MLFLOW_WEBHOOK_URL", raising=False)
    first = run_dag("watch_registry")
    assert first.state == "success"
    assert f"{model}: adopted" in first.report["findings"]
    assert first.tasks["announce"] == "skipped"
    assert told(db) == []
    client.set_registered_model_alias(model, "champion", "2")
    second = run_dag("watch_registry")
    assert second.report["findings"] == [f"{model}: moved_by_hand"]
    assert second.report["posted"] == 1
    assert second.tasks["announce"] == "success"
    assert _events("nightshift://models/champion_moved")[-1] == {"models": [model]}
    third = run_dag("watch_registry")
    assert (third.report["findings"], third.report["posted"]) == ([], 0)
    assert [channel for channel, _ in told(db)] == ["reports"]
    for version in "123":
        client.delete_model_version(model, version)
    for _ in range(2):
        lost = run_dag("watch_registry")
        assert f"{model}: no_champion" in lost.report["findings"]
    assert [message for channel, message in told(db) if channel == "alerts"] == [
        f"{model} has no champion: Champion v2 is gone from MLflow and no earlier champion is left: "
        "promote a version, or train one."
    ]


def test_of_several_models_wanted_at_once_the_others_are_asked_for_again(
    api: Any, db: Any, client: Any, model: str
) -> None:
    verdict = {"summary": "The challenger wins.", "p_value": 0.01}
    first = {"model": model, "version": 3, "reason": "won", "verdict": verdict}
    later = {"model": "visual", "version": None, "reason": "", "verdict": None}
    # A run by hand, so that Airflow knows the asset that its last task writes.
    run_with(answering(api, "Reject"), "promote_model", model=model)
    events = [_wanted(api, first), _wanted(api, later)]
    run = run_with(answering(api, "Approve"), "promote_model", started_by=events)
    assert run.state == "success"
    assert run.tasks["put_off"] == "success"
    assert _events("nightshift://models/promotion_wanted")[-1] == {"wanted": [later]}
    assert books.promotion(db, run.report["promotion_id"]).evidence["verdict"] == verdict


def _wanted(api: Any, extra: dict[str, Any]) -> int:
    """An event that asks for a promotion, made through Airflow's API; its id."""
    asked = {"uri_pattern": "nightshift://models/promotion_wanted"}
    (asset,) = api.get("/api/v2/assets", params=asked).json()["assets"]
    made = api.post("/api/v2/assets/events", json={"asset_id": asset["id"], "extra": extra})
    made.raise_for_status()
    return int(made.json()["id"])


def test_where_slack_refuses_the_question_stands_in_airflow(
    api: Any, db: Any, client: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_ALERTS", json.dumps({"conn_type": "slack", "password": "x"}))
    run = run_with(answering(api, "Approve"), "promote_model", model=model)
    assert run.state == "success"
    assert run.report["state"] == "promoted"


def test_mlflows_webhook_is_kept_where_the_environment_asks_for_it(db: Any, client: Any, model: str) -> None:
    assert run_dag("watch_registry").report["webhook"] is True
    webhooks = [webhook for webhook in client.list_webhooks() if webhook.name == "nightshift-aliases"]
    assert [webhook.url for webhook in webhooks] == [f"{SETTINGS.url('airflow')}/nightshift/mlflow/webhook"]


def _events(uri: str) -> list[Any]:
    """Extras of what Airflow knows to have happened to an asset, oldest first."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(
            select(AssetEvent)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetModel.uri == uri)
            .order_by(AssetEvent.id)
        )
        return [event.extra for event in found]
