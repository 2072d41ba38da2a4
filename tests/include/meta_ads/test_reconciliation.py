"""Breakdowns against their totals: what is missing is kept in a cell of its own, what is too much is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from include.meta_ads.reconciliation import UNALLOCATED, reconcile, unallocated_spend
from include.meta_ads.rows import purchases, purchases_of_type
from tests.include.meta_ads.pretended import insight

CENT = Decimal("0.01")


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


KINDS = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
GENDERS = ("female", "male", "unknown")


def bought(count: int, value: int) -> dict[str, Any]:
    """The same purchases under all their names."""
    return {
        "actions": [{"action_type": kind, "value": str(count)} for kind in KINDS] if count else [],
        "action_values": [{"action_type": kind, "value": str(value)} for kind in KINDS] if count else [],
    }


@st.composite
def days(draw: st.DrawFn) -> tuple[dict[str, Any], set[str]]:
    """An ad's day whose cells sum to it, and the genders whose cells Meta keeps to itself."""
    cells = []
    for gender in GENDERS:
        clicks = draw(st.integers(0, 50))
        count = draw(st.integers(0, 5))
        cells.append(
            {
                "age": draw(st.sampled_from(("18-24", "unknown"))),
                "gender": gender,
                "impressions": str(clicks + draw(st.integers(0, 500))),
                "clicks": str(clicks),
                "spend": str(Decimal(draw(st.integers(0, 9999))) / 100),
                **bought(count, count * 40),
            }
        )
    count = sum(int(cell["actions"][0]["value"]) for cell in cells if cell["actions"])
    total = {
        name: str(sum(Decimal(cell[name]) for cell in cells)) for name in ("impressions", "clicks", "spend")
    }
    hidden = draw(st.sets(st.sampled_from(GENDERS)))
    seen = [cell for cell in cells if cell["gender"] not in hidden]
    return insight(**total, **bought(count, count * 40), breakdowns={"age,gender": seen}), hidden


@given(days())
def test_whatever_meta_hides_the_cells_add_up_to_the_day(case: tuple[dict[str, Any], set[str]]) -> None:
    day, hidden = case
    row, mismatches = reconcile("act_1", day, Decimal(0))
    cells = row["breakdowns"]["age,gender"]
    for name in ("impressions", "clicks", "spend"):
        assert sum(Decimal(cell[name]) for cell in cells) == Decimal(day[name])
    for field in ("actions", "action_values"):
        told = sum(purchases_of_type(cell, field, "omni_purchase") for cell in cells)
        assert told == purchases(day, field)
    rest = [cell for cell in cells if cell["gender"] == UNALLOCATED]
    assert len(rest) == len(mismatches) <= bool(hidden)
    assert {cell["gender"] for cell in cells} <= {*GENDERS, UNALLOCATED} - hidden
    # What adds up is added to no further.
    assert reconcile("act_1", row, Decimal(0)) == (row, [])


@given(days(), st.integers(1, 9))
def test_cells_that_tell_too_much_are_kept_as_they_came_and_told(
    case: tuple[dict[str, Any], set[str]], more: int
) -> None:
    day, _ = case
    cells = [dict(cell) for cell in day["breakdowns"]["age,gender"]]
    extra = {"age": "65+", "gender": "male", "impressions": str(int(day["impressions"]) + more)}
    day = day | {"breakdowns": {"age,gender": [*cells, extra]}}
    row, (mismatch,) = reconcile("act_1", day, Decimal(0))
    assert row["breakdowns"]["age,gender"][: len(cells) + 1] == [*cells, extra]
    assert mismatch.exceeds
    assert "the cells tell too much" in str(mismatch)


def test_purchases_missing_from_the_cells_are_told_and_allocated_to_no_cell() -> None:
    cells = [
        {"impression_device": "iphone", "impressions": "100", "clicks": "5", "spend": "3.20", **bought(1, 40)}
    ]
    row, (mismatch,) = reconcile(
        "act_1", insight(**bought(3, 120), breakdowns={"impression_device": cells}), CENT
    )
    assert row["breakdowns"]["impression_device"][-1] == {
        "impression_device": "unallocated", "impressions": "0", "clicks": "0", "spend": "0",
        "actions": [{"action_type": "omni_purchase", "value": "2"}],
        "action_values": [{"action_type": "omni_purchase", "value": "80"}],
    }  # fmt: skip
    assert "2 purchases worth 80 not in the cells" in str(mismatch)


def test_hours_are_not_held_to_purchases_they_do_not_know() -> None:
    name = "hourly_stats_aggregated_by_advertiser_time_zone"
    cell = {name: "13:00:00 - 13:59:59", "impressions": "100", "clicks": "5", "spend": "3.20"}
    assert reconcile("act_1", insight(**bought(3, 120), breakdowns={name: [cell]}), CENT)[1] == []


def test_the_spend_in_no_cell_is_added_up_by_breakdown() -> None:
    found = []
    for spend in ("10.00", "4.20"):
        found += reconcile("act_1", insight(spend=spend), CENT)[1]
    assert unallocated_spend(found) == {"impression_device": Decimal("7.80")}
