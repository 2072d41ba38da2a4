"""Tournaments in a real database: one row a model, day, parent and mode, and who asked is not forgotten."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from include.db.model_updates import ModelUpdate, model_updates, record_model_update

UPDATE = ModelUpdate(
    model_name="ctr",
    day=date(2026, 3, 31),
    parent_version=3,
    mode="update",
    reason="high drift on 2026-03-31",
    severity="high",
    incident="ctr:all:2026-03-29",
    candidates=[
        {"strategy": "continue", "saved": 0.031, "low": 0.012, "high": 0.05, "old": -0.001, "passed": True},
        {
            "strategy": "retrain_recent",
            "saved": None,
            "low": None,
            "high": None,
            "old": None,
            "passed": False,
        },
    ],
    winner="continue",
    version=4,
    ne_before=0.97,
    ne_after=0.94,
    judged_rows=812,
    judged_since=date(2026, 3, 29),
    judged_until=date(2026, 3, 31),
    outcome="continue beats v3",
)
KEPT = replace(UPDATE, winner="keep", version=None, ne_after=0.97, outcome="no update helps, v3 stays")


def test_a_tournament_is_read_as_it_was_kept(db):
    record_model_update(db, UPDATE)
    assert model_updates(db, "ctr") == [UPDATE]
    assert model_updates(db, "ctr_other") == []


def test_the_same_tournament_again_changes_nothing(db):
    record_model_update(db, UPDATE)
    first = decided(db)
    record_model_update(db, UPDATE)
    assert decided(db) == first


def test_a_tournament_held_again_replaces_its_row_and_remembers_the_incident(db):
    record_model_update(db, KEPT)
    by_hand = replace(UPDATE, reason="", severity=None, incident=None)
    record_model_update(db, by_hand)
    assert model_updates(db, "ctr") == [UPDATE]


def test_another_mode_parent_or_day_is_another_row_and_the_newest_comes_first(db):
    later = replace(KEPT, day=date(2026, 4, 2), parent_version=4, mode="incremental")
    for each in (UPDATE, replace(KEPT, mode="incremental"), later):
        record_model_update(db, each)
    assert len(model_updates(db, "ctr")) == 3
    assert model_updates(db, "ctr")[0] == later
    assert model_updates(db, "ctr", since=date(2026, 4, 1)) == [later]


def test_a_winner_has_a_version_and_keeping_has_none(db):
    for wrong in (replace(UPDATE, version=None), replace(KEPT, version=4), replace(UPDATE, judged_rows=0)):
        with pytest.raises(IntegrityError):
            record_model_update(db, wrong)


def test_figures_that_are_not_defined_are_null_and_never_nan(db):
    record_model_update(db, replace(KEPT, ne_before=None, ne_after=None))
    assert model_updates(db, "ctr")[0].ne_before is None
    with pytest.raises(ValueError, match="not JSON compliant"):
        record_model_update(db, replace(KEPT, candidates=[{"saved": float("nan")}]))


def decided(db):
    with db.connect() as connection:
        return connection.execute(text("SELECT decided_at FROM ml.model_update")).scalars().all()
