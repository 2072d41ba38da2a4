"""A world of pictures is the same every time, leaves other worlds alone, and has its traps really in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from include.simulator import WorldConfig
from include.simulator.catalogue import build_catalogue
from include.simulator.pictures import PICTURES, PictureWorld, standardised

CONFIG = WorldConfig(seed=3, accounts=45, ads_per_account=16, start=date(2026, 1, 5))


@pytest.fixture(scope="module")
def world() -> PictureWorld:
    return PictureWorld.generate(CONFIG)


def of_ads(world: PictureWorld) -> pd.DataFrame:
    days = world.ad_days.assign(cost=world.ad_days["spend"])
    per_ad = days.groupby("ad_id").agg(
        clicks=("clicks", "sum"), shown=("impressions", "sum"), a_day=("cost", "mean"), live=("day", "mean")
    )
    ads = world.catalogue.ads.set_index("ad_id")
    per_ad = per_ad.join(ads[["creative_id", "account_number", "daily_budget"]])
    return per_ad.join(world.pictures.set_index("creative_id")[list(PICTURES)], on="creative_id")


def test_the_same_configuration_makes_the_same_world_and_another_seed_another(world: PictureWorld) -> None:
    again = PictureWorld.generate(CONFIG)
    pd.testing.assert_frame_equal(again.ad_days, world.ad_days)
    pd.testing.assert_frame_equal(again.pictures, world.pictures)
    other = PictureWorld.generate(replace(CONFIG, seed=4))
    assert not np.allclose(other.truth.straight, world.truth.straight)


def test_the_catalogue_is_the_one_that_every_world_has(world: PictureWorld) -> None:
    pd.testing.assert_frame_equal(world.catalogue.ads, build_catalogue(CONFIG).ads)
    assert world.pictures["creative_id"].tolist() == world.catalogue.creatives["creative_id"].tolist()


def test_some_features_work_and_some_do_nothing_anywhere(world: PictureWorld) -> None:
    straight, hump = (table.abs().sum() > 0 for table in (world.truth.straight, world.truth.hump))
    assert straight.sum() + hump.sum() <= 6 < len(PICTURES)
    assert not (straight & hump).any()
    idle = straight.index[~straight & ~hump]
    assert len(idle) >= 4
    niche = np.full(len(world.pictures), "food")
    assert all(np.all(world.truth.log_odds(niche, world.pictures, name) == 0) for name in idle)


def test_values_are_possible_and_spread_as_told(world: PictureWorld) -> None:
    for name, (_, _, low, high) in PICTURES.items():
        values = world.pictures[name]
        assert values.between(low, high).all()
        assert 0.8 < standardised(name, values.to_numpy()).std() < 1.6


def test_features_go_together_and_with_money_time_accounts_and_places(world: PictureWorld) -> None:
    z = pd.DataFrame({name: standardised(name, world.pictures[name].to_numpy()) for name in PICTURES})
    assert z["pacing"].corr(z["motion"]) > 0.4
    assert z["pacing"].corr(z["first_cut_s"]) < -0.4
    assert z["loudness"].corr(z["speech_early"]) > 0.25
    ads = of_ads(world)
    money = np.log(ads["a_day"] / ads["daily_budget"])
    assert money.corr(ads["face_share"]) > 0.4
    assert ads["live"].astype("int64").corr(ads["brightness"]) > 0.15
    accounts = ads.groupby("account_number").agg(
        text=("text_area", "mean"), c=("clicks", "sum"), i=("shown", "sum")
    )
    assert np.corrcoef(accounts["text"], np.log(accounts["c"] / accounts["i"]))[0, 1] < -0.2
    assert np.corrcoef(world.reels_share, world.pictures["motion"])[0, 1] > 0.5


def test_figures_of_days_hang_together(world: PictureWorld) -> None:
    days = world.ad_days
    assert (days["clicks"] <= days["impressions"]).all()
    assert (days["conversions"] <= days["clicks"]).all()
    assert (days["reach"] <= days["impressions"]).all()
    assert not days.duplicated(["ad_id", "day"]).any()
    assert days["day"].min() >= pd.Timestamp(CONFIG.start)
    assert days["day"].max() <= pd.Timestamp(CONFIG.until)
