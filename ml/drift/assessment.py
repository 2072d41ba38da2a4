"""Did the data move, how badly, and what follows: numbers first, the picture is drawn elsewhere."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.drift.psi import Movement, benjamini_hochberg, bin_levels, bin_numbers, measure
from ml.drift.settings import Decision, DriftSettings, Severity
from ml.drift.windows import WatchedColumn, Window

# With fewer ads than this in a window, rows are plenty but evidence is not.
_LEAST_ADS = 5


@dataclass(frozen=True)
class ColumnDrift:
    """One column between the two windows.

    Attributes:
        column, role: which.
        method: how it was measured; `psi` is the only one so far.
        score: population stability index; None where nothing could be measured.
        expected: what sampling alone gives on average.
        p_value: chance of at least this score without drift, given how many ads there are.
        drifted: unlikely enough among all columns, and large enough to matter.
        note: what was special about the column, else empty.
    """

    column: str
    role: str
    method: str
    score: float | None
    expected: float | None
    p_value: float | None
    drifted: bool
    note: str = ""

    @property
    def excess(self) -> float:
        """Score beyond what sampling gives; 0 where nothing could be measured."""
        return max(0.0, self.score - (self.expected or 0.0)) if self.score is not None else 0.0


@dataclass(frozen=True)
class DriftAssessment:
    """The verdict on two windows.

    Attributes:
        severity: `cannot_tell` where the windows hold too little; then `summary` says why.
        decision: what the thresholds make of the severity.
        reference, current: what was compared.
        reference_rows, current_rows: how many rows each had.
        columns: every watched column, most moved first.
        share_drifted: of the inputs that could be measured.
        summary: one sentence with the three most moved columns.
    """

    severity: Severity
    decision: Decision
    reference: str
    current: str
    reference_rows: int
    current_rows: int
    columns: tuple[ColumnDrift, ...]
    share_drifted: float
    summary: str

    @property
    def drifted_columns(self) -> tuple[str, ...]:
        """Names of the drifted columns, most moved first."""
        return tuple(column.column for column in self.columns if column.drifted)

    def as_json(self) -> dict[str, Any]:
        """Every number, as JSON values."""
        return {
            **{k: getattr(self, k) for k in ("reference", "current", "reference_rows", "current_rows")},
            "severity": self.severity.value,
            "decision": self.decision.value,
            "share_drifted": round(self.share_drifted, 4),
            "drifted_columns": list(self.drifted_columns),
            "columns": [asdict(column) for column in self.columns],
            "summary": self.summary,
        }


def assess_drift(
    reference: Window, current: Window, columns: Sequence[WatchedColumn], settings: DriftSettings
) -> DriftAssessment:
    """Compare two windows column by column and say what follows.

    A column that vanished or is new counts as missing throughout on the side where it is not. Infinities
    count as the extreme they are. A column that is missing or the same throughout both windows says nothing
    and is left out of the share.

    Args:
        reference: what the model learnt from.
        current: what it meets now.
        columns: which columns to compare.
        settings: thresholds.
    """
    reason = _too_little(reference, current, settings)
    if reason:
        return cannot_tell(reason, reference=reference, current=current)
    numbers = pd.factorize(np.concatenate([reference.ads, current.ads]).astype(str))[0]
    ads = numbers[: len(reference.rows)], numbers[len(reference.rows) :]
    measured = [(column, *_measured(column.name, reference.rows, current.rows, *ads)) for column in columns]
    telling = [movement for _, movement, _ in measured if movement is not None]
    if not telling:
        return cannot_tell(
            "every watched column is missing or the same throughout both windows",
            reference=reference,
            current=current,
        )
    unlikely = iter(benjamini_hochberg(np.array([m.p_value for m in telling]), settings.false_discovery_rate))
    drifts = [
        _judged(column, movement, note, movement is not None and bool(next(unlikely)), settings)
        for column, movement, note in measured
    ]
    drifts.sort(key=lambda drift: (not drift.drifted, -drift.excess))
    inputs = [drift for drift in drifts if drift.role == "input" and drift.score is not None]
    share = sum(drift.drifted for drift in inputs) / len(inputs) if inputs else 0.0
    outcome = max((d.excess for d in drifts if d.role == "outcome" and d.drifted), default=0.0)
    severity = max(settings.inputs.severity(share), settings.outcomes.severity(outcome))
    decision = settings.decide(severity)
    return DriftAssessment(
        severity=severity,
        decision=decision,
        reference=reference.label,
        current=current.label,
        reference_rows=len(reference.rows),
        current_rows=len(current.rows),
        columns=tuple(drifts),
        share_drifted=share,
        summary=_summary(severity, drifts, reference, current),
    )


def cannot_tell(
    reason: str, *, reference: Window | None = None, current: Window | None = None
) -> DriftAssessment:
    """The verdict that there is no verdict, and why."""
    return DriftAssessment(
        severity=Severity.CANNOT_TELL,
        decision=Decision.NO_ACTION,
        reference=reference.label if reference else "",
        current=current.label if current else "",
        reference_rows=len(reference.rows) if reference else 0,
        current_rows=len(current.rows) if current else 0,
        columns=(),
        share_drifted=0.0,
        summary=f"Cannot tell whether the data drifted: {reason}.",
    )


def _too_little(reference: Window, current: Window, settings: DriftSettings) -> str:
    for name, window in (("reference", reference), ("current", current)):
        if len(window.rows) < settings.min_rows:
            return (
                f"the {name} window ({window.label}) has {len(window.rows)} rows, at least "
                f"{settings.min_rows} are needed (drift.min_rows)"
            )
        ads = len(np.unique(window.ads.astype(str)))
        if ads < _LEAST_ADS:
            return f"the {name} window ({window.label}) has {ads} ads, at least {_LEAST_ADS} are needed"
    return ""


def _measured(
    name: str,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    reference_ads: np.ndarray,
    current_ads: np.ndarray,
) -> tuple[Movement | None, str]:
    before, after = _column(reference, name), _column(current, name)
    gone, new = bool(after.isna().all()), bool(before.isna().all())
    if gone and new:
        return None, "missing in both windows"
    if pd.api.types.is_numeric_dtype(before if not new else after):
        bins = bin_numbers(_floats(before), _floats(after))
    else:
        bins = bin_levels(before, after)
    movement = measure(*bins, reference_ads, current_ads)
    if movement is None:
        return None, "the same throughout"
    return movement, "vanished" if gone else "new" if new else ""


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    return rows[name] if name in rows else pd.Series(np.nan, index=rows.index)


def _floats(values: pd.Series) -> np.ndarray:
    return np.asarray(pd.to_numeric(values, errors="coerce").to_numpy("float64", na_value=np.nan))


def _judged(
    column: WatchedColumn, movement: Movement | None, note: str, unlikely: bool, settings: DriftSettings
) -> ColumnDrift:
    if movement is None:
        return ColumnDrift(column.name, column.role, "psi", None, None, None, drifted=False, note=note)
    least = settings.psi_drifted if column.role == "input" else settings.outcomes.low
    return ColumnDrift(
        column=column.name,
        role=column.role,
        method="psi",
        score=round(movement.psi, 6),
        expected=round(movement.expected_psi, 6),
        p_value=movement.p_value,
        drifted=unlikely and movement.psi - movement.expected_psi >= least,
        note=note,
    )


def _summary(severity: Severity, drifts: list[ColumnDrift], reference: Window, current: Window) -> str:
    measured = [drift for drift in drifts if drift.score is not None]
    drifted = sum(drift.drifted for drift in measured)
    moved = ", ".join(
        f"{d.column} ({f'{d.note}, ' if d.note else ''}PSI {d.score:.2f})" for d in measured[:3]
    )
    nothing = "No drift that matters" if drifted else "No drift"
    verdict = nothing if severity is Severity.NONE else f"{severity.value.capitalize()} drift"
    return (
        f"{verdict}: {drifted} of {len(measured)} columns drifted between {reference.label} and "
        f"{current.label}; most moved: {moved}."
    )
