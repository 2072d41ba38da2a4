"""Incidents: runs of days with bad drift, worked out from the days' verdicts alone.

Nothing is remembered between runs, so looking at a day again can only change what that day says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from ml.drift.settings import Severity

_CALM = (Severity.NONE, Severity.LOW)


class JudgedDay(Protocol):
    """A day and the severity that counts for it, such as `include.db.drift.DaySeverity`."""

    @property
    def day(self) -> date:
        """Of the report."""

    @property
    def severity(self) -> str:
        """None, low, medium, high, critical or cannot_tell."""


@dataclass(frozen=True)
class Incident:
    """Days of bad drift that belong together.

    Attributes:
        opened_on: the first day that was bad enough.
        worst: the highest severity of its days; worst_on: the first day that had it.
        closed_on: the day that ended it, None while it is open.
        calm_since: the first of the calm days in a row that its last days are; None where it ends otherwise.
        days: that had a report, first to last, those that ended it included.
    """

    opened_on: date
    worst: Severity
    worst_on: date
    closed_on: date | None
    calm_since: date | None
    days: tuple[date, ...]

    @property
    def is_open(self) -> bool:
        """Whether it still goes on."""
        return self.closed_on is None


def incidents(
    history: Iterable[JudgedDay], recovery_days: int, opens_from: Severity = Severity.HIGH
) -> tuple[Incident, ...]:
    """All incidents of a history, oldest first.

    One opens on the first day that is `opens_from` or worse, goes on over days that are medium or cannot be
    told, and closes on the last of `recovery_days` reports in a row that are none or low. Days without a
    report count for nothing, and neither does the order in which the days are given.

    Args:
        history: of one model and scope, a verdict a day. Where it begins amid an incident, that incident
            seems to open on the first such day there is; give all days where that matters.
        recovery_days: at least 1.
        opens_from: medium or worse.

    Raises:
        ValueError: `recovery_days` is below 1, or a day is there twice.
    """
    if recovery_days < 1:
        raise ValueError(f"an incident needs at least 1 day to recover, not {recovery_days}")
    days = sorted(((each.day, Severity(each.severity)) for each in history), key=lambda told: told[0])
    if len({day for day, _ in days}) < len(days):
        raise ValueError("a day is in the history twice: give the verdicts of one model and scope")
    found: list[Incident] = []
    running: list[tuple[date, Severity]] = []
    calm: list[date] = []
    for day, severity in days:
        if not running and severity < opens_from:
            continue
        running.append((day, severity))
        calm = [*calm, day] if severity in _CALM else []
        if len(calm) == recovery_days:
            found.append(_of(running, calm, closed=True))
            running, calm = [], []
    if running:
        found.append(_of(running, calm, closed=False))
    return tuple(found)


def incident(
    history: Iterable[JudgedDay], recovery_days: int, opens_from: Severity = Severity.HIGH
) -> Incident | None:
    """The newest incident of a history, open or closed; None where there was none. As `incidents`."""
    return next(reversed(incidents(history, recovery_days, opens_from)), None)


def _of(running: list[tuple[date, Severity]], calm: list[date], *, closed: bool) -> Incident:
    worst_on, worst = max(running, key=lambda told: told[1])
    return Incident(
        opened_on=running[0][0],
        worst=worst,
        worst_on=worst_on,
        closed_on=running[-1][0] if closed else None,
        calm_since=calm[0] if calm else None,
        days=tuple(day for day, _ in running),
    )
