"""MLflow's word that an alias moved: taken with its signature alone, and turned into an asset event."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from ml.registry.webhooks import signature

SECRET = "a secret of this test"
PATH = "/nightshift/mlflow/webhook"
EVENT = {
    "entity": "model_version_alias",
    "action": "created",
    "timestamp": "2026-01-01T00:00:00+00:00",
    "data": {"name": "ctr", "alias": "champion", "version": "3"},
}


@pytest.fixture
def mlflow(airflow_app: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NIGHTSHIFT_MLFLOW_WEBHOOK_SECRET", SECRET)
    return airflow_app


def headers(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    return {
        "X-MLflow-Delivery-Id": "d1",
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": signature(secret, "d1", stamp, body),
    }


def body(event: Any = EVENT) -> bytes:
    return json.dumps(event).encode()


def events() -> list[dict[str, Any]]:
    """Extras of the events that Airflow has of the asset."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from nightshift.assets import ALIAS_MOVED

    with create_session() as session:
        found = session.scalars(
            select(AssetEvent)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetModel.uri == ALIAS_MOVED.uri)
            .order_by(AssetEvent.id)
        )
        return [event.extra for event in found]


@pytest.fixture
def known_asset() -> None:
    """Airflow knows the asset, as after parsing the DAGs."""
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from nightshift.assets import ALIAS_MOVED

    with create_session() as session:
        if session.scalar(select(AssetModel).where(AssetModel.uri == ALIAS_MOVED.uri)) is None:
            asset = AssetModel(name=ALIAS_MOVED.name, uri=ALIAS_MOVED.uri, group="models")
            session.add_all([asset, AssetActive.for_asset(asset)])


def test_a_signed_event_becomes_an_asset_event_without_a_login(mlflow: Any, known_asset: None) -> None:
    before = len(events())
    said = mlflow.post(PATH, content=body(), headers=headers(body()))
    assert (said.status_code, said.json()) == (202, {"looked_at": True})
    assert events()[before:] == [
        {"name": "ctr", "alias": "champion", "version": "3", "action": "created", "from": "MLflow's webhook"}
    ]


def test_what_is_about_something_else_is_taken_and_left(mlflow: Any, known_asset: None) -> None:
    before, other = len(events()), body({**EVENT, "entity": "prompt"})
    said = mlflow.post(PATH, content=other, headers=headers(other))
    assert (said.status_code, said.json()) == (202, {"looked_at": False})
    assert len(events()) == before


@pytest.mark.parametrize(
    "sent",
    [
        {},
        headers(body(), secret="another"),
        headers(b"another body"),
        headers(body(), at=time.time() - 3600),
        headers(body(), at=time.time() + 3600),
        {**headers(body()), "X-MLflow-Delivery-Id": "d2"},
        {**headers(body()), "X-MLflow-Timestamp": "now"},
        {**headers(body()), "X-MLflow-Signature": "v1,"},
        {**headers(body()), "X-MLflow-Signature": "\xe4"},
    ],
    ids=["none", "secret", "body", "old", "future", "delivery", "timestamp", "empty", "not ascii"],
)
def test_what_mlflow_did_not_sign_just_now_is_refused(mlflow: Any, known_asset: None, sent: Any) -> None:
    before = len(events())
    raw = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
    assert mlflow.post(PATH, content=body(), headers=raw).status_code == 401
    assert len(events()) == before


@pytest.mark.parametrize("sent", [b"no json", b"[1]", b'{"data": "x"}', b"\xff"])
def test_what_is_signed_and_no_event_is_said_to_be_none(mlflow: Any, sent: bytes) -> None:
    assert mlflow.post(PATH, content=sent, headers=headers(sent)).status_code == 400


def test_a_huge_body_is_not_read(mlflow: Any) -> None:
    huge = b"x" * 100_000
    assert mlflow.post(PATH, content=huge, headers=headers(huge)).status_code == 413


def test_without_a_secret_nobody_is_believed(airflow_app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIGHTSHIFT_MLFLOW_WEBHOOK_SECRET", raising=False)
    said = airflow_app.post(PATH, content=body(), headers=headers(body()))
    assert said.status_code == 503
    assert "NIGHTSHIFT_MLFLOW_WEBHOOK_SECRET" in said.text


def test_nothing_else_is_there_without_a_login(airflow_app: Any) -> None:
    assert airflow_app.get(PATH).status_code == 405
    assert airflow_app.get("/nightshift/mlflow/docs").status_code == 404
    assert airflow_app.get("/nightshift/models").status_code == 401


def test_a_real_mlflow_delivers_and_is_believed(mlflow: Any, known_asset: None, mlflow_uri: str) -> None:
    import threading

    import uvicorn

    from ml.registry import connect
    from ml.registry.webhooks import ensure_webhook
    from nightshift.pages.webhook import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        client, before = connect(mlflow_uri), len(events())
        webhook_id = ensure_webhook(client, f"http://127.0.0.1:{port}/webhook", SECRET)
        delivered = client.test_webhook(webhook_id, "model_version_alias.created")
        client.delete_webhook(webhook_id)
    finally:
        server.should_exit = True
        thread.join(10)
    assert delivered.response_status == 202, delivered.error_message
    assert len(events()) == before + 1
