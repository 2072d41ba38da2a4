"""What follows from a severity, given what has been done already: a model is not made anew every night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from ml.drift.assessment import Kind
from ml.drift.settings import Decision, DriftSettings, Severity

_BUDGET_DAYS = 30


@dataclass(frozen=True)
class Situation:
    """What is known beside the data.

    Attributes:
        day: of the report.
        model: the champion, in words, such as `ctr v3`.
        unseen_rows: rows with outcomes that the champion has not learnt from.
        asked_on: days on which a retrain was asked for, later ones too where an older day is judged again.
        judged_later: the newest day that has a report already, where that is later; else None.
        training_runs: whether one is being trained right now.
        waiting: a challenger that has learnt from the newest days, such as `v4`; empty where there is none.
        can_retrain: whether there is a training to ask for.
    """

    day: date
    model: str
    unseen_rows: int
    asked_on: tuple[date, ...] = ()
    judged_later: date | None = None
    training_runs: bool = False
    waiting: str = ""
    can_retrain: bool = True


def decide(
    severity: Severity, kinds: Mapping[Kind, Severity], situation: Situation, settings: DriftSettings
) -> tuple[Decision, str]:
    """What to do, and why in a sentence.

    Args:
        severity: the one that counts.
        kinds: severity by kind of drift.
        situation: what has been done already.
        settings: what each severity calls for.
    """
    if severity is Severity.CANNOT_TELL:
        return Decision.NO_ACTION, "Nothing is done: whether there is drift cannot be told."
    wanted = settings.actions.get(severity, Decision.NO_ACTION)
    if wanted is Decision.NO_ACTION:
        return wanted, f"Nothing is done: {severity.value} calls for nothing."
    others = max(level for kind, level in kinds.items() if kind != "quality")
    if kinds["quality"] >= others and kinds["quality"] > Severity.LOW and wanted.retrains:
        return _instead(severity, settings), "No retrain: the data are broken, and a model would learn that."
    if wanted is Decision.ALERT:
        return wanted, f"People are told: {severity.value} calls for a look."
    if hindrance := _hindrance(situation, settings):
        return _instead(severity, settings), f"No retrain: {hindrance}."
    what = "a full update" if wanted is Decision.UPDATE else "an incremental update"
    return wanted, (
        f"{severity.value.capitalize()} calls for {what} of {situation.model}: "
        f"{situation.unseen_rows:,} rows are newer than what it learnt from."
    )


def _instead(severity: Severity, settings: DriftSettings) -> Decision:
    return Decision.ALERT if severity >= settings.alert_from else Decision.NO_ACTION


def _hindrance(situation: Situation, settings: DriftSettings) -> str:
    """What stands against asking for a retrain, in half a sentence; empty if nothing does."""
    limits = settings.retrain
    others = [day for day in situation.asked_on if day != situation.day]
    near = [day for day in others if abs((situation.day - day).days) <= limits.cooldown_days]
    recent = [day for day in others if abs((situation.day - day).days) < _BUDGET_DAYS]
    if not situation.can_retrain:
        return f"no training of {situation.model} can be asked for (drift.models)"
    if situation.judged_later:
        return f"a later day, {situation.judged_later}, has been judged already"
    if situation.training_runs:
        return f"a training of {situation.model.split()[0]} is running"
    if situation.waiting:
        return f"{situation.waiting} has learnt these days and waits as challenger; promote or reject it"
    if situation.unseen_rows < limits.least_rows:
        return (
            f"only {situation.unseen_rows:,} rows are newer than what {situation.model} learnt from, at "
            f"least {limits.least_rows:,} are needed (drift.retrain.least_rows)"
        )
    if near:
        until = max(near) + timedelta(days=limits.cooldown_days + 1)
        return f"one was asked for on {max(near)}; the next may follow on {until}"
    if len(recent) >= limits.budget:
        return f"{len(recent)} were asked for in {_BUDGET_DAYS} days, all there may be (drift.retrain.budget)"
    return ""
