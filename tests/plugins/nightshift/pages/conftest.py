"""Airflow's web server with our pages, and who visits them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.conftest import SETTINGS

PASSWORDS = SETTINGS.var / "airflow" / "simple_auth_manager_passwords.json"


@pytest.fixture(scope="module")
def airflow_app(airflow_db: None) -> Iterator[Any]:
    """Airflow's API server as an application, with our plugin as Airflow loads it."""
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from fastapi.testclient import TestClient

    purge_cached_app()
    with TestClient(create_app(), base_url="http://127.0.0.1") as client:
        yield client
    purge_cached_app()


@pytest.fixture
def anonymous(airflow_app: Any, db: Engine) -> Iterator[Any]:
    """A visitor; the pages read this test's database."""
    from nightshift.pages import app

    app._engine.cache_clear()
    airflow_app.headers.pop("authorization", None)
    yield airflow_app
    airflow_app.headers.pop("authorization", None)
    app._engine.cache_clear()


@pytest.fixture
def visitor(anonymous: Any) -> Any:
    """A person who is logged in."""
    password = json.loads(PASSWORDS.read_text())["admin"]
    said = anonymous.post("/auth/token", json={"username": "admin", "password": password})
    anonymous.headers["authorization"] = f"Bearer {said.json()['access_token']}"
    return anonymous
