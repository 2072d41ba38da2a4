"""Lagged sums against a slow and obvious way to compute them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.features.lags import lagged_sums, shrunk_rate

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(19_000, 19_030), st.integers(0, 1000)), min_size=1, max_size=60
)


@given(ROWS, st.integers(1, 40))
def test_a_row_gets_the_sum_over_the_window_before_its_day(rows, window):
    keys, days, values = (np.array(column) for column in zip(*rows, strict=True))
    expected = [sum(v for k, d, v in rows if k == key and day - window <= d < day) for key, day, _ in rows]
    assert lagged_sums(keys, days, values, window).tolist() == expected


@given(ROWS)
def test_what_happens_on_a_day_never_changes_the_lags_of_that_day_or_earlier(rows):
    keys, days, values = (np.array(column) for column in zip(*rows, strict=True))
    changed = np.where(days == days[0], values + 1_000_000, values)
    same = days <= days[0]
    before, after = lagged_sums(keys, days, values, 28), lagged_sums(keys, days, changed, 28)
    assert (before[same] == after[same]).all()


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        lagged_sums(np.array([0]), np.array([1, 2]), np.array([1]), 7)


def test_a_rate_is_pulled_to_its_prior_by_the_pseudo_clicks():
    clicks, impressions = np.array([10.0]), np.array([100.0])
    # 10 clicks of 100 and 5 pseudo-clicks at 1 per cent, which are 500 impressions.
    assert shrunk_rate(clicks, impressions, np.array([0.01]), 5.0)[0] == pytest.approx(15 / 600)
    assert np.isnan(shrunk_rate(clicks, impressions, np.array([np.nan]), 5.0)[0])
