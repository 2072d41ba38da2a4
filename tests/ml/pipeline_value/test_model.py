"""The model of deals: chances that are chances, time that respects what is known, better than the old
rules.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.features.pipeline import deal_features, open_moments, prepare
from ml.features.pipeline_frames import naive
from ml.pipeline_value import PipelineModel, PipelineModelInvalid, TooFewDeals, fingerprint, train_pipeline
from ml.pipeline_value.amounts import AmountModel
from ml.pipeline_value.forecast import deviations, interval, outlook, pipeline_roas
from ml.pipeline_value.periods import EDGES, LOST, OPEN, WON, person_periods
from tests.ml.crm_by_hand import crm, row
from tests.ml.crm_frames import simulated_crm
from tests.ml.pipeline_value.settings import SETTINGS

DAY = pd.Timestamp("2026-06-10")


@pytest.fixture(scope="module")
def frames():
    return simulated_crm(seed=5, accounts=30, days=170)


@pytest.fixture(scope="module")
def training(frames):
    return train_pipeline(frames, DAY, SETTINGS)


@pytest.fixture(scope="module")
def histories(frames):
    return prepare(frames.known(DAY))


@pytest.fixture(scope="module")
def forecast(training, histories):
    return training.model.forecast(deal_features(histories, *open_moments(histories, naive(DAY))))


def test_an_open_deal_is_open_as_long_as_it_was_seen_and_nothing_after() -> None:
    deals = {
        "won": [("2026-01-01", "first"), ("2026-01-04", "won")],
        "open": [("2026-01-01", "first")],
    }
    histories = prepare(crm(deals, amounts={"won": [("2026-01-01", 10.0), ("2026-01-04", 12.0)]}))
    periods = person_periods(histories, naive("2026-01-15"), naive("2025-01-01"), seed=1)
    at_birth = {
        deal: np.flatnonzero(
            (periods.codes == code) & (periods.moments == histories.deals["created_at"].to_numpy()[code])
        )[0]
        for code, deal in enumerate(histories.deals["deal_id"])
    }
    ended = {deal: periods.ended[periods.look == look].tolist() for deal, look in at_birth.items()}
    assert ended["won"] == [OPEN, WON]
    assert ended["open"] == [OPEN] * int((EDGES <= 14).sum())
    assert LOST not in periods.ended
    assert periods.final_amount[at_birth["won"]] == 12.0


def test_a_stretch_that_is_not_wholly_seen_counts_for_no_deal_even_if_it_ended_in_it() -> None:
    """Else the newest looks would all be at deals that ended."""
    deals = {
        "won": [("2026-01-01", "first"), ("2026-01-02", "won")],
        "open": [("2026-01-01", "first")],
    }
    periods = person_periods(prepare(crm(deals)), naive("2026-01-02T12:00"), naive("2025-01-01"), seed=1)
    assert len(periods.ended) == 0


def test_chances_grow_with_the_days_ahead_and_never_exceed_one(forecast) -> None:
    for within in (forecast.won_within, forecast.lost_within):
        assert (np.diff(within, axis=1) >= 0).all()
    both = forecast.won_within[:, -1] + forecast.lost_within[:, -1]
    assert (both <= 1 + 1e-9).all()
    assert (forecast.won_by(10) <= forecast.won_by(40)).all()
    assert (forecast.won_by(10_000) == forecast.won_ever).all()
    assert ((forecast.days_to_close() > 0) & (forecast.days_to_close() <= EDGES[-1])).all()


def test_it_errs_less_than_the_stage_table_and_its_chances_are_about_right(training) -> None:
    metrics = training.judgement.metrics
    assert metrics["mape_campaign"] < metrics["mape_stage_table"]
    assert metrics["wape_open_model"] < metrics["wape_open_stage_table"]
    assert 0.6 < metrics["ratio_wins"] < 1.6
    assert metrics["auc_open"] > 0.6
    assert metrics["log_loss_open"] < metrics["log_loss_open_constant"]
    assert training.model.spread >= 1.0


def test_the_future_changes_nothing_of_a_training(frames, training) -> None:
    """What happened after the day is in the rows, and another training ignores it to the last digit."""
    again = train_pipeline(frames.known(DAY), DAY, SETTINGS)
    assert again.judgement.metrics == training.judgement.metrics
    assert again.model.booster.model_to_string() == training.model.booster.model_to_string()
    assert fingerprint(frames.known(DAY)) == fingerprint(frames.known(DAY))
    assert fingerprint(frames.known(DAY)) != fingerprint(frames)


def test_a_model_read_back_tells_the_same(training, histories, forecast, tmp_path: Path) -> None:
    training.model.save(tmp_path)
    loaded = PipelineModel.load(tmp_path)
    told = loaded.forecast(deal_features(histories, *open_moments(histories, naive(DAY))))
    assert told.won_within == pytest.approx(forecast.won_within)
    assert told.amount == pytest.approx(forecast.amount)
    assert loaded.spread == training.model.spread
    (tmp_path / "model.json").write_text('{"form": 0}')
    with pytest.raises(PipelineModelInvalid, match="train it anew"):
        PipelineModel.load(tmp_path)


def test_deals_of_levels_never_seen_are_forecast_too(training, histories) -> None:
    codes, moments = open_moments(histories, naive(DAY))
    deals = deal_features(histories, codes[:3], moments[:3]).assign(
        niche="asteroids", hook_type=None, amount=np.nan
    )
    told = training.model.forecast(deals)
    assert np.isfinite(told.won_ever).all()
    assert (told.amount > 0).all()
    with pytest.raises(ValueError, match="no column niche"):
        training.model.forecast(deals.drop(columns="niche"))
    assert len(training.model.forecast(deals.iloc[:0]).won_ever) == 0


def test_too_few_deals_say_how_many_there_are_and_are_needed(frames) -> None:
    with pytest.raises(TooFewDeals, match=r"\d+ won \(at least 100000 needed\)"):
        train_pipeline(frames, DAY, replace(SETTINGS, min_won=100_000))
    with pytest.raises(TooFewDeals, match="0 closed"):
        train_pipeline(frames, pd.Timestamp("2026-01-06"), SETTINGS)
    with pytest.raises(TooFewDeals, match="no campaign has 100000 deals"):
        train_pipeline(frames, DAY, replace(SETTINGS, min_campaign_deals=100_000))


def test_a_version_that_misses_its_gates_says_which(frames, training) -> None:
    assert training.failed_gates == ()
    strict = replace(SETTINGS.gates, mape_campaign=0.0001, coverage_low=0.9999)
    failed = train_pipeline(frames, DAY, replace(SETTINGS, gates=strict)).failed_gates
    assert any("campaigns are missed by" in each for each in failed)


def test_return_adds_up_over_ads_campaigns_and_the_unattributed(training, histories, frames) -> None:
    look = outlook(training.model, histories, naive(DAY), SETTINGS)
    paid = frames.known(DAY).spend.merge(
        frames.ads[["account_id", "ad_id", "campaign_id"]], on=["account_id", "ad_id"]
    )
    tables = {
        level: pipeline_roas(look, paid, level, naive(DAY), SETTINGS, spread=1.0)
        for level in ("campaign", "ad")
    }
    for table in tables.values():
        assert table["deals"].sum() == len(look.deals)
        assert table["total"].sum() == pytest.approx(
            look.deals["won_value"].sum() + look.deals["expected_value"].sum()
        )
        assert (table["low"] <= table["total"] + 1e-6).all()
        assert (table["high"] >= table["total"] - 1e-6).all()
        assert (table["low"] >= table["won_value"] - 1e-6).all(), "what is won stays won"
    assert tables["ad"]["spend"].sum() == pytest.approx(tables["campaign"]["spend"].sum())
    apart = row(tables["campaign"], account_id="")
    assert apart["deals"] == look.deals["campaign_id"].isna().sum() > 0
    assert np.isnan(apart["roas"])
    wider = pipeline_roas(look, paid, "campaign", naive(DAY), SETTINGS, spread=3.0)
    assert (wider["high"] - wider["low"]).sum() > (
        tables["campaign"]["high"] - tables["campaign"]["low"]
    ).sum()


def test_an_interval_holds_the_expectation_of_one_deal_of_small_chance() -> None:
    deals = pd.DataFrame({"is_open": [True], "chance": [0.02], "amount_if_won": [1000.0]})
    drawn = deviations(deals, np.array([0.1]), np.array([0]), 1, SETTINGS)
    assert np.quantile(drawn, 0.95) == -20.0, "by quantiles alone, 20 dollars are outside"
    low, high = interval(drawn, 0.9)
    assert low[0] <= 0.0 <= high[0]


def test_a_won_deal_brings_the_amount_by_then_times_what_its_stage_ended_with() -> None:
    looks = pd.DataFrame({"pipeline_id": "p", "stage_id": ["s"] * 200 + ["t"] * 200, "amount": 100.0})
    final = np.repeat([80.0, 120.0], 200)
    model = AmountModel.fit(looks, final)
    asked = pd.DataFrame(
        {
            "pipeline_id": ["p", "p", "p", "q"],
            "stage_id": ["s", "t", "new", "s"],
            "amount": [10.0, 10.0, 10.0, None],
        }
    )
    amount, _ = model.expect(asked)
    assert amount == pytest.approx([8.2, 11.8, 10.0, 100.0], abs=0.05)
