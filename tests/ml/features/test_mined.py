"""What mining makes of small days whose answers can be worked out by hand, and what it never does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ml.features import mined_cells, mined_formulas
from ml.features.mined import RawDataUnusable, mine, peeking_mined
from ml.features.mined_cells import DEVICE, HOUR, PEOPLE, PLACEMENT, SLOTS, slot_of
from ml.features.mined_definitions import MINED_FEATURES, MINED_NAMES
from tests.ml.features.mined_rows import ad_days, cells, world

NO_CELLS = cells([])


def test_there_are_at_least_thirty_features_each_named_once_and_fully_described() -> None:
    assert len(MINED_NAMES) == len(set(MINED_NAMES)) >= 30
    for feature in MINED_FEATURES:
        assert feature.group in mined_formulas.GROUPS
        assert all((feature.formula, feature.unit, feature.window, feature.needs, feature.meaning))
        assert feature.lag >= 1


def test_breakdowns_have_the_same_numbers_everywhere() -> None:
    assert (mined_formulas.PLACEMENT, mined_formulas.PEOPLE, mined_formulas.DEVICE, mined_formulas.HOUR) == (
        mined_cells.PLACEMENT, mined_cells.PEOPLE, mined_cells.DEVICE, mined_cells.HOUR,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("breakdown", "cell", "slot"),
    [
        (PLACEMENT, "facebook,facebook_reels_overlay", "facebook reels"),
        (PLACEMENT, "facebook,video_feeds", "facebook other"),
        (PLACEMENT, "instagram,story", "instagram stories"),
        (PLACEMENT, "a_platform_of_tomorrow,feed", "elsewhere"),
        (PLACEMENT, "unallocated,unallocated", "unallocated"),
        (PEOPLE, "25-34,female", "25-34 female"),
        (PEOPLE, "unknown,male", "unknown male"),
        (PEOPLE, "unallocated,unallocated", "unallocated"),
        (DEVICE, "ipad", "ios"),
        (DEVICE, "android_tablet", "android"),
        (DEVICE, "smart_fridge", "other"),
        (HOUR, "00:00:00 - 00:59:59", "00"),
        (HOUR, "no hour", "unallocated"),
    ],
)
def test_a_cell_falls_into_its_slot_also_a_new_one(breakdown: int, cell: str, slot: str) -> None:
    assert SLOTS[breakdown][slot_of(breakdown, cell)] == slot


def test_shares_entropy_and_concentration_leave_out_what_meta_does_not_tell() -> None:
    told = mine(
        ad_days([{}]),
        cells(
            [
                (0, PLACEMENT, "facebook,feed", 400, 4, 4, None),
                (0, PLACEMENT, "instagram,instagram_reels", 400, 4, 4, None),
                (0, PLACEMENT, "unallocated,unallocated", 200, 2, 2, None),
                (0, PEOPLE, "18-24,female", 750, 5, 5, None),
                (0, PEOPLE, "65+,male", 250, 5, 5, None),
                (0, HOUR, "02:00:00 - 02:59:59", 100, 1, 1, None),
                (0, HOUR, "15:00:00 - 15:59:59", 900, 9, 9, None),
            ]
        ),
    ).row(0, named=True)
    assert (told["feed_share"], told["reels_share"], told["stories_share"]) == (0.5, 0.5, 0.0)
    assert told["placement_entropy"] == pytest.approx(math.log(2))
    assert told["unallocated_share"] == pytest.approx(0.2 / 3)
    assert told["audience_hhi"] == pytest.approx(0.75**2 + 0.25**2)
    assert (told["top_segment_share"], told["female_share"], told["age_55_up_share"]) == (0.75, 0.75, 0.25)
    assert told["night_share"] == pytest.approx(0.1)
    assert told["hour_hhi"] == pytest.approx(0.82)
    assert told["ios_share"] is None


def test_a_tiny_cell_says_next_to_nothing_and_a_large_one_is_believed() -> None:
    """Ads that differ: in the large one reels really do twice as well."""
    days = ad_days(
        [{"ad_id": f"ad_{ad}", "impressions": 200_000.0, "clicks": 2000.0} for ad in range(8)]
        + [{"ad_id": "tiny"}]
    )
    rows = []
    for ad in range(8):
        hit = 1500.0 if ad % 2 else 500.0
        rows.append((ad, PLACEMENT, "facebook,facebook_reels", 100_000.0, hit, 1.0, None))
        rows.append((ad, PLACEMENT, "facebook,feed", 100_000.0, 2000.0 - hit, 1.0, None))
    rows.append((8, PLACEMENT, "facebook,facebook_reels", 20.0, 2.0, 1.0, None))
    rows.append((8, PLACEMENT, "facebook,feed", 980.0, 8.0, 1.0, None))
    lifts = dict(mine(days, cells(rows)).select("ad_id", "reels_ctr_lift").rows())
    assert lifts["ad_1"] == pytest.approx(1.5, abs=0.02)
    assert lifts["ad_0"] == pytest.approx(0.5, abs=0.02)
    # Ten times its own rate, on a fifth of an expected click.
    assert 1.0 < lifts["tiny"] < 1.5


def test_where_ads_do_not_differ_no_lift_leaves_one() -> None:
    told = mine(*world(seed=3, accounts=4, ads=10, days=20))
    for name in ("ios_android_ctr_gap", "gender_ctr_gap"):
        assert told[name].abs().quantile(0.9) < 0.1
    assert np.std(told["reels_ctr_lift"].to_numpy()) < 0.05


def test_frequency_slope_pacing_decline_and_peak_follow_the_days() -> None:
    rows = [
        {"day": day, "frequency": 1 + 0.1 * day, "clicks": 2000.0 - 100 * day, "impressions": 100_000.0}
        for day in range(15)
    ]
    rows[-1]["spend"] = 30.0
    told = mine(ad_days(rows), NO_CELLS)
    last = told.row(-1, named=True)
    assert told["frequency_slope"][:2].to_list() == [None, None]
    assert last["frequency_slope"] == pytest.approx(0.1, rel=1e-4)
    assert last["spend_pacing"] == pytest.approx(3.0)
    first, now = 2000 - 100 * 3, 2000 - 100 * 11
    assert last["ctr_decline"] == pytest.approx(math.log(now / first), abs=0.02)
    assert last["days_since_peak"] == 14
    assert told["days_since_peak"][0] == 0


def test_rankings_are_ordinals_and_the_newest_known_one_of_a_week_counts() -> None:
    words = ["ABOVE_AVERAGE", "UNKNOWN", None, "BELOW_AVERAGE_10", "BELOW_AVERAGE_35"]
    told = mine(ad_days([{"day": day, "quality_ranking": word} for day, word in enumerate(words)]), NO_CELLS)
    assert told["quality_rank"].to_list() == [5, 5, 5, 1, 3]
    assert told["engagement_rank"].to_list() == [None] * 5
    late = mine(ad_days([{"quality_ranking": "AVERAGE"}, {"day": 8, "quality_ranking": "UNKNOWN"}]), NO_CELLS)
    assert late["quality_rank"].to_list() == [4, None]


def test_video_purchases_and_clicks_are_what_their_formulas_say() -> None:
    row = {
        "plays": 800.0, "p25": 400.0, "p50": 200.0, "p75": 150.0, "p100": 100.0, "thruplay": 80.0,
        "video_seconds": 5.0, "duration_s": 20.0, "purchases": 4.0, "purchase_value": 200.0,
        "purchases_7d_click": 3.0, "purchases_1d_view": 1.0, "inline_link_clicks": 8.0, "unique_clicks": 5.0,
    }  # fmt: skip
    told = mine(ad_days([row, {"ad_id": "picture"}]), NO_CELLS)
    film, picture = told.rows(named=True)
    wanted = {
        "hook_rate": 0.8, "quarter_retention": 0.5, "half_retention": 0.5, "three_quarter_retention": 0.75,
        "full_retention": 0.25, "thruplay_rate": 0.1, "watch_share": 0.25, "value_per_purchase": 50.0,
        "view_through_share": 0.25, "link_click_share": 0.8, "cost_per_unique_click": 2.0,
    }  # fmt: skip
    assert {name: film[name] for name in wanted} == pytest.approx(wanted)
    assert {picture[name] for name in wanted} == {None}


def test_any_share_of_whole_accounts_and_any_order_gives_the_same() -> None:
    days, of_cells = world()
    whole = mine(days, of_cells)
    parts = []
    for account in ("act_2", "act_0", "act_1"):
        here = days.with_row_index("number").filter(pl.col("account_id") == account)
        mixed = here.sample(fraction=1.0, shuffle=True, seed=5)
        place = mixed.select("number").with_row_index("row_now")
        moved = of_cells.join(place, left_on="row", right_on="number").with_columns(row=pl.col("row_now"))
        parts.append(mine(mixed.drop("number"), moved.drop("row_now")))
    together = pl.concat(parts).sort("account_id", "ad_id", "metric_date")
    for name in MINED_NAMES:
        np.testing.assert_allclose(
            together[name].to_numpy(), whole[name].to_numpy(), rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_the_newest_days_need_no_more_than_the_windows_before_them() -> None:
    from datetime import timedelta

    from ml.features.mined import AD_DAYS_BEFORE, CELL_DAYS_BEFORE

    days, of_cells = world(days=150, accounts=1, ads=3)
    since = days["metric_date"].max() - timedelta(days=2)  # type: ignore[operator]
    whole = mine(days, of_cells, since)
    numbered = days.with_row_index("number")
    kept = numbered.filter(pl.col("metric_date") >= since - timedelta(days=AD_DAYS_BEFORE))
    place = kept.filter(pl.col("metric_date") >= since - timedelta(days=CELL_DAYS_BEFORE)).select("number")
    places = kept.select("number").with_row_index("row_now")
    moved = of_cells.join(place, left_on="row", right_on="number", how="semi")
    moved = moved.join(places, left_on="row", right_on="number").with_columns(row=pl.col("row_now"))
    short = mine(kept.drop("number"), moved.drop("row_now"), since)
    assert len(whole) == len(short) > 5
    for name in MINED_NAMES:
        np.testing.assert_allclose(
            short[name].to_numpy(), whole[name].to_numpy(), rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_no_description_of_a_day_knows_a_later_one() -> None:
    assert peeking_mined(*world(), seed=7) == []


def test_a_formula_that_looks_ahead_is_found() -> None:
    def ahead(facts: object) -> np.ndarray:
        return np.full(len(facts.day["clicks"]), facts.day["clicks"].sum())  # type: ignore[attr-defined]

    leaking = tuple(replace(f, compute=ahead) if f.name == "frequency" else f for f in MINED_FEATURES)
    assert peeking_mined(*world(), seed=7, features=leaking) == ["frequency"]


def test_no_rows_make_no_features() -> None:
    told = mine(ad_days([{}]).clear(), NO_CELLS)
    assert (len(told), told.columns[3:]) == (0, list(MINED_NAMES))


@pytest.mark.parametrize(
    ("days", "of_cells", "says"),
    [
        (ad_days([{}]).drop("clicks"), NO_CELLS, "ad-days have no column 'clicks'"),
        (ad_days([{}]), NO_CELLS.drop("cell"), "cells have no column 'cell'"),
        (ad_days([{"clicks": -1.0}]), NO_CELLS, "clicks of an ad-day is missing or negative"),
        (ad_days([{}, {}]), NO_CELLS, "ad ad_1 of act_1 has two rows on 2026-01-01"),
        (ad_days([{}]), cells([(7, DEVICE, "iphone", 1, 1, 1, None)]), "1 cells belong to no ad-day"),
        (ad_days([{}]), cells([(0, DEVICE, "iphone", -1, 1, 1, None)]), "impressions of a cell"),
    ],
)
def test_rows_that_cannot_be_right_are_refused_in_words(
    days: pl.DataFrame, of_cells: pl.DataFrame, says: str
) -> None:
    with pytest.raises(RawDataUnusable, match=says):
        mine(days, of_cells)
