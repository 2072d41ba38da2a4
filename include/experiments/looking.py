"""Judges an experiment by what its predictions were followed by."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from include.config.predictions import ExperimentThresholds
from include.db import experiments
from include.db.experiments import AbTest, Look
from include.experiments.starting import experiment_settings
from ml.ctr.evaluation import log_loss_sums
from ml.experiments import (
    ExperimentData,
    Guardrail,
    UnitLosses,
    Verdict,
    judge,
    paired_difference,
)

_ARMS = ("champion", "challenger")


def look_at(engine: Engine, test: AbTest, until: date) -> Verdict:
    """The verdict on the days up to `until`, which is kept; looking again replaces it.

    Args:
        engine: the `nightshift` database.
        test: which.
        until: the last day whose outcomes are known.
    """
    limits = ExperimentThresholds(**test.settings)
    rows = _with_losses(experiments.outcomes(engine, test, until), limits.metric)
    before = test.first_day - timedelta(days=1)
    pre = experiments.past_losses(
        engine,
        sorted({str(ad).split("/", 1)[0] for ad in rows["ad"]}),
        before - timedelta(days=limits.history_days),
        before,
    )
    assigned = experiments.assigned_units(engine, test)
    arms = {arm: _units(rows[rows["arm"] == arm], assigned.get(arm, 0), pre) for arm in _ARMS}
    verdict = judge(
        ExperimentData.of(arms["champion"], arms["challenger"]),
        experiment_settings(limits),
        day_number=(until - test.first_day).days + 1,
        guardrails=_guardrails(rows, limits),
    )
    verdict = _with_both_models(verdict, rows, limits, (until - test.first_day).days + 1)
    experiments.keep_look(
        engine, test.id, Look(until, str(verdict.decision), verdict.paragraph, verdict.numbers)
    )
    return verdict


def _with_losses(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Loss of what was answered and of what the other version would have said, over all impressions."""
    clicks, shown = rows["clicks"].to_numpy(float), rows["impressions"].to_numpy(float)

    def loss(rates: np.ndarray) -> np.ndarray:
        if metric == "absolute_error":
            return np.asarray(np.abs(rates * shown - clicks))
        return log_loss_sums(rates, clicks, shown)

    return rows.assign(
        loss=loss(rows["rate"].to_numpy(float)),
        other_loss=np.where(
            rows["other_rate"].notna(), loss(rows["other_rate"].fillna(0.5).to_numpy(float)), np.nan
        ),
    )


def _units(rows: pd.DataFrame, assigned: int, pre: dict[str, float]) -> UnitLosses:
    """Units of an arm; those of whom nothing is known yet count as assigned, with no weight."""
    seen = UnitLosses.of_rows(rows["unit_key"].tolist(), rows["loss"], rows["impressions"], pre)
    silent = max(0, assigned - len(seen.loss))
    nothing = np.zeros(silent)
    return UnitLosses(
        np.concatenate([seen.loss, nothing]),
        np.concatenate([seen.weight, nothing]),
        np.concatenate([seen.pre, np.full(silent, np.nan)]),
    )


def _guardrails(rows: pd.DataFrame, limits: ExperimentThresholds) -> list[Guardrail]:
    """Calibration and speed, where both arms were seen: without data the verdict waits anyway."""
    arms = {arm: rows[rows["arm"] == arm] for arm in _ARMS}
    if any(part["clicks"].sum() == 0 for part in arms.values()):
        return []
    off = {
        arm: abs(float((part["rate"] * part["impressions"]).sum() / part["clicks"].sum()) - 1)
        for arm, part in arms.items()
    }
    slow = {arm: float(np.percentile(part["latency_us"], 99)) / 1000 for arm, part in arms.items()}
    return [
        Guardrail(
            "distance of predicted from real clicks",
            round(off["champion"], 4),
            round(off["challenger"], 4),
            tolerance=limits.ratio_tolerance,
        ),
        Guardrail(
            "latency p99 in ms",
            round(slow["champion"], 2),
            round(slow["challenger"], 2),
            tolerance=limits.latency_tolerance_ms,
        ),
    ]


def _with_both_models(
    verdict: Verdict, rows: pd.DataFrame, limits: ExperimentThresholds, day: int
) -> Verdict:
    """What both versions said to the same requests, told beside the verdict and not part of it.

    It is far more telling than the two arms, because the requests' own luck cancels out; but it says only who
    predicts better, not what using it does.
    """
    both = rows[rows["other_loss"].notna()]
    if both.empty:
        return verdict
    by_champion = (both["arm"] == "champion").to_numpy()
    own, other = both["loss"].to_numpy(), both["other_loss"].to_numpy()
    shown = both["impressions"].to_numpy()
    result = paired_difference(
        np.where(by_champion, own, other) / shown,
        np.where(by_champion, other, own) / shown,
        shown,
        both["ad"].str.split("/", n=1).str[0].to_numpy(),
        alpha=limits.alpha,
        tightest=max(1.0, limits.max_days / max(day, 1)),
    )
    told = {
        "paired_relative": result.relative,
        "paired_low": result.low,
        "paired_high": result.high,
        "paired_always_low": result.always_low,
        "paired_always_high": result.always_high,
        "paired_groups": float(result.groups),
    }
    numbers = verdict.numbers | {name: value for name, value in told.items() if math.isfinite(value)}
    if not math.isfinite(result.relative) or not math.isfinite(result.always_high):
        return replace(verdict, numbers=numbers)
    sure = (
        "which chance does not explain"
        if result.always_low > 0 or result.always_high < 0
        else "which may be chance"
    )
    direction = "smaller" if result.relative < 0 else "larger"
    sentence = (
        f" Asked the same {len(both):,} questions, the challenger's error is {abs(result.relative):.2%} "
        f"{direction} than the champion's, {sure}."
    )
    return replace(verdict, paragraph=verdict.paragraph + sentence, numbers=numbers)
