"""Rows of Insights, understood: numbers out of strings, one purchase type out of several, cells nested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
COUNTS, VALUES = "actions", "action_values"


def performance_row(account_id: str, insight: Mapping[str, Any]) -> dict[str, Any]:
    """An Insights row of one ad and day as a row of `ads.performance_metric`.

    Args:
        account_id: the account's id, `act_...`.
        insight: as Meta sends it, with `breakdowns` nested; it is kept whole as `raw_data`.

    Raises:
        InsightUnreadable: a needed field is missing or not a number.
    """
    for read_later in ("frequency", "reach"):
        number(insight, read_later)
    return {
        "account_id": account_id,
        "ad_id": required(insight, "ad_id"),
        "metric_date": day_of(insight),
        "breakdown": "",
        "impressions": whole(insight, "impressions"),
        "clicks": whole(insight, "clicks"),
        "spend": number(insight, "spend"),
        "conversions": purchases(insight, COUNTS),
        "conversion_value": purchases(insight, VALUES),
        "raw_data": dict(insight),
    }


def day_of(insight: Mapping[str, Any]) -> date:
    """The day an Insights row is about.

    Raises:
        InsightUnreadable: it has none, or covers more than one day.
    """
    start, stop = required(insight, "date_start"), insight.get("date_stop")
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


def purchase_type(insight: Mapping[str, Any]) -> str | None:
    """The action type by which the purchases of an ad's day are told; None where none are.

    This is the one rule: the types overlap, so one is picked and never two summed. It is picked for the ad's
    day, by the numbers where there are any; its number, its value and the cells of its breakdowns are all
    read by the same.
    """
    for field in (COUNTS, VALUES):
        told = {action.get("action_type") for action in insight.get(field) or ()}
        for kind in PURCHASE_TYPES:
            if kind in told:
                return kind
    return None


def purchases_of_type(row: Mapping[str, Any], field: str, kind: str | None) -> Decimal:
    """Number (`actions`) or value (`action_values`) of the actions of one type in a row or a cell."""
    for action in row.get(field) or ():
        if action.get("action_type") == kind:
            return number(action, "value")
    return Decimal(0)


def purchases(insight: Mapping[str, Any], field: str) -> Decimal:
    """Number (`actions`) or value (`action_values`) of purchases: of one action type, never a sum."""
    return purchases_of_type(insight, field, purchase_type(insight))


def nest(
    totals: Iterable[Mapping[str, Any]], cells: Mapping[str, Iterable[Mapping[str, Any]]]
) -> tuple[list[dict[str, Any]], int]:
    """Put the cells of breakdowns below the rows they belong to, under `breakdowns`.

    Of the actions of a cell only purchases are kept: two dozen others in each of forty cells would be most of
    what is stored.

    Args:
        totals: unbroken rows; one that came twice counts once, because a page that grows while it is read
            repeats a row.
        cells: for each breakdown its cells, with `ad_id` and `date_start`.

    Returns:
        The rows in the order of day and ad, each with a list for every breakdown; and how many cells belong
        to no row, which happens when an ad's day is new between two questions.
    """
    rows = {
        (row["ad_id"], row["date_start"]): {**row, "breakdowns": {name: [] for name in cells}}
        for row in totals
    }
    strays = 0
    for name, told in cells.items():
        columns = name.split(",")
        by_key: dict[tuple[str, ...], dict[str, Any]] = {}
        for cell in told:
            key = (cell["ad_id"], cell["date_start"], *(str(cell.get(column)) for column in columns))
            by_key[key] = _kept(cell, columns)
        for (ad_id, day, *_), cell in by_key.items():
            if (ad_id, day) in rows:
                rows[ad_id, day]["breakdowns"][name].append(cell)
            else:
                strays += 1
    return [rows[key] for key in sorted(rows, key=lambda key: (key[1], key[0]))], strays


def _kept(cell: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    kept = {name: cell[name] for name in (*columns, "impressions", "clicks", "spend") if name in cell}
    for field in (COUNTS, VALUES):
        bought = [action for action in cell.get(field) or () if action.get("action_type") in PURCHASE_TYPES]
        if bought:
            kept[field] = bought
    return kept


def required(row: Mapping[str, Any], name: str) -> str:
    """A field that must be there. Raises `InsightUnreadable`."""
    value = row.get(name)
    if value in (None, ""):
        raise InsightUnreadable(f"Insights row of ad {row.get('ad_id', '(unnamed)')} has no '{name}'")
    return str(value)


def number(row: Mapping[str, Any], name: str) -> Decimal:
    """A number of at least 0; 0 where it is absent. Raises `InsightUnreadable`."""
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


def whole(row: Mapping[str, Any], name: str) -> int:
    """The same of something that is counted. Raises `InsightUnreadable`."""
    value = number(row, name)
    if value != value.to_integral_value():
        raise InsightUnreadable(
            f"Insights row of ad {row.get('ad_id', '(a cell)')}: '{name}' is '{value}', not whole"
        )
    return int(value)
