"""The search for effects of creatives: what is planted is found, what only seems so is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from include.simulator import SimulatedWorld, WorldConfig, truth
from include.simulator.pictures import PICTURES, PictureWorld
from ml.features.creative_days import CreativeDataUnusable, creative_outcomes
from ml.features.creative_effects import (
    CreativeEffect,
    CreativeEffects,
    effects_of,
    estimate_effects,
    prepared_creatives,
)
from tests.ml.picture_frames import SETTINGS, picture_frames, platform_frames, true_effects

START = date(2026, 1, 5)
Frames = tuple[pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def world() -> PictureWorld:
    return PictureWorld.generate(WorldConfig(seed=11, accounts=60, ads_per_account=16, start=START))


@pytest.fixture(scope="module")
def frames(world: PictureWorld) -> Frames:
    return picture_frames(world)


@pytest.fixture(scope="module")
def effects(frames: Frames) -> CreativeEffects:
    return estimate_effects(*frames, SETTINGS)


def key(effect: CreativeEffect) -> tuple[str, str, str, str]:
    return effect.niche, effect.feature, effect.shape, effect.level


def made(
    seed: int,
    *,
    accounts: int = 8,
    niches: int = 2,
    creatives: int = 60,
    effect: float = 0.0,
    bend: float = 0.0,
    budget_effect: float = 0.0,
    budget_of_feature: float = 0.0,
    season_of_feature: float = 0.0,
    season: float = 0.0,
    spread: float = 0.1,
) -> Frames:
    """Creatives that differ by motion alone, each in one ad for two weeks, with traps as asked for."""
    random = np.random.default_rng(seed)
    count = accounts * creatives
    account = np.repeat(np.arange(accounts), creatives)
    motion = random.normal(size=count)
    level = (
        -4.5 + 0.5 * random.normal(size=accounts)[account] + effect * motion + bend * (motion**2 - 1)
    ) + spread * random.normal(size=count)
    money = np.exp(3 + budget_of_feature * motion + 0.3 * random.normal(size=count))
    level += budget_effect * np.log(money)
    begin = np.clip(35 + 20 * (season_of_feature * motion + random.normal(size=count)), 0, 70).astype(int)
    day = begin[:, None] + np.arange(14)[None, :]
    shown = (100 * money[:, None] * np.exp(0.1 * random.normal(size=day.shape))).astype(int) + 1
    clicks = random.binomial(shown, 1 / (1 + np.exp(-level[:, None] - season * np.sin(day / 12))))
    names = [f"c{number}" for number in range(count)]
    frame = pl.DataFrame({"account_id": [f"a{n}" for n in account], "creative_id": names, "motion": motion})
    rows = np.repeat(np.arange(count), 14)
    days = pl.DataFrame(
        {
            "account_id": [f"a{n}" for n in account[rows]],
            "creative_id": [names[n] for n in rows],
            "ad_id": [f"ad{n}" for n in rows],
            "niche": [f"n{n % niches}" for n in account[rows]],
            "day": [START + timedelta(days=int(n)) for n in day.ravel()],
            "launched_on": [START + timedelta(days=int(n)) for n in begin[rows]],
            "impressions": shown.ravel(),
            "clicks": clicks.ravel(),
            "conversions": clicks.ravel() // 10,
            "spend": shown.ravel() / 100,
            "reach": pl.Series([None] * len(rows), dtype=pl.Int64),
        }
    )
    return frame, days


def of_shape(effects: CreativeEffects, shape: str) -> list[CreativeEffect]:
    return [effect for effect in effects.effects if effect.shape == shape]


def test_most_of_what_is_worth_finding_is_found_and_little_of_what_is_not(
    world: PictureWorld, frames: Frames
) -> None:
    prepared = prepared_creatives(*frames, SETTINGS, "clicks")
    assert prepared is not None
    effects = effects_of(prepared, SETTINGS, "clicks")
    truths = true_effects(prepared, frames[0], world)
    asked = [(each, truths[key(each)]) for each in effects.effects]
    large = [(each, true) for each, true in asked if abs(true) >= 0.1]
    hits = [each for each, true in large if each.is_found and each.size * true > 0]
    assert len(large) > 100
    assert len(hits) / len(large) > 0.7
    false = [each for each, true in asked if each.is_found and (abs(true) < 0.005 or each.size * true < 0)]
    assert len(false) / len(effects.found) < 0.1
    covered = [np.log1p(each.size_low) <= true <= np.log1p(each.size_high) for each, true in asked]
    assert np.mean(covered) > 0.9


def test_winners_and_losers_are_both_found(effects: CreativeEffects) -> None:
    everywhere = {
        each.level: each for each in effects.found if (each.niche, each.feature) == ("all", "hook_type")
    }
    assert everywhere["curiosity_gap"].size > 0.2
    assert everywhere["controversy_hook"].size < -0.2


def test_the_order_of_hooks_and_patterns_of_the_platform_is_recovered() -> None:
    platform = SimulatedWorld.generate(WorldConfig(seed=12, accounts=60, start=START))
    effects = estimate_effects(*platform_frames(platform), SETTINGS)
    for feature, table in (("hook_type", truth.HOOK), ("visual_pattern", truth.PATTERN)):
        told = {e.level: e.size for e in effects.effects if (e.niche, e.feature) == ("all", feature)}
        assert np.corrcoef(list(told.values()), [table[level] for level in told])[0, 1] > 0.9
    idle = [e for e in effects.effects if e.feature.split(":")[0] in ("music", "colours", "voice", "tag")]
    assert len(idle) > 100
    assert sum(e.is_found for e in idle) <= 0.03 * len(idle)


def test_a_feature_that_only_comes_with_budget_is_not_found() -> None:
    creatives, days = made(1, budget_effect=-0.2, budget_of_feature=0.6)
    sums = days.group_by("creative_id").agg(rate=pl.col("clicks").sum() / pl.col("impressions").sum())
    naive = creatives.join(sums, on="creative_id")
    assert np.corrcoef(naive["motion"], np.log(naive["rate"]))[0, 1] < -0.15
    effects = estimate_effects(creatives, days, SETTINGS)
    assert len(of_shape(effects, "straight")) == 3
    assert not effects.found


def test_a_feature_that_only_comes_with_a_season_is_not_found() -> None:
    creatives, days = made(2, season=0.4, season_of_feature=0.8)
    effects = estimate_effects(creatives, days, SETTINGS)
    assert len(effects.effects) > 0
    assert not effects.found


def test_a_straight_effect_is_found_as_such_and_measured() -> None:
    effects = estimate_effects(*made(3, effect=0.1), SETTINGS)
    found = [each for each in of_shape(effects, "straight") if each.is_found]
    assert {each.niche for each in found} >= {"n0", "n1"}
    # From the tenth to the ninetieth of a hundred, which are 2.56 standard deviations apart.
    assert all(each.size_low < np.expm1(0.256) < each.size_high for each in found)
    assert not any(each.is_found for each in of_shape(effects, "hump"))


def test_a_u_shape_is_found_as_a_hump() -> None:
    effects = estimate_effects(*made(4, bend=-0.08), SETTINGS)
    humps = [each for each in of_shape(effects, "hump") if each.niche != "all"]
    assert all(each.is_found and each.size > 0 for each in humps)
    assert not any(each.is_found for each in of_shape(effects, "straight"))


def test_days_and_ads_of_a_creative_are_no_further_evidence() -> None:
    creatives, days = made(5, effect=0.03)
    half = days.with_columns(
        *(pl.col(name) // 2 for name in ("impressions", "clicks", "conversions")), spend=pl.col("spend") / 2
    )
    other = days.with_columns(
        *(pl.col(name) - pl.col(name) // 2 for name in ("impressions", "clicks", "conversions")),
        spend=pl.col("spend") / 2,
        ad_id=pl.col("ad_id") + "b",
    )
    once = estimate_effects(creatives, days, SETTINGS)
    twice = estimate_effects(creatives, pl.concat([half, other]), SETTINGS)
    assert twice.creatives == once.creatives
    for one, two in zip(once.effects, twice.effects, strict=True):
        assert two.size == pytest.approx(one.size, abs=0.01)
        assert two.p_value > one.p_value / 3


def test_null_p_values_are_no_smaller_than_chance_makes_them() -> None:
    p = [
        each.p_value
        for seed in range(30)
        for each in estimate_effects(*made(100 + seed, accounts=6, creatives=30), SETTINGS).effects
        if each.niche != "all"
    ]
    assert len(p) == 120
    assert np.mean(np.array(p) < 0.05) < 0.11
    assert np.mean(np.array(p) < 0.5) < 0.65


def test_a_feature_that_says_the_same_as_another_is_left_out_and_why() -> None:
    creatives, days = made(6, effect=0.1)
    copied = creatives.with_columns(brightness=pl.col("motion") * 2 + 1, contrast=pl.lit(0.5))
    effects = estimate_effects(copied, days, SETTINGS)
    assert {each.feature for each in effects.effects} == {"motion"}
    assert effects.left_out is not None
    assert "cannot be told apart" in effects.left_out["brightness"]
    assert effects.left_out["contrast"] == "it is the same everywhere"
    assert effects.left_out["hook_type"] == "nothing is known of it"


def test_creatives_whose_value_is_unknown_neither_help_nor_harm() -> None:
    creatives, days = made(7, effect=0.1)
    some = creatives.with_columns(
        motion=pl.when(pl.int_range(pl.len()) % 3 > 0).then(pl.col("motion")), is_analysed=pl.lit(True)
    )
    effects = estimate_effects(some, days, SETTINGS)
    straight = {each.niche: each for each in of_shape(effects, "straight")}
    assert straight["n0"].creatives == 160
    assert straight["n0"].is_found
    assert straight["n0"].size_low < np.expm1(0.256) < straight["n0"].size_high


def test_the_order_of_rows_changes_nothing(
    frames: tuple[pl.DataFrame, pl.DataFrame], effects: CreativeEffects
) -> None:
    creatives, days = frames
    shuffled = estimate_effects(
        creatives.sample(fraction=1, shuffle=True, seed=1),
        days.sample(fraction=1, shuffle=True, seed=2),
        SETTINGS,
    )
    assert [key(each) for each in shuffled.effects] == [key(each) for each in effects.effects]
    assert [e.size for e in shuffled.effects] == pytest.approx([e.size for e in effects.effects], abs=1e-6)
    assert [e.is_found for e in shuffled.effects] == [e.is_found for e in effects.effects]


def test_accounts_that_agree_are_counted() -> None:
    effects = estimate_effects(*made(8, effect=0.12), SETTINGS)
    (first,) = (each for each in of_shape(effects, "straight") if each.niche == "n0")
    assert first.accounts == 4
    assert first.accounts_agreeing == first.accounts_telling == 4


def test_conversions_are_told_where_there_are_enough(frames: Frames) -> None:
    few = estimate_effects(*frames, replace(SETTINGS, min_outcomes=1e9), "conversions")
    assert (few.effects, few.creatives) == ((), 0)
    effects = estimate_effects(*frames, SETTINGS, "conversions")
    assert effects.too_few > 0
    assert {each.outcome for each in effects.found} == {"conversions"}
    hooks = {
        each.level: each.size
        for each in effects.effects
        if (each.niche, each.feature) == ("all", "hook_type")
    }
    assert hooks["curiosity_gap"] > 0 > hooks["controversy_hook"]


def test_a_house_of_one_niche_and_one_account_can_learn_too() -> None:
    creatives, days = made(9, accounts=1, niches=1, creatives=120, effect=0.12)
    effects = estimate_effects(creatives, days, replace(SETTINGS, min_accounts=1))
    assert {each.niche for each in effects.effects} == {"n0"}
    assert [each.is_found for each in of_shape(effects, "straight")] == [True]
    assert not estimate_effects(creatives, days, SETTINGS).effects


def test_nothing_shown_or_nothing_known_is_no_error() -> None:
    creatives, days = made(10, creatives=10)
    assert estimate_effects(creatives, days.clear(), SETTINGS).effects == ()
    assert estimate_effects(creatives.drop("motion"), days, SETTINGS).effects == ()
    assert estimate_effects(creatives.clear(), days, SETTINGS).effects == ()
    assert estimate_effects(creatives, days.with_columns(clicks=pl.lit(0)), SETTINGS).effects == ()
    assert estimate_effects(creatives, days.with_columns(impressions=pl.lit(0)), SETTINGS).effects == ()


def test_a_niche_nobody_named_is_one_too() -> None:
    creatives, days = made(13, effect=0.12)
    effects = estimate_effects(creatives, days.with_columns(niche=pl.lit(None, dtype=pl.String)), SETTINGS)
    assert {each.niche for each in effects.effects} == {"unknown"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda days: days.drop("spend"), "ad-days have no column 'spend'"),
        (
            lambda days: days.with_columns(clicks=-pl.col("clicks")),
            "clicks of an ad-day is missing or negative",
        ),
        (
            lambda days: days.with_columns(impressions=pl.lit(None, dtype=pl.Int64)),
            "impressions of an ad-day is missing or negative",
        ),
    ],
)
def test_unusable_figures_are_refused_in_a_sentence(change, sentence) -> None:
    creatives, days = made(11, creatives=10)
    with pytest.raises(CreativeDataUnusable, match=sentence):
        estimate_effects(creatives, change(days), SETTINGS)


def test_unknown_outcomes_and_creatives_without_ids_are_refused() -> None:
    creatives, days = made(12, creatives=10)
    with pytest.raises(CreativeDataUnusable, match="outcome is 'likes'"):
        estimate_effects(creatives, days, SETTINGS, "likes")
    with pytest.raises(CreativeDataUnusable, match="creatives have no column 'creative_id'"):
        estimate_effects(creatives.drop("creative_id"), days, SETTINGS)


def test_expected_outcomes_follow_season_and_wear_not_the_picture(
    world: PictureWorld, frames: Frames
) -> None:
    outcomes = creative_outcomes(frames[1], "clicks", SETTINGS)
    assert outcomes is not None
    assert outcomes.expected.sum() == pytest.approx(outcomes.observed.sum())
    assert 1 <= outcomes.dispersion < 3
    seen = outcomes.creatives.join(
        frames[0], on=["account_id", "creative_id"], how="left", maintain_order="left"
    )
    gain = np.log((outcomes.observed + 0.5) / (outcomes.expected + 0.5))
    hooks = seen["hook_type"].replace_strict(truth.HOOK, return_dtype=pl.Float64).to_numpy()
    assert np.corrcoef(gain, hooks)[0, 1] > 0.4


def test_every_feature_of_the_pictures_is_asked_about(effects: CreativeEffects) -> None:
    assert set(PICTURES) <= {each.feature for each in effects.effects}
