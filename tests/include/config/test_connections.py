import json

import pytest

from include.config.connections import ConnectionMissing, connection


def test_a_connection_comes_from_its_airflow_variable(monkeypatch):
    value = {"conn_type": "postgres", "host": "db", "port": 5432, "login": "me", "password": "p@ss/word"}
    monkeypatch.setenv("AIRFLOW_CONN_SOME_DB", json.dumps({**value, "schema": "nightshift"}))
    found = connection("some_db")
    assert found.url == "postgresql://me:p%40ss%2Fword@db:5432/nightshift"
    assert "p@ss/word" not in repr(found)


def test_extra_may_be_an_object_or_its_text(monkeypatch):
    for extra in ({"channel": "#x"}, '{"channel": "#x"}'):
        monkeypatch.setenv("AIRFLOW_CONN_SOME", json.dumps({"conn_type": "slack", "extra": extra}))
        assert connection("some").extra == {"channel": "#x"}


def test_without_the_variable_the_running_stack_is_asked(monkeypatch, tmp_path):
    monkeypatch.delenv("AIRFLOW_CONN_OTHER", raising=False)
    monkeypatch.setenv("NIGHTSHIFT_VAR", str(tmp_path))
    (tmp_path / "stack.env").write_text('AIRFLOW_CONN_OTHER={"conn_type": "http", "host": "h=1"}\n')
    assert connection("other").host == "h=1"


def test_a_missing_connection_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTSHIFT_VAR", str(tmp_path))
    with pytest.raises(ConnectionMissing, match=r"export AIRFLOW_CONN_NOBODY as JSON.*make up"):
        connection("nobody")


@pytest.mark.parametrize("text", ["postgres://user:secret@host/db", "[]", "{}"])
def test_a_malformed_connection_is_refused_without_showing_it(monkeypatch, text):
    monkeypatch.setenv("AIRFLOW_CONN_ODD", text)
    with pytest.raises(ConnectionMissing, match="AIRFLOW_CONN_ODD is not a JSON object") as refused:
        connection("odd")
    assert "secret" not in str(refused.value)
