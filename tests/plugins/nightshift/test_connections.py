import json

import pytest

from nightshift.connections import anthropic_connection


def anthropic(monkeypatch, **changes):
    values = {"conn_type": "anthropic", "host": "http://x", "password": "hidden", **changes}
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_TESTED", json.dumps(values))
    return anthropic_connection("anthropic_tested")


def test_the_key_stays_out_of_the_representation(monkeypatch):
    found = anthropic(monkeypatch)
    assert (found.base_url, found.api_key, found.poll_seconds) == ("http://x", "hidden", None)
    assert "hidden" not in repr(found)


def test_a_connection_without_a_key_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="anthropic_tested has no password"):
        anthropic(monkeypatch, password="")


@pytest.mark.parametrize("seconds", ["often", 0, -1, "nan", [2]])
def test_a_pause_that_is_no_time_is_named(monkeypatch, seconds):
    with pytest.raises(ValueError, match="anthropic_tested: extra poll_seconds is"):
        anthropic(monkeypatch, extra={"poll_seconds": seconds})
