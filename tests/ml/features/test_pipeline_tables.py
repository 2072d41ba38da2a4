"""What people read of deals: stages' norms, kinds of ads, owners, reasons; and features of ads by day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from ml.features.pipeline import prepare
from ml.features.pipeline_ad_types import ad_types
from ml.features.pipeline_columns import DAILY_FEATURES
from ml.features.pipeline_daily import pipeline_daily
from ml.features.pipeline_frames import CrmFrames
from ml.features.pipeline_norms import stage_norms
from ml.features.pipeline_peeking import peeking_deal_features
from ml.features.pipeline_people import owner_effects, reason_drift
from ml.features.survival import cumulative_incidence, kaplan_meier
from tests.ml.crm_by_hand import crm, row
from tests.ml.crm_frames import simulated_crm

NOW = pd.Timestamp("2026-04-15")


def test_kaplan_meier_agrees_with_lifelines_also_for_those_watched_late() -> None:
    random = np.random.default_rng(3)
    days, happened = random.exponential(10, 300).round(1) + 0.1, random.random(300) < 0.7
    entered = np.where(random.random(300) < 0.3, days * 0.5, 0.0)
    for late in (None, entered):
        theirs = KaplanMeierFitter().fit(days, happened, entry=late)
        ours = kaplan_meier(days, happened, late)
        assert ours.share == pytest.approx(theirs.predict(ours.days).to_numpy(), abs=1e-9)
    low, high = theirs.confidence_interval_.loc[ours.days].to_numpy().T
    assert ours.low == pytest.approx(low, abs=1e-6)
    assert ours.high == pytest.approx(high, abs=1e-6)


def test_open_deals_are_not_losses() -> None:
    days, ending = np.array([1.0, 2.0, 3.0, 0.5, 0.5]), np.array([1, 2, 1, 0, 0])
    _, share, _ = cumulative_incidence(days, ending, kind=1)
    assert share[-1] == pytest.approx(2 / 3)


def test_a_stages_norm_counts_deals_that_still_wait() -> None:
    deals = {f"d{n}": [("2026-01-01", "first"), (f"2026-01-{3 + n:02}", "second")] for n in range(4)}
    deals |= {f"w{n}": [("2026-01-01", "first")] for n in range(4)}
    norm = row(stage_norms(crm(deals), pd.Timestamp("2026-01-20")), stage_id="first")
    assert (norm["stays"], norm["waiting"], norm["median_days"]) == (8, 4, 5.0)
    without = {deal: path for deal, path in deals.items() if deal[0] == "d"}
    assert row(stage_norms(crm(without)), stage_id="first")["median_days"] == 3.0


def test_a_kind_of_ad_with_few_deals_is_marked_and_pulled_towards_the_others() -> None:
    deals = {
        f"q{n}": [("2026-01-01", "first"), ("2026-01-09", "won" if n < 20 else "lost")] for n in range(100)
    }
    deals |= {f"s{n}": [("2026-01-01", "first"), ("2026-01-09", "won")] for n in range(3)}
    contacts = {deal: {"utm_content": "a1" if deal[0] == "q" else "a2"} for deal in deals}
    table = ad_types(crm(deals, contacts=contacts), pd.Timestamp("2026-02-01"), min_closed=30)
    few, many = row(table, value="statistic_hook"), row(table, kind="hook_type", value="question")
    assert (few["few"], many["few"]) == (True, False)
    assert few["win_rate"] == 1.0
    assert few["shrunk_rate"] < 0.4
    assert many["low"] < 0.2 < many["high"]


def test_owners_are_compared_within_the_mix_of_their_deals() -> None:
    """Ann has the large deals, which nobody wins; within large and small she does as well as Bob."""
    deals, owners, amounts = {}, {}, {}
    for number in range(400):
        large, mine = number % 2 == 0, (number // 2) % 4 > 0
        deal = f"d{number}"
        won = number % 5 == 0 if large else number % 5 != 0
        deals[deal] = [("2026-01-01", "first"), ("2026-01-09", "won" if won else "lost")]
        owners[deal] = "ann" if large == mine else "bob"
        amounts[deal] = [("2026-01-01", 1000.0 if large else 10.0)]
    table = owner_effects(crm(deals, owners=owners, amounts=amounts))
    rates = table.set_index("owner_id")["win_rate"]
    assert rates["bob"] - rates["ann"] > 0.2
    assert table["effect"].abs().max() < 0.03


def test_a_reason_the_crm_did_not_have_before_is_told() -> None:
    deals = {f"o{n}": [("2026-01-01", "first"), ("2026-01-09", "lost")] for n in range(50)}
    deals |= {f"n{n}": [("2026-03-01", "first"), ("2026-03-09", "lost")] for n in range(50)}
    reasons = {deal: "price" if deal[0] == "o" else "went_silent" for deal in deals}
    drift = reason_drift(crm(deals, reasons=reasons), pd.Timestamp("2026-03-10"), 5)
    assert drift.new == ("went_silent",)
    assert drift.distance == pytest.approx(1.0)
    assert drift.p_value < 1e-6
    quiet = reason_drift(crm(deals, reasons=dict.fromkeys(deals, "price")), pd.Timestamp("2026-03-10"), 5)
    assert (quiet.new, quiet.p_value) == ((), 1.0)


def test_what_a_sales_person_wrote_about_one_deal_is_not_told() -> None:
    deals = {f"d{n}": [("2026-01-01", "first"), ("2026-03-09", "lost")] for n in range(12)}
    reasons = dict.fromkeys(deals, "price") | {"d0": "Jane Roe is on leave", "d1": "ask John Doe in May"}
    drift = reason_drift(crm(deals, reasons=reasons), pd.Timestamp("2026-03-10"), 5)
    assert dict(zip(drift.table["reason"], drift.table["recent"], strict=True)) == {"price": 10, "(other)": 2}
    assert drift.new == ("price",)


def ad_days(days: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"account_id": "act", "ad_id": "a1", "metric_date": pd.to_datetime(days)})


def test_an_ads_day_knows_the_deals_before_it_and_not_its_own() -> None:
    frames = crm(
        {"d": [("2026-01-02T10:00", "first"), ("2026-01-04T10:00", "second"), ("2026-01-06T10:00", "won")]},
        amounts={"d": [("2026-01-02T10:00", 100.0), ("2026-01-06T09:00", 80.0)]},
        contacts={"d": {"utm_content": "a1"}},
    )
    made = pipeline_daily(prepare(frames), ad_days([f"2026-01-{day:02}" for day in range(2, 8)]))
    assert made["pipeline_deals"].tolist() == [0, 1, 1, 1, 1, 1]
    assert made["pipeline_open"].tolist() == [0, 1, 1, 1, 1, 0]
    assert made["pipeline_open_value"].tolist() == pytest.approx([0, 20, 20, 50, 50, 0])
    assert made["pipeline_won"].tolist() == [0, 0, 0, 0, 0, 1]
    assert made["pipeline_won_value"].tolist() == [0, 0, 0, 0, 0, 80]
    assert made["pipeline_days_to_close"].tolist()[-1] == pytest.approx(4.0)


def test_features_of_ads_by_day_know_nothing_of_later_deals() -> None:
    frames = simulated_crm()
    ads = frames.ads[["account_id", "ad_id"]].assign(metric_date=NOW)

    def build(known: CrmFrames, moment: np.datetime64) -> pd.DataFrame:
        return pipeline_daily(prepare(known), ads)

    assert peeking_deal_features(build, frames, NOW, seed=2) == []
    made = build(frames, NOW.to_datetime64())
    assert list(made.columns) == list(DAILY_FEATURES)
    assert made["pipeline_deals"].sum() > 100

    def leaking(known: CrmFrames, moment: np.datetime64) -> pd.DataFrame:
        return pipeline_daily(prepare(known), ads.assign(metric_date=NOW + pd.Timedelta(days=30)))

    assert "pipeline_won" in peeking_deal_features(leaking, frames, NOW, seed=2)
