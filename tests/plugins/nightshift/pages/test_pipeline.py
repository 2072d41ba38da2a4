"""The page about the pipeline: behind Airflow's login, true to the kept forecast, plain about what is
missing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from include.db.pipeline import PipelineReport, forecasts, newest_report, replace_forecast

TODAY = datetime.now(UTC).date()
EVIL = "<script>alert(1)</script>"


def a_row(level: str, campaign: str = "", ad: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "level": level,
        "account_id": "act_1" if campaign else "",
        "campaign_id": campaign,
        "ad_id": ad,
        "deals": 40,
        "open_deals": 12,
        "won_deals": 9,
        "won_value": 9000.0,
        "expected_value": 3000.0,
        "value_low": 10000.0,
        "value_high": 15000.0,
        "crm_value": 7000.0,
        "spend": 6000.0,
        "roas": 2.0,
        "roas_low": 1.67,
        "roas_high": 2.5,
        "days_to_close": 11.4,
        **changes,
    }


def told(**changes: Any) -> dict[str, Any]:
    ad_type = {
        "kind": "hook_type", "value": "social_proof", "deals": 80, "open_deals": 9, "win_rate": 0.4,
        "expected_rate": 0.28, "shrunk_rate": 0.36, "low": 0.3, "high": 0.42, "median_days": 13.0,
        "days_low": 11.0, "days_high": None, "value_per_deal": 500.0, "few": False,
    }  # fmt: skip
    norm = {
        "pipeline_id": "default", "stage_id": "offer", "label": "Offer made", "display_order": 1,
        "stays": 300, "waiting": 20, "median_days": 7.0, "low": 6.5, "high": 7.5, "won_share": 0.31,
        "crm_probability": 0.8,
    }  # fmt: skip
    return {
        "data_until": "2026-06-01 01:10",
        "window_days": 90,
        "horizon_days": 60,
        "interval": 0.9,
        "matched_by": {"click": 70, "unattributed": 10},
        "attributed_share": 0.875,
        "without_deals": {"accounts": 4, "spend": 1200.0},
        "ad_types": [ad_type, {**ad_type, "value": "question", "few": True, "deals": 4}],
        "stage_norms": [norm],
        "owners": [],
        "reasons": {
            "rows": [
                {
                    "reason": "price", "outcome": "lost", "recent": 3, "before": 20, "recent_share": 0.3,
                    "before_share": 0.4,
                }
            ],
            "distance": 0.1,
            "p_value": 0.4,
            "new": [],
        },
        "model": {
            "mape_campaign": 0.0977, "mape_stage_table": 0.29, "mape_last_month": 0.12, "mape_luck": 0.094,
            "coverage": 0.85, "ratio_open": 1.0, "campaigns": 71, "trained_for": "2026-05-31",
            "judged_at": "2026-04-01", "gates": "passed",
        },
        **changes,
    }  # fmt: skip


def keep(db: Engine, rows: list[dict[str, Any]], day: date = TODAY, **changes: Any) -> None:
    report = PipelineReport(day, "pipeline_value", 3, told(**changes), datetime.now(UTC))
    replace_forecast(db, report, rows)


def test_nobody_reads_it_without_logging_in(airflow_app: Any) -> None:
    assert airflow_app.get("/nightshift/pipeline").status_code == 401


def test_it_is_in_airflows_browse_menu(visitor: Any) -> None:
    plugins = visitor.get("/api/v2/plugins", params={"limit": 100}).json()["plugins"]
    (found,) = (view for each in plugins for view in each["external_views"] if view["name"] == "Pipeline")
    assert (found["href"], found["category"]) == ("/nightshift/pipeline", "browse")


def test_an_empty_house_says_what_to_run(visitor: Any) -> None:
    page = visitor.get("/nightshift/pipeline")
    assert page.status_code == 200
    assert "Run hubspot_etl to load deals, then train_pipeline_value" in page.text


def test_returns_intervals_kinds_norms_and_the_models_error_are_shown(db: Engine, visitor: Any) -> None:
    rows = [a_row("campaign", "c1"), a_row("campaign", "c2", spend=9000.0, deals=3), a_row("ad", "c1", "a1")]
    keep(db, [*rows, a_row("campaign", spend=0.0, roas=None, roas_low=None, roas_high=None, deals=10)])
    page = visitor.get("/nightshift/pipeline").text
    for words in (
        "Pipeline ROAS of all campaigns with deals: 1.60×",
        "4 accounts without a single deal in the CRM ($1,200 spent)",
        "<b>2.00×</b>",
        "1.67× to 2.50×",
        "90 % interval",
        "10 deals without a trace",
        "88 % of 53 deals are traced",
        "click id 88 %, no trace 12 %",
        "social proof",
        "few deals",
        "30 % to 42 %",
        "11 d to –",
        "Offer made",
        "missed campaigns by <b>9.8 %</b>",
        "stage table by 29.0 %",
        "pipeline_value v3, trained for 2026-05-31",
        "deals up to 2026-06-01 01:10 UTC",
    ):
        assert words in page, words
    assert page.index(">c2<") < page.index(">c1<"), "most spend first"
    assert "<small>few</small>" in page
    assert "<script" not in page


def test_an_old_forecast_says_so(db: Engine, visitor: Any) -> None:
    keep(db, [a_row("campaign", "c1")], TODAY - timedelta(days=5))
    page = visitor.get("/nightshift/pipeline").text
    assert "This forecast is 5 days old: look whether hubspot_etl and forecast_pipeline run." in page
    assert 'class="note bad"' in page


def test_a_day_forecast_again_is_replaced_whole(db: Engine) -> None:
    keep(db, [a_row("campaign", "c1"), a_row("campaign", "c2")])
    keep(db, [a_row("campaign", "c2", deals=7)], attributed_share=0.5)
    assert [(row["campaign_id"], row["deals"]) for row in forecasts(db, TODAY, "campaign", 9)] == [("c2", 7)]
    report = newest_report(db)
    assert report is not None
    assert report.told["attributed_share"] == 0.5
    assert newest_report(db, TODAY - timedelta(days=1)) is None


@pytest.mark.parametrize("share", [None, 0.0])
def test_nothing_attributed_and_nothing_in_the_tables_is_readable(
    share: float | None, db: Engine, visitor: Any
) -> None:
    keep(
        db, [], matched_by={}, attributed_share=share, ad_types=[], stage_norms=[],
        model={"trained_for": "", "gates": ""},
        reasons={"rows": [], "distance": 0.0, "p_value": 1.0, "new": []},
    )  # fmt: skip
    page = visitor.get("/nightshift/pipeline")
    assert page.status_code == 200
    for words in (
        "No deal of these days is traced to a campaign",
        "No deal is traced to a single ad",
        "run hubspot_etl",
    ):
        assert words in page.text


def test_what_others_wrote_stays_words(db: Engine, visitor: Any) -> None:
    row = {
        "reason": EVIL,
        "outcome": "lost",
        "recent": 3,
        "before": 0,
        "recent_share": 1.0,
        "before_share": 0.0,
    }
    keep(
        db,
        [a_row("campaign", EVIL), a_row("ad", EVIL, EVIL)],
        reasons={"rows": [row], "distance": 1.0, "p_value": 0.0, "new": [EVIL]},
        data_until=EVIL,
    )
    page = visitor.get("/nightshift/pipeline").text
    assert "<script" not in page
    assert "New in the last 30 days" in page
