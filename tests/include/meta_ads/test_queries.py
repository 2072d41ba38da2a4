"""What is asked of Insights, and what is refused before it is asked."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.config import thresholds
from include.meta_ads.errors import BreakdownRefused
from include.meta_ads.queries import Query, check_breakdowns, expected_cells

HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
DAY = date(2026, 5, 4)


def test_the_breakdowns_of_the_house_are_all_ones_that_meta_serves() -> None:
    check_breakdowns(thresholds().ads.breakdowns)
    assert HOURLY in thresholds().ads.breakdowns


@pytest.mark.parametrize(
    ("breakdown", "reason"),
    [
        ("platform_position", "'platform_position' is only told together with 'publisher_platform'"),
        ("age,shoe_size", "Meta has no column 'shoe_size'"),
        ("age,age", "'age' is named twice"),
        (f"{HOURLY},age", "is only told by itself"),
        ("", "Meta has no column ''"),
    ],
)
def test_a_breakdown_meta_would_refuse_is_refused_in_one_sentence(breakdown: str, reason: str) -> None:
    with pytest.raises(BreakdownRefused, match=reason) as refused:
        check_breakdowns(["age,gender", breakdown])
    assert "change ads.breakdowns" in str(refused.value)
    assert "\n" not in str(refused.value)


@given(days=st.integers(2, 400))
def test_the_halves_of_a_window_are_the_window(days: int) -> None:
    query = Query("act_1", DAY, DAY + timedelta(days=days - 1), "age,gender")
    halves = query.halves()
    assert halves is not None
    earlier, later = halves
    assert (earlier.since, later.until) == (query.since, query.until)
    assert later.since - earlier.until == timedelta(days=1)
    assert abs(later.days - earlier.days) <= 1
    assert earlier.breakdown == later.breakdown == query.breakdown


def test_a_single_day_has_no_halves() -> None:
    assert Query("act_1", DAY, DAY).halves() is None


def test_hours_are_not_asked_for_purchases_nor_cells_for_people() -> None:
    hours, people = Query("act_1", DAY, DAY, HOURLY), Query("act_1", DAY, DAY, "age,gender")
    assert "actions" not in hours.fields
    assert "actions" in people.fields
    assert not {"reach", "frequency", "unique_clicks"} & {*hours.fields, *people.fields}
    assert "reach" in Query("act_1", DAY, DAY).fields


def test_attribution_windows_are_asked_for_with_the_totals_alone() -> None:
    assert Query("act_1", DAY, DAY).params["action_attribution_windows"] == ["7d_click", "1d_view"]
    assert "action_attribution_windows" not in Query("act_1", DAY, DAY, "age,gender").params


def test_a_breakdown_of_more_columns_is_expected_to_have_more_cells() -> None:
    assert expected_cells("impression_device") < expected_cells("age,gender") < expected_cells(HOURLY)
    assert expected_cells("country") > 1
