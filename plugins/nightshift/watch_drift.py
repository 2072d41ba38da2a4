"""What `drift_report` does, in functions of plain values: assess, keep, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from nightshift.train_model import FAMILY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy import Engine

    from include.config.drift import DriftThresholds
    from ml.drift.reference import Reference
    from ml.drift.windows import Window
    from ml.registry import KeptReport, RegisteredVersion

# Enough for a message; the report has them all.
_COLUMNS_NAMED = 10


def models_to_watch(scope: str) -> list[dict[str, str]]:
    """Each configured model with the scope, the CTR model first."""
    from include.config import thresholds

    families = sorted(thresholds().drift.models, key=lambda family: (family != FAMILY, family))
    return [{"family": family, "scope": scope} for family in families]


def assess(
    watched: dict[str, str], day: date, *, engine: Engine, tracking_uri: str, public_url: str
) -> dict[str, Any]:
    """Compare the newest days with what the champion learnt from; keep page, numbers and verdict.

    Args:
        watched: family of the model, and the scope: `all` or an account.
        day: last of the newest days.
        engine: the `nightshift` database.
        tracking_uri: of MLflow.
        public_url: of MLflow's pages, empty where unknown.

    Returns:
        family, scope, day, model_name, model_version, severity, observed_severity, decision, reason,
        drifted_columns, html_uri, report_url, summary, since (of what an update may learn from alone),
        incident (key of its message, None where none is open), tell (`incident`, `recovery` or empty).

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.config import thresholds
    from include.db.ml import DriftReport, record_drift_report
    from ml.drift.telling import as_json
    from ml.registry import champion, connect, model_name
    from nightshift.judge_drift import Watch, judged, no_champion
    from nightshift.tell_drift import incident_of

    limits = thresholds().drift
    family, scope = watched["family"], watched["scope"]
    name = model_name(family, scope)
    client = connect(tracking_uri)
    best = champion(client, name)
    if best is None:
        verdict, shown = no_champion(family, name, day, limits), None
    else:
        watch = Watch(engine, client, tracking_uri, family, scope, name, best, day, limits)
        verdict, shown = judged(watch)
    numbers = as_json(verdict)
    kept = _keep(client, name, scope, day, best, numbers, shown, limits)
    record_drift_report(
        engine,
        DriftReport(
            model_name=name,
            scope=scope,
            report_date=day,
            model_version=best.version if best else None,
            reference=verdict.reference,
            current=verdict.current,
            severity=verdict.severity.value,
            decision=verdict.decision.value,
            summary=numbers["summary"],
            numbers=numbers,
            html_uri=kept.html_uri or None,
        ),
    )
    incident = incident_of(engine, name, scope, day)
    base = public_url.rstrip("/")
    page = f"{base}/#/experiments/{kept.experiment_id}/runs/{kept.run_id}/artifacts" if base else ""
    drifted = [column["column"] for column in numbers["columns"] if column["drifted"]]
    return {
        "family": family,
        "scope": scope,
        "day": day.isoformat(),
        "model_name": name,
        "model_version": best.version if best else None,
        "severity": verdict.severity.value,
        "observed_severity": verdict.observed.value,
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "drifted_columns": drifted[:_COLUMNS_NAMED],
        "html_uri": kept.html_uri,
        "report_url": page,
        "summary": numbers["summary"],
        "since": (day - timedelta(days=limits.retrain.recent_days - 1)).isoformat(),
        "incident": incident.key if incident and incident.incident.is_open else None,
        "tell": incident.to_tell if incident else "",
    }


def tasks_to_do(assessed: Iterable[dict[str, Any]]) -> list[str]:
    """The tasks that follow from the verdicts of a run."""
    wanted = set()
    for each in assessed:
        if each["decision"] in ("incremental", "update"):
            wanted.add("retrain")
        if each["incident"] or each["tell"]:
            wanted.add("alert")
    return sorted(wanted) or ["no_action"]


def ask_for_retrain(assessed: Iterable[dict[str, Any]], *, engine: Engine) -> dict[str, Any]:
    """Note that a new CTR model is asked for, and say what the asset event that asks carries.

    Returns:
        scope, day, mode, reason, severity, incident, and the window: `since` is the first day of the rows
        that an update may learn from alone.

    Raises:
        LookupError: no verdict asks for one.
    """
    from include.db.drift import record_retrain_request

    for each in assessed:
        if each["family"] == FAMILY and each["decision"] in ("incremental", "update"):
            day = date.fromisoformat(each["day"])
            record_retrain_request(engine, each["model_name"], each["scope"], day, each["decision"])
            return {
                "scope": each["scope"],
                "day": each["day"],
                "mode": each["decision"],
                "reason": f"{each['severity']} drift on {each['day']}",
                "severity": each["severity"],
                "incident": each["incident"],
                "window": {"since": each["since"], "until": each["day"]},
            }
    raise LookupError("no verdict of this run asks for a new model")


def report(assessed: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the run came to: the worst verdict, and a sentence for each model."""
    from ml.drift.settings import Severity

    verdicts = list(assessed)
    worst = max(verdicts, key=lambda each: Severity(each["severity"]))
    told = {name: worst[name] for name in ("severity", "decision", "reason", "drifted_columns", "html_uri")}
    return {
        **told,
        "scope": worst["scope"],
        "day": worst["day"],
        "summary": " ".join(f"{each['model_name']}: {each['summary']}" for each in verdicts),
    }


def _keep(
    client: MlflowClient,
    name: str,
    scope: str,
    day: date,
    best: RegisteredVersion | None,
    numbers: dict[str, Any],
    shown: tuple[Reference, Window] | None,
    limits: DriftThresholds,
) -> KeptReport:
    from ml.drift.plot import drift_plot
    from ml.drift.report import render_report
    from ml.registry import log_drift_report

    picture = None
    if shown and numbers["columns"]:
        reference, current = shown
        by_name = {column.of.name: column.of for column in reference.plan.columns}
        picture = render_report(
            reference.sample,
            current.rows,
            [by_name[column["column"]] for column in numbers["columns"]],
            labels=(numbers["reference"], numbers["current"]),
            sample_rows=limits.sample_rows,
        )
    return log_drift_report(
        client,
        key=f"{name}:{scope}:{day}",
        title=f"{name} {day}",
        facts={
            "model_name": name,
            "model_version": str(best.version if best else ""),
            "scope": scope,
            "day": day.isoformat(),
            "severity": numbers["severity"],
            "decision": numbers["decision"],
            "sampled_rows": "/".join(map(str, picture.sampled_rows)) if picture else "",
            "mlflow.note.content": numbers["summary"],
        },
        numbers=numbers,
        evidently=picture.numbers if picture else None,
        html=picture.html if picture else None,
        plot=drift_plot(numbers) if numbers["columns"] else None,
    )
