"""What to mine and how far it got, the raw data as columns, and mined rows stored once."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pytest
from sqlalchemy import Engine, text

from include.db import ads
from include.db import mined as db_mined
from include.db.mined import RawDataUnreadable, accounts_to_mine, now_seen, read_mined, read_raw, store_mined
from include.meta_ads.rows import PURCHASE_TYPES
from ml.features.mined import mine
from ml.features.mined_cells import BREAKDOWNS, DEVICE, HOUR, PEOPLE, PLACEMENT
from ml.features.mined_definitions import MINED_NAMES, RECIPE

DAY = date(2026, 1, 5)
RAW: dict[str, Any] = {
    "reach": "800",
    "frequency": "1.25",
    "inline_link_clicks": "9",
    "quality_ranking": "BELOW_AVERAGE_20",
    "video_play_actions": [{"action_type": "video_view", "value": "600"}],
    "video_p25_watched_actions": [{"action_type": "video_view", "value": "300"}],
    "actions": [
        {"action_type": "purchase", "value": "9", "7d_click": "9"},
        {"action_type": "omni_purchase", "value": "4", "7d_click": "3", "1d_view": "1"},
        {"action_type": "link_click", "value": "10"},
    ],
    "breakdowns": {
        "publisher_platform,platform_position": [
            {
                "publisher_platform": "instagram",
                "platform_position": "instagram_reels",
                "impressions": "600",
                "clicks": "8",
                "spend": "6.50",
                "actions": [
                    {"action_type": "offsite_conversion.fb_pixel_purchase", "value": "7"},
                    {"action_type": "purchase", "value": "2"},
                    {"action_type": "omni_purchase", "value": "3"},
                ],
            },
            {"publisher_platform": "unallocated", "platform_position": "unallocated", "impressions": "400"},
        ],
        "age,gender": [{"gender": "female", "age": "25-34", "impressions": "1000", "clicks": "12"}],
        "impression_device": [],
        "hourly_stats_aggregated_by_advertiser_time_zone": [
            {"hourly_stats_aggregated_by_advertiser_time_zone": "13:00:00 - 13:59:59", "impressions": "1000"}
        ],
        "country": [{"country": "DE", "impressions": "1000"}],
    },
}


def load(db: Engine, days: list[date | None], raw: dict[str, Any] = RAW, *, account: str = "act_1") -> None:
    with db.begin() as connection:
        ads.upsert_accounts(
            connection,
            [{"account_id": account, "name": account, "niche": None, "currency": "USD", "source": "meta"}],
        )
        ads.upsert_campaigns(
            connection,
            [
                {
                    "account_id": account, "campaign_id": "c", "name": "c", "status": "active",
                    "daily_budget": None,
                }
            ],
        )  # fmt: skip
        ads.upsert_creatives(
            connection, [{"account_id": account, "creative_id": "k", "duration_s": Decimal(20)}]
        )
        ads.upsert_ads(
            connection,
            [
                {
                    "account_id": account, "ad_id": "007", "campaign_id": "c", "creative_id": "k",
                    "name": "a", "launched_on": None,
                }
            ],
        )  # fmt: skip
        ads.upsert_performance(
            connection,
            [
                {
                    "account_id": account, "ad_id": "007", "metric_date": day, "breakdown": "",
                    "impressions": 1000, "clicks": 12, "spend": Decimal("10.50"), "conversions": Decimal(4),
                    "conversion_value": Decimal(200), "raw_data": raw,
                }
                for day in days
            ],
        )  # fmt: skip


def raw_of(db: Engine, accounts: list[str], since: date = DAY, cells_since: date = DAY) -> db_mined.RawShare:
    return read_raw(
        db, accounts, since=since, cells_since=cells_since, breakdowns=BREAKDOWNS,
        purchase_types=PURCHASE_TYPES,
    )  # fmt: skip


def test_the_table_has_a_column_for_every_feature_and_no_other(db: Engine) -> None:
    with db.connect() as connection:
        query = text("""
            SELECT column_name FROM information_schema.columns
            WHERE table_schema = 'ads' AND table_name = 'mined_feature' ORDER BY ordinal_position
        """)
        columns = list(connection.execute(query).scalars())
    assert set(columns[3:-1]) == set(MINED_NAMES)
    assert len(columns) == len(MINED_NAMES) + 4


def test_raw_data_arrive_as_columns_with_one_purchase_type_picked(db: Engine) -> None:
    load(db, [DAY])
    raw = raw_of(db, ["act_1"])
    (told,) = raw.ad_days.rows(named=True)
    assert (told["ad_id"], told["metric_date"], told["duration_s"]) == ("007", DAY, 20.0)
    assert (told["reach"], told["frequency"], told["inline_link_clicks"]) == (800.0, 1.25, 9.0)
    assert (told["unique_clicks"], told["plays"], told["p25"], told["p50"]) == (None, 600.0, 300.0, None)
    assert (told["purchases"], told["purchases_7d_click"], told["purchases_1d_view"]) == (4.0, 3.0, 1.0)
    assert (told["quality_ranking"], told["engagement_rate_ranking"]) == ("BELOW_AVERAGE_20", None)
    assert sorted(raw.cells.rows()) == [
        (0, PLACEMENT, "instagram,instagram_reels", 600.0, 8.0, 6.5, 3.0),
        (0, PLACEMENT, "unallocated,unallocated", 400.0, 0.0, 0.0, None),
        (0, PEOPLE, "25-34,female", 1000.0, 12.0, 0.0, None),
        (0, HOUR, "13:00:00 - 13:59:59", 1000.0, 0.0, 0.0, None),
    ]
    assert DEVICE not in raw.cells["breakdown"]


def test_cells_tell_purchases_by_the_type_of_their_day_even_where_they_lack_it(db: Engine) -> None:
    bought = RAW["breakdowns"]["publisher_platform,platform_position"][0]
    without = {**bought, "actions": bought["actions"][:2]}
    raw = {**RAW, "breakdowns": {"publisher_platform,platform_position": [without]}}
    by_value = {**raw, "actions": None, "action_values": [{"action_type": "purchase", "value": "30"}]}
    load(db, [DAY], raw)
    load(db, [DAY], by_value, account="act_2")
    # Another type than the day's tells other purchases, so the first cell knows none.
    assert raw_of(db, ["act_1", "act_2"]).cells["purchases"].to_list() == [None, 2.0]


def test_cells_belong_to_the_right_rows_and_older_ones_stay_unread(db: Engine) -> None:
    days = [DAY - timedelta(days=back) for back in range(3)]
    for number, account in enumerate(("act_1", "act_2")):
        changed = json.loads(json.dumps(RAW))
        changed["breakdowns"]["age,gender"][0]["impressions"] = str(number)
        load(db, list(days), changed, account=account)
    raw = raw_of(db, ["act_2", "act_1"], since=DAY - timedelta(days=2), cells_since=DAY)
    assert len(raw.ad_days) == 6
    people = raw.cells.filter(pl.col("breakdown") == PEOPLE)
    for row, shown in people.select("row", "impressions").rows():
        told = raw.ad_days.row(row, named=True)
        assert (told["metric_date"], told["account_id"]) == (DAY, f"act_{int(shown) + 1}")
    assert len(people) == 2


def test_accounts_without_rows_or_breakdowns_give_empty_columns(db: Engine) -> None:
    assert raw_of(db, ["nobody"]).ad_days.is_empty()
    load(db, [DAY], {"breakdowns": None, "actions": {}})
    raw = raw_of(db, ["act_1"])
    assert (len(raw.ad_days), len(raw.cells)) == (1, 0)
    assert mine(raw.ad_days, raw.cells)["feed_share"].to_list() == [None]


def test_a_figure_that_is_no_number_is_told_with_what_to_do(db: Engine) -> None:
    load(db, [DAY], {**RAW, "reach": "many"})
    with pytest.raises(RawDataUnreadable, match=r'"many"\'; run meta_insights_etl for the day again'):
        raw_of(db, ["act_1"])


def mined_once(db: Engine) -> tuple[pl.DataFrame, datetime]:
    seen = now_seen(db)
    raw = raw_of(db, ["act_1"], since=date(2000, 1, 1), cells_since=date(2000, 1, 1))
    return mine(raw.ad_days, raw.cells), seen


def test_what_was_mined_is_left_alone_until_it_changes(db: Engine) -> None:
    load(db, [DAY - timedelta(days=1), DAY, None])
    assert [(each.account_id, each.since) for each in accounts_to_mine(db, RECIPE)] == [
        ("act_1", DAY - timedelta(days=1))
    ]
    # A row without a day cannot be mined, and is not among them.
    mined, seen = mined_once(db)
    assert store_mined(db, mined, ["act_1"], RECIPE, seen) == 2
    assert accounts_to_mine(db, RECIPE) == []
    assert store_mined(db, mined, ["act_1"], RECIPE, seen) == 0

    load(db, [DAY - timedelta(days=1)])
    assert accounts_to_mine(db, RECIPE) == []
    load(db, [DAY], {**RAW, "frequency": "2"})
    assert [each.since for each in accounts_to_mine(db, RECIPE)] == [DAY]
    mined, seen = mined_once(db)
    assert store_mined(db, mined, ["act_1"], RECIPE, seen) == 1
    assert [each.since for each in accounts_to_mine(db, "another recipe")] == [DAY - timedelta(days=1)]


def test_a_write_that_began_before_and_ends_after_mining_is_not_missed(db: Engine) -> None:
    load(db, [DAY - timedelta(days=1)])
    with psycopg.connect(db.url.set(drivername="postgresql").render_as_string(hide_password=False)) as slow:
        slow.execute(
            "INSERT INTO ads.performance_metric (account_id, ad_id, metric_date, impressions, clicks, spend, "
            "raw_data) VALUES ('act_1', '007', %s, 1, 0, 0, '{}')",
            [DAY],
        )
        mined, seen = mined_once(db)
        store_mined(db, mined, ["act_1"], RECIPE, seen)
        slow.commit()
    assert accounts_to_mine(db, RECIPE)[0].since <= DAY


def test_mined_features_come_back_as_they_were_stored_and_unknown_ones_as_nan(db: Engine) -> None:
    load(db, [DAY])
    mined, seen = mined_once(db)
    store_mined(db, mined, ["act_1"], RECIPE, seen)
    told = read_mined(db, ["reels_share", "frequency", "ios_share"], "all", DAY, DAY)
    assert told["ad_id"].tolist() == ["007"]
    assert told["metric_date"].tolist() == [np.datetime64(DAY)]
    assert told["reels_share"].tolist() == [1.0]
    assert told["frequency"].tolist() == [1.25]
    assert np.isnan(told["ios_share"]).all()
    assert read_mined(db, ["frequency"], "somebody else", DAY, DAY).empty
    rows, known = db_mined.coverage(db, DAY, 7)
    assert (rows, known["frequency"], known["ios_share"]) == (1, 1.0, 0.0)
    assert db_mined.coverage(db, DAY - timedelta(days=1), 7)[0] == 0
    assert db_mined.newest_mined_day(db) == DAY


def test_an_ad_that_is_removed_takes_its_features_along(db: Engine) -> None:
    load(db, [DAY])
    mined, seen = mined_once(db)
    store_mined(db, mined, ["act_1"], RECIPE, seen)
    with db.begin() as connection:
        ads.delete_accounts(connection, "meta")
    assert db_mined.newest_mined_day(db) is None
    assert store_mined(db, mined, ["act_1"], RECIPE, seen) == 0
