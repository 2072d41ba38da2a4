"""Splits: whole days in order, whole ads, and always the same way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.ctr.errors import TrainingDataInsufficient
from ml.ctr.split import split_by_ad, split_by_time

SHARES = st.floats(0.05, 0.45)
PARTS = ("train", "validation", "test")


def assert_covers(split):
    masks = np.column_stack([getattr(split, part) for part in PARTS])
    assert (masks.sum(axis=1) == 1).all()
    assert masks.any(axis=0).all()


@given(
    st.lists(st.integers(0, 60), min_size=3, max_size=200).filter(lambda d: len(set(d)) >= 3), SHARES, SHARES
)
def test_time_parts_follow_each_other_in_whole_days(days, test_share, validation_share):
    dates = np.datetime64("2026-01-01") + np.array(days)
    split = split_by_time(dates, test_share=test_share, validation_share=validation_share)
    assert_covers(split)
    assert dates[split.train].max() < dates[split.validation].min()
    assert dates[split.validation].max() < dates[split.test].min()


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
            np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"), test_share=0.2, validation_share=0.2
        )
    with pytest.raises(TrainingDataInsufficient, match=r"2 ad\(s\)"):
        split_by_ad(np.array(["a", "b"], object), test_share=0.2, validation_share=0.2, seed=1)
