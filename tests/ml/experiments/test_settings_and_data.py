"""The plan and the data are checked at the door."""

import numpy as np
import pytest

from ml.experiments import ExperimentData, ExperimentDataInvalid, ExperimentSettingsInvalid, UnitLosses
from tests.ml.experiments.factories import plan


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("challenger_share", 0.0),
        ("challenger_share", 1.0),
        ("alpha", float("nan")),
        ("power", 1.5),
        ("srm_alpha", 0.0),
        ("min_effect", -0.1),
        ("harm_effect", 1.0),
        ("min_days", 0),
        ("max_days", 3),
        ("min_units_per_arm", 1),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name, value):
    with pytest.raises(ExperimentSettingsInvalid, match=f"{name} is {value}"):
        plan(**{name: value})


def test_arrays_of_different_length_are_refused_with_the_arm_and_the_lengths():
    with pytest.raises(ExperimentDataInvalid, match=r"challenger arm .* 3 of loss, 2 of weight, 3 of pre"):
        ExperimentData(np.ones(3), np.ones(3), np.ones(3), np.ones(2))


@pytest.mark.parametrize(
    ("loss", "weight", "told"),
    [
        ([1.0, np.nan], [1.0, 1.0], "loss of unit 1"),
        ([1.0, 1.0], [1.0, -1.0], "weight of unit 1"),
        ([1.0, 1.0], [np.inf, 1.0], "weight of unit 0"),
        ([[1.0]], [[1.0]], "2 dimensions"),
    ],
)
def test_what_no_loss_or_weight_can_be_is_refused(loss, weight, told):
    with pytest.raises(ExperimentDataInvalid, match=told):
        ExperimentData(np.ones(3), np.ones(3), np.array(loss), np.array(weight))


def test_rows_are_summed_by_unit():
    units = UnitLosses.of_rows(["b", "a", "b"], [1.0, 2.0, 3.0], [10, 20, 30], {"a": 0.5})
    np.testing.assert_array_equal(units.loss, [2.0, 4.0])
    np.testing.assert_array_equal(units.weight, [20.0, 40.0])
    np.testing.assert_array_equal(units.pre, [0.5, np.nan])


def test_two_arms_of_units_make_an_experiment():
    arm = UnitLosses.of_rows(["a", "b"], [1.0, 2.0])
    np.testing.assert_array_equal(ExperimentData.of(arm, arm).challenger_loss, [1.0, 2.0])


def test_no_rows_are_no_units():
    assert len(UnitLosses.of_rows([], []).loss) == 0


def test_rows_that_do_not_match_are_refused():
    with pytest.raises(ExperimentDataInvalid, match="2 units, 1 losses"):
        UnitLosses.of_rows(["a", "b"], [1.0])
