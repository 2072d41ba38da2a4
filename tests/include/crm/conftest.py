"""A HubSpot that answers, a database for it, and clients between the two that do not really wait."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from include.config import thresholds
from include.db import make_engine
from include.stack.postgres import Cluster
from tests.include.crm.portal import Nights, Portal

# Small pages and steps, so that a few hundred deals are a long walk.
SETTINGS = thresholds().crm.model_copy(
    update={
        "deals_per_step": 60,
        "search_page": 20,
        "list_page": 30,
        "history_page": 20,
        "association_ids": 60,
        "http_timeout_s": 5,
        "search_lag_minutes": 5,
    }
)


@pytest.fixture
def portal(sandbox: Any) -> Portal:
    """The sandbox's HubSpot, empty, whose limits are out of the way."""
    told = Portal(sandbox)
    told.control("limits", ten_seconds=1e6, search_per_second=1e6, daily=1e6)
    return told


@pytest.fixture
def undisturbed(postgres: Cluster, portal: Portal) -> Iterator[Nights]:
    """The same on another database, for what should come out."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.make_database(name, template="nightshift_template")
    engine = make_engine(postgres.dsn(name))
    with Nights(engine, portal, SETTINGS) as made:
        yield made
    engine.dispose()
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def nights(db: Engine, portal: Portal) -> Iterator[Nights]:
    """Runs what the DAG's tasks run, on a database of the test's own."""
    with Nights(db, portal, SETTINGS) as made:
        yield made


@pytest.fixture
def read(nights: Nights, portal: Portal) -> Nights:
    """A portal of 120 deals that one night has read."""
    portal.control("seed", count=120)
    portal.settle()
    nights.run()
    return nights
