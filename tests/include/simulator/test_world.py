"""The simulated world keeps its promises: same seed same world, sums that add up, conversions that arrive."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.simulator import DriftEvent, SimulatedWorld, WorldConfig, WorldImpossible
from include.simulator.delivery import split_exactly
from include.simulator.vocabulary import NICHES

SMALL = WorldConfig(accounts=15, days=60, start=date(2026, 3, 2))


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.generate(SMALL)


def told(world: SimulatedWorld, as_of: date | None = None) -> list[dict]:
    last = world.config.until
    return [
        row
        for account in world.accounts["account_id"]
        for row in world.insights(account, world.config.start, last, as_of or last + timedelta(days=30))
    ]


def test_the_same_configuration_makes_the_same_world(world: SimulatedWorld) -> None:
    again = SimulatedWorld.generate(SMALL)
    pd.testing.assert_frame_equal(world.daily, again.daily)
    assert told(world) == told(again)
    pd.testing.assert_frame_equal(world.creatives, again.creatives)


def test_another_seed_makes_another_world(world: SimulatedWorld) -> None:
    other = SimulatedWorld.generate(replace(SMALL, seed=8))
    assert not set(other.ads["ad_id"]) & set(world.ads["ad_id"])
    assert other.daily["clicks"].sum() != world.daily["clicks"].sum()


@settings(max_examples=15, deadline=None)
@given(days=st.integers(1, 59), seed=st.integers(0, 99), drift=st.booleans())
def test_more_days_never_change_the_earlier_ones(days: int, seed: int, drift: bool) -> None:
    event = DriftEvent(SMALL.start + timedelta(days=days // 2), 1.0) if drift else None
    long = SimulatedWorld.generate(replace(SMALL, accounts=3, seed=seed, drift=event))
    short = SimulatedWorld.generate(replace(long.config, days=days))
    last = short.config.until
    assert told(short, last) == [row for row in told(long, last) if row["date_start"] <= last.isoformat()]
    known = long.ads[long.ads["launched_on"] <= np.datetime64(last)]
    assert short.ads["name"].tolist() == known["name"].tolist()


def test_a_drift_changes_nothing_before_it_begins(world: SimulatedWorld) -> None:
    start = SMALL.start + timedelta(days=40)
    drifted = SimulatedWorld.generate(replace(SMALL, drift=DriftEvent(start, 1.0)))
    day_before = start - timedelta(days=1)
    for account in world.accounts["account_id"]:
        span = (account, SMALL.start, day_before, day_before)
        assert list(drifted.insights(*span)) == list(world.insights(*span))


def test_an_account_does_not_depend_on_how_many_there_are(world: SimulatedWorld) -> None:
    few = SimulatedWorld.generate(replace(SMALL, accounts=4))
    mine = world.ads[world.ads["account_number"] < 4]
    pd.testing.assert_frame_equal(few.ads, mine)


def test_every_breakdown_adds_up_to_the_cent(world: SimulatedWorld) -> None:
    rows = told(world)
    assert len(rows) == len(world.daily)
    for row in rows:
        for cells in row["breakdowns"].values():
            assert sum(int(c["impressions"]) for c in cells) == int(row["impressions"])
            assert sum(int(c["clicks"]) for c in cells) == int(row["clicks"])
            assert sum(Decimal(c["spend"]) for c in cells) == Decimal(row["spend"])
            assert all(int(c["clicks"]) <= int(c["impressions"]) for c in cells)


def test_numbers_are_told_as_text_and_purchases_under_overlapping_names(world: SimulatedWorld) -> None:
    row = next(row for row in told(world) if "action_values" in row)
    for name in ("impressions", "clicks", "spend", "reach", "frequency"):
        assert isinstance(row[name], str)
    bought = [a["value"] for a in row["actions"] if "purchase" in a["action_type"]]
    assert len(bought) > 1
    assert len(set(bought)) == 1
    assert float(row["frequency"]) == pytest.approx(int(row["impressions"]) / int(row["reach"]), abs=1e-6)


def test_late_conversions_grow_to_their_final_number(world: SimulatedWorld) -> None:
    day = SMALL.start + timedelta(days=30)
    rows = world.daily["date"] == np.datetime64(day)
    final = int(world.daily.loc[rows, "conversions"].sum())
    known = []
    for later in range(9):
        as_of = day + timedelta(days=later)
        known.append(
            sum(
                int(action["value"])
                for account in world.accounts["account_id"]
                for row in world.insights(account, day, day, as_of)
                for action in row["actions"]
                if action["action_type"] == "omni_purchase"
            )
        )
    assert known == sorted(known)
    assert 0 < known[0] < final
    assert known[-1] == final


def test_nothing_is_told_of_days_after_the_day_of_knowledge(world: SimulatedWorld) -> None:
    account = world.accounts["account_id"][0]
    as_of = SMALL.start + timedelta(days=5)
    days = {row["date_start"] for row in world.insights(account, SMALL.start, SMALL.until, as_of)}
    assert max(days) == as_of.isoformat()


def test_an_unknown_account_has_no_rows(world: SimulatedWorld) -> None:
    assert list(world.insights("act_0", SMALL.start, SMALL.until, SMALL.until)) == []


def test_a_full_world_has_the_size_that_was_asked_for() -> None:
    world = SimulatedWorld.generate(WorldConfig())
    assert len(world.accounts) == 100
    assert set(world.accounts["niche"]) == set(NICHES)
    assert 11.5 <= len(world.ads) / 100 <= 12.5
    assert world.accounts["name"].is_unique
    assert world.ads["ad_id"].is_unique
    assert set(world.ads["creative_id"]) == set(world.creatives["creative_id"])
    assert world.ads["launched_on"].dt.isocalendar().week.nunique() >= 12


def test_one_number_scales_the_world() -> None:
    assert WorldConfig(accounts=100, scale=0.05).account_count == 5
    assert WorldConfig(accounts=100, scale=3).account_count == 300


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"days": 0}, "days"),
        ({"seed": -1}, "seed"),
        ({"accounts": 0}, "accounts"),
        ({"scale": float("nan")}, "scale"),
        ({"ads_per_account": 0}, "ads_per_account"),
    ],
)
def test_an_impossible_world_is_refused_by_the_value_s_name(change: dict, named: str) -> None:
    with pytest.raises(WorldImpossible, match=named):
        WorldConfig(**change)
    with pytest.raises(WorldImpossible, match="strength"):
        DriftEvent(date(2026, 1, 1), 1.5)


def test_a_configuration_survives_its_json() -> None:
    config = replace(SMALL, drift=DriftEvent(date(2026, 4, 1), 0.5))
    assert WorldConfig.from_json(config.to_json()) == config
    assert WorldConfig.from_json(SMALL.to_json()) == SMALL
    with pytest.raises(WorldImpossible, match="not the configuration"):
        WorldConfig.from_json({"seed": 7, "start": "soon"})


@given(
    totals=st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
    seed=st.integers(0, 2**32 - 1),
    cells=st.integers(1, 12),
)
def test_a_split_is_exact_and_leaves_empty_cells_empty(totals: list[int], seed: int, cells: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 50, (len(totals), cells)).astype(float)
    weights[:, 0] += 1
    parts = split_exactly(np.array(totals), weights)
    assert (parts.sum(axis=1) == totals).all()
    assert (parts >= 0).all()
    assert (parts[weights == 0] == 0).all()
