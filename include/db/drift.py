"""Queries about the verdicts on drift day by day: for the page, and for incidents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine, text

from include.db.ml import DriftReport


@dataclass(frozen=True)
class DaySeverity:
    """What counts of a day: its severity, and what followed (no_action, alert, incremental or update)."""

    day: date
    severity: str
    decision: str


@dataclass(frozen=True)
class ToldIncident:
    """An incident that Slack was told of.

    Attributes:
        message_key: of that message.
        opened_on: first day of the incident as it was then.
        told_at: when Slack took it.
        recovered: whether its end was told too.
    """

    message_key: str
    opened_on: date
    told_at: datetime
    recovered: bool


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


def report_history(engine: Engine, model_name: str, scope: str, until: date) -> list[DaySeverity]:
    """All days of a model and scope up to `until`, oldest first, without the reports' numbers."""
    query = text("""
        SELECT report_date AS day, severity, decision FROM ml.drift_report
        WHERE model_name = :model_name AND scope = :scope AND report_date <= :until ORDER BY report_date
    """)
    values = {"model_name": model_name, "scope": scope, "until": until}
    with engine.connect() as connection:
        return [DaySeverity(**row) for row in connection.execute(query, values).mappings()]


def newest_report_day(engine: Engine, model_name: str, scope: str) -> date | None:
    """The last day of a model and scope that has a report; None without any."""
    query = text("""
        SELECT max(report_date) FROM ml.drift_report WHERE model_name = :model_name AND scope = :scope
    """)
    with engine.connect() as connection:
        return connection.execute(query, {"model_name": model_name, "scope": scope}).scalar_one()


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


def told_incidents(engine: Engine, model_name: str, scope: str) -> list[ToldIncident]:
    """The incidents of a model and scope that Slack was told of, oldest first.

    Their keys are `drift:MODEL:SCOPE:DAY`, and that of an incident's end has `:recovery` after it.
    """
    query = text("""
        SELECT told.message_key, told.sent_at AS told_at,
               CAST(right(told.message_key, 10) AS date) AS opened_on,
               COALESCE(ended.state = 'sent', false) AS recovered
        FROM alerts.slack_message told
        LEFT JOIN alerts.slack_message ended ON ended.message_key = told.message_key || :ending
        WHERE told.kind = 'drift' AND told.state = 'sent'
          AND starts_with(told.message_key, :prefix)
          AND substr(told.message_key, length(:prefix) + 1) ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
        ORDER BY opened_on
    """)
    with engine.connect() as connection:
        found = connection.execute(
            query, {"prefix": f"drift:{model_name}:{scope}:", "ending": ":recovery"}
        ).mappings()
        return [ToldIncident(**row) for row in found]


def record_retrain_request(engine: Engine, model_name: str, scope: str, day: date, mode: str) -> None:
    """Keep that a retrain was asked for; asking again for the same day changes nothing."""
    query = text("""
        INSERT INTO ml.retrain_request (model_name, scope, day, mode)
        VALUES (:model_name, :scope, :day, :mode) ON CONFLICT DO NOTHING
    """)
    with engine.begin() as connection:
        connection.execute(query, {"model_name": model_name, "scope": scope, "day": day, "mode": mode})


def retrain_requests(engine: Engine, model_name: str, scope: str, since: date) -> list[date]:
    """The days from `since` on for which a retrain was asked for, oldest first."""
    query = text("""
        SELECT day FROM ml.retrain_request
        WHERE model_name = :model_name AND scope = :scope AND day >= :since ORDER BY day
    """)
    values = {"model_name": model_name, "scope": scope, "since": since}
    with engine.connect() as connection:
        return list(connection.execute(query, values).scalars())
