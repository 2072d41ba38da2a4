"""The planted effects are really in the clicks, and a planted change is big enough to be found."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from include.simulator import DriftEvent, SimulatedWorld, WorldConfig, truth
from include.simulator import vocabulary as words

CONFIG = WorldConfig(accounts=60, days=90, start=date(2026, 1, 5))


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.generate(CONFIG)


def residual(daily: pd.DataFrame) -> float:
    """Standardised distance of all clicks from what the truth expects."""
    expected = daily["impressions"] * daily["true_ctr"]
    return float((daily["clicks"].sum() - expected.sum()) / np.sqrt(expected.sum()))


@pytest.mark.parametrize(
    ("table", "vocabulary"),
    [
        (truth.NICHE, words.NICHES),
        (truth.HOOK, words.HOOK_TYPES),
        (truth.HOOK_AFTER, words.HOOK_TYPES),
        (truth.PATTERN, words.VISUAL_PATTERNS),
        (truth.FORMAT, words.FORMATS),
        (truth.CTA, words.CTAS),
        (truth.PERSONA_AGES, words.PERSONAS),
        (truth.FITTING, words.NICHES),
        (truth.MISFIT, words.NICHES),
    ],
)
def test_every_table_of_effects_covers_its_vocabulary(table: dict, vocabulary: tuple[str, ...]) -> None:
    assert set(table) == set(vocabulary)


def test_clicks_follow_the_true_ctr(world: SimulatedWorld) -> None:
    assert abs(residual(world.daily)) < 4
    by_weekday = world.daily.groupby(world.daily["date"].dt.weekday)
    assert all(abs(residual(rows)) < 4 for _, rows in by_weekday)


def test_the_true_ctr_is_the_formula_of_the_table(world: SimulatedWorld) -> None:
    row = world.daily.iloc[-1]
    ads = world.ads.iloc[[row["ad_number"]]]
    hook = np.array([words.HOOK_TYPES.index(ads["hook_type"].iloc[0])])
    weekday = np.array([row["date"].weekday()])
    chances = truth.cell_probabilities(
        truth.ad_log_odds(ads), hook, np.array([row["seen"]]), weekday, np.zeros(1)
    )
    assert chances.min() <= row["true_ctr"] <= chances.max()


def test_winning_hooks_are_clicked_more(world: SimulatedWorld) -> None:
    best, worst = _ctr_of(world, "curiosity_gap"), _ctr_of(world, "controversy_hook")
    assert best > 1.4 * worst


def test_an_ad_wears_out_as_its_audience_has_seen_it(world: SimulatedWorld) -> None:
    daily = world.daily.assign(ctr=world.daily["clicks"] / world.daily["impressions"])
    relative = daily["ctr"] / daily.groupby("ad_id")["ctr"].transform("mean")
    assert relative[daily["seen"] < 0.5].mean() > relative[daily["seen"] > 3].mean() + 0.1


def test_nobody_beats_the_oracle(world: SimulatedWorld) -> None:
    daily = world.daily
    observed = daily["clicks"] / daily["impressions"]
    guess = observed.groupby(daily["ad_id"]).transform("mean")
    blind = (observed - observed.mean()).abs().mean() * 100
    oracle = truth.oracle_mae_pp(daily)
    assert oracle < 0.5 * blind
    assert oracle < (observed - guess).abs().mean() * 100


def test_a_planted_drift_is_seen_in_clicks_prices_and_audiences(world: SimulatedWorld) -> None:
    start = CONFIG.until - timedelta(days=6)
    drifted = SimulatedWorld.generate(replace(CONFIG, drift=DriftEvent(start)))
    after = drifted.daily["date"] >= np.datetime64(start)
    same = world.daily["true_ctr"]
    changed = drifted.daily["true_ctr"]
    assert (changed[after] / same[after] - 1).abs().mean() > 0.2
    pd.testing.assert_series_equal(changed[~after], same[~after])
    price = 1000 * drifted.daily["spend"] / drifted.daily["impressions"]
    assert price[after].mean() > 1.3 * price[~after].mean()
    places = drifted.delivery.placements.impressions
    shares = places / places.sum(axis=1, keepdims=True)
    moved = shares[after.to_numpy()].mean(axis=0) - shares[~after.to_numpy()].mean(axis=0)
    assert np.abs(moved).max() > 0.1


def _ctr_of(world: SimulatedWorld, hook: str) -> float:
    rows = world.ads["hook_type"].to_numpy()[world.daily["ad_number"]] == hook
    return float(world.daily.loc[rows, "clicks"].sum() / world.daily.loc[rows, "impressions"].sum())
