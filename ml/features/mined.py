"""Mines Meta's raw data: breakdowns, rankings, video and attribution of each ad and day into named features.

The day's own description, made of that day and days before, never of later ones. It is stored as it is; a
model is only ever given the description of an earlier day (`ml.features.mined_inputs`). Everything is
computed for all rows at once. Features look no further than their own account, so any share of whole accounts
gives the same values as all of them together, and memory stays bounded by the share.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from ml.errors import PermanentModelError
from ml.features.mined_cells import FIGURES, Cube, cubes_of
from ml.features.mined_definitions import MINED_FEATURES
from ml.features.mined_facts import Facts
from ml.features.mined_formulas import RANKS, MinedFeature
from ml.features.mined_windows import FIRST_DAYS_WITHIN, MONTH, WEEK, Windows

# What has to be read before the first day that is wanted: figures of ad-days, and cells.
AD_DAYS_BEFORE = FIRST_DAYS_WITHIN
CELL_DAYS_BEFORE = MONTH + WEEK - 2

KEYS = ("account_id", "ad_id", "metric_date")
RANKINGS = ("quality_ranking", "engagement_rate_ranking", "conversion_rate_ranking")
NUMBERS = (
    "impressions",
    "clicks",
    "spend",
    "reach",
    "frequency",
    "unique_clicks",
    "inline_link_clicks",
    "purchases",
    "purchase_value",
    "purchases_7d_click",
    "purchases_1d_view",
    "plays",
    "p25",
    "p50",
    "p75",
    "p100",
    "thruplay",
    "video_seconds",
    "duration_s",
)
_NEEDED = ("impressions", "clicks", "spend")
_CELL_COLUMNS = ("row", "breakdown", "cell", *FIGURES)


class RawDataUnusable(PermanentModelError, ValueError):
    """Ad-days or cells that cannot be mined; the message names the column and the row."""


def mine(
    ad_days: pl.DataFrame,
    cells: pl.DataFrame,
    since: date | None = None,
    features: Sequence[MinedFeature] = MINED_FEATURES,
) -> pl.DataFrame:
    """Features of every ad and day.

    Args:
        ad_days: one row per ad and day with account_id, ad_id, metric_date (Date), impressions, clicks and
            spend, and where known the other `NUMBERS` and `RANKINGS` (Meta's words). Whole accounts: what an
            account's other ads do decides how much a small cell says.
        cells: row (position in `ad_days`), breakdown (position in `BREAKDOWNS`), cell, impressions, clicks,
            spend, purchases (null where unknown).
        since: rows before this day only feed the windows of later ones. None keeps all.
        features: to compute.

    Returns:
        account_id, ad_id, metric_date and one Float32 column per feature, null where it is unknown; sorted by
        these keys.

    Raises:
        RawDataUnusable: a needed column is absent, a count is negative, a day is there twice, or a cell
            belongs to no row.
    """
    _check(ad_days, cells)
    if not len(ad_days):
        return pl.DataFrame(schema={**{key: ad_days.schema[key] for key in KEYS}, **_TYPES})
    order = ad_days.with_row_index("_row").sort(*KEYS)
    if order.select(KEYS).is_duplicated().any():
        twice = order.filter(order.select(KEYS).is_duplicated()).row(0, named=True)
        raise RawDataUnusable(
            f"ad {twice['ad_id']} of {twice['account_id']} has two rows on {twice['metric_date']}: "
            "give unbroken totals (breakdown '') only"
        )
    place = np.empty(len(order), dtype=np.int64)
    place[order["_row"].to_numpy()] = np.arange(len(order))
    moved = cells.with_columns(pl.Series("row", place[cells["row"].to_numpy()]))
    facts = _facts(order, moved)
    wanted = np.ones(len(order), dtype=bool) if since is None else (order["metric_date"] >= since).to_numpy()
    columns = {feature.name: _stored(feature.compute(facts)[wanted]) for feature in features}
    return order.select(KEYS).filter(pl.Series(wanted)).with_columns(**columns)


def peeking_mined(
    ad_days: pl.DataFrame, cells: pl.DataFrame, seed: int, features: Sequence[MinedFeature] = MINED_FEATURES
) -> list[str]:
    """Names of the features whose description of a day changes when only later days do.

    Args:
        ad_days, cells: as `mine` takes them.
        seed: of the replacement of the later days' figures.
        features: that are suspected.
    """
    days = np.sort(ad_days["metric_date"].unique().to_numpy())
    if len(days) < 2:
        return []
    cut = days[len(days) * 2 // 3]
    later = ad_days["metric_date"].to_numpy() >= cut
    random = np.random.default_rng(seed)
    changed = _doubled(ad_days, later, random, [name for name in NUMBERS if name in ad_days.columns])
    of_later = later[cells["row"].to_numpy()]
    told, other = (
        mine(*frames, features=features).filter(pl.col("metric_date") < pl.lit(cut))
        for frames in ((ad_days, cells), (changed, _doubled(cells, of_later, random, list(FIGURES))))
    )
    return [
        feature.name
        for feature in features
        if not np.allclose(
            told[feature.name].to_numpy(), other[feature.name].to_numpy(), rtol=1e-4, equal_nan=True
        )
    ]


def _doubled(
    frame: pl.DataFrame, where: np.ndarray, random: np.random.Generator, names: list[str]
) -> pl.DataFrame:
    times = np.where(where, random.integers(2, 9, size=len(frame)), 1)
    return frame.with_columns((pl.col(name) * pl.Series(times)).alias(name) for name in names)


def _check(ad_days: pl.DataFrame, cells: pl.DataFrame) -> None:
    columns = ((ad_days, (*KEYS, *_NEEDED), "ad-days"), (cells, _CELL_COLUMNS, "cells"))
    for frame, names, what in columns:
        for name in names:
            if name not in frame.columns:
                raise RawDataUnusable(f"{what} have no column '{name}': they need {', '.join(names)}")
    for frame, what in ((ad_days, "an ad-day"), (cells, "a cell")):
        for name in _NEEDED:
            if frame[name].null_count() or (frame[name] < 0).any():
                raise RawDataUnusable(f"{name} of {what} is missing or negative: give numbers of 0 or more")
    outside = cells.filter((pl.col("row") < 0) | (pl.col("row") >= len(ad_days)))
    if len(outside):
        raise RawDataUnusable(
            f"{len(outside)} cells belong to no ad-day, the first to number {outside['row'][0]} "
            f"of {len(ad_days)}"
        )


def _facts(ad_days: pl.DataFrame, cells: pl.DataFrame) -> Facts:
    keys = ad_days.select(
        account=pl.col("account_id").rle_id(),
        ad=pl.struct("account_id", "ad_id").rle_id(),
        day=pl.col("metric_date").cast(pl.Int32).cast(pl.Int64),
    )
    windows = Windows(*(keys[name].to_numpy().astype(np.int64) for name in ("account", "ad", "day")))
    unknown = np.full(len(ad_days), np.nan)
    day = {
        name: ad_days[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        if name in ad_days.columns
        else unknown
        for name in NUMBERS
    }
    ranks = {word: float(rank) for rank, word in enumerate(RANKS, start=1)}
    for name in RANKINGS:
        if name in ad_days.columns:
            told = ad_days[name].cast(pl.String).replace_strict(ranks, default=None, return_dtype=pl.Float64)
            day[name] = told.fill_null(np.nan).to_numpy()
        else:
            day[name] = unknown
    cubes = [
        Cube(cube.slots, *(windows.trailing(getattr(cube, figure)) for figure in FIGURES))
        for cube in cubes_of(cells, len(ad_days))
    ]
    return Facts(windows, day, cubes)


def _stored(values: np.ndarray) -> pl.Series:
    """As they are kept: single precision, unknown as null."""
    return pl.Series(np.where(np.isfinite(values), values, np.nan).astype("float32")).fill_nan(None)


_TYPES = {feature.name: pl.Float32 for feature in MINED_FEATURES}
