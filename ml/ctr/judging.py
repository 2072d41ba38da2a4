"""A model against everything it has to be compared with, on the same rows, and the gates it must pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml.ctr.evaluation import (
    Interval,
    calibration,
    log_loss_sums,
    mae_pp,
    normalized_entropy,
    predicted_actual_ratio,
    skill,
)
from ml.ctr.settings import GateSettings
from ml.features import FeatureFrame


@dataclass(frozen=True)
class Judgement:
    """What the test part says.

    Attributes:
        metrics: figures by name; those that are not defined are left out.
        beats_constant: better than one rate for everybody, with confidence.
        failed_gates: one sentence for each gate the model does not pass.
    """

    metrics: dict[str, float]
    beats_constant: bool
    failed_gates: tuple[str, ...]


def judge(
    predicted: np.ndarray,
    rivals: Mapping[str, np.ndarray],
    members: Mapping[str, np.ndarray],
    rows: FeatureFrame,
    gates: GateSettings,
    *,
    is_constant: bool,
    seed: int,
) -> Judgement:
    """Compare and gate.

    Args:
        predicted: (n,) rates of the model.
        rivals: `constant` and `smoothed_average` -> (n,) rates.
        members: name -> (n,) rates of each member alone.
        rows: the n rows of the test part.
        is_constant: whether the model is the constant: then it need not beat itself.
        seed: of the bootstrap.
    """
    outcome = (rows.clicks, rows.impressions)

    def compared(rival: np.ndarray) -> Interval:
        return skill(predicted, rival, *outcome, rows.groups, seed)

    entropies = {name: normalized_entropy(rates, *outcome) for name, rates in members.items()}
    own = normalized_entropy(predicted, *outcome)
    against_constant = compared(rivals["constant"])
    metrics = {
        "mae_pp": mae_pp(predicted, *outcome),
        "mae_pp_constant": mae_pp(rivals["constant"], *outcome),
        "normalized_entropy": own,
        "calibration_error_pp": calibration(predicted, *outcome).error_pp,
        "predicted_actual_ratio": predicted_actual_ratio(predicted, *outcome),
        "skill_vs_constant": against_constant.value,
        "skill_vs_constant_low": against_constant.low,
        "skill_vs_constant_high": against_constant.high,
        **{
            f"normalized_entropy_{name}": normalized_entropy(rates, *outcome)
            for name, rates in rivals.items()
        },
        **{f"normalized_entropy_{name}": value for name, value in entropies.items()},
    }
    average = compared(rivals["smoothed_average"])
    metrics |= {
        "skill_vs_smoothed_average": average.value,
        "skill_vs_smoothed_average_low": average.low,
        "skill_vs_smoothed_average_high": average.high,
    }
    if members:
        best = min(members, key=lambda name: log_loss_sums(members[name], *outcome).sum())
        against_best = compared(members[best])
        # Skill is a share of the rival's loss, and normalised entropy is that loss in another unit.
        scale = entropies[best]
        metrics |= {
            "delta_ne_vs_best_member": -against_best.value * scale,
            "delta_ne_vs_best_member_low": -against_best.high * scale,
            "delta_ne_vs_best_member_high": -against_best.low * scale,
        }
    metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
    failed = tuple(_failed(metrics, gates, is_constant))
    return Judgement(metrics, against_constant.low > 0 and not is_constant, failed)


def against_champion(
    predicted: np.ndarray, champion: np.ndarray, rows: FeatureFrame, seed: int
) -> dict[str, float]:
    """Skill over the champion on rows neither of them learnt from, with its interval."""
    found = skill(predicted, champion, rows.clicks, rows.impressions, rows.groups, seed)
    told = {
        "skill_vs_champion": found.value,
        "skill_vs_champion_low": found.low,
        "skill_vs_champion_high": found.high,
        "rows_vs_champion": float(len(rows)),
    }
    return {name: value for name, value in told.items() if math.isfinite(value)}


def _failed(metrics: Mapping[str, float], gates: GateSettings, is_constant: bool) -> list[str]:
    failed = []
    error, ratio = metrics["calibration_error_pp"], metrics.get("predicted_actual_ratio")
    if error > gates.calibration_error_pp:
        failed.append(
            f"calibration error {error:.3f} points is above {gates.calibration_error_pp} "
            "(ctr.gates.calibration_error_pp)"
        )
    if ratio is None or not gates.ratio_low <= ratio <= gates.ratio_high:
        told = "not defined, for want of clicks" if ratio is None else f"{ratio:.3f}"
        failed.append(
            f"predicted over actual clicks is {told}, not between {gates.ratio_low} and {gates.ratio_high}"
        )
    if is_constant:
        return failed
    entropy = metrics.get("normalized_entropy", math.nan)
    if not entropy < 1:
        failed.append(f"normalised entropy {entropy:.4f} is not below 1: it knows less than the average rate")
    if not metrics.get("skill_vs_constant_low", 0.0) > 0:
        failed.append("it is not better than one rate for everybody with confidence")
    if metrics.get("champion_is_older") and metrics.get("skill_vs_champion_high", 0.0) < 0:
        failed.append(
            f"on {metrics['rows_vs_champion']:,.0f} rows that neither had learnt from it is worse than the "
            "champion with confidence"
        )
    return failed


def gates_failed(metrics: Mapping[str, float], gates: GateSettings, *, is_constant: bool) -> tuple[str, ...]:
    """One sentence for each gate that figures by name do not pass."""
    return tuple(_failed(metrics, gates, is_constant))
