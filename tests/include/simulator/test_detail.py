"""What the platform tells beyond sums: hours, buyers, watching and rankings follow the truth and add up."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from include.meta_ads.rows import purchase_type, purchases_of_type
from include.simulator import SimulatedWorld, WorldConfig, truth
from include.simulator.insights import HOURLY, RANKED, WATCHED
from include.simulator.vocabulary import RANKINGS

CONFIG = WorldConfig(accounts=30, days=60, start=date(2026, 3, 2))


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.generate(CONFIG)


@pytest.fixture(scope="module")
def rows(world: SimulatedWorld) -> list[dict[str, Any]]:
    return told(world, CONFIG.until)


def told(world: SimulatedWorld, as_of: date) -> list[dict[str, Any]]:
    accounts = world.accounts["account_id"]
    return [row for account in accounts for row in world.insights(account, CONFIG.start, CONFIG.until, as_of)]


def number(row: dict[str, Any], name: str) -> int:
    return int(row[name][0]["value"]) if name in row else 0


@pytest.mark.parametrize("days_later", [0, 2, 40])
def test_purchases_of_cells_sum_to_the_day_on_every_evening(world: SimulatedWorld, days_later: int) -> None:
    day = CONFIG.start + timedelta(days=30)
    found = 0
    for account in world.accounts["account_id"]:
        for row in world.insights(account, day, day, day + timedelta(days=days_later)):
            kind = purchase_type(row)
            for field in ("actions", "action_values"):
                whole = purchases_of_type(row, field, kind)
                for name, cells in row["breakdowns"].items():
                    if name == HOURLY:
                        assert not any(field in cell for cell in cells)
                    else:
                        assert sum(purchases_of_type(cell, field, kind) for cell in cells) == whole
            found += int(purchases_of_type(row, "actions", kind))
    assert found > 0


def test_who_bought_does_not_change_when_more_become_known(world: SimulatedWorld) -> None:
    day = CONFIG.start + timedelta(days=30)
    account = world.accounts["account_id"][0]

    def by_cell(later: int) -> Counter[tuple[str, str, str]]:
        return Counter(
            {
                (row["ad_id"], cell["age"], cell["gender"]): int(
                    purchases_of_type(cell, "actions", "omni_purchase")
                )
                for row in world.insights(account, day, day, day + timedelta(days=later))
                for cell in row["breakdowns"]["age,gender"]
            }
        )

    early, late = by_cell(0), by_cell(20)
    assert early <= late
    assert early.total() < late.total()


def test_a_video_loses_viewers_with_every_quartile_and_pictures_have_none(
    world: SimulatedWorld, rows: list[dict[str, Any]]
) -> None:
    is_video = dict(zip(world.ads["ad_id"], world.ads["duration_s"].notna(), strict=True))
    for row in rows:
        watched = [number(row, name) for name in WATCHED[:-1]]
        assert watched == sorted(watched, reverse=True)
        assert watched[0] <= int(row["impressions"])
        assert watched[-1] <= number(row, WATCHED[-1]) <= watched[0]
        assert bool(watched[0]) == is_video[row["ad_id"]]


def test_longer_videos_and_duller_hooks_keep_fewer_viewers(
    world: SimulatedWorld, rows: list[dict[str, Any]]
) -> None:
    shown: Counter[Any] = Counter()
    kept: Counter[Any] = Counter()
    ads = world.ads.set_index("ad_id")
    for row in rows:
        plays = number(row, "video_play_actions")
        if plays:
            ad = ads.loc[row["ad_id"]]
            for group in (ad["hook_type"], "long" if ad["duration_s"] > 25 else "short"):
                shown[group] += plays
                kept[group] += number(row, "video_p50_watched_actions")
    share = {group: kept[group] / shown[group] for group in shown}
    assert share["long"] < share["short"]
    assert share["statistic_hook"] < share["story_hook"]


def test_rankings_follow_the_truth_and_are_unknown_for_few_impressions(
    world: SimulatedWorld, rows: list[dict[str, Any]]
) -> None:
    effect = dict(zip(world.ads["ad_id"], world.ads["ad_effect"], strict=True))
    known = [row for row in rows if row["conversion_rate_ranking"] != "UNKNOWN"]
    assert all(int(row["impressions"]) >= 500 for row in known)
    assert all(int(row["impressions"]) < 500 for row in rows if row["quality_ranking"] == "UNKNOWN")
    steps = [RANKINGS.index(row["conversion_rate_ranking"]) for row in known]
    assert np.corrcoef(steps, [effect[row["ad_id"]] for row in known])[0, 1] > 0.5
    for name in RANKED:
        shares = Counter(row[name] for row in known)
        assert set(shares) == set(RANKINGS)
        assert 0.25 < shares["ABOVE_AVERAGE"] / len(known) < 0.65


def test_hours_follow_the_day_and_sum_to_it(rows: list[dict[str, Any]]) -> None:
    shown: Counter[str] = Counter()
    for row in rows:
        for cell in row["breakdowns"][HOURLY]:
            assert int(cell["clicks"]) <= int(cell["impressions"])
            shown[cell[HOURLY]] += int(cell["impressions"])
        cells = row["breakdowns"][HOURLY]
        assert sum(int(cell["clicks"]) for cell in cells) == int(row["clicks"])
        assert sum(Decimal(cell["spend"]) for cell in cells) == Decimal(row["spend"])
    assert shown["20:00:00 - 20:59:59"] > 4 * shown["03:00:00 - 03:59:59"]


def test_clicks_on_the_link_and_of_new_people_are_some_of_all_clicks(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        clicks = int(row["clicks"])
        assert int(row["inline_link_clicks"]) <= clicks
        assert min(clicks, 1) <= int(row["unique_clicks"]) <= clicks
        links = [a["value"] for a in row["actions"] if a["action_type"] == "link_click"]
        assert links == ([row["inline_link_clicks"]] if row["inline_link_clicks"] != "0" else [])
    assert {row["attribution_setting"] for row in rows} == {"7d_click_1d_view"}


def test_each_purchase_is_claimed_by_one_window_and_views_claim_only_early_ones(
    world: SimulatedWorld, rows: list[dict[str, Any]]
) -> None:
    claimed: Counter[str] = Counter()
    for row in rows:
        for field in ("actions", "action_values"):
            for action in row.get(field, ()):
                if action["action_type"] == "omni_purchase":
                    parts = [Decimal(action.get(window, "0")) for window in ("7d_click", "1d_view")]
                    assert sum(parts) == Decimal(action["value"])
                    claimed.update({f"{field} all": int(sum(parts)), f"{field} views": int(parts[1])})
    early = truth.VIEW_SHARE * sum(truth.DELAY[:2])
    assert claimed["actions views"] / claimed["actions all"] == pytest.approx(early, rel=0.2)
    day = CONFIG.start + timedelta(days=30)
    account = world.accounts["account_id"][0]

    def by_view(later: int) -> list[int]:
        told = world.insights(account, day, day, day + timedelta(days=later))
        kinds = [{action["action_type"]: action for action in row["actions"]} for row in told]
        return [int(kind.get("omni_purchase", {}).get("1d_view", "0")) for kind in kinds]

    assert by_view(1) == by_view(20)


def test_a_longer_world_keeps_the_detail_of_its_earlier_days(world: SimulatedWorld) -> None:
    longer = SimulatedWorld.generate(CONFIG.reaching(CONFIG.until + timedelta(days=30)))
    account = world.accounts["account_id"][3]
    span = (account, CONFIG.start, CONFIG.until, CONFIG.until)
    assert list(longer.insights(*span)) == list(world.insights(*span))
