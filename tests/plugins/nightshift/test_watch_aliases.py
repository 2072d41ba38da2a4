"""Looking after all models at once: one that fails does not stop the others, and nothing goes untold."""

from __future__ import annotations

from typing import Any

import pytest

from include.db import promotion as books
from include.db.promotion import Action, NewMove
from ml.registry import connect, registered_models
from nightshift.watch_aliases import keep_webhook, reconcile_models, tell_findings, watch_report
from tests.include.promotion.registry import register_version


@pytest.fixture
def client(mlflow_uri: str) -> Any:
    """A client of MLflow; what earlier tests registered is removed."""
    client = connect(mlflow_uri)
    for model in registered_models(client):
        client.delete_registered_model(model)
    return client


def test_no_webhook_is_kept_where_none_is_asked_for(mlflow_uri: str) -> None:
    assert keep_webhook(mlflow_uri, {}) == ""
    assert keep_webhook(mlflow_uri, {"NIGHTSHIFT_MLFLOW_WEBHOOK_URL": "http://a"}) == ""


def test_every_model_of_mlflow_and_of_our_books_is_looked_at(db: Any, client: Any, mlflow_uri: str) -> None:
    register_version(client, "in_mlflow")
    client.set_registered_model_alias("in_mlflow", "champion", "1")
    books.record(db, NewMove("in_books", Action.ADOPT, None, 4, "x", "y"), {"champion": 4})
    looked = reconcile_models(engine=db, tracking_uri=mlflow_uri)
    assert looked["models"] == 2
    assert [(found["model"], found["kind"], found["lost"]) for found in looked["findings"]] == [
        ("in_books", "no_champion", 4),
        ("in_mlflow", "adopted", 1),
    ]


def test_a_model_that_mlflow_refuses_does_not_stop_the_others(db: Any, client: Any, mlflow_uri: str) -> None:
    # No name that MLflow takes; our books know it all the same.
    books.record(db, NewMove("a/b:c", Action.ADOPT, None, 4, "x", "y"), {"champion": 4})
    register_version(client, "good")
    client.set_registered_model_alias("good", "champion", "1")
    looked = reconcile_models(engine=db, tracking_uri=mlflow_uri)
    (refusal,) = looked["refused"]
    assert refusal.startswith("a/b:c: MLflow refused to ")
    assert [found["model"] for found in looked["findings"]] == ["good"]
    report = watch_report(looked, {"posted": 0}, "")
    assert report["summary"] == f"good: Champion v1 seen for the first time. {refusal}"


def test_what_was_found_and_not_told_is_told_by_the_next_look_once(db: Any, sandbox: Any) -> None:
    books.record(db, NewMove("ctr", Action.BY_HAND, 1, 2, "somebody in MLflow", "y"), {"champion": 2})
    books.record(db, NewMove("ctr", Action.CHALLENGE, None, 3, "training", "y"), {"challenger": 3})
    lost = {"kind": "no_champion", "model": "visual", "lost": 7, "sentence": "Gone."}
    assert tell_findings([lost], engine=db) == {"posted": 2}
    assert tell_findings([lost], engine=db) == {"posted": 0}
    assert tell_findings([{**lost, "lost": 8}], engine=db) == {"posted": 1}


def test_a_look_that_finds_nothing_says_so() -> None:
    looked = {"models": 3, "findings": [], "refused": []}
    assert watch_report(looked, {"posted": 0}, "w")["summary"] == "3 models looked at; all as believed."
