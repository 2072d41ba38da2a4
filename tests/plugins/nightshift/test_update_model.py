"""Updates for real: a simulated platform whose ads begin to work otherwise, PostgreSQL and MLflow."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from include.db.ml import training_runs
from include.db.model_updates import model_updates
from include.simulator import DriftEvent, WorldConfig
from include.simulator.loading import load_world
from ml.ctr import ContinuationRefused
from ml.registry import champion, connect, find_version, registered_models
from nightshift.train_model import plan_trainings, train_and_register, training_report

DAY = date(2026, 3, 31)
CHANGED = DAY - timedelta(days=9)
DAYS = 70
INCIDENT = "ctr:all:2026-03-24"


@pytest.fixture
def registry(mlflow_uri):
    """A client of MLflow; what earlier tests registered is removed."""
    client = connect(mlflow_uri)
    for model in registered_models(client):
        client.delete_registered_model(model)
    return client


@pytest.fixture
def train(db, mlflow_uri, registry):
    """Trains what a drift report asks for, or a person where the mode is `full`."""

    def run(day: date = DAY, mode: str = "full", **changes):
        wanted = []
        if mode != "full":
            wanted = [
                {
                    "scope": "all",
                    "day": day.isoformat(),
                    "mode": mode,
                    "reason": f"high drift on {day}",
                    "severity": "high",
                    "incident": INCIDENT,
                    "window": {"since": CHANGED.isoformat(), "until": day.isoformat()},
                }
            ]
        (plan,) = plan_trainings(
            day=day, scope="all", reason="", trigger="manual", wanted=wanted, max_days=90, mode=mode
        )
        return train_and_register(plan | changes, engine=db, tracking_uri=mlflow_uri, git_commit="test")

    return run


def test_a_change_makes_one_version_that_is_better_and_says_by_how_much(db, registry, train):
    load_world(db, world(DriftEvent(CHANGED)))
    assert train(CHANGED - timedelta(days=1))["alias"] == "champion"
    made = train(mode="update")
    update = made["update"]
    assert made["trained"] is True, made["outcome"]
    assert (made["model_version"], made["alias"]) == (2, "challenger"), made["gates"]
    assert (made["severity"], made["incident"]) == ("high", INCIDENT)
    assert update["parent"] == 1
    assert update["ne_after"] < update["ne_before"]
    won = next(each for each in update["candidates"] if each["strategy"] == update["winner"])
    assert won["passed"]
    assert won["low"] > 0
    assert CHANGED.isoformat() <= update["judged_since"] <= update["judged_until"] == DAY.isoformat()
    summary = training_report([made])["summary"]
    assert f"Update: {update['winner']} beats v1" in summary
    assert "before" in summary

    version = find_version(registry, "ctr", 2)
    assert version.tags["strategy"] == update["winner"]
    assert version.tags["mode"] == "update"
    assert update["outcome"] in registry.get_model_version("ctr", "2").description
    assert json.loads(version.tags["update"]) == update
    assert version.metrics["skill_vs_parent_low"] == pytest.approx(won["low"])
    assert version.metrics["update_ne_before"] == pytest.approx(update["ne_before"])
    assert version.metrics["update_ne_after"] == pytest.approx(update["ne_after"])
    (kept,) = model_updates(db, "ctr")
    assert (kept.winner, kept.version, kept.incident) == (update["winner"], 2, INCIDENT)
    assert kept.candidates == update["candidates"]

    with db.begin() as connection:
        connection.execute(text("DELETE FROM ml.model_update"))
    again = train(mode="update")
    assert again["trained"] is False
    assert (again["model_version"], again["update"]) == (2, update), "read back from the version"
    assert len(registry.search_model_versions("name='ctr'")) == 2
    assert model_updates(db, "ctr") == [kept], "what a process that died did not write is there now"
    assert len(training_runs(db)) == 2


def test_where_nothing_changed_no_version_is_made_and_that_is_told_and_kept(db, registry, train):
    load_world(db, world())
    train(DAY - timedelta(days=10))
    for _ in range(2):
        kept = train(mode="incremental")
        assert kept["trained"] is False
        assert (kept["update"]["winner"], kept["model_version"]) == ("keep", 1)
        assert kept["update"]["ne_before"] == kept["update"]["ne_after"]
        assert "no update helps, v1 stays" in training_report([kept])["summary"]
    assert len(registry.search_model_versions("name='ctr'")) == 1
    assert [(each.winner, each.version) for each in model_updates(db, "ctr")] == [("keep", None)]


def test_a_champion_that_knows_the_newest_day_is_no_failure_and_too_few_rows_are_one_only_by_hand(
    db, registry, train
):
    load_world(db, world())
    train()
    told = train(mode="update")
    assert told["update"] is None
    assert told["outcome"] == (
        f"v1 has learnt these days already (up to {DAY}): nothing newer to judge an update by"
    )
    assert told["model_version"] == champion(registry, "ctr").version == 1
    assert told["outcome"] in training_report([told])["summary"]
    assert train(mode="update", trigger="manual")["outcome"] == told["outcome"]

    with db.begin() as connection:
        connection.execute(
            text("DELETE FROM ads.performance_metric WHERE metric_date > :day"),
            {"day": DAY - timedelta(days=1)},
        )
    registry.set_model_version_tag("ctr", "1", "window_end", (DAY - timedelta(days=2)).isoformat())
    few = train(mode="update")
    assert few["outcome"].startswith("v1 stays: ")
    assert "at least 100 are needed" in few["outcome"]
    with pytest.raises(ContinuationRefused, match="at least 100 are needed"):
        train(mode="update", trigger="manual")
    assert model_updates(db, "ctr") == []


def test_without_a_champion_there_is_nothing_to_update(db, registry, train):
    load_world(db, world())
    with pytest.raises(ContinuationRefused, match="no champion"):
        train(mode="update")


def world(drift: DriftEvent | None = None) -> WorldConfig:
    return WorldConfig(accounts=8, start=DAY - timedelta(days=DAYS - 1), days=DAYS, drift=drift)
