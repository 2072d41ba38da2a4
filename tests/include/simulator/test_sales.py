"""Simulated deals keep their promises: nothing of the future is known, the truth can be found in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from include.simulator import SimulatedWorld, WorldConfig
from include.simulator.sales import Sales, simulate_sales
from include.simulator.sales_truth import BY_ID, HOOK_SALES, NICHE_SALES

SMALL = WorldConfig(accounts=30, days=60, start=date(2026, 3, 2))


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.generate(SMALL)


@pytest.fixture(scope="module")
def sales(world: SimulatedWorld) -> Sales:
    return simulate_sales(world)


def test_more_days_never_change_earlier_deals(sales: Sales) -> None:
    longer = simulate_sales(SimulatedWorld.generate(replace(SMALL, days=90)))
    for name, key in (
        ("deals", "deal_id"), ("stage_events", "deal_id"), ("amount_events", "deal_id"),
        ("owner_events", "deal_id"), ("chances", "deal_id"), ("contacts", "contact_id"),
    ):  # fmt: skip
        short = getattr(sales, name)
        long = getattr(longer, name)
        kept = long[long[key].isin(short[key])]
        order = [c for c in (key, "entered_at", "changed_at") if c in short]
        pd.testing.assert_frame_equal(
            short.sort_values(order, ignore_index=True), kept.sort_values(order, ignore_index=True)
        )


def test_every_deal_walks_its_own_pipeline_and_ends_where_its_history_ends(sales: Sales) -> None:
    events = sales.stage_events.merge(
        sales.deals[["deal_id", "pipeline_id", "stage_id", "created_at"]], "left", "deal_id"
    )
    for pipeline_id, of in events.groupby("pipeline_id"):
        assert set(of["stage_id_x"]) <= {stage.stage_id for stage in BY_ID[str(pipeline_id)].stages}
    first = events.drop_duplicates("deal_id")
    assert (first["entered_at"] == first["created_at"]).all()
    last = events.drop_duplicates("deal_id", keep="last")
    assert (last["stage_id_x"] == last["stage_id_y"]).all()
    assert (events.groupby("deal_id")["entered_at"].diff().dropna() > pd.Timedelta(0)).all()
    assert sales.deals["is_closed"].all()


def test_what_is_known_at_a_moment_holds_nothing_later(sales: Sales) -> None:
    moment = datetime(2026, 4, 5, 12, tzinfo=UTC)
    known = sales.known(moment)
    for frame, time in (
        (known.deals, "created_at"), (known.deals, "updated_at"), (known.stage_events, "entered_at"),
        (known.amount_events, "changed_at"), (known.owner_events, "changed_at"),
        (known.contacts, "created_at"), (known.conversions, "converted_at"),
    ):  # fmt: skip
        assert (frame[time] <= moment).all()
    still_open = known.deals[~known.deals["is_closed"]]
    assert len(still_open) > 50
    assert still_open[["closed_at", "lost_reason", "won_reason"]].isna().all(axis=None)
    assert set(known.deals["contact_id"]) <= set(known.contacts["contact_id"])
    amounts = known.amount_events.drop_duplicates("deal_id", keep="last")
    later = sales.deals.set_index("deal_id")["amount"].loc[amounts["deal_id"]].to_numpy()
    assert (later != sales.known(moment).deals.set_index("deal_id")["amount"].loc[amounts["deal_id"]]).any()


def test_what_is_known_at_the_end_is_the_whole(sales: Sales) -> None:
    end = sales.deals["updated_at"].max().to_pydatetime() + timedelta(days=1)
    pd.testing.assert_frame_equal(sales.known(end).deals, sales.deals, check_like=True)


def test_deals_are_as_many_and_as_good_as_the_truth_says(sales: Sales) -> None:
    niche = sales.deals["ad_id"].map(_niches())
    for name, of in sales.deals.groupby(niche):
        chance = sales.chances.set_index("deal_id")["win_probability"].loc[of["deal_id"]]
        # Re-opened deals add a little more than a hundredth of the lost ones.
        expected = chance + (1 - chance) * 0.012
        error = np.sqrt((expected * (1 - expected)).sum()) / len(of)
        assert abs(of["is_won"].mean() - expected.mean()) < 4 * error, name
        assert set(of["pipeline_id"]) == {NICHE_SALES[str(name)].pipeline_id}
    assert len(sales.deals) / len(sales.conversions) == pytest.approx(0.78, abs=0.1)


def test_hooks_that_bring_buyers_win_more_deals() -> None:
    world = SimulatedWorld.generate(WorldConfig(accounts=90, days=90, start=date(2026, 1, 5)))
    sales = simulate_sales(world)
    hook = sales.deals["ad_id"].map(world.ads.set_index("ad_id")["hook_type"])
    rate = sales.deals.groupby(hook)["is_won"].mean()
    good = [h for h, effect in HOOK_SALES.items() if effect >= 0.2]
    bad = [h for h, effect in HOOK_SALES.items() if effect <= -0.3]
    assert rate[rate.index.isin(good)].min() > rate[rate.index.isin(bad)].max() - 0.02
    assert rate[rate.index.isin(good)].mean() > rate[rate.index.isin(bad)].mean() + 0.05


def test_contacts_tell_where_they_came_from_only_sometimes_and_then_truly(sales: Sales) -> None:
    told = sales.deals.merge(sales.contacts, on="contact_id")
    assert 0.55 < told["click_id"].notna().mean() < 0.75
    assert 0.02 < told[["click_id", "utm_content", "first_detail"]].isna().all(axis=1).mean() < 0.1
    by_click = sales.conversions.set_index("click_id")["ad_id"]
    clicked = told.dropna(subset="click_id")
    assert (clicked["click_id"].map(by_click) == clicked["ad_id"]).all()
    tagged = told.dropna(subset="utm_content")
    assert (tagged["utm_content"] == tagged["ad_id"]).all()


def test_a_world_without_sales_teams_has_no_deals_and_no_trouble() -> None:
    sales = simulate_sales(SimulatedWorld.generate(replace(SMALL, accounts=3)))
    assert len(sales.deals) == len(sales.conversions) == len(sales.contacts) == 0
    assert len(sales.known(datetime(2026, 4, 1, tzinfo=UTC)).deals) == 0
    assert len(sales.stages) == 16


def _niches() -> pd.Series:
    return SimulatedWorld.generate(SMALL).ads.set_index("ad_id")["niche"]
