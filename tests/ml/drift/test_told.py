"""Kept numbers are read back whatever wrote them, and what drift costs is told in plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.drift.plot import drift_plot
from ml.drift.told import performance_sentences, read_numbers
from tests.ml.drift.reports import OLD_NUMBERS, measured, numbers


def test_the_newest_form_is_read_in_full() -> None:
    told = read_numbers(numbers())
    assert told.complete
    assert [column.name for column in told.drifted] == ["hook_type", "predicted_ctr"]
    assert told.columns[0].bins.error == (-0.05, None, 0.38)
    assert told.performance.cost.low == 0.21
    assert told.rows_per_day == (861.2, 874.3)
    assert told.niches[0].rows == 912


def test_an_old_form_is_read_as_far_as_it_goes() -> None:
    told = read_numbers(OLD_NUMBERS)
    assert not told.complete
    assert [(column.name, column.psi, column.bins) for column in told.drifted] == [("hook_type", 0.5, None)]
    assert told.performance.state == "unknown"
    assert told.reason == ""


@pytest.mark.parametrize(
    ("performance", "sentences"),
    [
        (
            measured(),
            "The model has lost 29% of what it is worth (21% to 37%), above all by hook_type. "
            "What happens is 23% more than it expects (+14% to +32%).",
        ),
        (
            measured(worst_column="all rows", observed_over_predicted=None),
            "The model has lost 29% of what it is worth (21% to 37%).",
        ),
        (
            measured(cost=0.02, cost_low=-0.01, cost_high=0.05, observed_over_predicted=None),
            "The model has lost nothing of what it is worth that chance would not explain (-1% to 5%).",
        ),
        (
            {"state": "estimated", "note": "too few rows with outcomes."},
            "What it costs is not known yet: too few rows with outcomes.",
        ),
        ({}, "What it costs is not known yet."),
    ],
)
def test_the_cost_is_told_in_plain_words(performance: dict, sentences: str) -> None:
    assert performance_sentences(read_numbers({"performance": performance}).performance) == sentences


odd = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "columns",
                    "bins",
                    "labels",
                    "reference",
                    "current",
                    "performance",
                    "quality",
                    "cost",
                    "state",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(numbers())), odd))
def test_nothing_that_a_row_may_hold_stops_the_reading(kept: dict) -> None:
    performance_sentences(read_numbers(kept).performance)


def test_control_characters_and_line_breaks_do_not_reach_people() -> None:
    told = read_numbers({"columns": [{"column": "a\n\x1b[31mb\x00"}, {"column": "\n"}]})
    assert [column.name for column in told.columns] == ["a [31mb", "a column without a name"]
    assert drift_plot({"columns": []}).startswith(b"\x89PNG")
