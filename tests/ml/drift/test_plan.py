"""Bins: learnt once, the same for every later window, whatever it holds."""

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from ml.drift.plan import DriftPlan, kind_of
from ml.drift.windows import WatchedColumn


def plan(values, name="x"):
    (column,) = DriftPlan.learn(pd.DataFrame({name: values}), (WatchedColumn(name),)).columns
    return column


def labels_of(column, values):
    return [column.labels[code] for code in column.codes(pd.DataFrame({"x": values}))]


def test_numbers_fall_into_deciles_and_infinities_into_the_outermost():
    column = plan(np.arange(1000.0))
    assert column.bins == 11
    codes = column.codes(pd.DataFrame({"x": [-np.inf, 0, 500, 999, np.inf, np.nan]}))
    assert codes.tolist() == [0, 0, 5, 9, 9, 10]
    reference = np.bincount(column.codes(pd.DataFrame({"x": np.arange(1000.0)})), minlength=11)
    assert reference[:10].min() >= 99
    assert reference[10] == 0


def test_few_distinct_numbers_have_a_bin_each():
    column = plan([1, 2, 2, 5] * 20)
    assert column.bins == 4
    assert labels_of(column, [1, 2, 5, 7, None]) == [
        "up to 1.5",
        "1.5 to 3.5",
        "above 3.5",
        "above 3.5",
        "missing",
    ]


def test_levels_that_come_later_are_other_levels():
    column = plan(["a", "b", "b", None])
    assert labels_of(column, ["b", "a", "z", None]) == ["b", "a", "other levels", "missing"]


def test_of_very_many_levels_the_rare_ones_share_a_bin():
    values = [f"level {number}" for number in range(500)] + ["common"] * 50
    column = plan(values)
    assert column.labels[0] == "common"
    assert column.bins < 100
    assert labels_of(column, ["common", "never seen"]) == ["common", "other levels"]


def test_a_column_without_a_value_tells_present_from_missing():
    column = plan([None, None])
    assert labels_of(column, [3.0, None]) == ["any", "missing"]
    assert column.codes(pd.DataFrame({"y": [1, 2]})).tolist() == [1, 1]


def test_a_constant_column_tells_other_values_on_either_side():
    column = plan([7.0] * 30)
    assert len(set(labels_of(column, [6.9, 7.0, 7.1, None]))) == 4


def test_text_where_numbers_were_is_missing_and_decimals_are_numbers():
    assert labels_of(plan(np.arange(50.0)), ["3.5", "many"])[1] == "missing"
    assert kind_of(pd.Series([Decimal("1.5"), None])) == "number"
    assert kind_of(pd.Series(["1.5", "2"])) == "category"
    assert kind_of(pd.Series([True, False])) == "category"
    assert kind_of(pd.Series([[1.0, 2.0], None])) == "embedding"


def test_an_embedding_becomes_its_leading_components():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(300, 12)) * np.array([5.0, *[0.1] * 11])
    columns = DriftPlan.learn(pd.DataFrame({"look": list(vectors)}), (WatchedColumn("look"),)).columns
    assert [column.name for column in columns[:2]] == ["look[1]", "look[2]"]
    assert abs(columns[0].direction[0]) > 0.99
    mixed = pd.DataFrame({"look": [vectors[0], None, np.ones(5)]})
    gaps = pd.DataFrame({"look": [[float("nan")] * 12, [None] * 12, vectors[1]]})
    assert columns[0].codes(gaps)[:2].tolist() == [columns[0].bins - 1] * 2
    odd_first = pd.DataFrame({"look": [np.ones(3), [None] * 12, *vectors]})
    assert len(DriftPlan.learn(odd_first, (WatchedColumn("look"),)).columns[0].centre) == 12
    codes = columns[0].codes(mixed)
    assert codes[1] == codes[2] == columns[0].bins - 1
    assert codes[0] < columns[0].bins - 1


def test_a_plan_survives_json():
    rows = pd.DataFrame(
        {"a": [1.5, 2.5, 9.0] * 9, "b": ["x", "y", None] * 9, "c": [[1.0, 2.0], [2.0, 1.0], None] * 9}
    )
    made = DriftPlan.learn(rows, tuple(WatchedColumn(name, importance=0.5) for name in rows))
    again = DriftPlan.from_json(json.loads(json.dumps(made.as_json())))
    assert again == made


@pytest.mark.parametrize("rows", [0, 1])
def test_a_plan_of_hardly_anything_still_places_later_rows(rows):
    made = DriftPlan.learn(pd.DataFrame({"x": [1.0] * rows}), (WatchedColumn("x"),)).columns[0]
    assert len(made.codes(pd.DataFrame({"x": [1.0, 2.0, None]}))) == 3
