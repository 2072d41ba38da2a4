"""One day's verdict: the assessment of all rows and of each niche, what it means, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from ml.drift.assessment import DriftAssessment, assess_drift, cannot_tell, confirmed
from ml.drift.decision import Situation, decide
from ml.drift.distances import Score, evidently_score
from ml.drift.profile import Profile
from ml.drift.quality import (
    EffectiveRows,
    QualityIssue,
    QualitySettings,
    effective_rows,
    quality_issues,
    volume_issue,
)
from ml.drift.reference import Reference
from ml.drift.settings import Decision, DriftSettings, Evidence, Ladder, Severity
from ml.drift.sketch import Sketch
from ml.drift.sums import DaySums
from ml.drift.windows import WatchedColumn

_RowsByDay = tuple[np.ndarray, np.ndarray]

# Of quality: what is only different, or broken where the model does not look, is never more than this.
_ODD_AT_MOST = Severity.LOW


@dataclass(frozen=True)
class Day:
    """What one day is judged by, beside the rows.

    Attributes:
        day: the last of the current window.
        current_days: of the current window; newest_days: of the performance that is also measured alone.
        learnt_until: the model's last day; None where it is not known.
        judged_loss: of the model when it was judged.
        observed_before: what the day before observed, by niche; key "" is all rows. Empty without a report.
        situation: for the decision; its `unseen_rows` are filled in.
    """

    day: date
    current_days: int
    newest_days: int
    learnt_until: date | None
    judged_loss: float | None
    observed_before: Mapping[str, Severity]
    situation: Situation


@dataclass(frozen=True)
class NicheVerdict:
    """One niche."""

    niche: str
    severity: Severity
    assessment: DriftAssessment
    rows: int


@dataclass(frozen=True)
class DriftVerdict:
    """Everything a report says.

    Attributes:
        severity: the one that counts, confirmed by two days or certain.
        observed: this day's by itself, niches included.
        decision, reason: what follows, and why.
        assessment: of all rows.
        niches: those with enough rows, worst first.
        issues: with the quality of the data.
        reference, current: labels; reference_rows, current_rows: sizes.
        rows_per_day: of reference and current window; None without dates.
        unseen_rows: with outcomes, that the model has not learnt from.
        scores: Evidently's score of each column.
        shares: of each measured column's bins: labels, reference, current.
    """

    severity: Severity
    observed: Severity
    decision: Decision
    reason: str
    assessment: DriftAssessment
    reference: str
    current: str
    reference_rows: int = 0
    current_rows: int = 0
    niches: tuple[NicheVerdict, ...] = ()
    issues: tuple[QualityIssue, ...] = ()
    rows_per_day: tuple[float, float] | None = None
    unseen_rows: int = 0
    scores: Mapping[str, Score] = field(default_factory=dict)
    missing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    shares: Mapping[str, tuple[tuple[str, ...], np.ndarray, np.ndarray]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def no_verdict(reason: str, situation: Situation, settings: DriftSettings) -> DriftVerdict:
    """The verdict where there is nothing to compare: no champion, no rows."""
    assessment = cannot_tell(reason)
    decision, why = decide(Severity.CANNOT_TELL, assessment.kinds, situation, settings)
    return DriftVerdict(
        Severity.CANNOT_TELL, Severity.CANNOT_TELL, decision, why, assessment, "", "", notes=(reason,)
    )


def judge_day(
    reference: Reference,
    current: DaySums,
    day: Day,
    settings: DriftSettings,
    quality: QualitySettings,
    broken: Ladder,
    *,
    label: str,
    notes: Sequence[str] = (),
) -> DriftVerdict:
    """Compare the current window with the reference and decide.

    Args:
        reference: of the model version.
        current: the newest rows, summed up in the reference's bins.
        day: what else is known.
        settings: thresholds.
        quality: when something is wrong with the data.
        broken: severity by how much more of a column is missing or unusable.
        label: of the current window, for people.
        notes: what was special about the rows, for the report.
    """
    whole, sketches = current.whole(), current.sketches
    learnt = None if day.learnt_until is None else np.datetime64(day.learnt_until, "D")
    unseen = current.after(learnt)
    latest = np.datetime64(day.day, "D") - day.newest_days
    newest = current.after(None if learnt is None else max(latest, learnt))
    before = reference.matched(whole)
    per_day = _rows_by_day(reference.whole, whole, day)
    issues, quality_severity = _quality(reference, current, (before, whole), day, per_day, quality, broken)
    assessment = assess_drift(
        before,
        whole,
        settings,
        unseen=unseen,
        newest=newest if 0 < newest.rows < unseen.rows else None,
        judged_loss=day.judged_loss,
        quality=quality_severity,
        note="" if unseen.rows else _why_all_seen(whole, day),
    )
    niches = _niches(reference, current, learnt, settings, day)
    severity = confirmed(assessment, day.observed_before.get(""))
    if severity is not Severity.CANNOT_TELL:
        worst = max((niche.severity for niche in niches), default=Severity.NONE)
        severity = max(severity, min(worst, settings.niche_at_most))
    unseen_rows = int(unseen.told_rows)
    situation = replace(day.situation, unseen_rows=unseen_rows)
    decision, reason = decide(severity, assessment.kinds, situation, settings)
    return DriftVerdict(
        severity=severity,
        observed=assessment.observed,
        decision=decision,
        reason=reason,
        assessment=assessment,
        reference=reference.label,
        current=label,
        reference_rows=round(reference.whole.rows),
        current_rows=round(whole.rows),
        niches=niches,
        issues=issues,
        rows_per_day=per_day and (float(per_day[0][0].mean()), float(per_day[1][0].mean())),
        unseen_rows=unseen_rows,
        scores=_scores(reference.sketches, sketches),
        missing={
            name: (sketch.missing / max(1, sketch.rows), sketches[name].missing / max(1, sketches[name].rows))
            for name, sketch in reference.sketches.items()
        },
        shares={column.name: _bin_shares(before, whole, column.name) for column in reference.plan.columns},
        notes=tuple(notes),
    )


def _why_all_seen(whole: Profile, day: Day) -> str:
    if day.learnt_until is None and whole.days:
        return "its version does not say which days it learnt from (tag window_end)"
    if not whole.days:
        return "the rows have no dates, so nobody knows which of them the model has learnt from"
    return f"the model has learnt from these days itself (up to {day.learnt_until})"


def _niches(
    reference: Reference,
    current: DaySums,
    learnt: np.datetime64 | None,
    settings: DriftSettings,
    day: Day,
) -> tuple[NicheVerdict, ...]:
    wanted = [niche for niche in current.niches if niche in reference.niches]
    if not wanted:
        return ()
    # As many questions are asked as there are niches: each must be that much surer.
    stricter = replace(
        settings,
        evidence=Evidence(*(rate / len(wanted) for rate in vars(settings.evidence).values())),
    )
    found = []
    for niche in wanted:
        profile = current.whole(niche)
        assessment = assess_drift(
            reference.matched(profile, niche), profile, stricter, unseen=current.after(learnt, niche)
        )
        severity = confirmed(assessment, day.observed_before.get(niche))
        found.append(NicheVerdict(niche, severity, assessment, round(profile.rows)))
    order = list(Severity)
    return tuple(sorted(found, key=lambda each: (-order.index(each.severity), each.niche)))


def _quality(
    reference: Reference,
    current: DaySums,
    profiles: tuple[Profile, Profile],
    day: Day,
    per_day: tuple[_RowsByDay, _RowsByDay] | None,
    settings: QualitySettings,
    broken: Ladder,
) -> tuple[tuple[QualityIssue, ...], Severity]:
    """What is wrong with the data of the window, or of its last day, and how bad that is.

    A feed that broke this night would take days to show in a whole week.
    """
    whole = EffectiveRows(*(effective_rows(window.totals["rows"]) for window in profiles))
    last = np.datetime64(day.day, "D")
    alone = EffectiveRows(whole.reference, effective_rows(current.after(last - 1).totals["rows"]))
    inputs = {c.of.name: c.of for c in reference.plan.columns if c.of.role == "input"}
    known = {name: sketch for name, sketch in reference.sketches.items() if name in inputs}
    found: dict[tuple[str, str], QualityIssue] = {}
    for sketches, worth in ((current.sketches, whole), (current.sketches_on(last), alone)):
        for issue in quality_issues(known, sketches, settings, worth=worth):
            key = issue.column, issue.kind
            if key not in found or abs(issue.now - issue.before) > abs(found[key].now - found[key].before):
                found[key] = issue
    if per_day:
        before, now = per_day
        for since in (0, -1):
            # The window, and its last day alone: to notice a dead feed must not take half a week.
            volume = volume_issue(*before, now[0][since:], now[1][since:], settings)
            if volume and (since == 0 or _hardly_any(volume, broken)):
                found["", "volume"] = volume
    issues = tuple(found.values())
    severities = [_broken(issue, inputs.get(issue.column), broken) for issue in issues]
    return issues, max(severities, default=Severity.NONE)


def _broken(issue: QualityIssue, column: WatchedColumn | None, ladder: Ladder) -> Severity:
    if issue.kind in ("missing", "unusable"):
        severity = ladder.severity(issue.now - issue.before)
        ignored = column is not None and column.importance == 0
        return min(severity, _ODD_AT_MOST) if ignored else severity
    if issue.kind == "volume" and _hardly_any(issue, ladder):
        return Severity.CRITICAL
    return _ODD_AT_MOST


def _hardly_any(volume: QualityIssue, ladder: Ladder) -> bool:
    """Whether next to no rows came. Fewer than usual is odd: campaigns end."""
    return volume.now <= volume.before * (1 - ladder.critical)


def _rows_by_day(reference: Profile, current: Profile, day: Day) -> tuple[_RowsByDay, _RowsByDay] | None:
    """Rows and weekday of every day of both windows, those without rows included; None without dates."""
    if not reference.days or (current.rows and not current.days):
        return None
    last = int(np.datetime64(day.day, "D").astype("int64"))
    return (
        _every_day(reference.days, min(reference.days), max(reference.days)),
        _every_day(current.days, last - day.current_days + 1, last),
    )


def _every_day(rows: Mapping[int, int], first: int, last: int) -> _RowsByDay:
    days = np.arange(first, last + 1)
    return np.array([rows.get(int(day), 0) for day in days]), (days + 3) % 7


def _scores(before: Mapping[str, Sketch], now: Mapping[str, Sketch]) -> dict[str, Score]:
    """Evidently's score by column; a column without a value on either side has none."""
    return {
        name: evidently_score(sketch, now[name])
        for name, sketch in before.items()
        if sketch.finite and now[name].finite
    }


def _bin_shares(before: Profile, now: Profile, name: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    labels = next(column.labels for column in before.plan.columns if column.name == name)
    sums = [window.counts[name].sum(axis=0) for window in (before, now)]
    return labels, *(each / max(1e-12, each.sum()) for each in sums)
