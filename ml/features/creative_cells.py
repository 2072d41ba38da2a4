"""Every feature in every niche as a figure of its own: from the fitted model to estimates with errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.features.creative_days import CreativeOutcomes
from ml.features.creative_design import Block, Contrast, Design, build_design
from ml.features.creative_model import NicheFit, fit_niches
from ml.features.creative_settings import CreativeEffectSettings

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# The niche that stands for all of them together.
EVERYWHERE = "all"
PLACEMENT = "placement:"
# An account tells by itself where an effect of the size found would be this many standard errors there.
_TELLING = 1.0
_LEAST_FREEDOM = 5
# Added to counts, as in a logit of counts, so that none is none.
_HALF = 0.5


@dataclass(frozen=True)
class Prepared:
    """Creatives that can be learnt from, and the model of them.

    Attributes:
        creatives: account_id, creative_id, niche; the rows of everything else.
        design: of the features; `first` is the position of their first column in the model.
        account, niche: numbers; `niche_names` names the latter.
        too_few: creatives left out for want of outcomes.
    """

    creatives: pl.DataFrame
    design: Design
    fit: NicheFit
    account: Ints
    niche: Ints
    niche_names: tuple[str, ...]
    first: int
    too_few: int


@dataclass(frozen=True)
class Cell:
    """One effect in one niche, in log outcomes.

    Attributes:
        alone, alone_error: by this niche's own creatives.
        together, together_error: drawn to the other niches.
        expected_z: how clear the other niches have one expect it to be here; NaN where they do not.
        freedom: degrees of freedom of the errors.
    """

    niche: str
    feature: str
    contrast: Contrast
    alone: float
    alone_error: float
    together: float
    together_error: float
    expected_z: float
    freedom: int
    creatives: int
    accounts: int
    accounts_agreeing: int
    accounts_telling: int


def prepare(
    creatives: pl.DataFrame, outcomes: CreativeOutcomes, settings: CreativeEffectSettings
) -> Prepared | None:
    """Join, build the design, fit; None where too few creatives have outcomes or differ."""
    enough = outcomes.expected >= settings.min_outcomes
    rows = outcomes.creatives.with_row_index("row").filter(pl.Series(enough))
    known = creatives.drop("niche", strict=False)
    rows = rows.join(known, on=["account_id", "creative_id"], how="inner").sort("row")
    if len(rows) < settings.min_creatives:
        return None
    account = rows["account_id"].rle_id().to_numpy().astype(np.int64)
    names = rows["niche"].fill_null("unknown")
    niche_names, niche = np.unique(names.to_numpy(), return_inverse=True)
    design = build_design(rows, account, settings)
    if not design.blocks:
        return None
    at = rows["row"].to_numpy()
    nuisances = _nuisances(rows, outcomes.budget[at], outcomes.live[at], account)
    tied = np.concatenate([np.arange(nuisances.shape[1]), *_ties(design.blocks, nuisances.shape[1])])
    fit = fit_niches(
        y=np.log((outcomes.observed[at] + _HALF) / (outcomes.expected[at] + _HALF)),
        counting=outcomes.dispersion / (outcomes.expected[at] + _HALF),
        X=np.hstack([nuisances, design.X]),
        account=account,
        niche=niche.astype(np.int64),
        tied=tied,
    )
    return Prepared(
        creatives=rows.select("account_id", "creative_id", niche=names),
        design=design,
        fit=fit,
        account=account,
        niche=niche.astype(np.int64),
        niche_names=tuple(map(str, niche_names)),
        first=nuisances.shape[1],
        too_few=int((~enough).sum()),
    )


def cells(prepared: Prepared, settings: CreativeEffectSettings) -> Iterator[Cell]:
    """Every feature in every niche that has enough creatives, then in all niches together."""
    fit = prepared.fit
    for block in prepared.design.blocks:
        columns = block.columns + prepared.first
        for number, name in enumerate(prepared.niche_names):
            here = prepared.niche == number
            told = [(each, c) for each in block.contrasts if (c := _counts(each, prepared, here, settings))]
            if not told:
                continue
            niche = fit.niches[number]
            weights = contrast_weights(block, [each for each, _ in told], here)
            (alone, error), (mean, mean_error), (prior, prior_error) = (
                ask(columns, weights) for ask in (niche.alone, niche.together, niche.elsewhere)
            )
            expected = np.abs(prior) / np.sqrt(np.maximum(error**2 + prior_error**2, 1e-12))
            freedom = max(
                len(prepared.account) - int(prepared.account.max()) - 1 - fit.within.shape[1],
                _LEAST_FREEDOM,
            )
            for nth, (contrast, counts) in enumerate(told):
                agreeing = _agreeing(prepared, block, contrast, weights[nth], float(mean[nth]), here)
                yield Cell(
                    name, block.feature, contrast, float(alone[nth]), float(error[nth]),
                    float(mean[nth]), float(mean_error[nth]), float(expected[nth]) if len(fit.niches) > 1
                    else np.nan, freedom, *counts, *agreeing,
                )  # fmt: skip
    if len(fit.niches) > 1:
        yield from _everywhere(prepared, settings)


def _everywhere(prepared: Prepared, settings: CreativeEffectSettings) -> Iterator[Cell]:
    everything = np.ones(len(prepared.account), dtype=bool)
    for block in prepared.design.blocks:
        for contrast in block.contrasts:
            counts = _counts(contrast, prepared, everything, settings)
            niches = len(np.unique(prepared.niche[contrast.having]))
            if counts is None or niches < 2:
                continue
            weights = contrast_weights(block, [contrast], everything)
            (mean,), (error,) = prepared.fit.everywhere(block.columns + prepared.first, weights)
            agreeing = _agreeing(prepared, block, contrast, weights[0], float(mean), everything)
            yield Cell(
                EVERYWHERE, block.feature, contrast, float(mean), float(error), float(mean),
                float(error), np.nan, niches - 1, *counts, *agreeing,
            )  # fmt: skip


def _counts(
    contrast: Contrast, prepared: Prepared, here: npt.NDArray[np.bool_], settings: CreativeEffectSettings
) -> tuple[int, int] | None:
    """Creatives and accounts that tell of an effect; None where they are too few."""
    having, lacking = contrast.having & here, contrast.lacking & here
    is_number = contrast.shape in ("straight", "hump")
    least = settings.min_creatives if is_number else settings.min_level_creatives
    accounts = len(np.unique(prepared.account[having]))
    enough = having.sum() >= least and lacking.sum() >= least and accounts >= settings.min_accounts
    return (int(having.sum()), accounts) if enough else None


def contrast_weights(block: Block, contrasts: list[Contrast], here: npt.NDArray[np.bool_]) -> Floats:
    """Of the block's coefficients; levels are told against the average creative in the niche."""
    weights = np.stack([contrast.weights for contrast in contrasts])
    if not len(block.levels):
        return weights
    every = np.stack([contrast.weights for contrast in block.contrasts])
    shares = block.levels[here].sum(axis=0)
    return np.asarray(weights - (shares / shares.sum()) @ every)


def _agreeing(
    prepared: Prepared,
    block: Block,
    contrast: Contrast,
    weights: Floats,
    size: float,
    here: npt.NDArray[np.bool_],
) -> tuple[int, int]:
    """Accounts that say the same by their own creatives, and those that could tell at all."""
    fit = prepared.fit
    # Along the direction of the question, a unit of `along` is one effect.
    if contrast.shape in ("straight", "hump"):
        along = fit.within[:, prepared.first + block.columns] @ (
            weights / max(float(weights @ weights), 1e-12)
        )
    else:
        having = np.where(contrast.having, 1.0, 0.0)
        total = np.maximum(np.bincount(prepared.account, fit.weight), 1e-12)
        along = having - (np.bincount(prepared.account, fit.weight * having) / total)[prepared.account]
    rows = np.flatnonzero(here)
    account, weight, along = prepared.account[rows], fit.weight[rows], along[rows]
    known = np.bincount(account, weight * along**2)
    slope = np.bincount(account, weight * along * fit.residual[rows]) / np.maximum(known, 1e-12) + size
    telling = np.abs(size) * np.sqrt(known) >= _TELLING
    return int((telling & (slope * size > 0)).sum()), int(telling.sum())


def _nuisances(rows: pl.DataFrame, budget: Floats, live: Floats, account: Ints) -> Floats:
    """Budget and time, straight and bent; where it was shown; whether a video was analysed."""
    columns = []
    for values in (budget, live):
        z = _scaled(values - (np.bincount(account, values) / np.bincount(account))[account])
        columns += [z, _scaled(z**2)]
    placements = sorted(name for name in rows.columns if name.startswith(PLACEMENT))
    shares = rows.select(placements).cast(pl.Float64).fill_null(np.nan).to_numpy()
    if shares.shape[1]:
        known = np.isfinite(shares).all(axis=1)
        columns.append(known.astype(float))
        # They sum to one: the largest is what is left.
        largest = int(np.nan_to_num(shares).sum(axis=0).argmax())
        for nth in range(shares.shape[1]):
            if nth != largest:
                mean = shares[known, nth].mean() if known.any() else 0.0
                columns.append(np.where(known, shares[:, nth] - mean, 0.0))
    if "is_analysed" in rows.columns:
        columns.append(rows["is_analysed"].fill_null(False).to_numpy().astype(float))
    scaled = [_scaled(column) for column in columns]
    return (
        np.stack([column for column in scaled if column.any()], axis=1)
        if scaled
        else np.empty((len(rows), 0))
    )


def _scaled(values: Floats) -> Floats:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-9 else np.zeros(len(values))


def _ties(blocks: tuple[Block, ...], first: int) -> Iterator[Ints]:
    """Levels of a feature differ between niches to one extent; a number's slope and bend each to its own."""
    number = first
    for block in blocks:
        if len(block.levels):
            yield np.full(len(block.columns), number)
            number += 1
        else:
            yield np.arange(number, number + len(block.columns))
            number += len(block.columns)
