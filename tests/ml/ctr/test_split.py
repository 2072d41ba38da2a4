"""Splits: whole days in order, whole ads, and always the same way."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.ctr.errors import LeakageFound, TrainingDataInsufficient
from ml.ctr.split import halves, share_of_ads, split_by_ad, split_by_time

SHARES = st.floats(0.05, 0.45)
PARTS = ("train", "validation", "test")


def assert_covers(split):
    masks = np.column_stack([getattr(split, part) for part in PARTS])
    assert (masks.sum(axis=1) == 1).all()
    assert masks.any(axis=0).all()


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 25)), min_size=5, max_size=200, unique=True).filter(
        lambda rows: len({day for day, _ in rows}) >= 3
    ),
    SHARES,
    SHARES,
)
def test_time_parts_follow_each_other_and_share_no_ad(rows, test_share, validation_share):
    dates = np.datetime64("2026-01-01") + np.array([day for day, _ in rows])
    groups = np.array([f"ad_{ad}" for _, ad in rows], dtype=object)
    clicks = np.ones(len(rows), dtype=int)
    shares = {"test_share": test_share, "validation_share": validation_share, "seed": 7}
    split = split_by_time(dates, groups, clicks, **shares)
    masks = np.column_stack([getattr(split, part) for part in (*PARTS, "running")])
    assert (masks.sum(axis=1) <= 1).all()
    for earlier, later in (("train", "validation"), ("validation", "test"), ("train", "test")):
        first, second = getattr(split, earlier), getattr(split, later)
        assert not set(groups[first]) & set(groups[second])
        if first.any() and second.any():
            assert dates[first].max() < dates[second].min()


def test_where_no_ad_starts_late_ads_are_dealt_and_each_part_has_its_own():
    dates = np.datetime64("2026-01-01") + np.repeat(np.arange(20), 30)
    groups = np.array([f"ad_{a}" for a in range(30)] * 20, dtype=object)
    split = split_by_time(dates, groups, np.ones(600, int), test_share=0.2, validation_share=0.2, seed=7)
    assert "dealt by a hash" in split.description
    assert all(getattr(split, part).any() for part in (*PARTS, "running"))
    split.check(groups, dates)


def test_planted_leakage_is_caught():
    dates = np.datetime64("2026-01-01") + np.repeat(np.arange(20), 30)
    groups = np.array([f"ad_{a}" for a in range(30)] * 20, dtype=object)
    split = split_by_time(dates, groups, np.ones(600, int), test_share=0.2, validation_share=0.2, seed=7)
    known_ads = replace(split, test=split.test | split.running)
    with pytest.raises(LeakageFound, match=r"ad ad_\d+ is in the train part and in the test part"):
        known_ads.check(groups, dates)
    its_ads = np.isin(groups, groups[split.test])
    future = replace(split, test=split.test | (its_ads & (dates < dates[split.validation].min())))
    with pytest.raises(LeakageFound, match="it would learn from the days it is judged by"):
        future.check(groups, dates)


@given(
    st.lists(st.integers(0, 40), min_size=3, max_size=200).filter(lambda a: len(set(a)) >= 3),
    SHARES,
    SHARES,
    st.integers(0, 5),
)
def test_an_ad_is_never_in_two_parts(ads, test_share, validation_share, seed):
    groups = np.array([f"ad_{a}" for a in ads], dtype=object)
    split = split_by_ad(groups, test_share=test_share, validation_share=validation_share, seed=seed)
    assert_covers(split)
    parts = [set(groups[getattr(split, part)]) for part in PARTS]
    assert not parts[0] & parts[1]
    assert not parts[1] & parts[2]
    assert not parts[0] & parts[2]


def test_the_order_of_rows_does_not_change_where_an_ad_goes():
    groups = np.array([f"ad_{a}" for a in range(50)] * 2, dtype=object)
    there = split_by_ad(groups, test_share=0.2, validation_share=0.2, seed=7)
    back = split_by_ad(groups[::-1], test_share=0.2, validation_share=0.2, seed=7)
    assert set(groups[there.test]) == set(groups[::-1][back.test])
    other = split_by_ad(groups, test_share=0.2, validation_share=0.2, seed=8)
    assert set(groups[there.test]) != set(groups[other.test])


def test_too_few_days_or_ads_are_refused_with_their_number():
    with pytest.raises(TrainingDataInsufficient, match=r"span 2 day\(s\)"):
        split_by_time(
            np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"),
            np.array(["a", "b"], object),
            np.ones(2),
            test_share=0.2,
            validation_share=0.2,
            seed=7,
        )
    with pytest.raises(TrainingDataInsufficient, match=r"2 ad\(s\)"):
        split_by_ad(np.array(["a", "b"], object), test_share=0.2, validation_share=0.2, seed=1)


@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 5))
def test_a_share_of_the_ads_takes_whole_ads_and_never_more_than_it_says(ads, share, seed):
    groups = np.repeat([f"ad {place}" for place in range(ads)], 3)
    taken = share_of_ads(groups, share, seed)
    assert taken.sum() == 3 * int(ads * share)
    assert not set(groups[taken]) & set(groups[~taken])
    assert (halves(groups, seed) == share_of_ads(groups, 0.5, seed)).all()
