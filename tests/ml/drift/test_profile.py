"""Sums of windows: pieces add up, files give back what was put in, ads stay in their group."""

import numpy as np
import pytest

from ml.drift.plan import DriftPlan
from ml.drift.profile import GROUPS, Profile, group_of
from ml.drift.windows import Window
from tests.ml.drift.made_windows import COLUMNS, ad_days


@pytest.fixture(scope="module")
def window():
    return ad_days(seed=3)


@pytest.fixture(scope="module")
def plan(window):
    return DriftPlan.learn(window.rows, COLUMNS)


def same(one, other):
    for part in ("counts", "misses", "weights", "expected", "losses", "shown", "totals"):
        mine, others = getattr(one, part), getattr(other, part)
        assert mine.keys() == others.keys()
        for name in mine:
            np.testing.assert_allclose(mine[name], others[name], atol=1e-9)
    return one.days == other.days


def test_pieces_and_sums_of_windows_are_the_window(plan, window):
    whole = Profile.of(plan, "log_loss", (window,))
    assert same(whole, Profile.of(plan, "log_loss", window.chunks(37)))
    first = window.days < window.days.min() + 3
    halves = [Profile.of(plan, "log_loss", (window.take(part),)) for part in (first, ~first)]
    assert same(whole, halves[0].plus(halves[1]))
    assert whole.rows == len(window) == sum(whole.days.values())
    assert whole.clusters == len({*group_of(window.clusters)})


def test_what_is_packed_comes_back(plan, window):
    whole = Profile.of(plan, "log_loss", (window,))
    assert same(whole, Profile.unpacked(plan, "log_loss", whole.packed()))


def test_sums_are_of_the_rows_themselves(plan, window):
    whole = Profile.of(plan, "log_loss", (window,))
    assert whole.totals["observed"].sum() == window.observed.sum()
    assert whole.totals["expected"].sum() == pytest.approx((window.predicted * window.exposure).sum())
    assert whole.misses["hook"].sum() == pytest.approx(
        (window.observed - window.predicted * window.exposure).sum()
    )


def test_rows_without_outcome_or_prediction_count_as_rows_only(plan, window):
    observed, predicted = window.observed.copy(), window.predicted.copy()
    observed[:100], predicted[100:150] = np.nan, np.inf
    odd = Window(
        window.label, window.rows, window.clusters, window.days, predicted, observed, window.exposure
    )
    whole = Profile.of(plan, "log_loss", (odd,))
    assert whole.rows == len(window)
    assert whole.told_rows == len(window) - 150
    unanswered = Profile.of(plan, "log_loss", (Window("x", window.rows, window.clusters),))
    assert unanswered.told_rows == 0
    assert unanswered.rows == len(window)


def test_groups_depend_on_the_name_alone():
    names = np.array([f"act_1/{number}" for number in range(5000)], dtype=object)
    groups = group_of(names)
    assert (group_of(names[::-1]) == groups[::-1]).all()
    assert group_of(names[7:8])[0] == groups[7]
    assert np.bincount(groups, minlength=GROUPS).max() < 25


def test_a_window_with_parts_of_different_length_is_refused():
    with pytest.raises(ValueError, match="'odd' has 560 rows but 3 clusters"):
        Window("odd", ad_days().rows, np.arange(3))
