"""Do pictures sell? What features of creatives do to clicks and conversions, niche by niche.

`estimate_effects` joins creatives to what their ads did and estimates every effect within accounts, at
equal season, weekday, wear, budget, placement and equal other features. A creative is one observation,
however many ads and days it ran. Each effect comes twice: alone, by which it is tested, and drawn to
what the other niches show, which is how it is told. Over all features and niches of an outcome the false
discovery rate is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ml.features.creative_cells import Cell, Prepared, cells, prepare
from ml.features.creative_days import CreativeDataUnusable, creative_outcomes
from ml.features.creative_design import Shape
from ml.features.creative_discoveries import q_values, weights_of
from ml.features.creative_settings import CreativeEffectSettings

Floats = npt.NDArray[np.float64]

OUTCOMES = ("clicks", "conversions")


@dataclass(frozen=True)
class CreativeEffect:
    """One effect of one feature in one niche, on the outcome per impression.

    Attributes:
        niche: or `all`.
        feature: name; tags are `tag:WORD`.
        shape: straight (more of it), hump (its middle against its ends), level or tag.
        level: which one, empty for numbers.
        outcome: clicks or conversions.
        low, middle, high: values between which a number's effect is told, None else.
        size, size_low, size_high: relative change of the outcome (0.1 is 10 % more), drawn to other
            niches.
        alone: the same by this niche alone.
        p_value, q_value: of no effect; q is after all tests, weighted.
        is_found: whether it counts as found.
        creatives, accounts: that have it, or whose value is known.
        accounts_agreeing, accounts_telling: of those that can tell by themselves, how many say the same.
    """

    niche: str
    feature: str
    shape: Shape
    level: str
    outcome: str
    low: float | None
    middle: float | None
    high: float | None
    size: float
    size_low: float
    size_high: float
    alone: float
    p_value: float
    q_value: float
    is_found: bool
    creatives: int
    accounts: int
    accounts_agreeing: int
    accounts_telling: int


@dataclass(frozen=True)
class CreativeEffects:
    """All effects on one outcome.

    Attributes:
        outcome: clicks or conversions.
        effects: of every niche, and of all together.
        left_out: feature -> why nothing can be told of it.
        creatives, accounts, niches: that could be learnt from.
        too_few: creatives left out for want of outcomes.
        unexplained_sd: of log outcomes between creatives of an account that look the same to us.
    """

    outcome: str
    effects: tuple[CreativeEffect, ...] = ()
    left_out: dict[str, str] | None = None
    creatives: int = 0
    accounts: int = 0
    niches: int = 0
    too_few: int = 0
    unexplained_sd: float | None = None

    @property
    def found(self) -> tuple[CreativeEffect, ...]:
        """Those that count as found."""
        return tuple(effect for effect in self.effects if effect.is_found)


def estimate_effects(
    creatives: pl.DataFrame,
    ad_days: pl.DataFrame,
    settings: CreativeEffectSettings,
    outcome: str = "clicks",
) -> CreativeEffects:
    """Estimate what features of creatives do.

    Args:
        creatives: account_id, creative_id, columns of features (see `CREATIVE_FEATURES`; null where
            unknown), and shares of impressions by placement in columns `placement:NAME`, null where
            unknown.
        ad_days: what `creative_outcomes` takes.
        settings: what is enough.
        outcome: clicks or conversions, per impression.

    Returns:
        No effects where too few creatives have outcomes.

    Raises:
        CreativeDataUnusable: a column is missing, or a figure is.
    """
    prepared = prepared_creatives(creatives, ad_days, settings, outcome)
    return CreativeEffects(outcome) if prepared is None else effects_of(prepared, settings, outcome)


def prepared_creatives(
    creatives: pl.DataFrame, ad_days: pl.DataFrame, settings: CreativeEffectSettings, outcome: str
) -> Prepared | None:
    """The first half of `estimate_effects`: the model, or None where too few creatives have outcomes."""
    if outcome not in OUTCOMES:
        raise CreativeDataUnusable(f"outcome is '{outcome}': it must be one of {', '.join(OUTCOMES)}")
    for name in ("account_id", "creative_id"):
        if name not in creatives.columns:
            raise CreativeDataUnusable(f"creatives have no column '{name}': give one row per creative")
    with _one_thread():
        outcomes = creative_outcomes(ad_days, outcome, settings)
        return None if outcomes is None else prepare(creatives, outcomes, settings)


def effects_of(prepared: Prepared, settings: CreativeEffectSettings, outcome: str) -> CreativeEffects:
    """The second half: every effect that enough creatives tell of, tested and told."""
    with _one_thread():
        told = list(cells(prepared, settings))
    z = np.array([cell.alone / max(cell.alone_error, 1e-12) for cell in told])
    freedom = np.array([cell.freedom for cell in told])
    p = 2 * stats.t.sf(np.abs(z), freedom)
    q = q_values(p, weights_of(np.array([cell.expected_z for cell in told]), settings), settings)
    effects = [
        _effect(cell, outcome, float(p_value), float(q_value), settings)
        for cell, p_value, q_value in zip(told, p, q, strict=True)
    ]
    return CreativeEffects(
        outcome=outcome,
        effects=tuple(effects),
        left_out=prepared.design.left_out,
        creatives=len(prepared.account),
        accounts=int(prepared.account.max()) + 1,
        niches=len(prepared.niche_names),
        too_few=prepared.too_few,
        unexplained_sd=float(np.sqrt(prepared.fit.unexplained)),
    )


def _one_thread() -> threadpool_limits:
    """Matrices are small and many: where cores are few, threads that wait for each other cost tenfold."""
    return threadpool_limits(1, user_api="blas")


def _effect(
    cell: Cell, outcome: str, p_value: float, q_value: float, settings: CreativeEffectSettings
) -> CreativeEffect:
    reach = float(stats.t.ppf(0.5 + settings.confidence / 2, cell.freedom)) * cell.together_error
    low, high = cell.together - reach, cell.together + reach
    # What is drawn to other niches must still say the same as what was tested.
    is_found = bool(q_value <= settings.false_discovery_rate and cell.alone * low > 0 and low * high > 0)
    contrast = cell.contrast
    size, size_low, size_high, alone = (
        float(np.expm1(value)) for value in (cell.together, low, high, cell.alone)
    )
    return CreativeEffect(
        niche=cell.niche,
        feature=cell.feature,
        shape=contrast.shape,
        level=contrast.level,
        outcome=outcome,
        low=_known(contrast.low),
        middle=_known(contrast.middle),
        high=_known(contrast.high),
        size=size,
        size_low=size_low,
        size_high=size_high,
        alone=alone,
        p_value=p_value,
        q_value=q_value,
        is_found=is_found,
        creatives=cell.creatives,
        accounts=cell.accounts,
        accounts_agreeing=cell.accounts_agreeing,
        accounts_telling=cell.accounts_telling,
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
