"""Did the data move, did the model get worse, how bad is it: numbers first, the picture is drawn elsewhere.

Four kinds of drift have a severity each: the features, the predictions, the performance (concept drift), and
the quality of the data. What moved counts for what it costs: where the newest rows prove that the model is as
good as ever, moved inputs alone are no reason to act.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml.drift.movement import Movement, benjamini_hochberg, measure
from ml.drift.performance import Performance, assess_performance
from ml.drift.profile import Profile
from ml.drift.settings import DriftSettings, Ladder, Severity
from ml.drift.windows import WatchedColumn

Kind = Literal["features", "prediction", "performance", "quality"]

_EVIDENCE = ("usual", "severe", "certain")


@dataclass(frozen=True)
class ColumnDrift:
    """One column between the two windows.

    Attributes:
        column: what was watched.
        kind: number, category or embedding.
        movement: how far it moved; None where nothing could be measured. Of an embedding, that of the
            component that moved most.
        part: the binned column it was measured by.
        stands: levels of evidence at which it drifted: unlikely enough among all columns, and large enough
            to matter.
        note: what was special about the column, else empty.
    """

    column: WatchedColumn
    kind: str
    movement: Movement | None
    part: str
    stands: frozenset[str] = frozenset()
    note: str = ""

    @property
    def drifted(self) -> bool:
        """Whether it counts at all."""
        return "usual" in self.stands

    @property
    def excess(self) -> float:
        """Index beyond what sampling gives; 0 where nothing could be measured."""
        return max(0.0, self.movement.psi - self.movement.expected_psi) if self.movement else 0.0


@dataclass(frozen=True)
class DriftAssessment:
    """What one day's windows say.

    Attributes:
        observed: the day's severity by itself; `cannot_tell` where the windows hold too little.
        certain: the part of it that needs no second day.
        kinds: severity by kind of drift.
        columns: every watched column, the most important for the verdict first.
        share_drifted, importance_drifted: of the inputs that could be measured; None where none could.
        performance: on all rows that the model has not learnt from.
        newest: on the newest of them alone, where a sudden change is not diluted; None where these are all.
        reason: why it cannot be told, else empty.
    """

    observed: Severity
    certain: Severity
    kinds: dict[Kind, Severity]
    columns: tuple[ColumnDrift, ...]
    share_drifted: float
    importance_drifted: float
    performance: Performance
    newest: Performance | None = None
    reason: str = ""


def assess_drift(
    reference: Profile,
    current: Profile,
    settings: DriftSettings,
    *,
    unseen: Profile | None = None,
    newest: Profile | None = None,
    judged_loss: float | None = None,
    quality: Severity = Severity.NONE,
    note: str = "",
) -> DriftAssessment:
    """Compare two windows and say how bad it is.

    A column that vanished or is new counts as missing throughout on the side where it is not. A column that
    is missing or the same throughout both windows says nothing and is left out of the shares.

    Args:
        reference: what the model learnt from, weighted to the current mix of weekdays.
        current: what it meets now, in the same bins.
        settings: thresholds.
        unseen: those of the current rows that the model has not learnt from; None: all of them.
        newest: those of them of the last days; None where these are the same.
        judged_loss: the model's loss when it was judged.
        quality: severity of what is wrong with the data themselves.
        note: why nothing of the current window is unseen, where the caller knows.
    """
    reason = _too_little(reference, current, settings)

    def measured(window: Profile) -> Performance:
        return assess_performance(
            reference, window, judged_loss=judged_loss, least_rows=settings.min_rows, note=note
        )

    performance = measured(current if unseen is None else unseen)
    latest = measured(newest) if newest is not None else None
    columns = () if reason else _columns(reference, current, settings)
    if not reason and not any(column.movement for column in columns):
        reason = "every watched column is missing or the same throughout both windows"
    if reason:
        return cannot_tell(reason, performance, quality=quality, settings=settings)
    all_seen = unseen is not None and unseen.rows == 0
    by_evidence = {
        level: _kinds(columns, (performance, latest), quality, settings, level, all_seen)
        for level in _EVIDENCE
    }
    # What is only likely makes a verdict low or medium; high and critical must be surer.
    kinds = {
        kind: max(min(by_evidence["usual"][kind], Severity.MEDIUM), by_evidence["severe"][kind])
        for kind in by_evidence["usual"]
    }
    share, importance = _shares(columns)
    return DriftAssessment(
        observed=max(kinds.values()),
        certain=max(by_evidence["certain"].values()),
        kinds=kinds,
        columns=tuple(sorted(columns, key=lambda column: _telling(column, performance), reverse=True)),
        share_drifted=share,
        importance_drifted=importance,
        performance=performance,
        newest=latest,
    )


def cannot_tell(
    reason: str,
    performance: Performance | None = None,
    *,
    quality: Severity = Severity.NONE,
    settings: DriftSettings | None = None,
) -> DriftAssessment:
    """The verdict that there is no verdict, and why. Broken data can be told even then."""
    broken = settings is not None and quality >= settings.alert_from
    severity = quality if broken else Severity.CANNOT_TELL
    return DriftAssessment(
        observed=severity,
        certain=severity if broken else Severity.NONE,
        kinds={
            "features": Severity.CANNOT_TELL,
            "prediction": Severity.CANNOT_TELL,
            "performance": Severity.CANNOT_TELL,
            "quality": quality,
        },
        columns=(),
        share_drifted=0.0,
        importance_drifted=0.0,
        performance=performance or Performance("unknown", "", note=reason),
        reason=reason,
    )


def confirmed(today: DriftAssessment, yesterday: Severity | None) -> Severity:
    """The severity that counts: seen on two days in a row, or certain on the first.

    Args:
        today: the day's assessment.
        yesterday: what the day before observed by itself; None where there was no report.
    """
    if today.observed is Severity.CANNOT_TELL:
        return Severity.CANNOT_TELL
    before = Severity.NONE if yesterday in (None, Severity.CANNOT_TELL) else yesterday
    return max(today.certain, min(today.observed, before or Severity.NONE))


def _too_little(reference: Profile, current: Profile, settings: DriftSettings) -> str:
    for name, window in (("reference", reference), ("current", current)):
        if window.rows < settings.min_rows:
            return (
                f"the {name} window has {window.rows:.0f} rows, at least {settings.min_rows} are needed "
                "(drift.min_rows)"
            )
        if window.clusters < settings.min_clusters:
            return (
                f"the {name} window has {window.clusters} ads (or what else rows hang together by), at least "
                f"{settings.min_clusters} are needed (drift.min_clusters)"
            )
    return ""


def _columns(reference: Profile, current: Profile, settings: DriftSettings) -> tuple[ColumnDrift, ...]:
    parts: dict[WatchedColumn, list[str]] = {}
    for column in current.plan.columns:
        parts.setdefault(column.of, []).append(column.name)
    kinds = {column.of: "embedding" if column.direction else column.kind for column in current.plan.columns}
    measured: list[tuple[WatchedColumn, str, Movement | None, str]] = []
    for watched, names in parts.items():
        told = [
            (name, movement)
            for name in names
            if (movement := measure(reference.counts[name], current.counts[name])) is not None
        ]
        note = _note(reference, current, names[0], bool(told))
        if not told:
            measured.append((watched, names[0], None, note))
            continue
        name, movement = min(told, key=lambda each: (each[1].p_value, -each[1].psi))
        # Of several components the most surprising was chosen.
        sure = Movement(movement.psi, movement.expected_psi, min(1.0, movement.p_value * len(told)))
        measured.append((watched, name, sure, note))
    p_values = np.array([movement.p_value for _, _, movement, _ in measured if movement])
    unlikely = {
        level: iter(benjamini_hochberg(p_values, getattr(settings.evidence, level)).tolist())
        for level in _EVIDENCE
    }
    drifts = []
    for watched, part, moved, note in measured:
        flags = {name: bool(next(each)) if moved else False for name, each in unlikely.items()}
        least = settings.psi_drifted if watched.role == "input" else 0.0
        large = moved is not None and moved.psi - moved.expected_psi >= least
        drifts.append(
            ColumnDrift(
                column=watched,
                kind=kinds[watched],
                movement=moved,
                part=part,
                stands=frozenset(level for level, stands in flags.items() if stands and large),
                note=note,
            )
        )
    return tuple(drifts)


def _note(reference: Profile, current: Profile, part: str, told: bool) -> str:
    gone, new = (bool(window.counts[part][:, :-1].sum() == 0) for window in (current, reference))
    if gone and new:
        return "missing in both windows"
    if gone:
        return "vanished"
    if new:
        return "new"
    return "" if told else "the same throughout"


def _kinds(
    columns: Sequence[ColumnDrift],
    performances: tuple[Performance, Performance | None],
    quality: Severity,
    settings: DriftSettings,
    evidence: str,
    all_seen: bool,
) -> dict[Kind, Severity]:
    weights = _weights(columns)
    moved = sum(weights[c.column.name] for c in columns if c.column.role == "input" and evidence in c.stands)

    def farthest(role: str, ladder: Ladder) -> Severity:
        return ladder.severity(
            max((c.excess for c in columns if c.column.role == role and evidence in c.stands), default=0.0)
        )

    features, prediction = settings.features.severity(moved), farthest("prediction", settings.prediction)
    outcome = farthest("outcome", settings.outcomes)
    measured = [each for each in performances if each is not None and each.state == "measured"]
    if measured:
        rate = getattr(settings.evidence, evidence) / len(measured)
        lost = max(_cost(each, rate, settings) for each in measured)
        worst = measured[0].worst
        harmless = worst is not None and worst.cost.high < settings.cost.medium
        at_most = max(lost, settings.harmless_at_most if harmless else settings.measured_at_most)
        features, prediction = min(features, at_most), min(prediction, at_most)
    else:
        lost = outcome
    if not measured and all_seen:
        # The model has learnt from these rows: that they differ from older ones is no harm by itself.
        features, prediction, lost = (
            min(each, settings.measured_at_most) for each in (features, prediction, lost)
        )
    return {"features": features, "prediction": prediction, "performance": lost, "quality": quality}


def _cost(performance: Performance, rate: float, settings: DriftSettings) -> Severity:
    stands = benjamini_hochberg(np.array([error.p_value for error in performance.errors]), rate)
    costs = [e.cost.value for e, certain in zip(performance.errors, stands, strict=True) if certain]
    return settings.cost.severity(max(costs, default=0.0))


def _weights(columns: Sequence[ColumnDrift]) -> dict[str, float]:
    """Each measured input's weight: half by importance, half the same for all. They sum to 1."""
    inputs = [c.column for c in columns if c.column.role == "input" and c.movement is not None]
    if not inputs:
        return {}
    importances = [max(0.0, column.importance or 0.0) for column in inputs]
    total = sum(importances)
    equal = 1 / len(inputs)
    return {
        column.name: (equal + (importance / total if total else equal)) / 2
        for column, importance in zip(inputs, importances, strict=True)
    }


def _shares(columns: Sequence[ColumnDrift]) -> tuple[float, float]:
    weights = _weights(columns)
    if not weights:
        return 0.0, 0.0
    drifted = [c.column for c in columns if c.column.name in weights and c.drifted]
    total = sum(c.column.importance or 0.0 for c in columns if c.column.name in weights)
    importance = sum(column.importance or 0.0 for column in drifted)
    return len(drifted) / len(weights), importance / total if total else len(drifted) / len(weights)


def _telling(column: ColumnDrift, performance: Performance) -> tuple[float, float, float]:
    """How much a column explains: what it costs first, then how far it moved by its importance."""
    wrong = (e.cost.value for e in performance.errors if e.column == column.part and e.p_value < 0.05)
    cost = next(wrong, 0.0)
    return max(0.0, cost), float(column.drifted), column.excess * (0.1 + (column.column.importance or 0.0))
