"""Weights and calibration: greedy is never worse than the best, calibration never worse than none."""

import numpy as np
import pytest

from ml.ctr.blending import COMBINERS, recalibrated, shrunk_shift
from ml.ctr.member import log_odds_of, rate_of


@pytest.fixture(scope="module")
def drawn():
    """Log-odds of two halves of the truth, noise and a constant, and counts."""
    random = np.random.default_rng(4)
    one, two = random.normal(0, 0.4, (2, 3000))
    truth = -4.0 + one + two
    impressions = random.integers(500, 5000, 3000)
    clicks = random.binomial(impressions, rate_of(truth))
    noise = -4.0 + random.normal(0, 1.5, 3000)
    constant = np.full(3000, log_odds_of(clicks.sum() / impressions.sum()))
    return np.vstack([-4.0 + 2 * one, -4.0 + 2 * two, noise, constant]), clicks, impressions


def loss(log_odds, clicks, impressions):
    return float((impressions * np.logaddexp(0, log_odds) - clicks * log_odds).sum())


@pytest.mark.parametrize("name", COMBINERS)
def test_weights_are_shares(drawn, name):
    weights = COMBINERS[name](*drawn, 50)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", ["greedy", "logit_stack"])
def test_what_knows_nothing_gets_next_to_nothing_and_the_mix_beats_the_best(drawn, name):
    candidates, clicks, impressions = drawn
    weights = COMBINERS[name](*drawn, 50)
    assert weights[2] < 0.05
    best = min(loss(each, clicks, impressions) for each in candidates)
    assert loss(weights @ candidates, clicks, impressions) < best


def test_weights_by_inverse_loss_hardly_differ_from_equal_ones(drawn):
    weights = COMBINERS["inverse_loss"](*drawn, 0)
    assert weights[:3] == pytest.approx(1 / 3, abs=0.06)


def test_where_only_noise_is_offered_greedy_takes_the_constant(drawn):
    candidates, clicks, impressions = drawn
    weights = COMBINERS["greedy"](candidates[2:], clicks, impressions, 50)
    assert weights[-1] > 0.9


def test_a_shifted_prediction_is_brought_back_as_far_as_the_prior_lets(drawn):
    candidates, clicks, impressions = drawn
    truth = (candidates[0] + candidates[1]) / 2
    ads = np.arange(len(truth)).astype(str)
    found = recalibrated(truth + 0.3, clicks, impressions, ads, prior_sd=0.3)
    assert found.apply(truth + 0.3).mean() == pytest.approx(truth.mean(), abs=0.03)


def test_few_ads_move_the_calibration_less_than_many_with_as_many_clicks(drawn):
    candidates, clicks, impressions = drawn
    truth = (candidates[0] + candidates[1]) / 2 + 0.2
    many = recalibrated(truth, clicks, impressions, np.arange(3000).astype(str), prior_sd=0.1)
    few = recalibrated(truth, clicks, impressions, (np.arange(3000) % 3).astype(str), prior_sd=0.1)
    assert abs(few.apply(truth).mean() - truth.mean()) < abs(many.apply(truth).mean() - truth.mean())


def test_calibration_is_never_worse_than_none_on_its_own_rows(drawn):
    candidates, clicks, impressions = drawn
    for log_odds in candidates:
        found = recalibrated(log_odds, clicks, impressions, np.arange(3000).astype(str), prior_sd=0.1)
        assert loss(found.apply(log_odds), clicks, impressions) <= loss(log_odds, clicks, impressions) + 1e-6


def test_a_shift_that_all_ads_share_is_found(drawn):
    candidates, clicks, impressions = drawn
    truth = (candidates[0] + candidates[1]) / 2
    ads = np.arange(3000).astype(str)
    for moved in (-0.7, 0.0, 0.7):
        assert shrunk_shift(truth - moved, clicks, impressions, ads, 0.5) == pytest.approx(moved, abs=0.02)


def test_few_clicks_shift_little_and_no_click_at_all_shifts_within_bounds(drawn):
    candidates, clicks, impressions = drawn
    truth = (candidates[0] + candidates[1]) / 2 - 0.7
    few = slice(0, 5)
    ads = np.arange(3000).astype(str)
    little = shrunk_shift(truth[few], clicks[few] // 50, impressions[few] // 50, ads[few], 0.1)
    assert abs(little) < 0.1 < shrunk_shift(truth, clicks, impressions, ads, 0.1)
    silent = shrunk_shift(truth, np.zeros(3000), impressions, ads, 0.5)
    assert -3.0 <= silent < -1.0


def test_clicks_of_few_ads_shift_less_than_as_many_of_many_ads(drawn):
    """Rows of one ad rise and fall together: three ads that disagree are three opinions."""
    candidates, clicks, impressions = drawn
    one_of_three = np.arange(3000) % 3
    truth = (candidates[0] + candidates[1]) / 2 + np.array([0.6, 0.0, -0.3])[one_of_three] - 0.3
    many = shrunk_shift(truth, clicks, impressions, np.arange(3000).astype(str), 0.1)
    few = shrunk_shift(truth, clicks, impressions, one_of_three.astype(str), 0.1)
    assert 0 < few < many
