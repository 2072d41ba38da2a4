from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.db.llm_batches import BatchRow, get_batch
from include.llm.errors import PriceUnknown
from include.llm.prices import price_of


def test_every_creative_is_scored_once_and_the_ledger_equals_the_vendors_bill(make_night):
    night = make_night(creatives=7)
    report = night.run()
    assert (report.requests, report.succeeded, report.failed, report.waiting) == (7, 7, 0, 0)
    scores = night.rows("SELECT creative_id, score, critique FROM llm.creative_score")
    assert {row["creative_id"] for row in scores} == {f"c{n}" for n in range(1, 8)}
    assert all(0 <= row["score"] <= 100 and row["critique"] for row in scores)
    assert report.paid_usd == night.vendor_bill_usd() > 0
    assert report.saved_usd == report.paid_usd
    per_day = night.rows(
        "SELECT requests, paid_usd FROM llm.llm_cost_per_day WHERE booked_on = :day", day=night.day
    )
    assert per_day == [{"requests": 7, "paid_usd": report.paid_usd}]
    assert "7 of 7 requests answered in 1 batch" in report.summary


def test_running_the_day_again_leaves_everything_as_it_was(make_night):
    night = make_night()
    first, before = night.run(), night.everything()
    assert night.run() == first
    assert night.everything() == before
    assert night.vendor_batches() == 1


def test_a_day_without_unscored_creatives_succeeds_with_nothing_to_do(make_night):
    night = make_night(creatives=0)
    report = night.run()
    assert (report.requests, report.batches, report.paid_usd) == (0, 0, 0)
    assert report.summary.startswith("Nothing to ask")
    assert night.posts() == 0


def test_a_later_night_does_not_change_what_an_earlier_one_reported(make_night):
    night = make_night(creatives=4)
    night.fault("partial_failure", args={"share": 1.0, "error_type": "overloaded_error"})
    first = night.run()
    assert (first.succeeded, first.waiting, first.paid_usd) == (0, 4, 0)
    today, night.day = night.day, night.day + timedelta(days=1)
    assert night.run().succeeded == 4
    night.day = today
    assert night.report() == first


def test_more_than_a_night_holds_waits_and_the_new_and_the_spenders_go_first(make_night):
    night = make_night(creatives=5, requests_per_night=3)
    with night.engine.begin() as conn:
        conn.execute(text("INSERT INTO ads.campaign (account_id, campaign_id, name) VALUES ('a1', 'k', 'K')"))
        for number, (launched_before, spend) in enumerate(
            [(60, 0), (60, 90), (2, 1), (60, 70), (60, 80)], start=1
        ):
            ad = {
                "ad": f"ad{number}", "creative": f"c{number}", "spend": spend,
                "launched": night.day - timedelta(days=launched_before),
                "yesterday": night.day - timedelta(days=1),
            }  # fmt: skip
            conn.execute(
                text("""
                INSERT INTO ads.ad (account_id, ad_id, campaign_id, creative_id, name, launched_on)
                VALUES ('a1', :ad, 'k', :creative, 'x', :launched)"""),
                ad,
            )
            conn.execute(
                text("""
                INSERT INTO ads.performance_metric
                    (account_id, ad_id, metric_date, impressions, clicks, spend, raw_data)
                VALUES ('a1', :ad, :yesterday, 1, 0, :spend, '{}')"""),
                ad,
            )
    assert night.run().requests == 3
    scored = "SELECT creative_id FROM llm.creative_score ORDER BY creative_id"
    assert [row["creative_id"] for row in night.rows(scored)] == ["c2", "c3", "c5"]
    before = night.everything()
    assert night.run().requests == 3
    assert night.everything() == before
    night.day += timedelta(days=1)
    assert night.run().requests == 2
    assert len(night.rows(scored)) == 5


def test_creatives_that_ask_the_same_question_share_one_request_and_all_get_the_score(make_night):
    night = make_night(creatives=2)
    copy = """
        INSERT INTO ads.creative (account_id, creative_id, hook_type, hook_text, persona, cta, format)
        SELECT account_id, :id, hook_type, hook_text, persona, cta, format FROM ads.creative
        WHERE creative_id = 'c1'"""
    with night.engine.begin() as conn:
        conn.execute(text(copy), {"id": "twin"})
    assert night.run().requests == 2
    scores = {row["creative_id"]: row["score"] for row in night.rows("SELECT * FROM llm.creative_score")}
    assert scores["twin"] == scores["c1"]
    with night.engine.begin() as conn:
        conn.execute(text(copy), {"id": "latecomer"})
    assert night.run().requests == 2, "a question that was answered is not asked again"
    assert night.one("SELECT score FROM llm.creative_score WHERE creative_id = 'latecomer'") == scores["c1"]


def test_a_night_is_split_by_the_vendors_limits(make_night):
    night = make_night(creatives=7, batch_max_requests=3)
    assert night.run().batches == 3
    assert [
        row["request_count"] for row in night.rows("SELECT request_count FROM llm.llm_batch ORDER BY chunk")
    ] == [3, 3, 1]
    assert night.states() == {"succeeded": 7}


def test_a_request_no_batch_can_carry_fails_alone(make_night):
    night = make_night(creatives=3, batch_max_bytes=4_000)
    with night.engine.begin() as conn:
        conn.execute(
            text("UPDATE ads.creative SET hook_text = repeat('long ', 2000) WHERE creative_id = 'c2'")
        )
    night.run()
    assert night.states() == {"succeeded": 2, "failed": 1}
    assert "too large" in night.one("SELECT error FROM llm.llm_request WHERE state = 'failed'")


def test_a_model_without_a_price_is_refused_before_anything_is_sent(make_night):
    night = make_night(scoring_model="claude-unpriced-1")
    with pytest.raises(PriceUnknown, match="claude-unpriced-1"):
        night.queue()
    with pytest.raises(PriceUnknown):
        night.plan()
    assert night.states() == {}
    assert night.posts() == 0


def test_a_night_before_the_first_known_price_is_refused(make_night):
    night = make_night()
    with pytest.raises(PriceUnknown, match="only from"):
        price_of(night.settings.prices, "anthropic", "claude-haiku-4-5", night.day.replace(year=2020))


def test_two_plans_at_once_give_each_request_to_one_batch(make_night):
    night = make_night(creatives=40, batch_max_requests=10)
    night.queue()
    with ThreadPoolExecutor(4) as workers:
        plans = list(workers.map(lambda _: night.plan(), range(4)))
    assert {len(plan) for plan in plans} == {4}
    assert night.one("SELECT count(*) FROM llm.llm_batch_item") == 40
    assert night.one("SELECT count(DISTINCT request_id) FROM llm.llm_batch_item") == 40


def test_a_night_cut_short_is_brought_to_its_end_by_the_next(make_night):
    night = make_night(creatives=3)
    night.queue()
    (batch_id,) = night.plan()
    night.day += timedelta(days=1)
    night.run()
    with night.engine.connect() as conn:
        batch: BatchRow = get_batch(conn, batch_id)
    assert batch.state == "collected"
    assert night.one("SELECT sum(paid_usd) FROM llm.llm_cost") == night.vendor_bill_usd() > Decimal(0)
