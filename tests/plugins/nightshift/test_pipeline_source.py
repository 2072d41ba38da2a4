"""Whether the click model is told of deals: only where the configuration says so, and only what was known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from include.db.pipeline import read_frames
from include.simulator import WorldConfig
from ml.features import build_ad_features
from ml.features.peeking import peeking_features
from ml.features.pipeline_columns import DAILY_FEATURES
from nightshift.train_model import read_rows
from tests.crm_loading import load_crm

WORLD = WorldConfig(seed=5, accounts=12, days=60)
UNTIL = WORLD.until
SINCE = UNTIL - timedelta(days=30)


def switched_on(values: dict[str, Any]) -> None:
    values["ctr"]["pipeline_features"] = True


def test_by_default_the_features_of_ads_are_what_they_were(db: Engine) -> None:
    load_crm(db, WORLD)
    features = build_ad_features(read_rows(db, "all", SINCE, UNTIL), SINCE)
    assert features.feature_set == "ads-1"
    assert not set(features.feature_names) & set(DAILY_FEATURES)


def test_switched_on_they_hold_what_had_come_of_deals_and_are_named_otherwise(
    db: Engine, reconfigured: Callable[[Any], None]
) -> None:
    load_crm(db, WORLD)
    reconfigured(switched_on)
    rows = read_rows(db, "all", SINCE, UNTIL)
    features = build_ad_features(rows, SINCE)
    assert features.feature_set == "ads-1+pipeline-1"
    assert set(DAILY_FEATURES) <= set(features.feature_names)
    assert features.X["pipeline_deals"].sum() > 0
    assert peeking_features(build_ad_features, rows, 1) == []
    # A day that is read before what follows is known gets the same features.
    day = rows["metric_date"] == rows["metric_date"].max() - timedelta(days=20)
    with db.begin() as connection:
        for table, time in (("deal_stage_event", "entered_at"), ("deal_property_event", "changed_at")):
            connection.execute(
                text(f"DELETE FROM crm.{table} WHERE {time} >= :day"),
                {"day": rows.loc[day, "metric_date"].iloc[0].isoformat() + "Z"},
            )
    again = read_rows(db, "all", SINCE, UNTIL)
    names = ["account_id", "ad_id", *DAILY_FEATURES]
    pd.testing.assert_frame_equal(again.loc[day, names], rows.loc[day, names])


def test_switched_on_without_a_crm_nothing_changes(db: Engine, reconfigured: Callable[[Any], None]) -> None:
    load_crm(db, WORLD)
    with db.begin() as connection:
        connection.execute(text("TRUNCATE crm.deal CASCADE"))
    reconfigured(switched_on)
    assert build_ad_features(read_rows(db, "all", SINCE, UNTIL), SINCE).feature_set == "ads-1"


def test_archived_merged_and_unplaced_deals_are_not_read_and_nothing_of_a_person_is(db: Engine) -> None:
    from include.db.pipeline import left_out, read_crm

    load_crm(db, WORLD)
    before = len(read_frames(db).deals)
    with db.begin() as connection:
        ids = (
            connection.execute(text("SELECT deal_id FROM crm.deal ORDER BY deal_id LIMIT 4")).scalars().all()
        )
        connection.execute(text("UPDATE crm.deal SET archived = true WHERE deal_id = :id"), {"id": ids[0]})
        connection.execute(text("UPDATE crm.deal SET merged_into = 'x' WHERE deal_id = :id"), {"id": ids[1]})
        connection.execute(text("UPDATE crm.deal SET pipeline_id = NULL WHERE deal_id = :id"), {"id": ids[2]})
        connection.execute(text("DELETE FROM crm.deal_stage_event WHERE deal_id = :id"), {"id": ids[3]})
    assert len(read_frames(db).deals) == before - 4
    assert left_out(db) == 2
    assert not {
        name for frame in read_crm(db).values() for name in frame if "hmac" in name or "email" in name
    }


def test_an_amount_without_a_history_counts_from_when_it_was_seen(db: Engine) -> None:
    load_crm(db, WORLD)
    with db.begin() as connection:
        deal = connection.execute(text("SELECT deal_id FROM crm.deal WHERE amount > 0 LIMIT 1")).scalar_one()
        connection.execute(
            text("DELETE FROM crm.deal_property_event WHERE deal_id = :id AND property = 'amount'"),
            {"id": deal},
        )
        connection.execute(
            text("UPDATE crm.deal SET amount = 77, updated_at = '2026-02-20T00:00Z' WHERE deal_id = :id"),
            {"id": deal},
        )
    events = read_frames(db).amount_events
    (found,) = events[events["deal_id"] == deal].itertuples()
    assert (found.amount, str(found.changed_at)) == (pytest.approx(77.0), "2026-02-20 00:00:00")
