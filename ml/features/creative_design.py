"""Creatives as a design matrix: columns that can be told apart, grouped by the feature they belong to.

Numbers are taken to their ends' percentiles, centred and scaled, and get a second column, the square,
made orthogonal to the first, so that a u-shape costs one degree of freedom. Levels are coded so that
their effects, weighted by how frequent they are, sum to zero. What is unknown stands at the mean and
says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.features.creative_definitions import CREATIVE_FEATURES, LEVELS, NUMBERS, TAGS, CreativeFeature
from ml.features.creative_settings import CreativeEffectSettings

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Shape = Literal["straight", "hump", "level", "tag"]

# Beyond these quantiles a value counts as the quantile: one odd video must not make a slope.
ENDS = (0.01, 0.99)
# A straight effect is told between these, a hump at 0.5 against them.
LOW, HIGH = 0.1, 0.9
# Fewer different values than this have no middle.
_VALUES_FOR_A_HUMP = 6


@dataclass(frozen=True)
class Contrast:
    """One question about a feature: an effect as a weighted sum of the block's coefficients.

    Attributes:
        shape: of the effect.
        level: which level or tag, empty for numbers.
        weights: shape (columns of the block,).
        low, middle, high: values of a number between which it is told, in its own unit.
        having: shape (creatives,), those that have the level or tag; of numbers, those whose value is
            known.
        lacking: those compared with; of numbers the same as `having`.
    """

    shape: Shape
    level: str
    weights: Floats
    low: float
    middle: float
    high: float
    having: Flags
    lacking: Flags


@dataclass(frozen=True)
class Block:
    """The columns of one feature.

    Attributes:
        feature: name.
        columns: positions in the design.
        contrasts: what is asked of it.
        known: shape (creatives,).
        levels: shape (creatives, levels) of a level's indicators, empty else.
    """

    feature: str
    columns: npt.NDArray[np.int64]
    contrasts: tuple[Contrast, ...]
    known: Flags
    levels: Floats


@dataclass(frozen=True)
class Design:
    """All columns, standardised.

    Attributes:
        X: shape (creatives, columns).
        blocks: features in order.
        left_out: feature -> why nothing can be told of it.
    """

    X: Floats
    blocks: tuple[Block, ...]
    left_out: dict[str, str]


def build_design(
    creatives: pl.DataFrame, groups: npt.NDArray[np.int64], settings: CreativeEffectSettings
) -> Design:
    """The design of creatives.

    Args:
        creatives: a column per known feature: numbers as floats, levels as text, `tag` as lists of text.
        groups: account of each creative; only differences within one tell anything.
    """
    columns: list[Floats] = []
    blocks: list[Block] = []
    left_out: dict[str, str] = {}
    kept = np.empty((len(creatives), 0))
    for name, drafted in _drafts(creatives, settings):
        if isinstance(drafted, str):
            left_out[name] = drafted
            continue
        draft, contrasts, known, levels = drafted
        inner = _within(draft, groups)
        told = _told_apart(inner, kept, settings.inseparable_share)
        if not told.any() or (len(levels) and not told.all()):
            left_out[name] = "it cannot be told apart from other features: they go together"
            continue
        first = sum(column.shape[1] for column in columns)
        draft, inner = draft[:, told], inner[:, told]
        blocks.append(
            Block(
                name,
                np.arange(first, first + draft.shape[1]),
                tuple(
                    Contrast(**{**vars(each), "weights": each.weights[told]})
                    for each in contrasts
                    if np.abs(each.weights[told]).sum() > 0
                ),
                known,
                levels,
            )
        )
        columns.append(draft)
        kept = np.hstack([kept, inner])
    X = np.hstack(columns) if columns else np.empty((len(creatives), 0))
    return Design(X, tuple(blocks), left_out)


_Draft = tuple[Floats, list[Contrast], Flags, Floats]


def _drafts(creatives: pl.DataFrame, settings: CreativeEffectSettings) -> Iterator[tuple[str, _Draft | str]]:
    for feature in CREATIVE_FEATURES:
        if feature.name not in creatives.columns:
            yield feature.name, "nothing is known of it"
        elif feature.name in NUMBERS:
            yield feature.name, _number(feature, creatives[feature.name], settings)
        elif feature.name in LEVELS:
            yield feature.name, _level(creatives[feature.name], settings)
    if TAGS in creatives.columns:
        tags = creatives.select(pl.col(TAGS)).with_row_index("row").explode(TAGS).drop_nulls(TAGS)
        counts = tags.group_by(TAGS).agg(pl.col("row").n_unique()).sort(TAGS)
        least, most = settings.min_level_creatives, len(creatives) - settings.min_level_creatives
        known = creatives[TAGS].is_not_null().to_numpy()
        for tag, count in counts.iter_rows():
            if least <= count <= most:
                has = np.zeros(len(creatives), dtype=bool)
                has[tags.filter(pl.col(TAGS) == tag)["row"].to_numpy()] = True
                yield f"{TAGS}:{tag}", _tag(tag, has, known)


def _number(feature: CreativeFeature, column: pl.Series, settings: CreativeEffectSettings) -> _Draft | str:
    raw = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.isfinite(raw) & ((raw > -1) if feature.log else True)
    if not known.any():
        return "nothing is known of it"
    if known.sum() < settings.min_creatives:
        return f"it is known of {int(known.sum())} creatives only"
    value = np.log1p(raw[known]) if feature.log else raw[known]
    value = np.clip(value, *np.quantile(value, ENDS))
    spread = value.std()
    different = len(np.unique(value))
    if spread < 1e-9:
        return "it is the same everywhere"
    z = (value - value.mean()) / spread
    ends = np.quantile(z, [LOW, 0.5, HIGH])
    if ends[2] - ends[0] < 1e-6:
        ends = np.array([z.min(), np.median(z), z.max()])
    columns = [z]
    told = ends * spread + value.mean()
    low, middle, high = np.expm1(told) if feature.log else told
    contrasts = [
        Contrast("straight", "", np.array([ends[2] - ends[0], 0.0]), low, middle, high, known, known)
    ]
    if different >= _VALUES_FOR_A_HUMP:
        # z has mean 0 and variance 1, so these two make the square orthogonal to it and to a constant.
        bent = float((z**3).mean())
        hump = z**2 - 1 - bent * z
        scale = hump.std()
        columns.append(hump / scale)
        at = (ends**2 - 1 - bent * ends) / scale
        weights = np.array([0.0, at[1] - (at[0] + at[2]) / 2])
        contrasts.append(Contrast("hump", "", weights, low, middle, high, known, known))
    full = np.zeros((len(raw), len(columns)))
    full[known] = np.stack(columns, axis=1)
    trimmed = [Contrast(**{**vars(each), "weights": each.weights[: len(columns)]}) for each in contrasts]
    return full, trimmed, known, np.empty((0, 0))


def _level(column: pl.Series, settings: CreativeEffectSettings) -> _Draft | str:
    words = column.cast(pl.String).to_numpy()
    known = column.is_not_null().to_numpy()
    names, counts = np.unique(words[known].astype(str), return_counts=True)
    frequent = [
        str(name) for name, count in zip(names, counts, strict=True) if count >= settings.min_level_creatives
    ]
    if len(frequent) < 2:
        return "fewer than two of its levels have enough creatives"
    # What is rare is no level of its own: it stands at the mean.
    known = known & np.isin(words, frequent)
    levels = np.stack([words == name for name in frequent], axis=1) & known[:, None]
    shares = levels.sum(axis=0) / known.sum()
    last = int(np.argmax(shares))
    others = np.delete(np.arange(len(frequent)), last)
    code = np.zeros((len(frequent), len(others)))
    code[others, np.arange(len(others))] = 1.0
    code[last] = -shares[others] / shares[last]
    contrasts = [
        Contrast("level", name, code[nth], np.nan, np.nan, np.nan, levels[:, nth], known & ~levels[:, nth])
        for nth, name in enumerate(frequent)
    ]
    return levels.astype(float) @ code, contrasts, known, levels.astype(float)


def _tag(tag: str, has: Flags, known: Flags) -> _Draft:
    column = np.where(known, has - has[known].mean(), 0.0)[:, None]
    scale = column.std()
    contrast = Contrast("tag", tag, np.array([1 / scale]), np.nan, np.nan, np.nan, has, known & ~has)
    return column / scale, [contrast], known, np.empty((0, 0))


def _within(columns: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    """Columns less their mean in each group."""
    counts = np.maximum(np.bincount(groups), 1)
    means = np.stack([np.bincount(groups, column) / counts for column in columns.T], axis=1)
    return np.asarray(columns - means[groups])


def _told_apart(new: Floats, kept: Floats, most: float) -> Flags:
    """Which new columns vary by themselves, given those that are kept and the new ones before them."""
    told = np.zeros(new.shape[1], dtype=bool)
    basis = kept
    for nth, column in enumerate(new.T):
        total = float(column @ column)
        if total <= 1e-9 * len(column):
            continue
        left = column - basis @ np.linalg.lstsq(basis, column, rcond=None)[0] if basis.shape[1] else column
        if float(left @ left) / total >= 1 - most:
            told[nth] = True
            basis = np.hstack([basis, column[:, None]])
    return told
