"""One row of Insights: one purchase type is taken, and sums that do not add up are told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.meta_ads.errors import InsightUnreadable
from include.meta_ads.rows import performance_row, purchases, reconcile

CENT = Decimal("0.01")


def insight(**changes: Any) -> dict[str, Any]:
    row = {
        "ad_id": "1",
        "date_start": "2026-05-04",
        "date_stop": "2026-05-04",
        "impressions": "100",
        "clicks": "5",
        "spend": "3.20",
        "breakdowns": {
            "impression_device": [
                {"impression_device": "iphone", "impressions": "60", "clicks": "2", "spend": "2.00"},
                {"impression_device": "desktop", "impressions": "40", "clicks": "3", "spend": "1.20"},
            ]
        },
    }
    return row | changes


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


def test_a_breakdown_that_adds_up_is_left_alone() -> None:
    row, mismatches = reconcile("act_1", insight(), CENT)
    assert (row, mismatches) == (insight(), [])


def test_what_a_breakdown_leaves_out_is_kept_as_unallocated_and_told() -> None:
    cells = insight()["breakdowns"]["impression_device"][:1]
    row, (mismatch,) = reconcile("act_1", insight(breakdowns={"impression_device": cells}), CENT)
    assert row["breakdowns"]["impression_device"][-1] == {
        "impression_device": "unallocated", "impressions": "40", "clicks": "3", "spend": "1.20",
    }  # fmt: skip
    assert str(mismatch) == (
        "act_1 ad 1 on 2026-05-04, by impression_device: "
        "40 impressions, 3 clicks, 1.20 spend not in the cells"
    )


def test_a_breakdown_that_exceeds_its_total_is_told_and_not_made_up_for() -> None:
    row, (mismatch,) = reconcile("act_1", insight(impressions="90"), CENT)
    assert mismatch.missing_impressions == -10
    assert len(row["breakdowns"]["impression_device"]) == 2


def test_a_cent_within_the_tolerance_is_no_mismatch() -> None:
    assert reconcile("act_1", insight(spend="3.21"), CENT)[1] == []
    assert len(reconcile("act_1", insight(spend="3.22"), CENT)[1]) == 1


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
