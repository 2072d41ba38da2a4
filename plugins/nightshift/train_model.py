"""What `train_ctr_model` does, in functions of plain values: plan, train and register, report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy import Engine

    from include.config.model import CtrThresholds
    from ml.ctr import CtrSettings

FAMILY = "ctr"


def plan_trainings(
    *, day: date, scope: str, reason: str, trigger: str, wanted: Sequence[dict[str, Any]], max_days: int
) -> list[dict[str, Any]]:
    """What to train in this run, one plan a scope.

    Args:
        day: last day of the data.
        scope, reason, trigger: of a run by hand or by the clock.
        wanted: what drift reports asked for, oldest first; where there are any, only they count, and of
            several for one scope the newest.
        max_days: longest window.

    Returns:
        Plans of scope, day, since, trigger and reason, with dates as text.
    """
    if not wanted:
        return [_plan(scope, day, day - timedelta(days=max_days - 1), trigger, reason)]
    newest = {str(want["scope"]): want for want in wanted}
    plans = []
    for want in newest.values():
        until = date.fromisoformat(want["day"])
        since = (want.get("window") or {}).get("since")
        plans.append(
            _plan(
                str(want["scope"]),
                until,
                date.fromisoformat(since) if since else until - timedelta(days=max_days - 1),
                "drift",
                str(want.get("reason") or ""),
            )
        )
    return plans


def train_and_register(
    plan: dict[str, Any], *, engine: Engine, tracking_uri: str, git_commit: str
) -> dict[str, Any]:
    """Read the rows, train, register, record. The same data and settings again find the version there is.

    Returns:
        scope, model_name, model_version, alias, rows, mae_pp, normalized_entropy, beats_constant, trained
        (whether a version was made now), run_id.

    Raises:
        NoPerformanceRows: the scope has no rows in the window.
        FeatureInputInvalid, TrainingDataInsufficient: the rows cannot be learnt from.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.config import thresholds
    from include.db.ml import TrainingRun, model_lock, record_training_run
    from ml.ctr import train_ctr
    from ml.features import build_ad_features
    from ml.registry import connect, find_registered, model_name, record_training, register, training_key

    scope, day = plan["scope"], date.fromisoformat(plan["day"])
    settings = ctr_settings(thresholds().ctr)
    name = model_name(FAMILY, scope)
    since = date.fromisoformat(plan["since"])
    features = build_ad_features(read_rows(engine, scope, since, day), since)
    key = training_key(
        model=name,
        fingerprint=features.fingerprint(),
        feature_set=features.feature_set,
        settings=settings.flat(),
    )
    client = connect(tracking_uri)
    with model_lock(engine, name):
        version = find_registered(client, name, key)
        trained = version is None
        if version is None:
            record = record_training(
                train_ctr(features, settings),
                features,
                key=key,
                model=name,
                scope=scope,
                settings=settings.flat(),
                trained_for=day,
                git_commit=git_commit,
                trigger=plan["trigger"],
                reason=plan["reason"],
            )
            version = register(client, record)
        first, last = version.tags.get("window_start"), version.tags.get("window_end")
        record_training_run(
            engine,
            TrainingRun(
                training_key=key,
                model_name=name,
                model_version=version.version,
                scope=scope,
                mlflow_run_id=version.run_id,
                trained_for=day,
                trigger=plan["trigger"],
                reason=plan["reason"],
                rows=len(features),
                window_start=date.fromisoformat(first) if first else None,
                window_end=date.fromisoformat(last) if last else None,
                metrics=version.metrics,
                alias=version.alias or None,
            ),
        )
    return {
        "scope": scope,
        "model_name": name,
        "model_version": version.version,
        "alias": version.alias,
        "rows": len(features),
        "mae_pp": _rounded(version.metrics.get("mae_pp")),
        "normalized_entropy": _rounded(version.metrics.get("normalized_entropy")),
        "beats_constant": version.tags.get("beats_constant") == "true",
        "trained": trained,
        "run_id": version.run_id,
    }


def training_report(trainings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One dict for the whole run: the numbers of the (usually only) training, and a sentence for each."""
    first = trainings[0]
    return {
        **{k: first[k] for k in ("mae_pp", "normalized_entropy", "model_name", "model_version", "alias")},
        "rows": sum(training["rows"] for training in trainings),
        "trained": any(training["trained"] for training in trainings),
        "summary": " ".join(_sentence(training) for training in trainings),
    }


def read_rows(engine: Engine, scope: str, since: date, until: date) -> DataFrame:
    """A scope's rows up to `until`, from so long before `since` that lags on `since` are complete.

    Raises:
        NoPerformanceRows: there are none.
    """
    from include.db.ads import read_performance
    from ml.features.ads import LAG_DAYS
    from nightshift.errors import NoPerformanceRows

    rows = read_performance(engine, scope, since - timedelta(days=LAG_DAYS), until)
    if rows.empty:
        raise NoPerformanceRows(
            f"scope '{scope}' has no performance rows from {since} to {until}: run meta_insights_etl for "
            "these days, import an export, or name another scope"
        )
    return rows


def ctr_settings(values: CtrThresholds) -> CtrSettings:
    """The training's settings from the thresholds file."""
    from ml.ctr import CtrSettings, XgboostSettings

    own = {
        name: getattr(values, name)
        for name in ("min_rows", "min_clicks", "test_share", "validation_share", "seed")
    }
    return CtrSettings(**own, xgboost=XgboostSettings(**values.xgboost.model_dump()))


def _plan(scope: str, day: date, since: date, trigger: str, reason: str) -> dict[str, Any]:
    return {
        "scope": scope,
        "day": day.isoformat(),
        "since": since.isoformat(),
        "trigger": trigger,
        "reason": reason,
    }


def _sentence(training: dict[str, Any]) -> str:
    name = f"{training['model_name']} v{training['model_version']}"
    called = f" ({training['alias']})" if training["alias"] else ""
    if not training["trained"]:
        return f"{name}{called} had been trained on exactly these {training['rows']:,} rows; nothing changed."
    better = "better than" if training["beats_constant"] else "NOT reliably better than"
    return (
        f"Trained {name}{called} on {training['rows']:,} rows: "
        f"click-rate error {training['mae_pp']:.4g} points, "
        f"normalised entropy {_text(training['normalized_entropy'])}, {better} the average."
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _text(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
