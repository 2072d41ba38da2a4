"""The measure: right on cases worked out by hand, and p-values that are what they say."""

import numpy as np
import pytest

from ml.drift.movement import benjamini_hochberg, effective_clusters, measure


def tables(reference, current, clusters=None):
    """(clusters, bins) counts of both windows from the bin of each row; by default a row is a cluster."""
    bins = int(max(reference.max(), current.max())) + 1
    before, after = clusters or (np.arange(len(reference)), len(reference) + np.arange(len(current)))
    count = int(max(before.max(), after.max())) + 1
    made = []
    for which, places in ((before, reference), (after, current)):
        made.append(np.bincount(which * bins + places, minlength=count * bins).reshape(count, bins) * 1.0)
    return made


def deciles(values, of):
    return np.searchsorted(np.quantile(of, np.linspace(0, 1, 11)[1:-1]), values)


def test_the_index_is_the_textbook_one():
    reference, current = np.repeat([0, 1], [600, 400]), np.repeat([0, 1], [400, 600])
    assert measure(*tables(reference, current)).psi == pytest.approx(2 * 0.2 * np.log(0.6 / 0.4))
    assert measure(*tables(reference, reference)).psi == pytest.approx(0)


def test_independent_rows_have_the_familiar_expectation():
    random = np.random.default_rng(1)
    before, after = random.normal(size=5000), random.normal(size=1000)
    found = measure(*tables(deciles(before, before), deciles(after, before)))
    assert found.expected_psi == pytest.approx(9 * (1 / 5000 + 1 / 1000), rel=0.05)


@pytest.mark.parametrize("days_per_ad", [1, 20])
def test_without_drift_one_p_value_in_twenty_is_below_five_per_cent(days_per_ad):
    random = np.random.default_rng(2)
    surprises, trials = 0, 300
    for _ in range(trials):
        # Every day of an ad has the ad's own value: twenty rows are one piece of evidence.
        values = random.normal(size=750)
        before, after = np.repeat(np.arange(600), days_per_ad), np.repeat(np.arange(600, 750), days_per_ad)
        placed = deciles(values, values[:600])
        found = measure(*tables(placed[before], placed[after], (before, after)))
        surprises += found.p_value < 0.05
    assert 0.01 < surprises / trials < 0.09


def test_ads_in_both_windows_do_not_hide_that_the_others_changed():
    random = np.random.default_rng(3)
    before = random.normal(size=400)
    after = np.concatenate([before[:200], random.normal(1.5, size=200)])
    clusters = np.arange(400), np.concatenate([np.arange(200), np.arange(1200, 1400)])
    found = measure(*tables(deciles(before, before), deciles(after, before), clusters))
    assert found.p_value < 1e-6


def test_rare_bins_are_merged_and_a_single_bin_says_nothing():
    reference, current = np.array([0, 1] * 100 + [2, 3, 4]), np.array([0, 1] * 100 + [5, 6, 7])
    assert measure(*tables(reference, current)).psi == pytest.approx(0, abs=1e-9)
    assert measure(*tables(np.zeros(100, int), np.zeros(50, int))) is None


def test_one_large_cluster_is_hardly_more_than_one():
    assert effective_clusters(np.array([[1.0], [1.0], [1.0]])) == pytest.approx(3)
    assert effective_clusters(np.array([[1000.0], [1.0], [1.0]])) < 1.01
    assert effective_clusters(np.zeros((3, 1))) == 0


def test_false_discoveries_are_bounded_over_many_columns():
    random = np.random.default_rng(4)
    nights = [benjamini_hochberg(random.uniform(size=30), 0.05).any() for _ in range(1000)]
    assert np.mean(nights) < 0.08
    assert benjamini_hochberg(np.array([]), 0.05).tolist() == []
