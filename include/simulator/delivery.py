"""What happened: impressions, clicks, spend and conversions of every ad on every day it lived.

Money decides impressions (budget over CPM), impressions fall into cells of placement x age x gender, each
cell is clicked with its true probability, and clicks convert over the following week. The separate
breakdowns a platform reports are sums of the same cells, so they add up to the total exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator import truth
from include.simulator.catalogue import Catalogue
from include.simulator.config import WorldConfig
from include.simulator.draws import stream
from include.simulator.vocabulary import AGES, DEVICES, GENDERS, HOOK_TYPES, PLACEMENTS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# What an impression costs relative to the ad's mean, per cell.
PLACEMENT_COST = np.array([1.15, 0.80, 1.20, 0.90, 0.85])
AGE_COST = np.array([0.85, 1.0, 1.1, 1.1, 1.0, 0.9])
DEVICE_SHARES = np.array([0.46, 0.42, 0.12])

_ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Cells:
    """One breakdown of all ad-days: arrays of shape (rows, cells); money in cents."""

    impressions: Ints
    clicks: Ints
    spend_cents: Ints


@dataclass(frozen=True)
class Delivery:
    """All ad-days in the order of day, account, ad.

    Attributes:
        daily: account_id, ad_id, campaign_id, creative_id, date, age_days, impressions, clicks, spend
            (dollars), spend_cents, reach, frequency, seen, conversions and conversion_value (final),
            true_ctr, ad_number (row in the catalogue's ads).
        placements: per placement. people: per age and gender, age first. devices: per device.
        conversions: by days since the click, shape (rows, 8).
        order_cents: what one conversion of the row is worth.
    """

    daily: pd.DataFrame
    placements: Cells
    people: Cells
    devices: Cells
    conversions: Ints
    order_cents: Ints


def deliver(config: WorldConfig, catalogue: Catalogue) -> Delivery:
    """Live through every day of the world."""
    ads = catalogue.ads
    ad, day = _ad_days(config, ads)
    drift = drift_in_force(config, day)
    weekday = np.asarray((day + config.start.weekday()) % 7, np.int64)

    niche = np.array([truth.NICHE[name] for name in ads["niche"]])[ad]
    pacing = stream(config.seed, "pacing").standard_normal((len(ad), 2))
    budget = ads["ad_budget"].to_numpy()[ad] * np.exp(0.15 * pacing[:, 0])
    cpm = niche[:, 1] * ads["cpm_factor"].to_numpy()[ad] * np.exp(0.08 * pacing[:, 1])
    cpm = cpm * (1 + drift * (truth.CPM_AFTER - 1))
    impressions = np.maximum(1, np.round(budget / cpm * 1000)).astype(np.int64)
    spend_cents = np.maximum(1, np.round(impressions * cpm / 10)).astype(np.int64)

    audience = ads["audience"].to_numpy()[ad]
    before = pd.Series(impressions).groupby(ad).cumsum().to_numpy() - impressions
    seen = before / audience
    reach = np.maximum(1, np.round(audience * -np.expm1(-impressions / audience))).astype(np.int64)

    places, people, true_ctr = _cells(config, catalogue, ad, impressions, seen, weekday, drift)
    clicks = places[1].sum(axis=1)
    devices = _devices(config, impressions, clicks)
    conversions, order_cents = _conversions(config, clicks, niche, ads["ad_effect"].to_numpy()[ad])

    daily = ads.iloc[ad][["account_id", "ad_id", "campaign_id", "creative_id"]].reset_index(drop=True)
    daily["date"] = np.datetime64(config.start, "s") + day.astype("timedelta64[D]")
    daily["age_days"] = day - (
        ads["launched_on"].to_numpy()[ad] - np.datetime64(config.start)
    ) // np.timedelta64(1, "D")
    daily["impressions"] = impressions
    daily["clicks"] = clicks
    daily["spend_cents"] = spend_cents
    daily["spend"] = spend_cents / 100
    daily["reach"] = reach
    daily["frequency"] = impressions / reach
    daily["seen"] = seen
    daily["conversions"] = conversions.sum(axis=1)
    daily["conversion_value"] = daily["conversions"] * order_cents / 100
    daily["true_ctr"] = true_ctr
    daily["ad_number"] = ad
    return Delivery(
        daily=daily,
        placements=_with_spend(places, spend_cents, PLACEMENT_COST),
        people=_with_spend(people, spend_cents, np.repeat(AGE_COST, len(GENDERS))),
        devices=_with_spend(devices, spend_cents, np.ones(len(DEVICES))),
        conversions=conversions,
        order_cents=order_cents,
    )


def split_exactly(totals: Ints, weights: Floats) -> Ints:
    """Split whole totals in proportion to weights, by largest remainder.

    Args:
        totals: shape (rows,), non-negative.
        weights: shape (rows, cells), non-negative, no row all zero.

    Returns:
        Shape (rows, cells); every row sums to its total, and a cell of weight zero gets nothing.

    >>> split_exactly(np.array([10]), np.array([[1.0, 1.0, 1.0, 0.0]])).tolist()
    [[4, 3, 3, 0]]
    """
    exact = totals[:, None] * weights / weights.sum(axis=1, keepdims=True)
    parts = np.floor(exact).astype(np.int64)
    short = totals - parts.sum(axis=1)
    remainder = np.where(weights > 0, exact - parts, -1.0)
    rank = np.argsort(np.argsort(-remainder, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(parts + (rank < short[:, None]))


def _ad_days(config: WorldConfig, ads: pd.DataFrame) -> tuple[Ints, Ints]:
    """(ad number, day number) of every day an ad lived, in the order of day and ad."""
    launched = (ads["launched_on"].to_numpy() - np.datetime64(config.start)) // np.timedelta64(1, "D")
    lived = np.minimum(ads["life_days"].to_numpy(), config.days - launched)
    ad = np.repeat(np.arange(len(ads)), lived)
    day = np.arange(len(ad)) - np.repeat(np.cumsum(lived) - lived, lived) + launched[ad]
    order = np.lexsort((ad, day))
    return ad[order], day[order].astype(np.int64)


def drift_in_force(config: WorldConfig, day: Ints) -> Floats:
    """How strong the planted drift is on each day (number since the start), 0 before it."""
    if config.drift is None:
        return np.zeros(len(day))
    return np.where(day >= (config.drift.start - config.start).days, config.drift.strength, 0.0)


def _cells(
    config: WorldConfig,
    catalogue: Catalogue,
    ad: Ints,
    impressions: Ints,
    seen: Floats,
    weekday: Ints,
    drift: Floats,
) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints], Floats]:
    """(impressions, clicks) per placement, the same per age and gender, and the true CTR of each row."""
    fall, click = stream(config.seed, "cells"), stream(config.seed, "clicks")
    constant = truth.ad_log_odds(catalogue.ads)
    hook = np.array([HOOK_TYPES.index(name) for name in catalogue.ads["hook_type"]], np.int64)
    shape = (len(PLACEMENTS), len(AGES), len(GENDERS))
    per_place = np.empty((2, len(ad), shape[0]), np.int64)
    per_person = np.empty((2, len(ad), shape[1] * shape[2]), np.int64)
    true_ctr = np.empty(len(ad))
    for begin in range(0, len(ad), _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        mix = _delivery_mix(catalogue, ad[rows], drift[rows])
        shown = fall.multinomial(impressions[rows], mix).reshape(-1, *shape)
        chance = truth.cell_probabilities(
            constant[ad[rows]], hook[ad[rows]], seen[rows], weekday[rows], drift[rows]
        )
        clicked = click.binomial(shown, chance)
        for kind, cells in enumerate((shown, clicked)):
            per_place[kind, rows] = cells.sum(axis=(2, 3))
            per_person[kind, rows] = cells.sum(axis=1).reshape(len(cells), -1)
        true_ctr[rows] = (shown * chance).sum(axis=(1, 2, 3)) / impressions[rows]
    return (per_place[0], per_place[1]), (per_person[0], per_person[1]), true_ctr


def _delivery_mix(catalogue: Catalogue, ad: Ints, drift: Floats) -> Floats:
    """Expected share of each cell, shape (rows, placements * ages * genders), rows summing to 1."""
    places = _moved(catalogue.placement_mix[ad], truth.PLACEMENT_MOVE, drift)
    ages = _moved(catalogue.age_mix[ad], truth.AGE_MOVE, drift)
    female = catalogue.female_share[ad]
    people = ages[:, :, None] * np.stack([female, 1 - female], axis=1)[:, None, :]
    mix = (places[:, :, None, None] * people[:, None, :, :]).reshape(len(ad), -1)
    return np.asarray(mix / mix.sum(axis=1, keepdims=True))


def _moved(mix: Floats, move: tuple[float, ...], drift: Floats) -> Floats:
    weights = mix * np.exp(drift[:, None] * np.array(move)[None, :])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _devices(config: WorldConfig, impressions: Ints, clicks: Ints) -> tuple[Ints, Ints]:
    """Devices have no effect: clicks fall on them as the impressions do."""
    shown = stream(config.seed, "devices").multinomial(impressions, DEVICE_SHARES)
    clicked = np.zeros_like(shown)
    left_shown, left_clicked = impressions.copy(), clicks.copy()
    for device in range(len(DEVICES) - 1):
        left_shown = left_shown - shown[:, device]
        draw = stream(config.seed, "device_clicks", device)
        clicked[:, device] = draw.hypergeometric(shown[:, device], left_shown, left_clicked)
        left_clicked = left_clicked - clicked[:, device]
    clicked[:, -1] = left_clicked
    return shown, clicked


def _conversions(config: WorldConfig, clicks: Ints, niche: Floats, ad_effect: Floats) -> tuple[Ints, Ints]:
    """Conversions by days since the click, and what one of the row is worth in cents."""
    bought = stream(config.seed, "conversions").binomial(clicks, niche[:, 2] * np.exp(ad_effect))
    by_delay = stream(config.seed, "delays").multinomial(bought, truth.DELAY)
    spread = stream(config.seed, "orders").standard_normal(len(clicks))
    order_cents = np.round(100 * niche[:, 3] * np.exp(0.3 * spread)).astype(np.int64)
    return by_delay, order_cents


def _with_spend(counts: tuple[Ints, Ints], spend_cents: Ints, cost: Floats) -> Cells:
    impressions, clicks = counts
    return Cells(impressions, clicks, split_exactly(spend_cents, impressions * cost[None, :]))
