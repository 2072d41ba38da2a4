"""Broken data is told in a sentence, and sampling noise and clustered rows are not called broken."""

import numpy as np
import pandas as pd
import pytest

from ml.drift.quality import (
    EffectiveRows,
    QualitySettings,
    effective_rows,
    quality_issues,
    volume_issue,
)
from ml.drift.sketch import plan_column, summarise

SETTINGS = QualitySettings(
    p_value=0.001,
    missing_change=0.05,
    new_levels_share=0.02,
    out_of_range_share=0.01,
    unusable_rise=0.01,
    volume_low=0.5,
    volume_high=2.0,
)


def issues(before, now, kind=None, worth=None):
    plan = plan_column(before, kind)
    return quality_issues(
        {"column": summarise(before, plan)}, {"column": summarise(now, plan)}, SETTINGS, worth=worth
    )


def numbers(rows, seed, missing=0.0, centre=0.0):
    random = np.random.default_rng(seed)
    return np.where(random.random(rows) < missing, np.nan, random.normal(centre, 1, rows))


def test_a_column_that_vanished_is_told_in_one_sentence():
    (found,) = issues(numbers(5000, 1, 0.02), np.full(300, np.nan))
    assert (found.column, found.kind, found.now) == ("column", "missing", 1.0)
    assert (
        found.sentence
        == f"column has no values at all any more; before, {100 * found.before:.1f} % lacked it."
    )
    assert found.p_value < 1e-10


def test_more_and_fewer_missing_values_are_both_told():
    (more,) = issues(numbers(5000, 1, 0.02), numbers(2000, 2, 0.3))
    assert more.sentence.startswith("column is missing in 3")
    (fewer,) = issues(numbers(5000, 1, 0.3), numbers(2000, 2, 0.0))
    assert fewer.now == 0
    assert issues(numbers(5000, 1, 0.3), numbers(2000, 2, 0.3)) == ()


def test_thirty_rows_of_one_ad_are_no_thirty_pieces_of_evidence():
    before = numbers(3000, 1, 0.1)
    now = np.concatenate([numbers(270, 2, 0.1), np.full(30, np.nan)])
    assert [issue.kind for issue in issues(before, now)] == ["missing"]
    clustered = EffectiveRows(effective_rows(np.full(100, 30)), effective_rows(np.full(10, 30)))
    assert (clustered.reference, clustered.current) == (100, 10)
    assert issues(before, now, worth=clustered) == ()


def test_without_a_change_hardly_a_window_has_an_issue_even_in_clusters():
    random = np.random.default_rng(5)
    alarms, naive = 0, 0
    for _ in range(300):
        # Every row of an ad lacks the value, or none does.
        before, now = (np.repeat(np.where(random.random(ads) < 0.2, np.nan, 1.0), 20) for ads in (150, 40))
        worth = EffectiveRows(effective_rows(np.full(150, 20)), effective_rows(np.full(40, 20)))
        alarms += bool(issues(before, now, worth=worth))
        naive += bool(issues(before, now))
    assert alarms <= 3
    assert naive > 30


def test_new_levels_are_named_with_their_shares():
    before = pd.Series(["feed", "stories"] * 500)
    now = pd.Series(["feed"] * 60 + ["reels"] * 30 + ["map"] * 5 + ["tv"] * 3 + ["radio"] * 2)
    (found,) = issues(before, now)
    assert (found.kind, found.before, found.now) == ("new_levels", 0.0, pytest.approx(0.4))
    assert found.sentence == (
        "40.0 % of the rows have levels of column never seen before: reels (30.0 %), map (5.0 %), tv (3.0 %) "
        "and 1 more."
    )
    assert issues(before, pd.Series(["feed"] * 999 + ["reels"])) == ()


def test_values_out_of_the_range_there_ever_was_are_told():
    (found,) = issues(numbers(5000, 1), np.append(numbers(900, 2) / 2, np.full(100, 1000.0)))
    assert (found.kind, found.now) == ("out_of_range", pytest.approx(0.1))
    assert "10.0 % of the rows have a column outside" in found.sentence
    assert "to 1000." in found.sentence
    # The next window's extremes lie a little beyond as often as not.
    assert all(issues(numbers(200, s), numbers(200, s + 100)) == () for s in range(30))


def test_text_among_numbers_and_infinities_are_told_with_their_counts():
    before = pd.Series(np.arange(1000.0).astype(str))
    now = pd.Series(["1.5"] * 80 + ["n/a"] * 15 + ["inf"] * 5)
    found = {issue.kind: issue for issue in issues(before, now, "number")}
    assert found["unusable"].sentence == (
        "column holds no usable number in 20.0 % of the rows (15 rows with text, 5 infinite); before, in 0 %."
    )
    assert "missing" not in found


def test_windows_that_agree_or_hold_nothing_have_no_issues():
    assert issues(numbers(1000, 1), numbers(100, 2)) == ()
    assert issues(np.empty(0), numbers(100, 2)) == ()
    assert issues(numbers(100, 2), np.empty(0)) == ()
    assert issues(np.full(100, np.nan), np.full(100, np.nan)) == ()


def test_the_worst_comes_first_and_kinds_must_agree():
    frame = {"a": numbers(2000, 1), "b": numbers(2000, 2)}
    plans = {name: plan_column(column) for name, column in frame.items()}
    before = {name: summarise(column, plans[name]) for name, column in frame.items()}
    now = {
        "a": summarise(numbers(500, 3, 0.2), plans["a"]),
        "b": summarise(numbers(500, 4, 0.8), plans["b"]),
        "only now": summarise(numbers(9, 5), plans["a"]),
    }
    assert [issue.column for issue in quality_issues(before, now, SETTINGS)] == ["b", "a"]
    letters = pd.Series(["x"] * 50)
    with pytest.raises(ValueError, match="a has numbers in one window and categories in the other"):
        quality_issues(before, {"a": summarise(letters, plan_column(letters))}, SETTINGS)


def test_volume_is_judged_against_the_same_weekdays():
    weekdays = np.arange(28) % 7
    rows = np.where(weekdays >= 5, 400, 1000) + np.arange(28)
    quiet_sunday = volume_issue(rows, weekdays, np.array([410]), np.array([6]), SETTINGS)
    assert quiet_sunday is None
    empty_monday = volume_issue(rows, weekdays, np.array([410]), np.array([0]), SETTINGS)
    assert (empty_monday.kind, empty_monday.column, empty_monday.now) == ("volume", "", 410)
    assert empty_monday.sentence == ("Unusually few rows: 410 a day, against 1,010 on such weekdays before.")
    doubled = volume_issue(rows, weekdays, np.array([2500, 2600]), np.array([1, 2]), SETTINGS)
    assert doubled.sentence.startswith("Unusually many rows: 2,550 a day")


def test_volume_that_came_before_or_cannot_be_judged_is_no_issue():
    weekdays = np.arange(14) % 7
    with_a_gap = np.where(np.arange(14) == 3, 0, 1000)
    assert volume_issue(with_a_gap, weekdays, np.array([100]), np.array([2]), SETTINGS) is None
    nothing = np.empty(0, int)
    assert volume_issue(nothing, nothing, np.array([5]), np.array([2]), SETTINGS) is None
    assert volume_issue(with_a_gap, weekdays, nothing, nothing, SETTINGS) is None
    assert volume_issue(np.zeros(14), weekdays, np.array([5]), np.array([2]), SETTINGS) is None


def test_effective_rows_follow_kish():
    assert effective_rows(np.ones(50)) == 50
    assert effective_rows(np.array([100, 1, 0])) == pytest.approx(101**2 / 10_001)
    assert effective_rows(np.empty(0)) == 0
