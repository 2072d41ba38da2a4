"""What `creative_effects` does: read a window, estimate what features of creatives do, keep and tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.config.creative_effects import CreativeEffectThresholds
    from ml.features.creative_settings import CreativeEffectSettings

# Not of the estimation: how far back it looks, and what is kept of it.
_NOT_OF_THE_ESTIMATE = {"window_days", "keep_reports"}


def creative_effect_settings(values: CreativeEffectThresholds) -> CreativeEffectSettings:
    """The settings of the estimation from the thresholds file."""
    from ml.features.creative_settings import CreativeEffectSettings

    return CreativeEffectSettings(**values.model_dump(exclude=_NOT_OF_THE_ESTIMATE))


def estimate(outcome: str, *, engine: Engine, scope: str, day: date) -> dict[str, Any]:
    """Estimate the effects on one outcome from the window that ends on `day`, and keep the report.

    Conversions of the last days are not all known yet, so their window ends earlier.

    Args:
        scope: `all` for every account an API feeds, or one account's id. Only `all` is kept for the
            page.

    Returns:
        outcome, summary, tested, found, analysed.
    """
    from include.config import thresholds
    from include.db import creative_effects as db
    from ml.features.creative_effects import estimate_effects
    from ml.features.creative_findings import summary
    from ml.features.creative_frame import describe_creatives

    values = thresholds()
    limits = values.creative_effects
    until = day - timedelta(days=values.ads.restatement_days if outcome == "conversions" else 0)
    since = until - timedelta(days=limits.window_days - 1)
    creatives = describe_creatives(db.read_creatives(engine, scope, since, until))
    creatives = _with_placements(creatives, db.read_placement_shares(engine, scope, since, until))
    effects = estimate_effects(
        creatives,
        db.read_ad_days(engine, scope, since, until),
        creative_effect_settings(limits),
        outcome,
    )
    numbers = {
        "creatives": effects.creatives,
        "accounts": effects.accounts,
        "niches": effects.niches,
        "too_few": effects.too_few,
        "analysed": int(creatives["is_analysed"].sum()),
        "unexplained_sd": effects.unexplained_sd,
        "tested": len(effects.effects),
        "found": len(effects.found),
        "left_out": effects.left_out,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "scope": scope,
    }
    told = summary(effects)
    if scope == "all":
        db.store_report(engine, db.CreativeEffectReport(day, outcome, told, numbers), effects.effects)
        db.forget_reports(engine, limits.keep_reports)
    return {"outcome": outcome, "summary": told} | {
        name: numbers[name] for name in ("tested", "found", "analysed")
    }


def effects_report(estimated: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One dict for the whole run."""
    return {
        "tested": sum(each["tested"] for each in estimated),
        "found": sum(each["found"] for each in estimated),
        "analysed": max((each["analysed"] for each in estimated), default=0),
        "summary": " ".join(each["summary"] for each in estimated),
    }


def _with_placements(creatives: Any, shares: Any) -> Any:
    """The shares of impressions by placement as columns `placement:NAME`."""
    import polars as pl

    if not len(shares):
        return creatives
    # A column for each, whichever creative it is missing at; those without any row stay unknown.
    wide = shares.with_columns(pl.format("placement:{}", "placement").alias("placement")).pivot(
        "placement", index=["account_id", "creative_id"], values="share", sort_columns=True
    )
    return creatives.join(
        wide.fill_null(0.0), on=["account_id", "creative_id"], how="left", maintain_order="left"
    )
