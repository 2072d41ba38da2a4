"""Meta's breakdowns as dense tables: one row per ad and day, one column per slot of a breakdown.

A cell that Meta reports (`instagram,instagram_reels`; `25-34,female`; `iphone`; `13:00:00 - 13:59:59`) falls
into a slot by its name alone. Names that are new to us fall into the breakdown's slot for others, and what
Meta left out into `unallocated`, so that nothing is lost and nothing fails when Meta adds a placement. Tables
are filled by one counting pass per figure, whatever the number of cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

UNALLOCATED = "unallocated"

# As Meta's `breakdowns` parameter spells them; a breakdown's number is its position here.
BREAKDOWNS = (
    "publisher_platform,platform_position",
    "age,gender",
    "impression_device",
    "hourly_stats_aggregated_by_advertiser_time_zone",
)
PLACEMENT, PEOPLE, DEVICE, HOUR = range(len(BREAKDOWNS))

AGES = ("13-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65+", "unknown")
GENDERS = ("female", "male", "unknown")
PLACEMENT_KINDS = ("feed", "stories", "reels", "other")
PLATFORMS = ("facebook", "instagram")

# Every slot of each breakdown; the last is what Meta left out.
SLOTS: tuple[tuple[str, ...], ...] = (
    (
        *(f"{platform} {kind}" for platform in PLATFORMS for kind in PLACEMENT_KINDS),
        "elsewhere",
        UNALLOCATED,
    ),
    (*(f"{age} {gender}" for age in AGES for gender in GENDERS), UNALLOCATED),
    ("android", "ios", "desktop", "other", UNALLOCATED),
    (*(f"{hour:02d}" for hour in range(24)), UNALLOCATED),
)

FIGURES = ("impressions", "clicks", "spend", "purchases")

_DEVICES = {
    "android_smartphone": "android",
    "android_tablet": "android",
    "iphone": "ios",
    "ipad": "ios",
    "ipod": "ios",
    "desktop": "desktop",
}


def slot_of(breakdown: int, cell: str) -> int:
    """The slot of a cell, by the values of its breakdown columns, joined by commas.

    >>> SLOTS[PLACEMENT][slot_of(PLACEMENT, "instagram,instagram_reels")]
    'instagram reels'
    >>> SLOTS[PLACEMENT][slot_of(PLACEMENT, "audience_network,rewarded_video")]
    'elsewhere'
    >>> SLOTS[HOUR][slot_of(HOUR, "13:00:00 - 13:59:59")]
    '13'
    """
    parts = cell.split(",")
    if UNALLOCATED in parts:
        name = UNALLOCATED
    elif breakdown == PLACEMENT:
        name = _placement(parts[0], parts[-1])
    elif breakdown == PEOPLE:
        age = parts[0] if parts[0] in AGES else "unknown"
        gender = parts[-1] if parts[-1] in GENDERS else "unknown"
        name = f"{age} {gender}"
    elif breakdown == DEVICE:
        name = _DEVICES.get(cell, "other")
    else:
        name = cell[:2] if cell[:2] in SLOTS[HOUR] else UNALLOCATED
    return SLOTS[breakdown].index(name)


@dataclass(frozen=True)
class Cube:
    """One breakdown of n ad-days.

    Attributes:
        slots: names of the columns.
        impressions, clicks, spend, purchases: (n, slots), 0 where Meta reports no cell.
    """

    slots: tuple[str, ...]
    impressions: np.ndarray
    clicks: np.ndarray
    spend: np.ndarray
    purchases: np.ndarray

    @cached_property
    def total(self) -> np.ndarray:
        """(n,) impressions of all cells, what Meta left out included."""
        return np.asarray(self.impressions.sum(axis=1))

    @cached_property
    def allocated(self) -> np.ndarray:
        """(n,) impressions of the cells that Meta named."""
        return np.asarray(self.total - self.impressions[:, -1])

    def columns(self, names: Sequence[str]) -> list[int]:
        """Positions of the slots whose name has one of these words."""
        return [place for place, slot in enumerate(self.slots) if set(names) & {slot, *slot.split()}]

    def of(self, figure: str, names: Sequence[str]) -> np.ndarray:
        """(n,) a figure, summed over the slots whose name has one of these words."""
        table: np.ndarray = getattr(self, figure)
        return np.asarray(table[:, self.columns(names)].sum(axis=1))

    def share(self, names: Sequence[str]) -> np.ndarray:
        """(n,) share of the named cells' impressions; NaN where there are none."""
        return divided(self.of("impressions", names), self.allocated)


def cubes_of(cells: pl.DataFrame, rows: int) -> tuple[Cube, ...]:
    """Dense tables of all breakdowns, in the order of `BREAKDOWNS`.

    Args:
        cells: row (position of the ad-day), breakdown (position in `BREAKDOWNS`), cell (values of the
            breakdown columns, joined by commas; text or categorical), impressions, clicks, spend, purchases
            (null where the cell has none).
        rows: how many ad-days there are.
    """
    kinds = cells.select("breakdown", "cell").unique()
    slots = pl.Series(
        "slot",
        [
            slot_of(breakdown, cell)
            for breakdown, cell in kinds.with_columns(pl.col("cell").cast(pl.String)).rows()
        ],
        dtype=pl.Int64,
    )
    placed = cells.lazy().join(kinds.with_columns(slots).lazy(), on=["breakdown", "cell"], how="left")
    of_breakdown = placed.collect().partition_by("breakdown", as_dict=True)
    found = []
    for number, names in enumerate(SLOTS):
        own = of_breakdown.get((number,))
        shape = (rows, len(names))
        if own is None:
            found.append(Cube(names, *(np.zeros(shape) for _ in FIGURES)))
            continue
        place = own["row"].to_numpy().astype(np.int64) * shape[1] + own["slot"].to_numpy()
        tables = (
            np.bincount(
                place, weights=own[figure].fill_null(0).to_numpy(), minlength=shape[0] * shape[1]
            ).reshape(shape)
            for figure in FIGURES
        )
        found.append(Cube(names, *tables))
    return tuple(found)


def divided(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """(n,) quotients; NaN where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _placement(platform: str, position: str) -> str:
    if platform not in PLATFORMS:
        return "elsewhere"
    if "reels" in position:
        kind = "reels"
    elif "stor" in position:
        kind = "stories"
    elif position in {"feed", f"{platform}_feed", "instagram_profile_feed", "facebook_profile_feed"}:
        kind = "feed"
    else:
        kind = "other"
    return f"{platform} {kind}"
