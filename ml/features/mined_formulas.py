"""What a mined feature is, and the formulas that are more than a line; `mined_definitions` has the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.features.mined_facts import ratio

if TYPE_CHECKING:
    from ml.features.mined_facts import Facts

# Positions in `mined_cells.BREAKDOWNS`, which needs polars; a test holds the two together.
PLACEMENT, PEOPLE, DEVICE, HOUR = range(4)

# Days until the purchases of a day are known but for a rest.
SETTLED_DAYS = 8

NIGHT = tuple(f"{hour:02d}" for hour in range(6))
EVENING = tuple(f"{hour:02d}" for hour in range(18, 23))

# Meta's spelling of rankings, worst first; UNKNOWN has no rank.
RANKS = (
    "BELOW_AVERAGE_10",
    "BELOW_AVERAGE_20",
    "BELOW_AVERAGE_35",
    "AVERAGE",
    "ABOVE_AVERAGE",
)

GROUPS = {
    "placement": "Placements",
    "audience": "Audience",
    "device": "Devices",
    "hour": "Hours",
    "fatigue": "Frequency and fatigue",
    "delivery": "Delivery and rankings",
    "conversion": "Purchases",
    "video": "Video",
}


@dataclass(frozen=True)
class MinedFeature:
    """One feature.

    Attributes:
        name: its column.
        group: key of `GROUPS`.
        formula: in words and signs; sums are over the window.
        unit: of the value.
        window: which days it is made of.
        needs: what of `raw_data` it needs; without it the value is missing.
        meaning: what it tells somebody who buys ads.
        compute: (n,) values from the facts.
        lag: days before the predicted one that a model may be told of.
    """

    name: str
    group: str
    formula: str
    unit: str
    window: str
    needs: str
    meaning: str
    compute: Callable[[Facts], np.ndarray]
    lag: int = 1


def placement_share(kind: str, word: str, meaning: str) -> MinedFeature:
    return MinedFeature(
        f"{kind}_share",
        "placement",
        f"impressions in {word} ÷ impressions in all named placements",
        "share",
        "week",
        "breakdown by placement",
        meaning,
        lambda facts: facts.share(PLACEMENT, kind),
    )


def placement_lift(kind: str, word: str, meaning: str) -> MinedFeature:
    return MinedFeature(
        f"{kind}_ctr_lift",
        "placement",
        f"CTR in {word} ÷ the ad's CTR over all placements, shrunk to 1",
        "ratio",
        "week",
        "breakdown by placement",
        meaning,
        lambda facts: facts.lift(PLACEMENT, "clicks", "impressions", kind),
    )


def audience_share(name: str, words: str, names: tuple[str, ...], meaning: str) -> MinedFeature:
    return MinedFeature(
        name,
        "audience",
        f"impressions of {words} ÷ impressions of all named people",
        "share",
        "week",
        "breakdown by age and gender",
        meaning,
        lambda facts: facts.share(PEOPLE, *names),
    )


def ranking(name: str, field: str, what: str, meaning: str) -> MinedFeature:
    return MinedFeature(
        name,
        "delivery",
        f"newest `{field}` of the week that is not UNKNOWN: below average 10 % = 1, 20 % = 2, 35 % = 3, "
        "average = 4, above = 5",
        "rank 1 to 5",
        "week",
        f"`{field}`",
        f"How Meta ranks the ad's {what} among ads that compete for the same people. {meaning}",
        lambda facts: facts.windows.latest(facts.day[field]),
    )


def retention(name: str, part: str, whole: str, formula: str, meaning: str) -> MinedFeature:
    return MinedFeature(
        name,
        "video",
        formula,
        "share",
        "week",
        "video actions",
        meaning,
        lambda facts: np.minimum(ratio(facts.week_where(part, whole), facts.week(whole)), 1.0),
    )


def log_gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(one) - np.log(other))


def unallocated_share(facts: Facts) -> np.ndarray:
    """Mean over the breakdowns the week has."""
    left_out = np.stack([ratio(cube.impressions[:, -1], cube.total) for cube in facts.cubes])
    known = ~np.isnan(left_out)
    return ratio(np.where(known, left_out, 0.0).sum(axis=0), known.sum(axis=0).astype("float64"))


def gender_gap(facts: Facts) -> np.ndarray:
    sides = (facts.lift(PEOPLE, "clicks", "impressions", gender) for gender in ("female", "male"))
    return log_gap(*sides)


def device_gap(facts: Facts) -> np.ndarray:
    sides = (facts.lift(DEVICE, "clicks", "impressions", device) for device in ("ios", "android"))
    return log_gap(*sides)


def ctr_decline(facts: Facts) -> np.ndarray:
    clicks, shown = facts.day["clicks"], facts.day["impressions"]
    windows = facts.windows
    then_clicks, then_shown = windows.first_days(clicks), windows.first_days(shown)
    known = windows.of_account(shown)
    account = np.where(known > 0, (windows.of_account(clicks) + 0.5) / (known + 1.0), np.nan)
    first = (then_clicks + 5.0) / (then_shown + 5.0 / account)
    return log_gap(facts.rate, first)


def spend_pacing(facts: Facts) -> np.ndarray:
    spend = facts.day["spend"]
    before = facts.week("spend") - spend
    days = facts.windows.trailing(np.ones(len(spend))) - 1
    return ratio(spend, ratio(before, days))


def watch_share(facts: Facts) -> np.ndarray:
    seconds = facts.windows.trailing(
        np.nan_to_num(facts.day["video_seconds"]) * np.nan_to_num(facts.day["plays"])
    )
    return np.minimum(ratio(ratio(seconds, facts.week("plays")), facts.day["duration_s"]), 1.0)


def purchase_lift(trials: str, *names: str) -> Callable[[Facts], np.ndarray]:
    return lambda facts: facts.lift(PLACEMENT, "purchases", trials, *names)
