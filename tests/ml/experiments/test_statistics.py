"""Welch, the confidence sequence, the past, the split, the power: against what is known of them."""

import numpy as np
import pytest
from scipy import stats

from ml.experiments import (
    ArmSample,
    ConfidenceSequence,
    ExperimentDataInvalid,
    ExperimentSettingsInvalid,
    adjusted,
    check_ratio,
    paired_difference,
    smallest_effect,
    smallest_effect_in_loss,
    welch_test,
)
from ml.experiments.welch import steadied


@pytest.fixture
def random():
    return np.random.default_rng(7)


def test_welch_is_scipys(random):
    a, b = random.gamma(1, 1, 200), random.gamma(1, 2, 31)
    ours, theirs = welch_test(a, b), stats.ttest_ind(b, a, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert ours.relative == pytest.approx(b.mean() / a.mean() - 1)


@pytest.mark.parametrize(("a", "b"), [([], [1.0, 2.0]), ([1.0], [1.0, 2.0]), ([1.0, 1.0], [1.0, 1.0])])
def test_welch_without_a_spread_gives_no_p_value_and_no_error(a, b):
    assert np.isnan(welch_test(a, b).p_value)


def test_welch_refuses_what_is_no_number():
    with pytest.raises(ExperimentDataInvalid):
        welch_test([1.0, np.nan], [1.0, 2.0])


def test_a_ratio_of_equal_weights_is_a_mean(random):
    values = random.gamma(1, 1, 50)
    ratio, mean = ArmSample.of_ratio(values * 3, np.full(50, 3.0)), ArmSample.of_values(values)
    assert ratio.mean == pytest.approx(mean.mean)
    assert ratio.variance == pytest.approx(mean.variance)
    assert ratio.degrees == pytest.approx(49)


def test_the_variance_of_a_ratio_is_that_of_repeated_samples(random):
    samples = []
    for _ in range(800):
        weight = np.exp(random.normal(0, 0.7, 120))
        samples.append(ArmSample.of_ratio(weight * np.exp(random.normal(0, 0.5, 120)), weight))
    seen = np.var([sample.mean for sample in samples])
    assert np.mean([sample.variance for sample in samples]) == pytest.approx(seen, rel=0.15)


def test_one_large_unit_leaves_few_degrees_of_freedom():
    weight = np.array([1e6, *[1.0] * 99])
    assert ArmSample.of_ratio(weight, weight).degrees < 0.1


def test_a_small_arm_without_spread_borrows_one_unit_of_the_others_and_a_large_one_nothing():
    assert steadied(0.01, 89.0, 0.0, 9.0)[1] == pytest.approx(0.01 * 90 / 10 / 10)
    assert steadied(1e-4, 9_999.0, 1e-4, 9_999.0)[1] == pytest.approx(1e-4)


def test_the_sequence_is_wider_than_one_look_and_tightest_where_it_was_told():
    sequence = ConfidenceSequence(0.05, tightest_at=100.0)
    information = np.array([5.0, 20, 50, 100, 200, 500])
    multiples = sequence.multiple(1 / information)
    assert multiples.argmin() == 3
    assert multiples.min() == pytest.approx(3.03, abs=0.01)
    assert (np.diff(sequence.half_width(1 / information)) < 0).all()


def test_the_sequence_is_the_formula_of_the_paper():
    t, rho, alpha, sigma = 700, 0.05, 0.05, 2.0
    theirs = sigma * np.sqrt(2 * (t * rho**2 + 1) / (t**2 * rho**2) * np.log(np.sqrt(t * rho**2 + 1) / alpha))
    best = ConfidenceSequence(alpha, 1.0)
    # The paper's rho is told by the time it is best for: rho^2 t = 8.22 there.
    x = 8.2179
    assert best.half_width(1.0) == pytest.approx(
        np.sqrt((1 + 1 / x) * (np.log1p(x) - 2 * np.log(alpha))), 1e-4
    )
    ours = ConfidenceSequence(alpha, tightest_at=x / rho**2 / sigma**2).half_width(sigma**2 / t)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_few_units_make_it_wider():
    sequence = ConfidenceSequence(0.05, tightest_at=1.0)
    assert sequence.half_width(1.0, 9) > 1.3 * sequence.half_width(1.0)
    assert sequence.half_width(1.0, 1e9) == pytest.approx(sequence.half_width(1.0))


def test_the_sequence_holds_at_all_looks_where_the_fixed_interval_does_not(random):
    looks = np.arange(50, 5_001, 50)
    values = random.exponential(1.0, (1_000, 5_000)) - 1
    sums, squares = (np.cumsum(values**power, axis=1)[:, looks - 1] for power in (1, 2))
    mean = sums / looks
    variance = (squares / looks - mean**2) / (looks - 1)
    always = ConfidenceSequence(0.05, tightest_at=500.0).half_width(variance, looks - 1.0)
    missed = (np.abs(mean) > always).any(axis=1).mean()
    assert missed <= 0.05
    assert (np.abs(mean) > 1.96 * np.sqrt(variance)).any(axis=1).mean() > 0.2


@pytest.mark.parametrize(("alpha", "tightest_at"), [(0.0, 1.0), (0.05, 0.0), (0.05, float("nan"))])
def test_a_sequence_without_sense_is_refused(alpha, tightest_at):
    with pytest.raises(ExperimentSettingsInvalid):
        ConfidenceSequence(alpha, tightest_at)


def test_the_past_takes_noise_away_and_leaves_the_difference_unbiased(random):
    plain, freed = [], []
    arms = np.arange(200) < 40
    for _ in range(400):
        past = random.normal(1, 1, 200)
        values = past + random.normal(0, 0.5, 200) - 0.3 * arms
        less = adjusted(values, past, arms=arms)
        assert less.mean() == pytest.approx(values.mean())
        plain.append(values[arms].mean() - values[~arms].mean())
        freed.append(less[arms].mean() - less[~arms].mean())
    assert np.var(freed) < 0.3 * np.var(plain)
    assert np.mean(freed) == pytest.approx(-0.3, abs=0.02)


@pytest.mark.parametrize(
    "past", [np.full(50, np.nan), np.full(50, 0.1), np.array([1.0, 2.0] + [np.nan] * 48)]
)
def test_a_past_that_says_nothing_changes_nothing(random, past):
    values = random.normal(0, 1, 50)
    np.testing.assert_array_equal(adjusted(values, past), values)


def test_units_without_a_past_keep_their_values(random):
    past = random.normal(0, 1, 60)
    values = past + random.normal(0, 0.1, 60)
    past[::3] = np.nan
    less = adjusted(values, past)
    np.testing.assert_array_equal(less[::3], values[::3])
    assert less[1::3].std() < 0.3 * values[1::3].std()


def test_a_past_of_another_length_is_refused():
    with pytest.raises(ExperimentDataInvalid, match="differ in shape"):
        adjusted([1.0, 2.0], [1.0])


def test_a_broken_split_is_caught_and_a_fair_one_is_not():
    assert check_ratio(9_000, 800, challenger_share=0.1, alpha=0.001).mismatch
    assert check_ratio(900_000, 98_000, challenger_share=0.1, alpha=0.001).mismatch
    assert not check_ratio(9_000, 1_020, challenger_share=0.1, alpha=0.001).mismatch
    assert not check_ratio(5, 0, challenger_share=0.1, alpha=0.001).mismatch
    assert not check_ratio(0, 0, challenger_share=0.1, alpha=0.001).mismatch


def test_the_exact_test_and_the_large_one_agree():
    exact = check_ratio(8_950, 1_050, challenger_share=0.1, alpha=0.001).p_value
    large = check_ratio(8_951, 1_050, challenger_share=0.1, alpha=0.001).p_value
    assert exact == pytest.approx(large, rel=0.1)


def test_ten_thousand_impressions_a_day_show_no_less_than_a_third_in_a_week():
    found = smallest_effect(
        impressions_a_day=10_000, rate=0.01, challenger_share=0.1, days=7, alpha=0.05, power=0.8
    )
    assert 0.30 <= found.relative <= 0.40
    assert found.sentence == (
        "With 10,000 impressions a day for 7 days, 10 % of them the challenger's, only a change of 35 %"
        " or more would be seen with a chance of 80 %."
    )


def test_more_traffic_more_share_and_a_single_look_show_more():
    given = {"units": 1_000, "mean": 0.05, "sd": 0.1, "challenger_share": 0.1, "alpha": 0.05, "power": 0.8}
    usual = smallest_effect_in_loss(**given).relative
    assert smallest_effect_in_loss(**{**given, "units": 4_000}).relative == pytest.approx(usual / 2)
    assert smallest_effect_in_loss(**{**given, "challenger_share": 0.5}).relative < usual
    assert smallest_effect_in_loss(**given, daily_looks=True).relative > usual


def test_the_smallest_effect_is_found_as_often_as_promised(random):
    plan = {"units": 2_000, "mean": 1.0, "sd": 1.0, "challenger_share": 0.5, "alpha": 0.05, "power": 0.8}
    effect = smallest_effect_in_loss(**plan).absolute
    found = [
        welch_test(random.normal(1, 1, 1_000), random.normal(1 - effect, 1, 1_000)).p_value < 0.05
        for _ in range(600)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_traffic_that_can_show_nothing_says_so():
    told = smallest_effect_in_loss(
        units=50, mean=0.05, sd=0.4, challenger_share=0.1, alpha=0.05, power=0.8
    ).sentence
    assert "not even a change of 100 %" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate", 0.0), ("days", 0), ("challenger_share", 1.0), ("alpha", 0.0), ("power", 1.0)],
)
def test_a_plan_without_sense_is_refused(name, value):
    given = {"rate": 0.01, "days": 7, "challenger_share": 0.1, "alpha": 0.05, "power": 0.8, name: value}
    with pytest.raises(ExperimentSettingsInvalid):
        smallest_effect(impressions_a_day=1_000, **given)


def both_models(random, rows=5_000, groups=100, effect=0.0, by_group=0.2):
    of = random.integers(0, groups, rows)
    champion = random.gamma(0.5, 0.1, rows)
    challenger = champion * (1 + effect + by_group * random.normal(0, 1, groups)[of])
    return champion, challenger, np.ones(rows), of


def test_the_same_requests_show_what_two_arms_cannot(random):
    champion, challenger, weight, of = both_models(random, effect=-0.1)
    assert paired_difference(champion, challenger, weight, of, tightest=1.0).always_high < 0
    half = np.arange(len(of)) < 2_500
    assert welch_test(champion[half], challenger[~half]).p_value > 0.01


def test_the_paired_interval_allows_for_what_rows_of_an_account_share(random):
    naive, clustered = 0, 0
    for _ in range(200):
        champion, challenger, weight, of = both_models(random, rows=2_000, groups=40)
        clustered += paired_difference(champion, challenger, weight, of).p_value < 0.05
        naive += paired_difference(champion, challenger, weight, np.arange(2_000)).p_value < 0.05
    assert clustered / 200 <= 0.09
    assert naive / 200 > 0.25


def test_one_group_or_none_gives_no_interval():
    alone = paired_difference([1.0, 2.0], [1.0, 1.0], [1, 1], ["a", "a"])
    assert alone.difference == -0.5
    assert np.isnan(alone.always_high)
    assert paired_difference([], [], [], []).groups == 0


def test_pairs_that_do_not_match_are_refused():
    with pytest.raises(ExperimentDataInvalid):
        paired_difference([1.0], [1.0, 2.0], [1.0, 1.0], ["a", "b"])
