"""The cost of drift: nothing where the model is right, what it is where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from ml.drift.performance import OVERALL, assess_performance
from ml.drift.plan import DriftPlan
from ml.drift.profile import Profile
from ml.drift.windows import WatchedColumn, Window
from tests.ml.drift.made_windows import COLUMNS, EFFECT, ad_days


@pytest.fixture(scope="module")
def reference():
    return ad_days(seed=1, days=28)


def profiles(reference, *windows, loss="log_loss", columns=COLUMNS):
    plan = DriftPlan.learn(reference.rows, columns)
    return [Profile.of(plan, loss, (window,)) for window in (reference, *windows)]


def assessed(reference, window, **changes):
    return assess_performance(*profiles(reference, window), judged_loss=0.97, least_rows=50, **changes)


def test_a_model_that_is_right_costs_nothing(reference):
    found = assessed(reference, ad_days(seed=2))
    assert found.state == "measured"
    assert abs(found.worst.cost.value) < 0.02
    assert found.ratio.low < 1.05
    assert found.ratio.high > 0.95
    assert found.current.low < found.estimated < found.current.high
    assert min(error.p_value for error in found.errors) > 0.001


def test_more_clicks_for_everybody_is_an_error_on_all_rows(reference):
    found = assessed(reference, ad_days(seed=3, times=1.4))
    assert found.ratio.low < 1.4 < found.ratio.high
    overall = found.errors[0]
    assert overall.column == OVERALL
    assert overall.p_value < 1e-6
    # What knowing the 40 % saves, over what knowing the hooks saves, by the definition of the log loss.
    rate = reference.predicted
    worth = _entropy(rate.mean()) - _entropy(rate).mean()
    saved = rate.mean() * (1.4 * np.log(1.4) - 0.4)
    assert overall.cost.value == pytest.approx(saved / worth, rel=0.25)


def _entropy(rate):
    return -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))


def test_a_hook_that_stopped_working_is_found_by_its_column(reference):
    changed = {**EFFECT, "story": -0.5}
    found = assessed(reference, ad_days(seed=4, effect=changed))
    assert found.worst.column == "hook"
    assert found.worst.cost.low > 0.2
    hook = next(error for error in found.errors if error.column == "hook")
    plan = DriftPlan.learn(reference.rows, COLUMNS).columns[0]
    assert hook.by_bin[plan.labels.index("story")] == pytest.approx(np.exp(-1.0) - 1, abs=0.08)
    assert abs(hook.by_bin[plan.labels.index("question")]) < 0.08


def test_a_harder_mix_of_rows_raises_the_loss_but_costs_nothing(reference):
    found = assessed(reference, ad_days(seed=5, hooks=(0.05, 0.05, 0.9)))
    assert found.current.value > found.reference
    assert abs(found.worst.cost.value) < 0.05


def test_misses_are_never_sorted_by_the_outcome_itself(reference):
    found = assessed(reference, ad_days(seed=6))
    assert "ctr" not in {error.column for error in found.errors}


def test_a_column_that_is_the_same_throughout_explains_no_error(reference):
    windows = [
        replace(window, rows=window.rows.assign(constant=1.0, nothing=np.nan))
        for window in (reference, ad_days(seed=3, times=1.4))
    ]
    columns = (*COLUMNS, WatchedColumn("constant"), WatchedColumn("nothing"))
    found = assess_performance(*profiles(*windows, columns=columns), judged_loss=0.97, least_rows=50)
    assert not {"constant", "nothing"} & {error.column for error in found.errors}


def test_without_outcomes_the_loss_is_estimated_and_said_to_be(reference):
    window = ad_days(seed=7)
    late = replace(window, observed=np.full(len(window), np.nan))
    found = assessed(reference, late, note="clicks come tomorrow")
    assert found.state == "estimated"
    assert found.current is None
    assert found.note == "clicks come tomorrow"
    truth = assessed(reference, window)
    assert found.estimated == pytest.approx(truth.current.value, rel=0.02)


def test_without_predictions_nothing_is_known(reference):
    window = ad_days(seed=8)
    found = assessed(reference, replace(window, predicted=None))
    assert found.state == "unknown"
    assert "0 rows with prediction and outcome" in found.note
    assert found.worst is None


def test_a_model_of_one_answer_has_nothing_to_lose(reference):
    flat = replace(ad_days(seed=9), predicted=np.full(560, 0.02))
    constant = replace(reference, predicted=np.full(len(reference), 0.02))
    found = assessed(constant, flat)
    assert "one answer for all" in found.note


def values_window(seed, shift=0.0, days=7, known=True):
    random = np.random.default_rng(seed)
    made = ad_days(seed=seed, days=days)
    answer = random.normal(100, 20, size=len(made))
    rows = made.rows.assign(predicted=answer)
    late = made.rows["hook"].eq("story").to_numpy()
    value = answer + random.normal(0, 10, size=len(made)) + shift * late
    observed = value if known else np.full(len(made), np.nan)
    return Window(made.label, rows, made.clusters, made.days, answer, observed)


def test_a_model_of_values_is_judged_by_its_squared_error():
    reference = values_window(1, days=28)
    columns = COLUMNS[:-1]
    right = assess_performance(
        *profiles(reference, values_window(2), loss="squared_error", columns=columns),
        judged_loss=100.0,
        least_rows=50,
    )
    assert right.metric == "mean squared error"
    assert right.current.value == pytest.approx(100, rel=0.15)
    assert right.worst.cost.value < 0.01
    # Values may be around 0, where a ratio means nothing.
    assert right.ratio is None
    assert right.miss.low < 0 < right.miss.high
    wrong = assess_performance(
        *profiles(reference, values_window(3, shift=25.0), loss="squared_error", columns=columns),
        judged_loss=100.0,
        least_rows=50,
    )
    assert wrong.worst.column == "hook"
    assert wrong.miss.low < 0.3 * 25 < wrong.miss.high
    assert wrong.worst.cost.value == pytest.approx(0.3 * 25**2 / 20**2, rel=0.35)


def test_the_error_of_a_model_of_values_is_estimated_by_its_answers():
    columns = COLUMNS[:-1]
    reference, late = values_window(1, days=28), values_window(4, known=False)
    found = assess_performance(
        *profiles(reference, late, loss="squared_error", columns=columns), judged_loss=None, least_rows=50
    )
    assert found.state == "estimated"
    assert found.estimated == pytest.approx(100, rel=0.1)


def test_p_values_of_errors_are_what_they_say():
    columns = (WatchedColumn("hook"), WatchedColumn("budget"), WatchedColumn("predicted", "prediction"))
    reference = ad_days(seed=100, days=14)
    plan = DriftPlan.learn(reference.rows, columns)
    before = Profile.of(plan, "log_loss", (reference,))
    found = []
    for seed in range(200):
        now = Profile.of(plan, "log_loss", (ad_days(ads=40, days=3, seed=1000 + seed, impressions=800),))
        told = assess_performance(before, now, judged_loss=None, least_rows=50)
        found += [error.p_value for error in told.errors]
    for level in (0.05, 0.01, 0.001):
        assert np.mean(np.array(found) < level) < 1.8 * level + 0.002
