"""What `drift_report` does, in functions of plain values: assess, keep, and what follows from it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from nightshift.errors import NoPerformanceRows
from nightshift.train_model import FAMILY, ctr_settings, read_rows

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy import Engine

    from include.config.model import DriftThresholds
    from ml.drift import DriftAssessment, DriftSettings, Window
    from ml.features import FeatureFrame
    from ml.registry import RegisteredVersion

# Enough for a message; the report has them all.
_COLUMNS_NAMED = 10


def assess_scope(
    scope: str, day: date, *, engine: Engine, tracking_uri: str, public_url: str
) -> dict[str, Any]:
    """Compare the newest days with what the champion learnt from; keep page, numbers and verdict.

    Args:
        scope: `all` or an account.
        day: last of the newest days.
        engine: the `nightshift` database.
        tracking_uri: of MLflow.
        public_url: of MLflow's pages, empty where unknown.

    Returns:
        scope, day, model_name, model_version, severity, decision, drifted_columns, reference, current,
        html_uri, report_url, summary, and retrain_since: the day from which a new model should learn.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.config import thresholds
    from include.db.ml import DriftReport, record_drift_report
    from ml.drift import Severity
    from ml.drift.report import render_report
    from ml.registry import champion, connect, log_drift_report, model_name

    limits = thresholds().drift
    name = model_name(FAMILY, scope)
    client = connect(tracking_uri)
    best = champion(client, name)
    assessment, windows, retrain_since = _assess(engine, scope, day, name, best, limits)
    picture = None
    if windows and assessment.severity is not Severity.CANNOT_TELL:
        reference, current, columns = windows
        picture = render_report(
            reference, current, columns, sample_rows=limits.sample_rows, psi_drifted=limits.psi_drifted
        )
    version = best.version if best else None
    kept = log_drift_report(
        client,
        key=f"{name}:{scope}:{day}",
        title=f"{name} {day}",
        facts={
            "model_name": name,
            "model_version": str(version or ""),
            "scope": scope,
            "day": day.isoformat(),
            "severity": assessment.severity.value,
            "decision": assessment.decision.value,
            "sampled_rows": "/".join(map(str, picture.sampled_rows)) if picture else "",
            "mlflow.note.content": assessment.summary,
        },
        numbers=assessment.as_json(),
        evidently=picture.numbers if picture else None,
        html=picture.html if picture else None,
    )
    record_drift_report(
        engine,
        DriftReport(
            model_name=name,
            scope=scope,
            report_date=day,
            model_version=version,
            reference=assessment.reference,
            current=assessment.current,
            severity=assessment.severity.value,
            decision=assessment.decision.value,
            summary=assessment.summary,
            numbers=assessment.as_json(),
            html_uri=kept.html_uri or None,
        ),
    )
    base = public_url.rstrip("/")
    page = f"{base}/#/experiments/{kept.experiment_id}/runs/{kept.run_id}/artifacts" if base else ""
    return {
        "scope": scope,
        "day": day.isoformat(),
        "model_name": name,
        "model_version": version,
        "severity": assessment.severity.value,
        "decision": assessment.decision.value,
        "drifted_columns": list(assessment.drifted_columns[:_COLUMNS_NAMED]),
        "reference": assessment.reference,
        "current": assessment.current,
        "html_uri": kept.html_uri,
        "report_url": page,
        "summary": assessment.summary,
        "retrain_since": retrain_since.isoformat() if retrain_since else None,
    }


def actions(assessed: dict[str, Any]) -> list[str]:
    """The tasks that follow from a verdict. A retrain is told too, where its severity is worth a message."""
    from include.config import thresholds
    from ml.drift import Severity

    decision = assessed["decision"]
    tells = Severity(assessed["severity"]) >= Severity(thresholds().drift.alert_from)
    return ["retrain", "alert"] if decision == "retrain" and tells else [decision]


def retrain_request(assessed: dict[str, Any]) -> dict[str, Any]:
    """What the asset event that asks for a new model carries."""
    return {
        "scope": assessed["scope"],
        "day": assessed["day"],
        "reason": f"{assessed['severity']} drift on {assessed['day']}",
        "severity": assessed["severity"],
        "window": {"since": assessed["retrain_since"], "until": assessed["day"]},
    }


def post_drift_alert(
    assessed: dict[str, Any], *, engine: Engine, channel: Any, run_id: str, run_url: str
) -> bool:
    """Tell Slack about a verdict, once per model, scope and day. Returns whether it was posted now."""
    from include.alerts import post_once
    from include.alerts.drift import DriftAlert, drift_key, drift_message

    day = date.fromisoformat(assessed["day"])
    alert = DriftAlert(
        scope=assessed["scope"],
        day=day,
        model=f"{assessed['model_name']} v{assessed['model_version']}",
        severity=assessed["severity"],
        decision=assessed["decision"],
        summary=assessed["summary"],
        drifted=assessed["drifted_columns"],
        reference=assessed["reference"],
        current=assessed["current"],
        run_url=run_url,
        report_url=assessed["report_url"] or None,
    )
    posting = post_once(
        engine,
        channel,
        drift_key(alert.scope, day, assessed["model_name"]),
        drift_message(alert),
        kind="drift",
        dag_id="drift_report",
        run_id=run_id,
    )
    return posting.posted


def drift_settings(values: DriftThresholds) -> DriftSettings:
    """The assessment's settings from the thresholds file."""
    from ml.drift import DriftSettings, Ladder, Severity

    levels = ("low", "medium", "high", "critical")
    inputs, outcomes = (
        Ladder(*(getattr(values, f"{level}_{kind}") for level in levels)) for kind in ("share", "outcome")
    )
    return DriftSettings(
        min_rows=values.min_rows,
        psi_drifted=values.psi_drifted,
        false_discovery_rate=values.false_discovery_rate,
        inputs=inputs,
        outcomes=outcomes,
        alert_from=Severity(values.alert_from),
        retrain_from=Severity(values.retrain_from),
    )


def _assess(
    engine: Engine,
    scope: str,
    day: date,
    name: str,
    best: RegisteredVersion | None,
    limits: DriftThresholds,
) -> tuple[DriftAssessment, tuple[Window, Window, Any] | None, date | None]:
    """The verdict, what was compared, and from which day a new model should learn."""
    from ml.drift import assess_drift, cannot_tell, watched_ad_columns, windows_by_campaign, windows_by_date
    from ml.features import FeatureInputInvalid, build_ad_features

    if best is None:
        reason = (
            f"model '{name}' has no champion yet; run train_ctr_model, or give a version the alias in MLflow"
        )
        return cannot_tell(reason), None, None
    current = day - timedelta(days=limits.current_days - 1), day
    first, last = (best.tags.get(f"window_{end}") or "" for end in ("start", "end"))
    until = min(date.fromisoformat(last), current[0] - timedelta(days=1)) if last else current[0]
    since = until - timedelta(days=limits.reference_days - 1)
    if first:
        since = max(since, date.fromisoformat(first))
    if since > until:
        reason = (
            f"champion v{best.version} learnt from {first} to {last}, which leaves no day before {current[0]}"
        )
        return cannot_tell(reason), None, None
    try:
        rows = read_rows(engine, scope, since, day)
        since = _with_complete_lags(rows, since, until, limits.current_days)
        features = build_ad_features(rows, since)
    except (NoPerformanceRows, FeatureInputInvalid) as error:
        return cannot_tell(str(error)), None, None
    if features.dates is None:
        reference_window, current_window = windows_by_campaign(features)
        retrain_since = None
    else:
        reference_window, current_window = windows_by_date(
            features, reference=(since, until), current=current
        )
        retrain_since = _retrain_since(features, day, limits.retrain_days)
    columns = watched_ad_columns(features)
    assessment = assess_drift(reference_window, current_window, columns, drift_settings(limits))
    return assessment, (reference_window, current_window, columns), retrain_since


def _with_complete_lags(rows: DataFrame, since: date, until: date, least_days: int) -> date:
    """Start the reference where its lags are complete, if that leaves `least_days`.

    In an account's first weeks an ad's own past is short, and what is derived from it looks different.
    """
    import pandas as pd

    from ml.features.ads import LAG_DAYS

    first = rows["metric_date"].min()
    if pd.isna(first):
        return since
    complete = first.date() + timedelta(days=LAG_DAYS)
    return max(since, min(complete, until - timedelta(days=least_days - 1)))


def _retrain_since(features: FeatureFrame, day: date, days: int) -> date | None:
    """The first of the newest days if they hold enough to learn from, else None: everything is needed."""
    import numpy as np

    from include.config import thresholds
    from ml.ctr import TrainingDataInsufficient
    from ml.ctr.training import check_sufficient

    since = day - timedelta(days=days - 1)
    try:
        check_sufficient(
            features.take(features.dates >= np.datetime64(since, "D")), ctr_settings(thresholds().ctr)
        )
    except TrainingDataInsufficient:
        return None
    return since
