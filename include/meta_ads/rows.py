"""One row of Insights, understood: numbers out of strings, one purchase type out of several, sums checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from include.meta_ads.errors import InsightUnreadable

# The same purchases appear under several action types; the first of these that is there is taken.
PURCHASE_TYPES = (
    "omni_purchase",
    "purchase",
    "offsite_conversion.fb_pixel_purchase",
    "onsite_web_purchase",
)

BREAKDOWNS = ("publisher_platform,platform_position", "age,gender", "impression_device")

# Names the cell that holds what Meta left out of a breakdown.
UNALLOCATED = "unallocated"


@dataclass(frozen=True)
class Mismatch:
    """A breakdown whose cells do not sum to the row's total. `missing` is total minus sum."""

    account_id: str
    ad_id: str
    day: date
    breakdown: str
    missing_impressions: int
    missing_clicks: int
    missing_spend: Decimal

    def __str__(self) -> str:
        return (
            f"{self.account_id} ad {self.ad_id} on {self.day}, by {self.breakdown}: "
            f"{self.missing_impressions} impressions, {self.missing_clicks} clicks, "
            f"{self.missing_spend} spend not in the cells"
        )


def performance_row(account_id: str, insight: Mapping[str, Any]) -> dict[str, Any]:
    """An Insights row of one ad and day as a row of `ads.performance_metric`.

    Args:
        account_id: the account's id, `act_...`.
        insight: as Meta sends it, with `breakdowns` nested; it is kept whole as `raw_data`.

    Raises:
        InsightUnreadable: a needed field is missing or not a number.
    """
    for read_later in ("frequency", "reach"):
        _number(insight, read_later)
    return {
        "account_id": account_id,
        "ad_id": _field(insight, "ad_id"),
        "metric_date": day_of(insight),
        "breakdown": "",
        "impressions": _whole(insight, "impressions"),
        "clicks": _whole(insight, "clicks"),
        "spend": _number(insight, "spend"),
        "conversions": purchases(insight, "actions"),
        "conversion_value": purchases(insight, "action_values"),
        "raw_data": dict(insight),
    }


def day_of(insight: Mapping[str, Any]) -> date:
    """The day an Insights row is about.

    Raises:
        InsightUnreadable: it has none, or covers more than one day.
    """
    start, stop = _field(insight, "date_start"), insight.get("date_stop")
    if stop is not None and stop != start:
        raise InsightUnreadable(
            f"Insights row of ad {insight.get('ad_id')} covers {start} to {stop}: ask with time_increment=1"
        )
    try:
        return date.fromisoformat(start)
    except ValueError as error:
        raise InsightUnreadable(
            f"Insights row of ad {insight.get('ad_id')}: date_start '{start}' is no date"
        ) from error


def purchases(insight: Mapping[str, Any], field: str) -> Decimal:
    """Number (`actions`) or value (`action_values`) of purchases: of one action type, never a sum."""
    by_type = {action.get("action_type"): action for action in insight.get(field) or ()}
    for kind in PURCHASE_TYPES:
        if kind in by_type:
            return _number(by_type[kind], "value")
    return Decimal(0)


def reconcile(
    account_id: str, insight: Mapping[str, Any], tolerance: Decimal
) -> tuple[dict[str, Any], list[Mismatch]]:
    """Check every breakdown of a row against its total.

    Args:
        account_id: for the messages.
        insight: a row with `breakdowns` nested.
        tolerance: how far a breakdown's spend may be off, in account currency. Counts must be exact.

    Returns:
        The row, where a breakdown that falls short got one more cell, named 'unallocated', with what is
        missing; and what did not add up. A breakdown that exceeds its total is left as it is.
    """
    mismatches: list[Mismatch] = []
    checked: dict[str, Any] = {}
    for name, cells in (insight.get("breakdowns") or {}).items():
        missing = Mismatch(
            account_id=account_id,
            ad_id=_field(insight, "ad_id"),
            day=day_of(insight),
            breakdown=name,
            missing_impressions=_whole(insight, "impressions") - sum(_whole(c, "impressions") for c in cells),
            missing_clicks=_whole(insight, "clicks") - sum(_whole(c, "clicks") for c in cells),
            missing_spend=_number(insight, "spend") - sum((_number(c, "spend") for c in cells), Decimal(0)),
        )
        checked[name] = list(cells)
        counts = (missing.missing_impressions, missing.missing_clicks)
        if counts == (0, 0) and abs(missing.missing_spend) <= tolerance:
            continue
        mismatches.append(missing)
        if min(counts) >= 0 and missing.missing_spend >= 0:
            rest = {
                "impressions": str(missing.missing_impressions),
                "clicks": str(missing.missing_clicks),
                "spend": str(missing.missing_spend),
            }
            checked[name].append({**dict.fromkeys(name.split(","), UNALLOCATED), **rest})
    return {**insight, "breakdowns": checked}, mismatches


def _field(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value in (None, ""):
        raise InsightUnreadable(f"Insights row of ad {row.get('ad_id', '(unnamed)')} has no '{name}'")
    return str(value)


def _number(row: Mapping[str, Any], name: str) -> Decimal:
    # Meta leaves out what is zero.
    text = str(row.get(name) or "0")
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise InsightUnreadable(
            f"Insights row of ad {row.get('ad_id', '(a cell)')}: '{name}' is '{text}', "
            "not a number of at least 0"
        )
    return value


def _whole(row: Mapping[str, Any], name: str) -> int:
    value = _number(row, name)
    if value != value.to_integral_value():
        raise InsightUnreadable(
            f"Insights row of ad {row.get('ad_id', '(a cell)')}: '{name}' is '{value}', not whole"
        )
    return int(value)
