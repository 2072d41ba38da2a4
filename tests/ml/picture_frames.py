"""Simulated creatives and ad-days as the database hands them to the search for effects, without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from include.simulator import SimulatedWorld, truth
from include.simulator.pictures import PICTURES, PictureWorld
from include.simulator.vocabulary import PLACEMENTS
from ml.features.creative_cells import Prepared, contrast_weights
from ml.features.creative_definitions import FEATURES_BY_NAME
from ml.features.creative_design import Block
from ml.features.creative_frame import describe_creatives
from ml.features.creative_settings import CreativeEffectSettings

SETTINGS = CreativeEffectSettings(
    early_budget_days=7,
    min_outcomes=20,
    min_creatives=20,
    min_level_creatives=5,
    min_accounts=2,
    inseparable_share=0.9,
    false_discovery_rate=0.1,
    dependence="bh",
    largest_weight=8,
    confidence=0.95,
)
TABLES = {"hook_type": truth.HOOK, "visual_pattern": truth.PATTERN, "format": truth.FORMAT, "cta": truth.CTA}
VIDEOS = ("vertical_video", "square_video")
# (niche, feature, shape, level): log of the relative change that is true.
Truths = dict[tuple[str, str, str, str], float]


def picture_frames(world: PictureWorld) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Creatives and ad-days of a world of pictures."""
    measured = [
        {FEATURES_BY_NAME[name].measured: value for name, value in zip(PICTURES, values, strict=True)}
        for values in world.pictures[list(PICTURES)].to_numpy().tolist()
    ]
    creatives = _described(world.catalogue.creatives, measured).with_columns(
        **{
            "placement:reels": pl.Series(world.reels_share),
            "placement:feed": pl.Series(1 - world.reels_share),
        }
    )
    return creatives, _days(world.ad_days)


def platform_frames(world: SimulatedWorld) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Creatives and ad-days of the simulated platform; a creative's campaign is a tag, which does nothing."""
    campaign = world.ads.drop_duplicates("creative_id").set_index("creative_id")["campaign_id"]
    known = world.creatives.assign(
        visual_tags=[
            [*tags, f"campaign {campaign[creative][-3:]}"]
            for tags, creative in zip(
                world.creatives["visual_tags"], world.creatives["creative_id"], strict=True
            )
        ]
    )
    shown = pd.DataFrame(world.delivery.placements.impressions, columns=[", ".join(p) for p in PLACEMENTS])
    by_creative = shown.groupby(world.daily["creative_id"].to_numpy()).sum()
    shares = by_creative.div(by_creative.sum(axis=1), axis=0).loc[world.creatives["creative_id"]]
    columns = {f"placement:{name}": pl.Series(shares[name].to_numpy()) for name in shares}
    days = world.daily.assign(
        niche=world.ads["niche"].to_numpy()[world.daily["ad_number"]],
        launched_on=world.ads["launched_on"].to_numpy()[world.daily["ad_number"]],
        day=world.daily["date"],
    )
    return _described(known, [None] * len(known)).with_columns(**columns), _days(days)


def true_effects(prepared: Prepared, creatives: pl.DataFrame, world: PictureWorld) -> Truths:
    """What each effect that can be asked of a world of pictures truly is."""
    rows = prepared.creatives.join(
        creatives, on=["account_id", "creative_id"], how="left", maintain_order="left"
    )
    found: Truths = {}
    for block in prepared.design.blocks:
        columns = np.c_[np.ones(len(rows)), prepared.design.X[:, block.columns]][block.known]
        of_niche = {
            niche: _solved(columns, _log_odds(block, rows, niche, world)[block.known])
            for niche in prepared.niche_names
        }
        of_niche["all"] = np.mean(list(of_niche.values()), axis=0)
        for niche, coefficients in of_niche.items():
            here = _in_niche(prepared, niche)
            if len(block.levels) and not block.levels[here].any():
                continue
            weights = contrast_weights(block, list(block.contrasts), here)
            for contrast, value in zip(block.contrasts, weights @ coefficients, strict=True):
                found[niche, block.feature, contrast.shape, contrast.level] = float(value)
    return found


def _solved(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients of the columns after the first, which is constant."""
    return np.linalg.lstsq(columns, values, rcond=None)[0][1:]


def _in_niche(prepared: Prepared, niche: str) -> np.ndarray:
    if niche == "all":
        return np.ones(len(prepared.niche), dtype=bool)
    return prepared.niche == prepared.niche_names.index(niche)


def _log_odds(block: Block, rows: pl.DataFrame, niche: str, world: PictureWorld) -> np.ndarray:
    """What a feature adds to each creative, were it in this niche."""
    feature = block.feature
    if feature in PICTURES:
        values = pd.DataFrame({feature: rows[feature].to_numpy()})
        return world.truth.log_odds(np.full(len(rows), niche), values, feature)
    duration = rows["duration_s"].fill_null(truth.BEST_DURATION_S).to_numpy()
    curve = truth.DURATION_CURVE * np.log(duration / truth.BEST_DURATION_S) ** 2
    if feature == "duration_s":
        return curve
    if feature == "persona":
        persona = rows[feature].to_numpy()
        fits, misfits = persona == truth.FITTING[niche], persona == truth.MISFIT[niche]
        return truth.FIT * (fits.astype(float) - misfits.astype(float))
    if feature not in TABLES:
        return np.zeros(len(rows))
    told = rows[feature].replace_strict(TABLES[feature], return_dtype=pl.Float64).to_numpy()
    if feature == "format":
        # Pictures have no duration to lose by: what videos lose on average is the format's.
        is_video = rows[feature].is_in(VIDEOS).to_numpy()
        told = told + is_video * curve[is_video].mean()
    return told


def _described(creatives: pd.DataFrame, measured: list[Any]) -> pl.DataFrame:
    rows = creatives.to_dict("records")
    for row, seen in zip(rows, measured, strict=True):
        row["measured"] = seen
    return describe_creatives(rows)


def _days(days: pd.DataFrame) -> pl.DataFrame:
    words = ("account_id", "niche", "creative_id", "ad_id")
    numbers = ("impressions", "clicks", "conversions", "spend", "reach")
    columns: dict[str, Any] = {name: days[name].tolist() for name in words}
    columns |= {
        name: pl.Series(days[name].to_numpy().astype("datetime64[ms]")).cast(pl.Date)
        for name in ("day", "launched_on")
    }
    columns |= {name: days[name].to_numpy() for name in numbers}
    return pl.DataFrame(columns)
