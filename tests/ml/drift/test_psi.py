"""The measure: right on cases worked out by hand, and p-values that are what they say."""

import numpy as np
import pandas as pd
import pytest

from ml.drift.psi import benjamini_hochberg, bin_levels, bin_numbers, measure


def movement(reference, current, reference_ads=None, current_ads=None):
    bins = bin_numbers(np.asarray(reference, float), np.asarray(current, float))
    n = len(reference)
    return measure(
        *bins,
        np.arange(n) if reference_ads is None else reference_ads,
        np.arange(n, n + len(current)) if current_ads is None else current_ads,
    )


def test_the_index_is_the_textbook_one():
    reference = np.repeat([0, 1], [600, 400])
    current = np.repeat([0, 1], [400, 600])
    expected = 2 * 0.2 * np.log(0.6 / 0.4)
    assert movement(reference, current).psi == pytest.approx(expected)
    assert movement(reference, reference).psi == pytest.approx(0)


def test_independent_rows_have_the_familiar_expectation():
    random = np.random.default_rng(1)
    found = movement(random.normal(size=5000), random.normal(size=1000))
    assert found.expected_psi == pytest.approx(9 * (1 / 5000 + 1 / 1000), rel=0.05)


@pytest.mark.parametrize("days_per_ad", [1, 20])
def test_without_drift_one_p_value_in_twenty_is_below_five_per_cent(days_per_ad):
    random = np.random.default_rng(2)
    surprises, trials = 0, 300
    for _ in range(trials):
        # Every day of an ad has the ad's own value: twenty rows are one piece of evidence.
        ads, of_current = 600, 150
        values = random.normal(size=ads + of_current)
        before, after = (
            np.repeat(np.arange(ads), days_per_ad),
            np.repeat(np.arange(ads, ads + of_current), days_per_ad),
        )
        surprises += movement(values[before], values[after], before, after).p_value < 0.05
    assert surprises / trials < 0.09


def test_ads_in_both_windows_do_not_hide_that_the_others_changed():
    random = np.random.default_rng(3)
    ads = np.arange(400)
    before = random.normal(size=400)
    after = np.concatenate([before[:200], random.normal(1.5, size=200)])
    found = movement(before, after, ads, np.concatenate([ads[:200], ads[:200] + 1000]))
    assert found.p_value < 1e-6


def test_infinities_missing_values_and_few_distinct_values_have_bins():
    reference = np.array([1.0, 2.0, np.nan, np.inf, -np.inf] * 40)
    current = np.array([np.nan] * 100 + [np.inf] * 100)
    before, after, bins = bin_numbers(reference, current)
    assert set(before) == {0, 1, 2}
    assert set(after) == {1, 2}
    assert bins == 3
    assert movement(reference, current).p_value < 0.001


def test_levels_that_few_ads_have_are_merged():
    reference = pd.Series(["a", "b"] * 100 + [f"rare {i}" for i in range(6)])
    current = pd.Series(["a", "b"] * 100 + [f"other {i}" for i in range(6)])
    found = measure(*bin_levels(reference, current), np.arange(206), np.arange(206, 412))
    assert found.psi == pytest.approx(0, abs=1e-9)


def test_a_constant_column_says_nothing():
    assert movement(np.ones(100), np.ones(50)) is None


def test_false_discoveries_are_bounded_over_many_columns():
    random = np.random.default_rng(4)
    nights = [benjamini_hochberg(random.uniform(size=30), 0.05).any() for _ in range(1000)]
    assert np.mean(nights) < 0.08
    assert benjamini_hochberg(np.array([]), 0.05).tolist() == []
