"""Figures against cases that can be worked out by hand."""

import numpy as np
import pytest

from ml.ctr.baseline import ShrunkConstant, SmoothedAverage
from ml.ctr.evaluation import (
    calibration,
    calibration_plot,
    log_loss_sums,
    mae_pp,
    normalized_entropy,
    predicted_actual_ratio,
    skill,
)

CLICKS, IMPRESSIONS = np.array([1, 9]), np.array([100, 300])


def test_the_absolute_error_weighs_by_impressions():
    # |2 % - 1 %| on 100 impressions, |2 % - 3 %| on 300.
    assert mae_pp(np.array([0.02, 0.02]), CLICKS, IMPRESSIONS) == pytest.approx(1.0)
    assert mae_pp(np.array([0.01, 0.07]), CLICKS, IMPRESSIONS) == pytest.approx(0.75 * 4)


def test_the_pooled_rate_has_normalised_entropy_one_and_the_truth_less():
    rate = CLICKS.sum() / IMPRESSIONS.sum()
    assert normalized_entropy(np.full(2, rate), CLICKS, IMPRESSIONS) == pytest.approx(1.0)
    assert normalized_entropy(CLICKS / IMPRESSIONS, CLICKS, IMPRESSIONS) < 1
    assert normalized_entropy(np.full(2, 0.2), CLICKS, IMPRESSIONS) > 1


def test_log_loss_of_a_row_is_that_of_its_single_impressions():
    p = 0.1
    one_by_one = -(3 * np.log(p) + 7 * np.log(1 - p))
    assert log_loss_sums(np.array([p]), np.array([3]), np.array([10]))[0] == pytest.approx(one_by_one)


def test_without_clicks_entropy_and_ratio_are_not_defined():
    none = np.array([0, 0])
    assert np.isnan(normalized_entropy(np.array([0.1, 0.1]), none, IMPRESSIONS))
    assert np.isnan(predicted_actual_ratio(np.array([0.1, 0.1]), none, IMPRESSIONS))


def test_the_ratio_compares_clicks():
    assert predicted_actual_ratio(np.array([0.05, 0.05]), CLICKS, IMPRESSIONS) == pytest.approx(2.0)


def test_calibration_bins_hold_equal_impressions_and_their_error_is_the_mean_gap():
    predicted = np.repeat([0.01, 0.03], 50)
    clicks, impressions = np.repeat([2, 3], 50), np.full(100, 100)
    shape = calibration(predicted, clicks, impressions, bins=2)
    assert shape.impressions.tolist() == [5000, 5000]
    assert shape.predicted == pytest.approx([0.01, 0.03])
    assert shape.observed == pytest.approx([0.02, 0.03])
    assert shape.error_pp == pytest.approx(0.5)


def test_one_huge_row_does_not_break_the_bins():
    shape = calibration(np.array([0.1, 0.2, 0.3]), np.array([1, 200_000, 1]), np.array([10, 10**6, 10]))
    assert shape.impressions.sum() == 10**6 + 20


def test_skill_is_positive_with_confidence_for_the_truth_and_not_for_noise():
    random = np.random.default_rng(5)
    truth = random.uniform(0.01, 0.05, 200)
    impressions = np.full(200, 2000)
    clicks = random.binomial(impressions, truth)
    ads = np.array([f"ad_{i}" for i in range(200)], object)
    constant = ShrunkConstant().fit(clicks, impressions).predict(200)
    good = skill(truth, constant, clicks, impressions, ads, seed=1)
    assert 0 < good.low < good.value < good.high
    noise = skill(random.permutation(truth), constant, clicks, impressions, ads, seed=1)
    assert noise.high < 0
    assert skill(constant, constant, clicks, impressions, ads, seed=1).value == 0


def test_rows_of_one_ad_widen_the_interval():
    random = np.random.default_rng(6)
    truth = np.repeat(random.uniform(0.01, 0.05, 20), 20)
    impressions = np.full(400, 500)
    clicks = random.binomial(impressions, truth)
    constant = np.full(400, clicks.sum() / impressions.sum())
    by_row = skill(truth, constant, clicks, impressions, np.arange(400).astype(object), seed=2)
    by_ad = skill(truth, constant, clicks, impressions, np.repeat(np.arange(20), 20).astype(object), seed=2)
    assert by_ad.high - by_ad.low > 1.5 * (by_row.high - by_row.low)


def test_a_smoothed_average_trusts_an_ad_the_more_it_was_shown():
    random = np.random.default_rng(7)
    rates = random.beta(20, 980, 300)
    impressions = random.integers(50, 5000, 300)
    clicks = random.binomial(impressions, rates)
    ads = np.array([f"ad_{i}" for i in range(300)], object)
    average = SmoothedAverage().fit(clicks, impressions, ads)
    assert 500 < average.strength_ < 2000
    little, much = impressions.argmin(), impressions.argmax()
    posterior = average.predict(ads)
    raw = clicks / impressions
    pull = np.abs(posterior - raw) / np.abs(average.rate_ - raw)
    assert pull[little] > 0.9
    assert pull[much] < 0.3
    assert average.predict(np.array(["unknown"], object))[0] == average.rate_


def test_the_plot_is_a_picture(tmp_path):
    figure = calibration_plot(calibration(np.array([0.01, 0.03]), CLICKS, IMPRESSIONS), "Calibration")
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
