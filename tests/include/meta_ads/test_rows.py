"""Rows of Insights: one purchase type is taken, cells come below their rows, nonsense is refused."""

from __future__ import annotations

from typing import Any

import pytest

from include.meta_ads.errors import InsightUnreadable
from include.meta_ads.rows import nest, performance_row, purchase_type, purchases, purchases_of_type
from tests.include.meta_ads.pretended import insight


def test_overlapping_purchases_are_picked_and_never_summed() -> None:
    actions = [
        {"action_type": "link_click", "value": "5"},
        {"action_type": "purchase", "value": "2"},
        {"action_type": "omni_purchase", "value": "3"},
        {"action_type": "offsite_conversion.fb_pixel_purchase", "value": "2"},
    ]
    assert purchases(insight(actions=actions), "actions") == 3
    assert purchases(insight(actions=actions[:2]), "actions") == 2
    assert purchases(insight(), "actions") == 0


def test_number_value_and_cells_are_read_by_the_type_picked_for_the_day() -> None:
    day = insight(
        actions=[{"action_type": "purchase", "value": "4"}],
        action_values=[
            {"action_type": "omni_purchase", "value": "90.00"},
            {"action_type": "purchase", "value": "80.00"},
        ],
    )
    assert purchase_type(day) == "purchase"
    # The value goes with the number, though another of that name comes first in the list of names.
    assert (purchases(day, "actions"), purchases(day, "action_values")) == (4, 80)
    del day["actions"]
    assert (purchases(day, "actions"), purchases(day, "action_values")) == (0, 90)
    cell = {"actions": [{"action_type": "purchase", "value": "2"}]}
    assert purchases_of_type(cell, "actions", "purchase") == 2
    assert purchases_of_type(cell, "actions", "omni_purchase") == 0
    assert purchase_type(insight()) is None


def test_cells_come_below_their_rows_once_and_strays_are_counted() -> None:
    row = insight()
    del row["breakdowns"]
    bought = {"action_type": "purchase", "value": "1", "7d_click": "1"}
    cell = {
        "ad_id": "1", "date_start": "2026-05-04", "date_stop": "2026-05-04",
        "age": "25-34", "gender": "unknown",
        "impressions": "9", "clicks": "1", "spend": "0.10",
        "actions": [{"action_type": "link_click", "value": "1"}, bought],
    }  # fmt: skip
    cells = {"age,gender": [cell, dict(cell), {**cell, "ad_id": "2"}], "impression_device": []}
    nested, strays = nest([row, dict(row)], cells)
    assert strays == 1
    assert [one["ad_id"] for one in nested] == ["1"]
    kept = ("age", "gender", "impressions", "clicks", "spend")
    assert nested[0]["breakdowns"] == {
        "age,gender": [{**{name: cell[name] for name in kept}, "actions": [bought]}],
        "impression_device": [],
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"impressions": "many"}, "'impressions' is 'many'"),
        ({"spend": "NaN"}, "'spend' is 'NaN'"),
        ({"clicks": "-1"}, "'clicks' is '-1'"),
        ({"clicks": "1.5"}, "not whole"),
        ({"frequency": "often"}, "'frequency' is 'often'"),
        ({"ad_id": None}, "no 'ad_id'"),
        ({"date_stop": "2026-05-05"}, "time_increment=1"),
        ({"date_start": "today", "date_stop": "today"}, "'today' is no date"),
    ],
)
def test_a_row_that_cannot_be_true_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InsightUnreadable, match=reason):
        performance_row("act_1", insight(**changes))
