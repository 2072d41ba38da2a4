"""A verdict in words and as plain values: for the table, the page, the message and the log."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ml.drift.assessment import ColumnDrift
from ml.drift.performance import Estimate, Performance
from ml.drift.settings import Severity
from ml.drift.told import performance_sentences, read_numbers
from ml.drift.verdict import DriftVerdict, NicheVerdict

# Changed with the shape of `as_json`.
FORM = 2
_NAMED = 3


def as_json(verdict: DriftVerdict) -> dict[str, Any]:
    """Every number of a verdict, as JSON values; what is not a number is null."""
    assessment = verdict.assessment
    return {
        "form": FORM,
        "severity": verdict.severity.value,
        "observed_severity": verdict.observed.value,
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "kinds": {kind: severity.value for kind, severity in assessment.kinds.items()},
        "reference": verdict.reference,
        "current": verdict.current,
        "reference_rows": verdict.reference_rows,
        "current_rows": verdict.current_rows,
        "new_labelled_rows": verdict.unseen_rows,
        "share_drifted": _number(assessment.share_drifted),
        "importance_drifted": _number(assessment.importance_drifted),
        "columns": [_column(verdict, column) for column in assessment.columns],
        "performance": {
            **_performance(assessment.performance),
            "newest": _performance(assessment.newest) if assessment.newest else None,
        },
        "quality": {
            "rows_per_day": [_number(each) for each in verdict.rows_per_day]
            if verdict.rows_per_day
            else None,
            "issues": [issue.sentence for issue in verdict.issues],
        },
        "niches": [_niche(niche) for niche in verdict.niches],
        "notes": list(verdict.notes),
        "summary": summary(verdict),
    }


def observed_by_niche(numbers: dict[str, Any]) -> dict[str, Severity]:
    """What a kept report observed: all rows under "", and each niche."""
    if numbers.get("form") != FORM:
        return {}
    found = {"": Severity(numbers["observed_severity"])}
    return found | {niche["niche"]: Severity(niche["observed"]) for niche in numbers["niches"]}


def summary(verdict: DriftVerdict) -> str:
    """One paragraph: how bad, what it costs, what moved, what is wrong with the data."""
    assessment = verdict.assessment
    if assessment.reason:
        broken = _sentences(verdict)
        return " ".join([f"Cannot tell whether the data drifted: {assessment.reason}.", *broken])
    parts = [_headline(verdict)]
    performance = read_numbers({"performance": _performance(assessment.performance)}).performance
    if told := performance_sentences(performance):
        parts.append(told)
    parts.append(_moved(verdict))
    worst = [niche for niche in verdict.niches if niche.severity >= Severity.MEDIUM][:_NAMED]
    if worst:
        named = ", ".join(f"{niche.niche} ({niche.severity.value})" for niche in worst)
        parts.append(f"Niches to look at: {named}.")
    return " ".join([*parts, *_sentences(verdict)])


def _headline(verdict: DriftVerdict) -> str:
    where = f"{verdict.current} against {verdict.reference}"
    if verdict.severity is Severity.NONE:
        told = f"No drift that matters: {where}."
    else:
        told = f"{verdict.severity.value.capitalize()} drift: {where}."
    if verdict.observed > verdict.severity:
        told += f" This day alone looks {verdict.observed.value}; it counts if tomorrow agrees."
    return told


def _moved(verdict: DriftVerdict) -> str:
    measured = [c for c in verdict.assessment.columns if c.movement is not None]
    drifted = sum(column.drifted for column in measured)
    named = ", ".join(
        f"{c.column.name} ({f'{c.note}, ' if c.note else ''}PSI {c.movement.psi:.2f})"
        for c in measured[:_NAMED]
        if c.movement is not None
    )
    return f"{drifted} of {len(measured)} columns moved; most important: {named}."


def _sentences(verdict: DriftVerdict) -> list[str]:
    more = len(verdict.issues) - _NAMED
    told = [issue.sentence for issue in verdict.issues[:_NAMED]]
    return [*told, f"{more} more findings on the quality of the data."] if more > 0 else told


def _column(verdict: DriftVerdict, drift: ColumnDrift) -> dict[str, Any]:
    name, movement = drift.column.name, drift.movement
    score = verdict.scores.get(name)
    before, now = verdict.missing.get(name, (None, None))
    return {
        "column": name,
        "role": drift.column.role,
        "kind": drift.kind,
        "importance": _number(drift.column.importance),
        "method": score.method if score else None,
        "score": _number(score.value) if score else None,
        "psi": _number(movement.psi) if movement else None,
        "expected_psi": _number(movement.expected_psi) if movement else None,
        "p_value": _number(movement.p_value) if movement else None,
        "drifted": drift.drifted,
        "missing_before": _number(before),
        "missing_now": _number(now),
        "note": drift.note,
        "bins": _bins(verdict, drift),
    }


def _bins(verdict: DriftVerdict, drift: ColumnDrift) -> dict[str, Any] | None:
    """Shares and the model's error by bin; bins that neither window has are left out."""
    if drift.part not in verdict.shares:
        return None
    labels, before, now = verdict.shares[drift.part]
    errors = next((e for e in verdict.assessment.performance.errors if e.column == drift.part), None)
    by_bin = errors.by_bin if errors and errors.by_bin else (math.nan,) * len(labels)
    kept = np.flatnonzero((before > 0) | (now > 0))
    return {
        "labels": [labels[place] for place in kept],
        "reference": [_number(before[place]) for place in kept],
        "current": [_number(now[place]) for place in kept],
        "error": [_number(by_bin[place]) for place in kept],
    }


def _performance(performance: Performance) -> dict[str, Any]:
    worst = performance.worst
    return {
        "state": performance.state,
        "metric": performance.metric,
        "rows": performance.rows,
        "reference": _number(performance.reference),
        **_interval("", performance.current, "current"),
        **_interval("ratio_", performance.ratio, "observed_over_predicted"),
        **_interval("miss_", performance.miss, "miss"),
        **_interval("cost_", worst.cost if worst else None, "cost"),
        "worst_column": worst.column if worst else None,
        "estimated": _number(performance.estimated),
        "note": performance.note,
    }


def _interval(prefix: str, estimate: Estimate | None, name: str) -> dict[str, float | None]:
    low, value, high = (estimate.low, estimate.value, estimate.high) if estimate else (None, None, None)
    return {name: _number(value), f"{prefix}low": _number(low), f"{prefix}high": _number(high)}


def _niche(niche: NicheVerdict) -> dict[str, Any]:
    performance = niche.assessment.performance
    worst, ratio = performance.worst, performance.ratio
    drifted = [column.column.name for column in niche.assessment.columns if column.drifted]
    return {
        "niche": niche.niche,
        "severity": niche.severity.value,
        "observed": niche.assessment.observed.value,
        "rows": niche.rows,
        "cost": _number(worst.cost.value) if worst else None,
        "observed_over_predicted": _number(ratio.value) if ratio else None,
        "summary": niche.assessment.reason
        or (f"moved: {', '.join(drifted[:_NAMED])}" if drifted else "nothing moved that matters"),
    }


def _number(value: float | None) -> float | None:
    """Rounded to six digits that count; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")
