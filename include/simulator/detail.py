"""What a platform tells of an ad-day beyond its sums: hours, who bought, how videos were watched, rankings.

Everything here is drawn from streams of its own over what `delivery` has decided, so it changes nothing of
it, and in the order of time, so a longer history keeps its earlier part. It is only worked out for worlds
whose insights are asked for.

Purchases are kept one by one in the order in which they arrive: what is known on an evening is the first so
many of a row, and the cells of every breakdown then sum to the row's purchases on every evening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator import truth
from include.simulator.catalogue import Catalogue
from include.simulator.config import WorldConfig
from include.simulator.delivery import Cells, Delivery, drift_in_force, split_exactly
from include.simulator.draws import stream
from include.simulator.vocabulary import AGES, GENDERS, HOOK_TYPES, PLACEMENTS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WATCHED_TO = (0.25, 0.50, 0.75, 0.95, 1.0)
THRUPLAY_S = 15.0
# Below this Meta does not rank.
RANKED_IMPRESSIONS = 500
# Shares of ads below each step of a ranking, as quantiles of the normal distribution: 10, 20, 35, 55 %.
_STEPS = np.array([-1.2816, -0.8416, -0.3853, 0.1257])


@dataclass(frozen=True)
class Buyers:
    """All purchases, row by row and in the order of their arrival.

    Attributes:
        begin: where a row's purchases begin, shape (rows + 1,).
        placements, people, devices: the cell of each, in the order of the cells of `Delivery`.
        by_view: whether it is claimed for a view; the others are for a click.
    """

    begin: Ints
    placements: Ints
    people: Ints
    devices: Ints
    by_view: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Detail:
    """Arrays over the rows of `Delivery.daily`.

    Attributes:
        hours: per hour of the day.
        link_clicks, unique_clicks: shape (rows,).
        buyers: who bought.
        is_video: shape (rows,).
        watched: plays, then how many saw 25, 50, 75, 95 and 100 % of the video, then 15 s or all of it; shape
            (rows, 7), 0 for pictures.
        watch_seconds: mean time of a play.
        rankings: position in `RANKINGS` of quality, engagement and conversion rate, -1 where unknown; shape
            (rows, 3).
    """

    hours: Cells
    link_clicks: Ints
    unique_clicks: Ints
    buyers: Buyers
    is_video: npt.NDArray[np.bool_]
    watched: Ints
    watch_seconds: Floats
    rankings: Ints


def tell_detail(config: WorldConfig, catalogue: Catalogue, delivery: Delivery) -> Detail:
    """Work out the detail of every ad-day of a world."""
    daily = delivery.daily
    ad, clicks = daily["ad_number"].to_numpy(), daily["clicks"].to_numpy()
    day = (daily["date"].to_numpy() - np.datetime64(config.start, "s")) // np.timedelta64(1, "D")
    drift = drift_in_force(config, day.astype(np.int64))
    duration, watch_scale = _watching(catalogue.ads)
    is_video = ~np.isnan(duration[ad])
    watched, seconds = _watched(
        config,
        daily["impressions"].to_numpy() * is_video,
        np.nan_to_num(duration[ad], nan=1.0),
        watch_scale[ad],
    )
    repeated = stream(config.seed, "repeated_clicks").binomial(clicks, truth.REPEAT_SHARE)
    return Detail(
        hours=_hours(config, daily, day.astype(np.int64)),
        link_clicks=stream(config.seed, "link_clicks").binomial(clicks, truth.LINK_SHARE),
        unique_clicks=np.maximum(np.minimum(clicks, 1), clicks - repeated),
        buyers=_buyers(config, delivery),
        is_video=is_video,
        watched=watched,
        watch_seconds=seconds,
        rankings=_rankings(config, catalogue.ads, daily, drift),
    )


def _hours(config: WorldConfig, daily: pd.DataFrame, day: Ints) -> Cells:
    weekend = ((day + config.start.weekday()) % 7 >= 5).astype(int)
    shares = np.array(truth.HOURS)
    shares = shares / shares.sum(axis=1, keepdims=True)
    shown = stream(config.seed, "hours").multinomial(daily["impressions"].to_numpy(), shares[weekend])
    weight = shown * np.exp(np.array(truth.HOUR_CLICK))
    clicked = np.zeros_like(shown)
    left, left_shown, left_weight = daily["clicks"].to_numpy().copy(), shown.sum(axis=1), weight.sum(axis=1)
    for hour in range(shown.shape[1]):
        chance = np.clip(weight[:, hour] / np.maximum(left_weight, 1e-12), 0.0, 1.0)
        drawn = stream(config.seed, "hour_clicks", hour).binomial(left, chance)
        left_shown = left_shown - shown[:, hour]
        # No hour has more clicks than impressions, nor leaves more to the hours after it than these have.
        clicked[:, hour] = np.minimum(np.maximum(drawn, left - left_shown), shown[:, hour])
        left = left - clicked[:, hour]
        left_weight = left_weight - weight[:, hour]
    return Cells(shown, clicked, split_exactly(daily["spend_cents"].to_numpy(), shown.astype(float)))


def _buyers(config: WorldConfig, delivery: Delivery) -> Buyers:
    bought = delivery.conversions.sum(axis=1)
    row = np.repeat(np.arange(len(bought)), bought)
    delays = delivery.conversions.shape[1]
    delay = np.repeat(np.tile(np.arange(delays), len(bought)), delivery.conversions.ravel())
    views = stream(config.seed, "buyer_views").random(len(row)) < truth.VIEW_SHARE
    people = np.array([[truth.BUYS_AGE[a] + truth.BUYS_GENDER[g] for g in GENDERS] for a in AGES])
    places = np.array([truth.BUYS_PLACEMENT[place] for place in PLACEMENTS])
    return Buyers(
        begin=np.concatenate([[0], np.cumsum(bought)]).astype(np.int64),
        placements=_chosen(config, "buyer_placements", row, delivery.placements.clicks * np.exp(places)),
        people=_chosen(config, "buyer_people", row, delivery.people.clicks * np.exp(people.ravel())),
        devices=_chosen(config, "buyer_devices", row, delivery.devices.clicks.astype(float)),
        # A view counts for a day.
        by_view=views & (delay <= 1),
    )


def _chosen(config: WorldConfig, name: str, row: Ints, weights: Floats) -> Ints:
    """The cell of each purchase: one of those that were clicked, in proportion to the weights of its row."""
    reached = np.cumsum(weights, axis=1)[row]
    target = stream(config.seed, name).random(len(row))[:, None] * reached[:, -1:]
    return np.asarray((target >= reached).sum(axis=1))


def _watching(ads: pd.DataFrame) -> tuple[Floats, Floats]:
    """Duration, and the time scale in which viewers leave, of each ad."""
    hold = ads["hook_type"].map(truth.HOLD).to_numpy(float) + truth.FIT_HOLD * truth.persona_fit(ads)
    return ads["duration_s"].to_numpy(float), truth.WATCH_SECONDS * np.exp(hold)


def _watched(config: WorldConfig, shown: Ints, duration: Floats, scale: Floats) -> tuple[Ints, Floats]:
    def there(second: Floats) -> Floats:
        return np.asarray(np.exp(-((second / scale) ** truth.WATCH_SHAPE)))

    counts = [stream(config.seed, "plays").binomial(shown, truth.PLAY_SHARE)]
    share: list[Floats] = [np.ones(len(shown))]
    for step, reached_part in enumerate(WATCHED_TO):
        share.append(there(reached_part * duration))
        counts.append(stream(config.seed, "watched", step).binomial(counts[-1], share[-1] / share[-2]))
    reached, shares = np.stack(counts, axis=1), np.stack(share, axis=1)

    row, part = np.arange(len(shown)), np.minimum(1.0, THRUPLAY_S / duration)
    after = np.searchsorted(np.array(WATCHED_TO), part - 1e-9) + 1
    before = after - 1
    span = shares[row, before] - shares[row, after]
    inside = np.where(part < 1, (there(part * duration) - shares[row, after]) / span, 0.0)
    between = reached[row, before] - reached[row, after]
    more = stream(config.seed, "thruplays").binomial(between, np.clip(inside, 0.0, 1.0))
    thruplays = reached[row, after] + more

    ends = np.array([0.0, *WATCHED_TO])
    steps = (reached[:, :-1] + reached[:, 1:]) / 2 * np.diff(ends)[None, :]
    seconds = steps.sum(axis=1) * duration / np.maximum(reached[:, 0], 1)
    return np.column_stack([reached, thruplays]), seconds


def _rankings(config: WorldConfig, ads: pd.DataFrame, daily: pd.DataFrame, drift: Floats) -> Ints:
    """Steps of quality (clicks), engagement (clicks and holding) and conversion rate (buying)."""
    ad = daily["ad_number"].to_numpy()
    hook = np.array([HOOK_TYPES.index(name) for name in ads["hook_type"]], np.int64)[ad]
    before, after = truth.hook_effects(0.0), truth.hook_effects(1.0)
    clicks = (truth.ad_log_odds(ads) - truth.niche_log_odds(ads))[ad]
    clicks = clicks + before[hook] + drift * (after - before)[hook]
    hold = np.log(_watching(ads)[1] / truth.WATCH_SECONDS)[ad]
    buys = ads["ad_effect"].to_numpy()[ad]
    effects = np.stack([clicks, 0.5 * clicks + hold, buys], axis=1)
    noise = stream(config.seed, "rankings").standard_normal(effects.shape)
    # What is usual and how widely ads differ follow from the tables, not from the ads that happen to exist.
    usual = np.array([0.11, 0.17, 0.0])
    spread = np.array([0.31, 0.32, truth.AD_SPREAD])
    place = (effects + truth.RANKING_NOISE * noise - usual) / np.hypot(spread, truth.RANKING_NOISE)
    steps = np.searchsorted(_STEPS, place)
    steps[daily["impressions"].to_numpy() < RANKED_IMPRESSIONS] = -1
    return np.asarray(steps)
