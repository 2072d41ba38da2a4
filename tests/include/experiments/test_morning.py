"""From a challenger to a verdict: started, looked at, ended once, and always the next in line."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from include.config import thresholds
from include.db import experiments
from include.experiments.errors import ExperimentRefused, ExperimentRuns, NothingToTest
from include.experiments.looking import look_at
from include.experiments.morning import evaluate_all
from include.experiments.starting import next_challenger, start_experiment
from ml.experiments import ExperimentSettingsInvalid
from tests.include.serving.predictions.conftest import DAY


def settings(**changes):
    known = thresholds()
    limits = {"unit": "request", "challenger_share": 0.5, "min_units_per_arm": 20, **changes}
    return known.model_copy(update={"experiments": known.experiments.model_copy(update=limits)})


def morning(platform, registered, model_name, day, **changes):
    """What this model's morning did."""
    found = evaluate_all(platform, registered, day, settings(**changes))
    return [outcome for outcome in found if outcome.model_name == model_name and outcome.event != "lately"]


def test_a_better_challenger_is_found_and_a_promotion_asked_for(
    platform, registered, model_name, add_traffic, first_morning
):
    (started,) = morning(platform, registered, model_name, first_morning)
    assert (started.event, started.champion, started.challenger) == ("started", 1, 2)
    (test,) = experiments.experiments_of(platform, model_name)
    add_traffic(test, until=DAY, champion_noise=2.5, challenger_noise=0.05)
    early, *_ = morning(platform, registered, model_name, test.first_day + timedelta(days=2))
    assert (early.event, early.decision) == ("looked", "extend")
    assert "7 full days are needed" in early.paragraph
    ended, *rest = morning(platform, registered, model_name, DAY)
    assert (ended.event, ended.decision) == ("ended", "promote"), ended.paragraph
    assert "Asked the same" in ended.paragraph
    assert ended.numbers["paired_relative"] < 0
    assert [outcome.event for outcome in rest] == ["gap"]
    (kept,) = experiments.experiments_of(platform, model_name)
    assert kept.state == "promote"
    assert [look.day for look in experiments.looks_at(platform, test.id)][-1] == DAY


def test_whoever_ended_it_may_die_and_the_promotion_is_asked_for_all_the_same(
    platform, registered, model_name, add_traffic, first_morning
):
    morning(platform, registered, model_name, first_morning)
    (test,) = experiments.experiments_of(platform, model_name)
    add_traffic(test, until=DAY, champion_noise=2.5, challenger_noise=0.05)
    morning(platform, registered, model_name, DAY)
    again, _ = morning(platform, registered, model_name, DAY)
    assert (again.event, again.decision, again.experiment) == ("ended", "promote", test.id)
    with platform.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ml.promotion (model_name, candidate_version, champion_version, evidence,"
                " dag_run_id) VALUES (:model, 2, 1, '{}', 'a run')"
            ),
            {"model": model_name},
        )
    assert [outcome.event for outcome in morning(platform, registered, model_name, DAY)] == ["gap"]


def test_a_harmful_challenger_is_stopped_before_the_week_is_over(
    platform, registered, model_name, add_traffic, first_morning
):
    morning(platform, registered, model_name, first_morning)
    (test,) = experiments.experiments_of(platform, model_name)
    add_traffic(test, until=DAY, champion_noise=0.05, challenger_noise=2.0)
    for number in range(1, 7):
        day = test.first_day + timedelta(days=number)
        outcome = morning(platform, registered, model_name, day)[0]
        if outcome.event == "ended":
            break
    assert outcome.decision == "stop_for_harm"
    assert "All traffic returns to the champion" in outcome.paragraph
    assert [test.state for test in experiments.experiments_of(platform, model_name)] == ["stop_for_harm"]


def test_equal_versions_are_not_promoted_and_the_champion_stays_in_the_end(
    platform, registered, model_name, add_traffic, first_morning
):
    changes = {"max_days": 10}
    morning(platform, registered, model_name, first_morning, **changes)
    (test,) = experiments.experiments_of(platform, model_name)
    add_traffic(test, until=DAY, champion_noise=0.3, challenger_noise=0.3)
    outcome = morning(platform, registered, model_name, DAY, **changes)[0]
    assert outcome.decision == "keep_champion", outcome.paragraph
    assert "smallest one this traffic could show" in outcome.paragraph


def test_by_account_ten_accounts_are_too_few_to_tell_and_it_says_so(
    platform, registered, model_name, add_traffic, first_morning
):
    changes = {"unit": "account", "challenger_share": 0.1, "min_units_per_arm": 10}
    morning(platform, registered, model_name, first_morning, **changes)
    (test,) = experiments.experiments_of(platform, model_name)
    add_traffic(test, until=DAY, champion_noise=0.3, challenger_noise=0.3)
    verdict = look_at(platform, test, DAY)
    assert verdict.decision == "extend"
    assert "nothing can be told" in verdict.paragraph


def test_without_any_prediction_nothing_can_be_told(platform, registered, model_name, first_morning):
    morning(platform, registered, model_name, first_morning)
    outcome = morning(platform, registered, model_name, DAY)[0]
    assert (outcome.event, outcome.decision) == ("looked", "extend")


def test_the_absolute_error_can_be_what_is_compared(
    platform, registered, model_name, add_traffic, first_morning
):
    morning(platform, registered, model_name, first_morning, metric="absolute_error")
    (test,) = experiments.experiments_of(platform, model_name)
    add_traffic(test, until=DAY, champion_noise=1.0, challenger_noise=0.05)
    verdict = look_at(platform, test, DAY)
    # The rates' distance from what happened: a hundredth, where a log loss is a twentieth.
    assert 0 < verdict.numbers["challenger_loss"] < verdict.numbers["champion_loss"] < 0.03


def test_the_same_morning_again_changes_nothing(platform, registered, model_name, add_traffic, first_morning):
    morning(platform, registered, model_name, first_morning)
    (test,) = experiments.experiments_of(platform, model_name)
    add_traffic(test, until=DAY, champion_noise=0.3, challenger_noise=0.3)
    first = morning(platform, registered, model_name, DAY)
    looks = experiments.looks_at(platform, test.id)
    assert morning(platform, registered, model_name, DAY) == first
    assert experiments.looks_at(platform, test.id) == looks


def test_an_experiment_of_a_past_champion_ends(platform, registered, model_name, first_morning):
    morning(platform, registered, model_name, first_morning)
    registered.set_registered_model_alias(model_name, "champion", "2")
    outcome = morning(platform, registered, model_name, DAY)[0]
    assert (outcome.event, outcome.decision) == ("ended", "stopped")
    assert "the champion is v2 now" in outcome.paragraph


def test_what_was_tested_is_not_in_line_again_and_what_failed_its_gates_never_is(
    platform, registered, model_name, packaged, first_morning
):
    def add(state):
        source = packaged[0]
        return int(
            registered.create_model_version(
                model_name,
                source=source,
                model_id=source.removeprefix("models:/"),
                tags={"alias_state": state},
            ).version
        )

    older, withheld = add("superseded"), add("withheld")
    assert next_challenger(platform, registered, model_name, 1) == 2
    test = start_experiment(
        platform, registered, model_name, day=first_morning, started_by="a test", settings=settings()
    )
    experiments.end_experiment(platform, test.id, state="keep_champion", reason="")
    assert next_challenger(platform, registered, model_name, 1) == older
    registered.delete_model_version(model_name, str(older))
    with pytest.raises(NothingToTest, match="the next training makes one"):
        next_challenger(platform, registered, model_name, 1)
    assert withheld == 4


def test_what_makes_no_sense_is_refused_with_its_reason(platform, registered, model_name, first_morning):
    def start(name=model_name, **given):
        return start_experiment(
            platform, registered, name, day=first_morning, started_by="a test", settings=settings(), **given
        )

    with pytest.raises(ExperimentRefused, match="no traffic to share"):
        start("pipeline_value")
    with pytest.raises(ExperimentRefused, match="is the champion itself"):
        start(challenger=1)
    with pytest.raises(ExperimentRefused, match="does not exist"):
        start(challenger=77)
    with pytest.raises(ExperimentSettingsInvalid, match=r"challenger_share is 1\.5"):
        start(challenger_share=1.5)
    first = start()
    assert "impressions a day" in first.smallest_effect
    with pytest.raises(ExperimentRuns, match=f"experiment {first.id} of"):
        start()
