"""The terminal: what it prints, what it refuses, how it exits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.promotion.__main__ import main
from tests.include.promotion.registry import Dying, aliases


def test_a_promotion_and_a_roll_back(db: Any, client: Any, model: str, capsys: Any) -> None:
    assert main(["promote", "--model", model, "--why", "better", "--who", "Ana"]) == 0
    told = capsys.readouterr().out
    assert f"champion of '{model}' was v1 and is v3 now" in told
    assert "found: Champion v1 seen for the first time." in told
    assert main(["status", "--model", model]) == 0
    status = capsys.readouterr().out
    assert "champion: v3\n" in status
    assert "promote: v1 -> v3 (done) by Ana: better" in status
    assert main(["roll-back", "--model", model, "--why", "worse", "--who", "Ben"]) == 0
    assert "was v3 and is v1 now" in capsys.readouterr().out
    assert aliases(client, model) == {"champion": 1}


def test_status_says_where_mlflow_and_our_books_differ(db: Any, client: Any, model: str, capsys: Any) -> None:
    assert main(["status", "--model", model]) == 0
    assert "in our books champion is unknown" in capsys.readouterr().out
    assert main(["status", "--model", "nobody"]) == 0
    assert "has no alias" in capsys.readouterr().out


def test_what_differs_is_reconciled(db: Any, client: Any, model: str, capsys: Any) -> None:
    assert main(["reconcile", "--model", model]) == 0
    assert "v3 is the new challenger." in capsys.readouterr().out
    assert main(["reconcile", "--model", model]) == 0
    assert "are as believed" in capsys.readouterr().out


def test_a_move_that_mlflow_broke_off_is_said_to_be_completed_later(
    db: Any, client: Any, model: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        breaking = Dying(client, 1, ConnectionError)
        patched.setattr("include.promotion.__main__.connect", lambda uri: breaking)
        assert main(["promote", "--model", model, "--why", "better"]) == 1
    assert "is begun, and completed later" in capsys.readouterr().err
    assert main(["reconcile", "--model", model]) == 0
    assert "had been cut off and is done now" in capsys.readouterr().out
    assert aliases(client, model)["champion"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote", "--why", "x", "--version", "9"], "MLflow has no v9"),
        (["promote", "--why", "x", "--version", "1"], "champion already"),
        (["promote", "--why", "x", "--champion", "2"], "is v1, not v2"),
        (["roll-back", "--why", "x"], "no earlier champion"),
        (["roll-back", "--why", "x", "--champion", "2"], "against champion v2"),
    ],
)
def test_what_is_refused_is_said_in_a_sentence(
    db: Any, client: Any, model: str, capsys: Any, arguments: list[str], said: str
) -> None:
    assert main([arguments[0], "--model", model, *arguments[1:]]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.startswith("promotion: ")
    assert told.err.count("\n") == 1
    assert aliases(client, model) == {"champion": 1, "challenger": 3}


def test_a_reason_must_be_given(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["roll-back", "--why", " "])
    assert "say why" in capsys.readouterr().err


def test_services_that_do_not_answer_are_worth_another_try(
    db: Any, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "http", "host": "http://127.0.0.1:1"})
    )
    assert main(["status"]) == 1
    assert "does not answer" in capsys.readouterr().err
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "http", "host": mlflow_uri}))
    gone = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "a", "schema": "b"}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTSHIFT_DB", json.dumps(gone))
    assert main(["status"]) == 1
    assert "database does not answer" in capsys.readouterr().err
