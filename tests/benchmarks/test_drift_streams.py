"""The streams hold what they promise: what is said to be quiet is, and what is said to change does."""

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.drift_streams import COLUMNS, KINDS, QUIET, UNIMPORTANT, Stream

START, DAYS = 20, 45


def halves(kind, rows=20_000, seed=3):
    days = list(Stream(kind, rows, seed, drift_start=START).days(DAYS))
    return pd.concat(days[:START]), pd.concat(days[START:])


def calibration(rows):
    """Clicks over what the champion expected."""
    return rows.clicks.sum() / (rows.predicted * rows.impressions).sum()


def by_hook(rows):
    expected = (rows.predicted * rows.impressions).groupby(rows.hook, observed=True).sum()
    return rows.groupby("hook", observed=True).clicks.sum() / expected


@pytest.mark.parametrize("kind", [*QUIET, "covariate", "covariate_unimportant"])
def test_the_champion_stays_right_where_only_inputs_move(kind):
    for rows in halves(kind):
        assert calibration(rows) == pytest.approx(1, abs=0.01)
        assert by_hook(rows).to_numpy() == pytest.approx(1, abs=0.03)


def test_a_prior_shift_raises_every_rate_by_three_tenths():
    before, after = halves("prior")
    assert calibration(before) == pytest.approx(1, abs=0.01)
    assert by_hook(after).to_numpy() == pytest.approx(1.3, abs=0.04)


def test_a_changed_concept_turns_hooks_round_and_leaves_the_inputs():
    before, after = halves("concept_sudden")
    assert by_hook(before).to_numpy() == pytest.approx(1, abs=0.03)
    ratio = by_hook(after)
    assert ratio["question"] < 0.5
    assert ratio["fear"] > 2
    assert after.hook.value_counts(normalize=True).sub(0.2).abs().max() < 0.02


def test_gradual_and_recurring_changes_come_as_said():
    gradual = Stream("concept_gradual", 100, drift_start=5)
    assert [gradual.drifting(day) for day in (4, 5, 18, 30)] == [0.0, 1 / 14, 1.0, 1.0]
    recurring = Stream("concept_recurring", 100, drift_start=5)
    assert [recurring.drifting(day) for day in (4, 5, 11, 12, 25, 26, 32, 33)] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert all(Stream(kind, 100).drifting(10**6) == 0 for kind in QUIET)


def test_inputs_move_only_where_the_kind_says_so():
    for kind in KINDS:
        before, after = halves(kind, rows=3000)
        moved = {
            column
            for column in COLUMNS
            if abs(after[column].isna().mean() - before[column].isna().mean()) > 0.5
            or _shift(before[column], after[column]) > 0.2
        }
        expected = {
            "covariate": {"price", "frequency", "hook", "device", "placement", "budget"},
            "covariate_unimportant": {"loudness", "screen_ratio", "tone"},
            "broken_column": {"budget"},
        }.get(kind, set())
        assert moved == expected, kind
    assert {"loudness", "screen_ratio", "tone"} <= set(UNIMPORTANT)


def _shift(before, after):
    if isinstance(before.dtype, pd.CategoricalDtype):
        shares = [rows.value_counts(normalize=True) for rows in (before, after)]
        return float((shares[0] - shares[1]).abs().sum())
    if after.isna().all():
        return 0.0
    return (
        abs(np.log1p(after).mean() - np.log1p(before).mean()) / np.log1p(before).std()
        if (before.min() >= 0)
        else abs(after.mean() - before.mean()) / before.std()
    )


def test_rows_of_one_ad_are_alike_and_an_ad_lives_ten_days():
    days = pd.concat(list(Stream("quiet", 300, 1).days(40)))
    life = days.groupby("ad").date.agg(lambda dates: (dates.max() - dates.min()).days)
    assert life.max() < 10
    assert days.groupby("ad").hook.nunique().max() == 1
    assert days.groupby("ad").account.nunique().max() == 1
    assert days.groupby(["ad", "date"]).size().max() > 1
    residual = days.clicks - days.predicted * days.impressions
    expected = (days.predicted * days.impressions).groupby(days.ad).sum()
    # Ads differ by more than clicks do by chance.
    chance = residual.groupby(days.ad).sum() ** 2 / expected
    assert chance[expected > 20].mean() > 1.2


def test_a_stream_is_the_same_again_and_another_with_another_seed():
    first, again, other = (next(iter(Stream("quiet", 100, seed).days(1))) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.price.equals(other.price)


def test_weekends_of_a_seasonal_stream_have_fewer_rows_and_more_clicks():
    days = list(Stream("quiet_seasonal", 5000, 1).days(28))
    weekend = [day for day in days if day.date.iloc[0].weekday() >= 5]
    weekday = [day for day in days if day.date.iloc[0].weekday() < 5]
    assert {len(day) for day in weekend} == {3500}
    assert {len(day) for day in weekday} == {5000}
    rates = [
        sum(d.clicks.sum() for d in part) / sum(d.impressions.sum() for d in part)
        for part in (weekend, weekday)
    ]
    assert rates[0] > 1.1 * rates[1]
