"""A simulated world told the way Meta's Insights API tells it.

Every number is a string; what is zero or unknown is left out where Meta leaves it out; purchases stand
under several action types that overlap (one must be picked, never summed); breakdowns are separate cubes,
and cells without impressions are absent. `breakdowns` holds one list of cells for each combination of
breakdown columns, under the combination's name as Meta's `breakdowns` parameter spells it. Hours know of no
purchases: Meta does not tell when in the day those who bought off its pages were shown an ad.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from include.simulator.vocabulary import AGES, DEVICES, GENDERS, HOURS, PLACEMENTS, RANKINGS

if TYPE_CHECKING:
    from include.simulator.world import SimulatedWorld

Ints = npt.NDArray[np.int64]

# Overlapping names of the same purchases.
PURCHASES = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
ATTRIBUTION_SETTING = "7d_click_1d_view"
HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"

BREAKDOWNS: dict[str, tuple[dict[str, str], ...]] = {
    "publisher_platform,platform_position": tuple(
        {"publisher_platform": platform, "platform_position": position} for platform, position in PLACEMENTS
    ),
    "age,gender": tuple({"age": age, "gender": gender} for age in AGES for gender in GENDERS),
    "impression_device": tuple({"impression_device": device} for device in DEVICES),
    HOURLY: tuple({HOURLY: hour} for hour in HOURS),
}

WATCHED = (
    "video_play_actions", "video_p25_watched_actions", "video_p50_watched_actions",
    "video_p75_watched_actions", "video_p95_watched_actions", "video_p100_watched_actions",
    "video_thruplay_watched_actions",
)  # fmt: skip
RANKED = ("quality_ranking", "engagement_rate_ranking", "conversion_rate_ranking")


def insight_rows(
    world: SimulatedWorld, account_id: str, since: date, until: date, as_of: date
) -> Iterator[dict[str, Any]]:
    """Ad-days of one account as the platform tells them on the evening of `as_of`.

    Args:
        world: where to look.
        account_id: e.g. `act_1000700003`; an unknown one has no rows.
        since, until: first and last day, inclusive.
        as_of: days after it are not known yet, nor are conversions that had not arrived by then.

    Yields:
        One row per ad and day, in the order of day and ad.
    """
    delivery, daily, detail = world.delivery, world.daily, world.detail
    rows = world.rows_of(account_id, since, min(until, as_of))
    if not len(rows):
        return
    campaigns, ads = world.campaign_names, world.ad_names
    known = _known_conversions(world, rows, as_of)
    cubes = _cubes(world, rows)
    first_buyer = detail.buyers.begin[rows].tolist()
    by_view = detail.buyers.by_view
    picked = daily.iloc[rows]
    days = np.datetime_as_string(picked["date"].to_numpy(), unit="D").tolist()
    numbers = zip(
        picked["impressions"].tolist(),
        picked["clicks"].tolist(),
        picked["spend_cents"].tolist(),
        picked["reach"].tolist(),
        picked["frequency"].tolist(),
        detail.link_clicks[rows].tolist(),
        detail.unique_clicks[rows].tolist(),
        known.tolist(),
        delivery.order_cents[rows].tolist(),
        strict=True,
    )
    for row, (ad_id, campaign_id, day, counts) in enumerate(
        zip(picked["ad_id"], picked["campaign_id"], days, numbers, strict=True)
    ):
        impressions, clicks, cents, reach, frequency, links, unique, bought, order_cents = counts
        told: dict[str, Any] = {
            "account_id": account_id.removeprefix("act_"),
            "campaign_id": campaign_id,
            "campaign_name": campaigns[campaign_id],
            "ad_id": ad_id,
            "ad_name": ads[ad_id],
            "date_start": day,
            "date_stop": day,
            "attribution_setting": ATTRIBUTION_SETTING,
            "impressions": str(impressions),
            "clicks": str(clicks),
            "spend": _dollars(cents),
            "reach": str(reach),
            "frequency": f"{frequency:.6f}",
            "inline_link_clicks": str(links),
            "unique_clicks": str(unique),
            "actions": [{"action_type": "link_click", "value": str(links)}] if links else [],
        }
        buyers = slice(first_buyer[row], first_buyer[row] + bought)
        viewed = int(by_view[buyers].sum())
        windows = {"7d_click": bought - viewed, "1d_view": viewed}
        purchases: dict[str, Any] = _purchases(bought, order_cents, windows)
        told["actions"] += purchases.pop("actions", [])
        for more in (purchases, _watched(world, int(rows[row])), _ranked(world, int(rows[row]))):
            told.update(more)
        told["breakdowns"] = {
            name: cube.told(row, buyers if bought else None, order_cents) for name, cube in cubes.items()
        }
        yield told


@dataclass(frozen=True)
class _Cube:
    """One breakdown of some rows, as lists; `cell_of` is the cell of each purchase, None where unknown."""

    names: tuple[dict[str, str], ...]
    impressions: list[list[int]]
    clicks: list[list[int]]
    spend_cents: list[list[int]]
    cell_of: Ints | None

    def told(self, row: int, buyers: slice | None, order_cents: int) -> list[dict[str, Any]]:
        """The cells of a row that had impressions; `buyers` are those of its purchases that are known."""
        cells: list[dict[str, Any]] = [
            {**name, "impressions": str(impressions), "clicks": str(clicks), "spend": _dollars(cents)}
            for name, impressions, clicks, cents in zip(
                self.names, self.impressions[row], self.clicks[row], self.spend_cents[row], strict=True
            )
        ]
        if buyers is not None and self.cell_of is not None:
            for cell, bought in Counter(self.cell_of[buyers].tolist()).items():
                cells[cell] |= _purchases(bought, order_cents)
        return [cell for cell in cells if cell["impressions"] != "0"]


def _cubes(world: SimulatedWorld, rows: Ints) -> dict[str, _Cube]:
    delivery, detail = world.delivery, world.detail
    every = (
        (delivery.placements, detail.buyers.placements),
        (delivery.people, detail.buyers.people),
        (delivery.devices, detail.buyers.devices),
        (detail.hours, None),
    )
    return {
        name: _Cube(
            BREAKDOWNS[name],
            cells.impressions[rows].tolist(),
            cells.clicks[rows].tolist(),
            cells.spend_cents[rows].tolist(),
            cell_of,
        )
        for name, (cells, cell_of) in zip(BREAKDOWNS, every, strict=True)
    }


def _known_conversions(world: SimulatedWorld, rows: np.ndarray, as_of: date) -> Ints:
    by_delay = world.delivery.conversions[rows]
    passed = (np.datetime64(as_of, "s") - world.daily["date"].to_numpy()[rows]) // np.timedelta64(1, "D")
    arrived = np.arange(by_delay.shape[1])[None, :] <= passed[:, None]
    return np.asarray((by_delay * arrived).sum(axis=1))


def _purchases(
    bought: int, order_cents: int, windows: Mapping[str, int] | None = None
) -> dict[str, list[dict[str, str]]]:
    """`actions` and `action_values`, by attribution window too; neither where nothing was bought."""
    if not bought:
        return {}
    # Meta leaves out what is zero.
    counts = {"value": bought} | {name: count for name, count in (windows or {}).items() if count}
    told = {name: str(count) for name, count in counts.items()}
    values = {name: _dollars(count * order_cents) for name, count in counts.items()}
    return {
        "actions": [{"action_type": kind, **told} for kind in PURCHASES],
        "action_values": [{"action_type": kind, **values} for kind in PURCHASES],
    }


def _watched(world: SimulatedWorld, position: int) -> dict[str, Any]:
    detail = world.detail
    if not detail.is_video[position]:
        return {}
    numbers = dict(zip(WATCHED, detail.watched[position].tolist(), strict=True))
    numbers["video_avg_time_watched_actions"] = round(float(detail.watch_seconds[position]))
    return {
        name: [{"action_type": "video_view", "value": str(number)}]
        for name, number in numbers.items()
        if number
    }


def _ranked(world: SimulatedWorld, position: int) -> dict[str, Any]:
    steps = world.detail.rankings[position].tolist()
    return {
        name: RANKINGS[step] if step >= 0 else "UNKNOWN" for name, step in zip(RANKED, steps, strict=True)
    }


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
