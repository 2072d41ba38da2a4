"""What creatives are and did, read from a real database; what was found, kept whole and once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256

import polars as pl
import pytest
from sqlalchemy import Engine, text

from include.db.creative_effects import (
    CreativeEffectReport,
    effects_of_report,
    forget_reports,
    newest_reports,
    read_ad_days,
    read_creatives,
    read_placement_shares,
    store_report,
)
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from ml.features.creative_effects import CreativeEffect

DAY = date(2026, 3, 8)
SINCE = DAY - timedelta(days=20)
EFFECT = CreativeEffect(
    niche="food",
    feature="hook_type",
    shape="level",
    level="question",
    outcome="clicks",
    low=None,
    middle=None,
    high=None,
    size=0.2,
    size_low=0.1,
    size_high=0.3,
    alone=0.22,
    p_value=0.001,
    q_value=0.01,
    is_found=True,
    creatives=40,
    accounts=4,
    accounts_agreeing=3,
    accounts_telling=4,
)
REPORT = CreativeEffectReport(DAY, "clicks", "a summary", {"creatives": 40, "left_out": {"tempo": "unknown"}})


@pytest.fixture
def platform(db: Engine) -> Engine:
    load_world(db, WorldConfig(accounts=2, ads_per_account=4, days=21, start=SINCE))
    return db


def analysed(
    db: Engine, letter: str, features: dict, *, created: str = "2026-03-01", recipe: str = "r"
) -> None:
    """The creative that comes first has a video whose content is named by `letter`, analysed."""
    content, key = letter * 64, sha256(f"{letter}{recipe}".encode()).hexdigest()
    with db.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO visual.video (content_hash, bytes, state) VALUES (:c, 1, 'done')
                ON CONFLICT DO NOTHING
            """),
            {"c": content},
        )
        connection.execute(
            text("""
                INSERT INTO visual.creative_video (account_id, creative_id, uri, content_hash, state)
                SELECT account_id, creative_id, :uri, :c, 'done' FROM ads.creative ORDER BY 1, 2 LIMIT 1
                ON CONFLICT DO NOTHING
            """),
            {"c": content, "uri": f"{letter}.mp4"},
        )
        connection.execute(
            text("""
                INSERT INTO visual.analysis
                    (analysis_key, content_hash, recipe, model, preprocessing, sampling, precision, features,
                     frames, forwards, decodes, created_at)
                VALUES
                    (:key, :c, :recipe, 'm', 'p', '2fps', 'fp32', CAST(:features AS jsonb), 1, 1, 1, :created)
            """),
            {
                "key": key,
                "c": content,
                "recipe": recipe,
                "features": json.dumps(features),
                "created": created,
            },
        )


def test_ad_days_have_what_the_search_needs(platform: Engine) -> None:
    days = read_ad_days(platform, "all", SINCE, DAY)
    with platform.connect() as connection:
        count, clicks = connection.execute(
            text("SELECT count(*), sum(clicks) FROM ads.performance_metric WHERE breakdown = ''")
        ).one()
    assert (len(days), days["clicks"].sum()) == (count, clicks)
    assert days["niche"].n_unique() == 2
    assert days["reach"].null_count() == 0
    one = read_ad_days(platform, days["account_id"][0], SINCE, SINCE)
    assert set(one["day"]) == {SINCE}
    assert one["account_id"].n_unique() == 1
    assert read_ad_days(platform, "nobody", SINCE, DAY).columns == days.columns


def test_creatives_come_with_their_dna_and_the_newest_look_at_their_video(platform: Engine) -> None:
    analysed(platform, "a", {"motion": 0.1})
    analysed(platform, "a", {"motion": 0.2}, created="2026-03-05", recipe="newer")
    analysed(platform, "b", {"motion": 0.9}, created="2026-03-07")
    creatives = read_creatives(platform, "all", SINCE, DAY)
    assert [row["measured"] for row in creatives] == [{"motion": 0.2}] + [None] * (len(creatives) - 1)
    assert creatives[0]["dna"]["visual"]["motion"] >= 0
    assert isinstance(creatives[0]["visual_tags"], list)
    assert read_creatives(platform, "all", DAY + timedelta(days=1), DAY + timedelta(days=9)) == []


def test_shares_of_placements_sum_to_one(platform: Engine) -> None:
    shares = read_placement_shares(platform, "all", SINCE, DAY)
    sums = shares.group_by("account_id", "creative_id").agg(pl.col("share").sum())
    assert sums["share"].to_list() == pytest.approx([1.0] * len(sums))
    assert "instagram, feed" in shares["placement"].to_list()
    with platform.begin() as connection:
        connection.execute(text("""UPDATE ads.performance_metric SET raw_data = '{"breakdowns": 3}'"""))
    assert len(read_placement_shares(platform, "all", SINCE, DAY)) == 0


def test_a_report_is_kept_once_and_replaced_whole(db: Engine) -> None:
    other = replace(EFFECT, feature="motion", shape="straight", level="", low=0.1, middle=0.2, high=0.3)
    store_report(db, REPORT, [EFFECT, other])
    assert newest_reports(db) == [REPORT]
    assert effects_of_report(db, REPORT) == [EFFECT, other]
    store_report(db, REPORT, [EFFECT, other])
    changed = replace(REPORT, summary="another")
    store_report(db, changed, [replace(EFFECT, size=0.1)])
    assert newest_reports(db) == [changed]
    assert [each.size for each in effects_of_report(db, changed)] == [0.1]


def test_a_report_that_cannot_be_kept_whole_is_not_kept(db: Engine) -> None:
    store_report(db, REPORT, [EFFECT])
    with pytest.raises(Exception, match="duplicate key"):
        store_report(db, replace(REPORT, summary="new"), [EFFECT, EFFECT])
    assert newest_reports(db) == [REPORT]
    assert effects_of_report(db, REPORT) == [EFFECT]


def test_the_newest_reports_of_each_outcome_stay(db: Engine) -> None:
    for back in range(4):
        for outcome in ("clicks", "conversions"):
            report = replace(REPORT, report_date=DAY - timedelta(days=7 * back), outcome=outcome)
            store_report(db, report, [replace(EFFECT, outcome=outcome)])
    assert forget_reports(db, 3) == 2
    assert [each.outcome for each in newest_reports(db)] == ["clicks", "conversions"]
    assert {each.report_date for each in newest_reports(db)} == {DAY}
    with db.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM ml.creative_effect")).scalar_one() == 6
