"""Queries of the `ml` context: what was trained, and how far the data has moved since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine, text

# Any constant will do, as long as nobody else in this database locks on the pair of it and a name's hash.
_LOCK_CLASS = 7_264


@dataclass(frozen=True)
class TrainingRun:
    """One trained version, as `ml.training_run` keeps it."""

    training_key: str
    model_name: str
    model_version: int
    scope: str
    mlflow_run_id: str
    trained_for: date
    trigger: str
    reason: str
    rows: int
    window_start: date | None
    window_end: date | None
    metrics: dict[str, float]
    alias: str | None


@dataclass(frozen=True)
class DriftReport:
    """One day's verdict, as `ml.drift_report` keeps it.

    Attributes:
        severity: none, low, medium, high, critical or cannot_tell.
        decision: no_action, alert or retrain.
        numbers: everything measured.
        html_uri: MLflow URI of the page, None where there is none.
    """

    model_name: str
    scope: str
    report_date: date
    model_version: int | None
    reference: str
    current: str
    severity: str
    decision: str
    summary: str
    numbers: dict[str, Any]
    html_uri: str | None


@contextmanager
def model_lock(engine: Engine, model_name: str) -> Iterator[None]:
    """Hold the right to register versions of one model; whoever comes second waits.

    MLflow has no unique keys, so two processes that register the same training at once would make two
    versions. The lock belongs to a database session and ends with the process.
    """
    key = {"class": _LOCK_CLASS, "number": _lock_number(model_name)}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:class, :number)"), key)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:class, :number)"), key)


def training_in_progress(engine: Engine, model_name: str) -> bool:
    """Whether somebody holds the `model_lock` of a model right now. Looking takes no lock."""
    query = text("""
        SELECT EXISTS (
            SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
            WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND datname = current_database()
              AND classid = CAST(:class AS oid) AND objid = CAST(:number AS oid))
    """)
    # PostgreSQL shows the two halves of the key without a sign.
    key = {"class": _LOCK_CLASS, "number": _lock_number(model_name) % 2**32}
    with engine.connect() as connection:
        return bool(connection.execute(query, key).scalar_one())


def record_training_run(engine: Engine, run: TrainingRun) -> None:
    """Keep a training. The same training again changes only what the registry says of it now.

    A row of the same version with another key is from a registry that has been thrown away since, and goes.
    """
    values = {**vars(run), "metrics": json.dumps(run.metrics)}
    with engine.begin() as connection:
        connection.execute(
            text("""
                DELETE FROM ml.training_run
                WHERE model_name = :model_name AND model_version = :model_version
                  AND training_key <> :training_key
            """),
            values,
        )
        connection.execute(
            text("""
                INSERT INTO ml.training_run AS stored (
                    training_key, model_name, model_version, scope, mlflow_run_id, trained_for, trigger,
                    reason, rows, window_start, window_end, metrics, alias)
                VALUES (:training_key, :model_name, :model_version, :scope, :mlflow_run_id, :trained_for,
                        :trigger, :reason, :rows, :window_start, :window_end, CAST(:metrics AS jsonb), :alias)
                ON CONFLICT (training_key) DO UPDATE
                SET model_version = EXCLUDED.model_version, mlflow_run_id = EXCLUDED.mlflow_run_id,
                    metrics = EXCLUDED.metrics, alias = EXCLUDED.alias
                WHERE (stored.model_version, stored.mlflow_run_id, stored.metrics, stored.alias)
                      IS DISTINCT FROM
                      (EXCLUDED.model_version, EXCLUDED.mlflow_run_id, EXCLUDED.metrics, EXCLUDED.alias)
            """),
            values,
        )


def training_runs(engine: Engine, scope: str | None = None, limit: int = 100) -> list[TrainingRun]:
    """Trainings of one scope, or of all, newest first."""
    query = text("""
        SELECT training_key, model_name, model_version, scope, mlflow_run_id, trained_for, trigger, reason,
               rows, window_start, window_end, metrics, alias
        FROM ml.training_run WHERE CAST(:scope AS text) IS NULL OR scope = :scope
        ORDER BY trained_at DESC, model_version DESC LIMIT :limit
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"scope": scope, "limit": limit}).mappings()
        return [TrainingRun(**row) for row in found]


def record_drift_report(engine: Engine, report: DriftReport) -> None:
    """Keep a day's verdict. Assessing the day again replaces it."""
    values = {**vars(report), "numbers": json.dumps(report.numbers, allow_nan=False)}
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO ml.drift_report AS stored (
                    model_name, scope, report_date, model_version, reference, current, severity, decision,
                    summary, numbers, html_uri)
                VALUES (:model_name, :scope, :report_date, :model_version, :reference, :current, :severity,
                        :decision, :summary, CAST(:numbers AS jsonb), :html_uri)
                ON CONFLICT (model_name, scope, report_date) DO UPDATE
                SET model_version = EXCLUDED.model_version, reference = EXCLUDED.reference,
                    current = EXCLUDED.current, severity = EXCLUDED.severity, decision = EXCLUDED.decision,
                    summary = EXCLUDED.summary, numbers = EXCLUDED.numbers, html_uri = EXCLUDED.html_uri,
                    assessed_at = now()
                WHERE (stored.model_version, stored.severity, stored.decision, stored.summary, stored.numbers,
                       stored.html_uri)
                      IS DISTINCT FROM
                      (EXCLUDED.model_version, EXCLUDED.severity, EXCLUDED.decision, EXCLUDED.summary,
                       EXCLUDED.numbers, EXCLUDED.html_uri)
            """),
            values,
        )


def drift_reports(
    engine: Engine, *, since: date | None = None, until: date | None = None, scope: str | None = None
) -> list[DriftReport]:
    """Verdicts of the days from `since` to `until` (both inclusive, None is open), newest first."""
    query = text("""
        SELECT model_name, scope, report_date, model_version, reference, current, severity, decision, summary,
               numbers, html_uri
        FROM ml.drift_report
        WHERE report_date BETWEEN COALESCE(CAST(:since AS date), '-infinity')
                              AND COALESCE(CAST(:until AS date), 'infinity')
          AND (CAST(:scope AS text) IS NULL OR scope = :scope)
        ORDER BY report_date DESC, model_name, scope
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"since": since, "until": until, "scope": scope}).mappings()
        return [DriftReport(**row) for row in found]


def _lock_number(model_name: str) -> int:
    return int.from_bytes(hashlib.sha256(model_name.encode()).digest()[:4], signed=True)
