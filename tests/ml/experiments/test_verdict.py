"""The verdict: what is promoted, what is stopped, and that it never fails on thin data."""

import json
import math

import numpy as np
import pytest

from ml.experiments import Decision, ExperimentData, Guardrail, judge
from tests.ml.experiments.factories import accounts, plan, requests

HELD = Guardrail("latency p99 in ms", champion=40, challenger=42, tolerance=5)
BROKEN = Guardrail("calibration", champion=0.99, challenger=0.8, tolerance=0.05, higher_is_better=True)


def test_a_clearly_better_challenger_is_promoted_after_a_week():
    verdict = judge(requests(effect=-0.2), plan(), day_number=7, guardrails=[HELD])
    assert verdict.decision is Decision.PROMOTE
    assert verdict.paragraph.startswith("Promote the challenger: it predicts better. After 7 full days")
    assert "from 2,000 and 18,000 units" in verdict.paragraph
    assert verdict.paragraph.endswith("The guardrail held.")
    assert verdict.numbers["sequence_high"] < 0


def test_before_a_full_week_nothing_is_promoted():
    verdict = judge(requests(effect=-0.2), plan(), day_number=6)
    assert verdict.decision is Decision.EXTEND
    assert "7 full days are needed" in verdict.paragraph
    assert "It needs 1 more day at least" in verdict.paragraph


def test_harm_stops_on_any_day():
    verdict = judge(requests(effect=0.25), plan(), day_number=1)
    assert verdict.decision is Decision.STOP_FOR_HARM
    assert "predicts worse" in verdict.paragraph


def test_tolerated_harm_does_not_stop():
    assert judge(requests(effect=0.25), plan(), day_number=3).decision is Decision.STOP_FOR_HARM
    tolerant = plan(harm_effect=0.2)
    assert judge(requests(effect=0.25), tolerant, day_number=3).decision is Decision.EXTEND


def test_an_effect_too_small_to_matter_is_not_promoted():
    verdict = judge(requests(effect=-0.2), plan(min_effect=0.4), day_number=10)
    assert verdict.decision is Decision.EXTEND
    assert "less than 40 % better is not worth the change" in verdict.paragraph


@pytest.mark.parametrize(
    ("guardrail", "told"),
    [
        (BROKEN, "calibration is 0.8 against the champion's 0.99"),
        (Guardrail("failed predictions", 0.0, math.nan, 0.01), "failed predictions was not measured"),
        (Guardrail("latency p99 in ms", 40, 55, 20, limit=50), "beyond its limit of 50"),
    ],
)
def test_a_guardrail_that_does_not_hold_forbids_the_promotion(guardrail, told):
    verdict = judge(requests(effect=-0.2), plan(), day_number=10, guardrails=[HELD, guardrail])
    assert verdict.decision is Decision.EXTEND
    assert told in verdict.paragraph
    assert verdict.numbers["guardrails_violated"] == 1
    last = judge(requests(effect=-0.2), plan(), day_number=28, guardrails=[guardrail])
    assert last.decision is Decision.KEEP_CHAMPION


def test_a_broken_split_makes_the_best_result_invalid():
    verdict = judge(requests(effect=-0.3, share=0.08), plan(), day_number=14)
    assert verdict.decision is Decision.INVALID
    assert "10.00 % of the units were meant for the challenger and 8.00 %" in verdict.paragraph


def test_without_a_result_the_champion_stays_on_the_last_day():
    verdict = judge(requests(2_000), plan(), day_number=28)
    assert verdict.decision is Decision.KEEP_CHAMPION
    assert "no difference large enough to be seen" in verdict.paragraph
    assert f"could show is {100 * verdict.numbers['smallest_visible_effect']:.0f} %" in verdict.paragraph


def test_a_hopeful_challenger_gets_more_days_and_is_told_how_many():
    data = requests(effect=-0.09, seed=3)
    verdict = judge(data, plan(), day_number=8)
    assert verdict.decision is Decision.EXTEND
    assert "it needs about" in verdict.paragraph
    assert "more day" in verdict.paragraph


def test_a_past_shows_what_is_hidden_without_it():
    with_past = judge(accounts(effect=-0.15), plan(challenger_share=0.25), day_number=10)
    without = judge(accounts(effect=-0.15, known=False), plan(challenger_share=0.25), day_number=10)
    assert with_past.decision is Decision.PROMOTE
    assert without.decision is Decision.EXTEND


NOTHING, ONES = np.zeros(0), np.ones(50)
DEGENERATE = {
    "nothing at all": ExperimentData(NOTHING, NOTHING, NOTHING, NOTHING),
    "no challenger": ExperimentData(np.arange(5.0), np.ones(5), NOTHING, NOTHING),
    "no champion": ExperimentData(NOTHING, NOTHING, np.arange(1.0), np.ones(1)),
    "no impressions": ExperimentData(ONES, 0 * ONES, np.ones(6), np.zeros(6)),
    "no spread": ExperimentData(ONES, ONES, np.ones(6), np.ones(6)),
    "no loss": ExperimentData(0 * ONES, ONES, np.zeros(6), np.ones(6)),
    "one unit is all": ExperimentData(ONES, np.array([1e18] + [1e-9] * 49), np.ones(6), np.ones(6)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("least", [2, 10])
def test_degenerate_data_gives_a_reason_and_no_error(name, least):
    settings = plan(min_units_per_arm=least)
    for day, expected in ((-1, Decision.EXTEND), (5, Decision.EXTEND), (28, Decision.KEEP_CHAMPION)):
        verdict = judge(DEGENERATE[name], settings, day_number=day)
        assert verdict.decision is expected
        assert "nothing can be told: " in verdict.paragraph
        json.dumps(verdict.numbers, allow_nan=False)


def test_the_numbers_are_json_and_the_decisions_are_words():
    verdict = judge(requests(), plan(), day_number=9)
    assert json.loads(json.dumps(verdict.numbers, allow_nan=False)) == verdict.numbers
    assert all(type(value) is float for value in verdict.numbers.values())
    assert json.dumps(verdict.decision) == '"extend"'


def test_equal_models_looked_at_daily_are_rarely_decided():
    decided = 0
    for seed in range(120):
        data = requests(28_00, seed=seed, share=0.1)
        for day in range(1, 29, 3):
            until = ExperimentData(
                *(column[: len(column) * day // 28] for column in
                  (data.champion_loss, data.champion_weight, data.challenger_loss, data.challenger_weight))
            )  # fmt: skip
            found = judge(until, plan(), day_number=day).decision
            if found in (Decision.PROMOTE, Decision.STOP_FOR_HARM):
                decided += 1
                break
    assert decided / 120 <= 0.05
