"""A world in the database: written once however often, continued, and found again by the sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, text

from include.db import ads
from include.simulator import DriftEvent, WorldConfig
from include.simulator.loading import AnotherWorldStored, load_world
from include.simulator.stored import ENVIRONMENT, stored_world, world_source
from include.stack.settings import REPOSITORY

CONFIG = WorldConfig(accounts=5, days=28, start=date(2026, 3, 2))


def contents(db: Engine) -> dict[str, int]:
    tables = ("account", "campaign", "creative", "ad", "performance_metric", "simulated_world")
    with db.connect() as connection:
        return {
            table: connection.execute(
                text(f"SELECT sum(hashtextextended(t::text, 0)) FROM ads.{table} t")
            ).scalar_one()
            for table in tables
        }


def test_loading_twice_changes_nothing(db: Engine) -> None:
    first = load_world(db, CONFIG)
    before = contents(db)
    load_world(db, CONFIG)
    assert contents(db) == before
    assert first.performance.inserted == sum(totals.rows for totals in ads.account_totals(db))


def test_the_stored_totals_are_those_of_the_world(db: Engine) -> None:
    load_world(db, CONFIG)
    world = stored_world(db)
    assert world is not None
    totals = ads.account_totals(db)
    assert sum(t.impressions for t in totals) == world.daily["impressions"].sum()
    assert sum(t.clicks for t in totals) == world.daily["clicks"].sum()
    assert int(sum(t.spend for t in totals) * 100) == world.daily["spend_cents"].sum()
    assert ads.latest_day(db) == CONFIG.until


def test_a_later_last_day_continues_the_stored_world(db: Engine) -> None:
    load_world(db, CONFIG)
    longer = replace(CONFIG, start=CONFIG.start + timedelta(days=7))
    loaded = load_world(db, longer)
    assert loaded.config.start == CONFIG.start
    assert loaded.config.until == longer.until
    assert ads.latest_day(db) == longer.until
    fresh = {(t.account_id, t.impressions, t.clicks) for t in ads.account_totals(db)}
    load_world(db, replace(CONFIG, days=35), replace_stored=True)
    assert {(t.account_id, t.impressions, t.clicks) for t in ads.account_totals(db)} == fresh


def test_a_drift_added_later_rewrites_the_days_it_touches(db: Engine) -> None:
    load_world(db, CONFIG)
    drift = DriftEvent(CONFIG.until - timedelta(days=2))
    loaded = load_world(db, replace(CONFIG, drift=drift))
    with db.connect() as connection:
        live = connection.execute(
            text("SELECT count(*) FROM ads.performance_metric WHERE metric_date >= :d"), {"d": drift.start}
        ).scalar_one()
    assert 0 < loaded.performance.changed <= live


def test_another_world_is_refused_and_replaced_on_request(db: Engine) -> None:
    load_world(db, CONFIG)
    with pytest.raises(AnotherWorldStored, match="--replace"):
        load_world(db, replace(CONFIG, seed=8))
    with pytest.raises(AnotherWorldStored, match="only grows forward"):
        load_world(db, replace(CONFIG, start=CONFIG.start - timedelta(days=7)))
    load_world(db, replace(CONFIG, seed=8), replace_stored=True)
    assert {a.account_id for a in ads.accounts(db)} == {f"act_10008{n:05d}" for n in range(5)}


def test_the_sandbox_finds_the_world_once_it_is_loaded(db: Engine) -> None:
    source = world_source(db)
    assert source() is None
    load_world(db, CONFIG)
    world = source()
    assert world is not None
    assert world.config == CONFIG
    assert source() is world


def test_the_environment_names_a_world_before_the_database_does(
    db: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        ENVIRONMENT, '{"seed": 9, "accounts": 2, "scale": 1, "start": "2026-01-05", "days": 10}'
    )
    world = stored_world(None, until=date(2026, 1, 20))
    assert world is not None
    assert (world.config.seed, world.config.until) == (9, date(2026, 1, 20))


def test_the_command_line_loads_describes_and_refuses(db: Engine) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "include.simulator", *arguments],
            cwd=REPOSITORY, env=dict(os.environ), capture_output=True, text=True, check=False,
        )  # fmt: skip

    small = ("--accounts", "3", "--days", "14", "--until", "2026-03-15")
    done = run("load", *small, "--drift", "on")
    assert done.returncode == 0, done.stderr
    assert "3 accounts" in done.stdout
    stored = ads.simulated_world(db)
    assert stored is not None
    assert stored["drift"] == {"start": "2026-03-09", "strength": 1.0}
    described = run("describe", *small)
    assert "who knows the truth" in described.stdout
    refused = run("load", *small, "--seed", "8")
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
