"""Queries about the reports on which mined features earn their place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine, text


@dataclass(frozen=True)
class KeptFeatureReport:
    """A report as it is kept.

    Attributes:
        target: `ctr` or `conversion`.
        numbers: all of it, as JSON values.
    """

    report_date: date
    target: str
    summary: str
    numbers: dict[str, Any]


def record_feature_report(engine: Engine, report: KeptFeatureReport) -> None:
    """Keep a report; the same day and target again replaces it."""
    query = text("""
        INSERT INTO ml.feature_report AS stored (report_date, target, summary, numbers)
        VALUES (:report_date, :target, :summary, CAST(:numbers AS jsonb))
        ON CONFLICT (report_date, target) DO UPDATE
        SET summary = EXCLUDED.summary, numbers = EXCLUDED.numbers, created_at = now()
        WHERE (stored.summary, stored.numbers) IS DISTINCT FROM (EXCLUDED.summary, EXCLUDED.numbers)
    """)
    values = {
        "report_date": report.report_date,
        "target": report.target,
        "summary": report.summary,
        "numbers": json.dumps(report.numbers, allow_nan=False),
    }
    with engine.begin() as connection:
        connection.execute(query, values)


def newest_feature_reports(engine: Engine) -> list[KeptFeatureReport]:
    """The newest report of each target, by the target's name."""
    query = text("""
        SELECT DISTINCT ON (target) report_date, target, summary, numbers FROM ml.feature_report
        ORDER BY target, report_date DESC
    """)
    with engine.connect() as connection:
        return [KeptFeatureReport(**row) for row in connection.execute(query).mappings()]


def last_judged(engine: Engine, until: date) -> date | None:
    """The last day up to `until` that has a report; None without any."""
    query = text("SELECT max(report_date) FROM ml.feature_report WHERE report_date <= :until")
    with engine.connect() as connection:
        return connection.execute(query, {"until": until}).scalar_one()
