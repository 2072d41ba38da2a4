"""The ads context: merges that change nothing twice, and the reader that training and drift live on."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from include.db import ads
from include.simulator import WorldConfig
from include.simulator.loading import load_world


def fill(db: Engine, account_id: str, source: str, days: list[date | None], **changes: Any) -> ads.Merged:
    key = {"account_id": account_id}
    with db.begin() as connection:
        ads.upsert_accounts(connection, [key | {"name": account_id, "niche": "food", "source": source}])
        ads.upsert_campaigns(connection, [key | {"campaign_id": "c", "name": "Spring"}])
        ads.upsert_creatives(
            connection,
            [
                key
                | {
                    "creative_id": "k",
                    "hook_type": "question",
                    "visual_tags": ["a", 'b "c"'],
                    "dna": {"x": 1},
                }
            ],
        )
        ads.upsert_ads(
            connection, [key | {"ad_id": "1", "campaign_id": "c", "creative_id": "k", "name": "Ad"}]
        )
        row = key | {
            "ad_id": "1", "breakdown": "", "impressions": 100, "clicks": 2, "spend": Decimal("1.10"),
            "raw_data": {"frequency": "1.5", "age": "18-24"}, **changes,
        }  # fmt: skip
        return ads.upsert_performance(connection, [row | {"metric_date": day} for day in days])


DAYS = [date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3)]


def test_a_merge_tells_new_changed_and_unchanged_rows(db: Engine) -> None:
    assert fill(db, "act_1", "sandbox", DAYS[:2]) == ads.Merged(2, 0, 0)
    assert fill(db, "act_1", "sandbox", DAYS) == ads.Merged(1, 0, 2)
    assert fill(db, "act_1", "sandbox", DAYS, clicks=3) == ads.Merged(0, 3, 0)


def test_rows_without_a_day_have_one_place(db: Engine) -> None:
    fill(db, "kag", "export", [None])
    assert fill(db, "kag", "export", [None], clicks=3) == ads.Merged(0, 1, 0)
    (totals,) = ads.account_totals(db, "kag")
    assert (totals.rows, totals.clicks, totals.first_day) == (1, 3, None)
    assert ads.latest_day(db, "kag") is None


def test_all_means_the_accounts_an_api_feeds(db: Engine) -> None:
    fill(db, "act_1", "sandbox", DAYS)
    fill(db, "act_2", "meta", DAYS[:1])
    fill(db, "kag", "export", [None])
    assert [a.account_id for a in ads.accounts(db)] == ["act_1", "act_2"]
    assert ads.accounts_in_shares(db, 1) == [["act_1"], ["act_2"]]
    assert set(ads.read_performance(db)["account_id"]) == {"act_1", "act_2"}
    assert set(ads.read_performance(db, "kag")["account_id"]) == {"kag"}
    assert ads.latest_day(db) == DAYS[-1]


def test_the_reader_joins_what_is_known_and_cuts_the_window(db: Engine) -> None:
    fill(db, "act_1", "sandbox", DAYS)
    rows = ads.read_performance(db, "act_1", since=DAYS[1], until=DAYS[1])
    assert len(rows) == 1
    row = rows.iloc[0]
    assert (row["niche"], row["campaign_name"], row["hook_type"], row["age"]) == (
        "food", "Spring", "question", "18-24",
    )  # fmt: skip
    assert row["visual_tags"] == ["a", 'b "c"']
    assert (row["frequency"], row["spend"]) == (1.5, 1.1)
    assert row["metric_date"].date() == DAYS[1]


def test_an_empty_database_reads_as_an_empty_table_with_its_columns(db: Engine) -> None:
    rows = ads.read_performance(db)
    assert rows.empty
    assert {"hook_type", "metric_date", "clicks", "frequency"} <= set(rows.columns)
    assert str(rows["metric_date"].dtype) == "datetime64[s]"
    assert ads.latest_day(db) is None
    assert ads.account_totals(db) == []
    assert ads.accounts_in_shares(db, 10) == []


def test_what_a_source_does_not_know_of_a_creative_stays(db: Engine) -> None:
    fill(db, "act_1", "sandbox", DAYS[:1])
    with db.begin() as connection:
        ads.upsert_creatives(connection, [{"account_id": "act_1", "creative_id": "k", "hook_text": "Hello"}])
    row = ads.read_performance(db).iloc[0]
    assert (row["hook_text"], row["hook_type"]) == ("Hello", "question")


def test_a_failing_merge_leaves_nothing_behind(db: Engine) -> None:
    with pytest.raises(Exception, match="performance_metric_impressions_check"):
        fill(db, "act_1", "sandbox", DAYS, impressions=-1)
    assert ads.accounts(db) == []


def test_placements_are_read_from_the_breakdown_and_add_up(db: Engine) -> None:
    world = WorldConfig(accounts=2, start=date(2026, 1, 1), days=5)
    load_world(db, world)
    cells = ads.read_placements(db, "all", date(2026, 1, 2), date(2026, 1, 4))
    rows = ads.read_performance(db, "all", date(2026, 1, 2), date(2026, 1, 4))
    assert cells["impressions"].sum() == rows["impressions"].sum() > 0
    assert cells["clicks"].sum() == rows["clicks"].sum()
    assert "instagram, instagram_reels" in set(cells["placement"])


def test_rows_without_a_breakdown_have_no_placements(db: Engine) -> None:
    fill(db, "act_1", "sandbox", DAYS)
    assert ads.read_placements(db, "all", DAYS[0], DAYS[-1]).empty
