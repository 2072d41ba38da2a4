"""Queries about the verdicts on drift day by day: for the page, and for incidents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine, text

from include.db.ml import DriftReport


@dataclass(frozen=True)
class DayVerdict:
    """What one day's report came to.

    Attributes:
        severity: the one that counts; observed_severity: the day's by itself.
        decision: what followed: no_action, alert, incremental or update; of old reports, retrain.
        model_version: the champion then, None without one.
        reason: of the decision, a sentence; empty in old reports.
    """

    day: date
    severity: str
    observed_severity: str
    decision: str
    model_version: int | None
    reason: str


@dataclass(frozen=True)
class DaySeverity:
    """What counts of a day for the overview; fields as those of `DayVerdict`."""

    day: date
    severity: str
    decision: str


@dataclass(frozen=True)
class WatchedModel:
    """A model and scope with at least one report; `newest` is the day of the last one."""

    model_name: str
    scope: str
    newest: date


def watched_models(engine: Engine) -> list[WatchedModel]:
    """Every model and scope that has a report, by name; the scope of all accounts first."""
    query = text("""
        SELECT model_name, scope, max(report_date) AS newest FROM ml.drift_report
        GROUP BY model_name, scope ORDER BY scope <> 'all', model_name, scope
    """)
    with engine.connect() as connection:
        return [WatchedModel(**row) for row in connection.execute(query).mappings()]


def severities(engine: Engine, since: date) -> dict[tuple[str, str], list[DaySeverity]]:
    """The days of every model and scope from `since` on, oldest first, without the reports' numbers."""
    query = text("""
        SELECT model_name, scope, report_date, severity, decision FROM ml.drift_report
        WHERE report_date >= :since ORDER BY report_date
    """)
    found: dict[tuple[str, str], list[DaySeverity]] = {}
    with engine.connect() as connection:
        for row in connection.execute(query, {"since": since}):
            day = DaySeverity(row.report_date, row.severity, row.decision)
            found.setdefault((row.model_name, row.scope), []).append(day)
    return found


def report_history(
    engine: Engine, model_name: str, scope: str, until: date, days: int | None = None
) -> list[DayVerdict]:
    """The verdicts of a model and scope, oldest first.

    Args:
        until: the last day.
        days: how many calendar days, `until` included; None for all there are, which is what incidents need.
    """
    query = text("""
        SELECT report_date AS day, severity, decision, model_version,
               COALESCE(numbers ->> 'observed_severity', severity) AS observed_severity,
               COALESCE(numbers ->> 'reason', '') AS reason
        FROM ml.drift_report
        WHERE model_name = :model_name AND scope = :scope AND report_date <= :until
          AND (CAST(:days AS integer) IS NULL OR report_date > :until - CAST(:days AS integer))
        ORDER BY report_date
    """)
    values = {"model_name": model_name, "scope": scope, "until": until, "days": days}
    with engine.connect() as connection:
        return [DayVerdict(**row) for row in connection.execute(query, values).mappings()]


def drift_report(engine: Engine, model_name: str, scope: str, day: date) -> DriftReport | None:
    """One day's report with all of its numbers; None where there is none."""
    query = text("""
        SELECT model_name, scope, report_date, model_version, reference, current, severity, decision, summary,
               numbers, html_uri
        FROM ml.drift_report WHERE model_name = :model_name AND scope = :scope AND report_date = :day
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"model_name": model_name, "scope": scope, "day": day})
        row = found.mappings().first()
        return DriftReport(**row) if row else None


def told_at(engine: Engine, message_key: str) -> datetime | None:
    """When Slack took the message of a key; None where it has not."""
    query = text("SELECT sent_at FROM alerts.slack_message WHERE message_key = :key AND state = 'sent'")
    with engine.connect() as connection:
        return connection.execute(query, {"key": message_key}).scalar_one_or_none()
