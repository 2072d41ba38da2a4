"""What the page about drift shows: a strip of days for each model, whether something needs doing, reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from include.alerts.drift import DECISIONS, told_of
from include.config import thresholds
from include.db import drift as db
from include.db.model_updates import ModelUpdate, model_updates
from include.db.promotion import all_aliases
from ml.drift.incidents import Incident, incident, incidents
from ml.drift.settings import Severity
from ml.drift.told import ToldReport, performance_sentences, read_numbers
from ml.registry.versions import CHALLENGER

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.db.ml import DriftReport

DAYS_SHOWN = 30
# Reports shown in full below the overview; the others are a click away.
REPORTS_SHOWN = 2
UPDATES_SHOWN = 10
# Incidents are looked for this far back.
_INCIDENT_DAYS = 400
_RETRAINS = ("incremental", "update")

WORDS = {
    "none": "no drift",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "critical",
    "cannot_tell": "cannot tell",
}
LETTERS = {"none": "·", "low": "L", "medium": "M", "high": "H", "critical": "C", "cannot_tell": "?"}


@dataclass(frozen=True)
class StripDay:
    """One day of a strip; severity and decision are empty where there was no report."""

    day: date
    severity: str = ""
    decision: str = ""

    @property
    def letter(self) -> str:
        """Readable without colour."""
        return LETTERS.get(self.severity, "")

    @property
    def words(self) -> str:
        """The day in a sentence."""
        if not self.severity:
            return f"{self.day}: no report"
        return f"{self.day}: {WORDS[self.severity]}, {DECISIONS.get(self.decision, self.decision)}"


@dataclass(frozen=True)
class OpenIncident:
    """An incident that goes on.

    Attributes:
        told_at: when Slack was told, None where it was not.
        asked_on: days on which a new model was asked for.
        tried: the newest update that was tried since it began.
        challenger: version that waits for promotion.
    """

    incident: Incident
    told_at: datetime | None
    asked_on: tuple[date, ...]
    tried: ModelUpdate | None
    challenger: int | None


@dataclass(frozen=True)
class ModelLine:
    """One model and scope in the overview.

    Attributes:
        days: all there are, oldest first; strip: the last of them.
        open: the incident that goes on.
        tone: good, warn, bad or empty.
        to_do: whether somebody has to do something, in a sentence.
        path: of the newest report's page, below the page about drift.
    """

    name: str
    scope: str
    days: tuple[db.DaySeverity, ...]
    strip: tuple[StripDay, ...]
    open: OpenIncident | None
    tone: str
    to_do: str
    path: str

    @property
    def newest(self) -> db.DaySeverity:
        """The last day with a report."""
        return self.days[-1]

    @property
    def whose(self) -> str:
        """The scope in words."""
        return "all accounts" if self.scope == "all" else f"account {self.scope}"

    def path_of(self, day: date) -> str:
        """Of the page of a day's report."""
        return report_path(self.name, self.scope, day)


@dataclass(frozen=True)
class ReportView:
    """One day's report, ready to be shown.

    Attributes:
        line: the model as it is today.
        strip: the days around this one.
        incident: the one that the day belongs to.
        costs: what drift costs, in sentences; empty for reports of an older form.
        updates: tried in the days before and on this day or later, newest first.
        path, before, after: of its page and its neighbours', below the page about drift; empty without one.
    """

    line: ModelLine
    strip: tuple[StripDay, ...]
    incident: Incident | None
    kept: DriftReport
    told: ToldReport
    costs: str
    updates: tuple[ModelUpdate, ...]
    path: str
    before: str
    after: str


@dataclass(frozen=True)
class DriftPage:
    """The overview, most urgent first, and the newest reports of the first of them."""

    lines: tuple[ModelLine, ...]
    reports: tuple[ReportView, ...]


def drift_page(engine: Engine, today: date) -> DriftPage:
    """Everything on the page about drift."""
    lines = _lines(engine, today)
    views = (_view(engine, line, line.newest.day) for line in lines[:REPORTS_SHOWN])
    return DriftPage(lines, tuple(view for view in views if view is not None))


def report_page(engine: Engine, model_name: str, scope: str, day: date) -> ReportView | None:
    """One day's report and the strip of the days around it; None where there is none of that day."""
    line = next(iter(_lines(engine, day, (model_name, scope))), None)
    return _view(engine, line, day) if line else None


def report_path(model_name: str, scope: str, day: date) -> str:
    """Of a report's page, below the page about drift."""
    return f"{quote(model_name, safe='')}/{quote(scope, safe='')}/{day.isoformat()}"


def _lines(engine: Engine, today: date, only: tuple[str, str] | None = None) -> tuple[ModelLine, ...]:
    """Lines of one model and scope or of all, most urgent first."""
    found = db.severities(engine, today - timedelta(days=_INCIDENT_DAYS))
    last = max((days[-1].day for days in found.values()), default=today)
    if only is not None:
        found = {key: days for key, days in found.items() if key == only}
    aliases = all_aliases(engine)
    limits = thresholds().drift
    recovery = limits.recovery_days
    lines = []
    for (name, scope), days in found.items():
        newest = incident(days, recovery, Severity(limits.alert_from))
        going_on = None
        if newest is not None and newest.is_open:
            challenger = aliases.get(name, {}).get(CHALLENGER)
            going_on = _going_on(engine, name, scope, newest, days, challenger)
        tone, to_do = _to_do(days[-1], going_on, recovery)
        lines.append(
            ModelLine(
                name=name,
                scope=scope,
                days=tuple(days),
                strip=_strip(days, last),
                open=going_on,
                tone=tone,
                to_do=to_do,
                path=report_path(name, scope, days[-1].day),
            )
        )
    order = ["bad", "warn", "", "good"]
    return tuple(sorted(lines, key=lambda line: (order.index(line.tone), line.scope != "all", line.name)))


def _strip(days: Sequence[db.DaySeverity], last: date) -> tuple[StripDay, ...]:
    by_day = {each.day: each for each in days}
    wanted = [last - timedelta(days=back) for back in reversed(range(DAYS_SHOWN))]
    return tuple(
        StripDay(day, by_day[day].severity, by_day[day].decision) if day in by_day else StripDay(day)
        for day in wanted
    )


def _going_on(
    engine: Engine,
    name: str,
    scope: str,
    newest: Incident,
    days: Sequence[db.DaySeverity],
    challenger: int | None,
) -> OpenIncident:
    asked = (each.day for each in days if each.day >= newest.opened_on and each.decision in _RETRAINS)
    return OpenIncident(
        incident=newest,
        told_at=told.told_at if (told := told_of(newest, db.told_incidents(engine, name, scope))) else None,
        asked_on=tuple(asked),
        tried=next(iter(model_updates(engine, name, newest.opened_on)), None),
        challenger=challenger,
    )


def _to_do(newest: db.DaySeverity, going_on: OpenIncident | None, recovery_days: int) -> tuple[str, str]:
    """Tone and sentence."""
    if going_on is None:
        if newest.severity == "cannot_tell":
            return "", "Nothing can be told: the report says why."
        if newest.severity == "medium":
            return "warn", "Nothing: it is watched, and told on Slack from high on."
        return "good", "Nothing to do."
    if going_on.challenger is not None:
        return "bad", f"Promote challenger v{going_on.challenger}, or say why not."
    if newest.severity in ("none", "low"):
        return "warn", f"Nothing: it calms down, and is over after {recovery_days} calm days in a row."
    if (tried := going_on.tried) is not None and tried.version is None:
        return "bad", f"Look: an update was tried for {tried.day}, and none helped."
    if newest.decision in _RETRAINS:
        return "warn", f"Nothing yet: a new model was asked for on {newest.day}."
    return "bad", "Look at the report and decide: the system does no more by itself."


def _view(engine: Engine, line: ModelLine, day: date) -> ReportView | None:
    kept = db.drift_report(engine, line.name, line.scope, day)
    if kept is None:
        return None
    told = read_numbers(kept.numbers)
    before = [each.day for each in line.days if each.day < day]
    after = [each.day for each in line.days if each.day > day]
    limits = thresholds().drift
    all_of_them = incidents(line.days, limits.recovery_days, Severity(limits.alert_from))
    around = (each for each in all_of_them if day in each.days)
    # The same strip as in the overview, unless the day lies before it.
    strip = line.strip if day >= line.strip[0].day else _strip(line.days, day + timedelta(days=7))
    return ReportView(
        line=line,
        strip=strip,
        incident=next(around, None),
        kept=kept,
        told=told,
        costs=performance_sentences(told.performance) if told.complete else "",
        updates=tuple(model_updates(engine, line.name, day - timedelta(days=DAYS_SHOWN))[:UPDATES_SHOWN]),
        path=report_path(line.name, line.scope, day),
        before=report_path(line.name, line.scope, before[-1]) if before else "",
        after=report_path(line.name, line.scope, after[0]) if after else "",
    )
