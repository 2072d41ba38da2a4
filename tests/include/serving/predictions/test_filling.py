"""What callers need not know of an ad's deals is filled in as training would have seen it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from include.db.ads import read_performance
from include.serving.predictions.filling import read_past
from include.simulator import WorldConfig
from ml.features.pipeline_columns import DAILY_FEATURES
from nightshift.pipeline_source import with_deals
from tests.crm_loading import load_crm

WORLD = WorldConfig(seed=5, accounts=12, days=60)
# Its deals go on after it: what comes later must not be looked at.
DAY = WORLD.until - timedelta(days=10)


@pytest.fixture
def told(db):
    """Rows of a day as training sees them, and the past as the service knows it the evening before."""
    load_crm(db, WORLD)
    rows = with_deals(read_performance(db, "all", None, DAY), True, engine=db)
    with db.begin() as connection:
        connection.execute(text("DELETE FROM ads.performance_metric WHERE metric_date >= :day"), {"day": DAY})
    return rows[pd.to_datetime(rows["metric_date"]).dt.date == DAY], read_past(db, ["niche", *DAILY_FEATURES])


def named(past):
    return {name for ad in past.ads.values() for name in ad if name.startswith("pipeline_")}


def test_what_had_come_of_deals_is_filled_in_as_training_would_have_seen_it(told):
    rows, past = told
    with_a_deal = 0
    for row in rows.to_dict("records"):
        filled = past.filled({}, row["account_id"], row["ad_id"], DAY)
        if (row["account_id"], row["ad_id"]) in past.ads:
            with_a_deal += filled["pipeline_deals"] > 0
            for name in DAILY_FEATURES:
                missing = filled[name] is None and np.isnan(row[name])
                assert missing or filled[name] == pytest.approx(row[name], rel=1e-9), name
    assert with_a_deal > 10


def test_a_new_ad_has_had_no_deals(told):
    rows, past = told
    filled = past.filled({}, rows["account_id"].iloc[0], None, DAY)

    assert filled["pipeline_deals"] == filled["pipeline_open_value"] == 0
    assert filled["pipeline_days_to_close"] is None


def test_what_no_model_looks_at_is_not_read(told, db):
    _, past = told
    lean = read_past(db, ["niche", "pipeline_won"])

    assert {name for ad in lean.ads.values() for name in ad if name.startswith("pipeline_")} == {
        "pipeline_won"
    }
    assert not any(name.startswith("pipeline_") for ad in read_past(db).ads.values() for name in ad)
    assert past.new_ad.keys() == set(DAILY_FEATURES)


def test_without_a_crm_nothing_is_filled_in(db):
    load_crm(db, WORLD)
    with db.begin() as connection:
        connection.execute(text("TRUNCATE crm.deal CASCADE"))

    assert read_past(db, DAILY_FEATURES).new_ad == {}
