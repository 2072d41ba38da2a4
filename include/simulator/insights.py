"""A simulated world told the way Meta's Insights API tells it.

Every number is a string; purchases stand under several action types that overlap (one must be picked, never
summed); breakdowns are separate cubes, and cells without impressions are absent. `breakdowns` holds one list
of cells for each combination of breakdown columns, under the combination's name as Meta's `breakdowns`
parameter spells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from include.simulator.vocabulary import AGES, DEVICES, GENDERS, PLACEMENTS

if TYPE_CHECKING:
    from include.simulator.delivery import Cells
    from include.simulator.world import SimulatedWorld

# Overlapping names of the same purchases.
PURCHASES = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")

BREAKDOWNS: dict[str, tuple[dict[str, str], ...]] = {
    "publisher_platform,platform_position": tuple(
        {"publisher_platform": platform, "platform_position": position} for platform, position in PLACEMENTS
    ),
    "age,gender": tuple({"age": age, "gender": gender} for age in AGES for gender in GENDERS),
    "impression_device": tuple({"impression_device": device} for device in DEVICES),
}


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
    delivery, daily = world.delivery, world.daily
    rows = world.rows_of(account_id, since, min(until, as_of))
    if not len(rows):
        return
    campaigns, ads = world.campaign_names, world.ad_names
    known = _known_conversions(world, rows, as_of)
    cubes = dict(zip(BREAKDOWNS, (delivery.placements, delivery.people, delivery.devices), strict=True))
    picked = daily.iloc[rows]
    days = np.datetime_as_string(picked["date"].to_numpy(), unit="D").tolist()
    for position, ad_id, campaign_id, day, impressions, clicks, cents, reach, frequency, bought in zip(
        rows.tolist(),
        picked["ad_id"],
        picked["campaign_id"],
        days,
        picked["impressions"].tolist(),
        picked["clicks"].tolist(),
        picked["spend_cents"].tolist(),
        picked["reach"].tolist(),
        picked["frequency"].tolist(),
        known.tolist(),
        strict=True,
    ):
        told: dict[str, Any] = {
            "account_id": account_id.removeprefix("act_"),
            "campaign_id": campaign_id,
            "campaign_name": campaigns[campaign_id],
            "ad_id": ad_id,
            "ad_name": ads[ad_id],
            "date_start": day,
            "date_stop": day,
            "impressions": str(impressions),
            "clicks": str(clicks),
            "spend": _dollars(cents),
            "reach": str(reach),
            "frequency": f"{frequency:.6f}",
            "actions": _actions(clicks, bought),
        }
        if bought:
            value = _dollars(bought * int(delivery.order_cents[position]))
            told["action_values"] = [{"action_type": kind, "value": value} for kind in PURCHASES]
        told["breakdowns"] = {
            name: _cells(BREAKDOWNS[name], cells, position) for name, cells in cubes.items()
        }
        yield told


def _known_conversions(world: SimulatedWorld, rows: np.ndarray, as_of: date) -> np.ndarray:
    by_delay = world.delivery.conversions[rows]
    passed = (np.datetime64(as_of, "s") - world.daily["date"].to_numpy()[rows]) // np.timedelta64(1, "D")
    arrived = np.arange(by_delay.shape[1])[None, :] <= passed[:, None]
    return np.asarray((by_delay * arrived).sum(axis=1))


def _actions(clicks: int, bought: int) -> list[dict[str, str]]:
    actions = [{"action_type": "link_click", "value": str(clicks)}] if clicks else []
    if bought:
        actions += [{"action_type": kind, "value": str(bought)} for kind in PURCHASES]
    return actions


def _cells(names: tuple[dict[str, str], ...], cells: Cells, row: int) -> list[dict[str, str]]:
    numbers = zip(
        names,
        cells.impressions[row].tolist(),
        cells.clicks[row].tolist(),
        cells.spend_cents[row].tolist(),
        strict=True,
    )
    return [
        {**name, "impressions": str(impressions), "clicks": str(clicks), "spend": _dollars(cents)}
        for name, impressions, clicks, cents in numbers
        if impressions
    ]


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
