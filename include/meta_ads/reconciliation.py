"""Holds breakdowns against the totals they break down, and keeps what they leave out in a cell of its own.

Meta's breakdowns are estimates, and rows can be missing from them: by country a third of the spend has been
seen to be hidden. What is missing is never spread over the cells that are there, and what is too much never
scaled away: both are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from include.meta_ads.queries import tells_purchases
from include.meta_ads.rows import (
    COUNTS,
    VALUES,
    day_of,
    number,
    purchase_type,
    purchases_of_type,
    required,
    whole,
)

# Names the cell that holds what Meta left out of a breakdown.
UNALLOCATED = "unallocated"
_NONE = Decimal(0)


@dataclass(frozen=True)
class Mismatch:
    """A breakdown whose cells do not sum to the row's total. What is missing is total minus sum."""

    account_id: str
    ad_id: str
    day: date
    breakdown: str
    missing_impressions: int
    missing_clicks: int
    missing_spend: Decimal
    missing_purchases: Decimal = _NONE
    missing_value: Decimal = _NONE

    @property
    def missing(self) -> tuple[int | Decimal, ...]:
        """All measures: impressions, clicks, spend, purchases, their value."""
        return (
            self.missing_impressions,
            self.missing_clicks,
            self.missing_spend,
            self.missing_purchases,
            self.missing_value,
        )

    def beyond(self, tolerance: Decimal) -> bool:
        """Whether it is more than rounding; counts must be exact."""
        counts = self.missing_impressions, self.missing_clicks, self.missing_purchases
        return any(counts) or any(
            abs(money) > tolerance for money in (self.missing_spend, self.missing_value)
        )

    @property
    def exceeds(self) -> bool:
        """Whether the cells tell more than the total."""
        return min(self.missing) < 0

    def __str__(self) -> str:
        told = (
            f"{self.account_id} ad {self.ad_id} on {self.day}, by {self.breakdown}: "
            f"{self.missing_impressions} impressions, {self.missing_clicks} clicks, "
            f"{self.missing_spend} spend"
        )
        if self.missing_purchases or self.missing_value:
            told += f", {self.missing_purchases} purchases worth {self.missing_value}"
        return f"{told} not in the cells" + (" (negative: the cells tell too much)" if self.exceeds else "")


def reconcile(
    account_id: str, insight: Mapping[str, Any], tolerance: Decimal
) -> tuple[dict[str, Any], list[Mismatch]]:
    """Check every breakdown of a row against its total.

    Args:
        account_id: for the messages.
        insight: a row with `breakdowns` nested.
        tolerance: how far money may be off, in account currency. Counts must be exact.

    Returns:
        The row, where a breakdown that falls short got one more cell, named 'unallocated', with what is
        missing; and what did not add up. Where cells tell more than the total they are left as they are.

    Raises:
        InsightUnreadable: a number is none.
    """
    mismatches: list[Mismatch] = []
    checked: dict[str, Any] = {}
    kind = purchase_type(insight)
    for name, cells in (insight.get("breakdowns") or {}).items():
        missing = _missing(account_id, insight, name, cells, kind)
        checked[name] = list(cells)
        if not missing.beyond(tolerance):
            continue
        mismatches.append(missing)
        if max(missing.missing) > 0:
            checked[name].append({**dict.fromkeys(name.split(","), UNALLOCATED), **_rest(missing, kind)})
    return {**insight, "breakdowns": checked}, mismatches


def unallocated_spend(mismatches: Iterable[Mismatch]) -> dict[str, Decimal]:
    """Spend that stands in no cell, per breakdown that hides some."""
    hidden: dict[str, Decimal] = {}
    for mismatch in mismatches:
        if mismatch.missing_spend > 0:
            hidden[mismatch.breakdown] = hidden.get(mismatch.breakdown, _NONE) + mismatch.missing_spend
    return hidden


def _missing(
    account_id: str,
    insight: Mapping[str, Any],
    breakdown: str,
    cells: Sequence[Mapping[str, Any]],
    kind: str | None,
) -> Mismatch:
    def bought(field: str) -> Decimal:
        if kind is None or not tells_purchases(breakdown):
            return _NONE
        told = sum((purchases_of_type(cell, field, kind) for cell in cells), _NONE)
        return purchases_of_type(insight, field, kind) - told

    return Mismatch(
        account_id=account_id,
        ad_id=required(insight, "ad_id"),
        day=day_of(insight),
        breakdown=breakdown,
        missing_impressions=whole(insight, "impressions") - sum(whole(c, "impressions") for c in cells),
        missing_clicks=whole(insight, "clicks") - sum(whole(c, "clicks") for c in cells),
        missing_spend=number(insight, "spend") - sum((number(c, "spend") for c in cells), _NONE),
        missing_purchases=bought(COUNTS),
        missing_value=bought(VALUES),
    )


def _rest(missing: Mismatch, kind: str | None) -> dict[str, Any]:
    """The numbers of the unallocated cell; what the cells tell too much of is 0 in it."""
    rest: dict[str, Any] = {
        "impressions": str(max(0, missing.missing_impressions)),
        "clicks": str(max(0, missing.missing_clicks)),
        "spend": str(max(_NONE, missing.missing_spend)),
    }
    for field, amount in ((COUNTS, missing.missing_purchases), (VALUES, missing.missing_value)):
        if amount > 0:
            rest[field] = [{"action_type": kind, "value": str(amount)}]
    return rest
