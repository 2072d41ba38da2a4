"""What `train_ctr_model` does, in functions of plain values: plan, train and register, report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from nightshift.update_model import keep_update, told, update_of, with_update

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pandas import DataFrame
    from sqlalchemy import Engine

    from include.config.ctr import CtrThresholds
    from ml.ctr import CtrSettings, CtrTraining, Rival
    from ml.features import FeatureFrame

FAMILY = "ctr"
DRIFT = "drift"

log = logging.getLogger(__name__)


def plan_trainings(
    *,
    day: date,
    scope: str,
    reason: str,
    trigger: str,
    wanted: Sequence[dict[str, Any]],
    max_days: int,
    mode: str = "full",
) -> list[dict[str, Any]]:
    """What to train in this run, one plan a scope.

    Args:
        day: last day of the data.
        scope, reason, trigger: of a run by hand or by the clock.
        wanted: what drift reports asked for, oldest first; where there are any, only they count, and of
            several for one scope the newest. Each names scope and day, and where it likes mode (`update` by
            default), reason, severity, incident and window, whose `since` is the first of the days that the
            strategy `retrain_recent` learns from.
        max_days: the window that is read.
        mode: `full`, `update`, `incremental` or `niche`, of a run by hand; a drift report names its own.

    Returns:
        Plans of scope, day, since, recent_since, trigger, reason, mode, severity and incident, with dates as
        text; recent_since, severity and incident may be None.
    """
    if not wanted:
        return [_plan(scope, day, max_days, trigger, reason, mode)]
    # Events of several days may have waited; whatever their order, the newest day holds the others' rows.
    newest = {str(want["scope"]): want for want in sorted(wanted, key=lambda want: want["day"])}
    return [
        _plan(
            str(want["scope"]),
            date.fromisoformat(want["day"]),
            max_days,
            DRIFT,
            str(want.get("reason") or ""),
            str(want.get("mode") or "update"),
            recent_since=(want.get("window") or {}).get("since"),
            severity=want.get("severity"),
            incident=want.get("incident"),
        )
        for want in newest.values()
    ]


def train_and_register(
    plan: dict[str, Any], *, engine: Engine, tracking_uri: str, git_commit: str
) -> dict[str, Any]:
    """Read the rows, train, register, record. The same data and settings again find the version there is.

    Returns:
        scope, day, model_name, model_version, alias, rows, mae_pp, normalized_entropy, beats_constant,
        trained (whether a version was made now), run_id, mode, gates, outcome (a sentence where nothing was
        made, or what people should know), severity and incident of the plan, and update: what a tournament
        said (see `nightshift.update_model.told`), None where none was held.

    Raises:
        NoPerformanceRows: the scope has no rows in the window.
        FeatureInputInvalid, TrainingDataInsufficient, LeakageFound: the rows cannot be learnt from.
        ContinuationRefused: there is no champion to go on from, or too few newer rows. Where drift asked, too
            few rows are an outcome and no failure.
        ParityFailed: the exported bundle is not the model; nothing was registered.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.config import thresholds
    from include.db.ml import TrainingRun, model_lock, record_training_run
    from ml.features import build_ad_features
    from ml.registry import connect, find_registered, model_name, record_training, register, training_key

    scope, day, mode = plan["scope"], date.fromisoformat(plan["day"]), plan["mode"]
    settings = ctr_settings(thresholds().ctr)
    name = model_name(FAMILY, scope)
    since = date.fromisoformat(plan["since"])
    rows = read_rows(engine, scope, since, day)
    refuse_peeking(rows, settings.seed)
    features = build_ad_features(rows, since)
    client = connect(tracking_uri)
    with model_lock(engine, name):
        rival = _rival(client, tracking_uri, name)
        # The recent days are another choice a training depends on.
        flat = settings.flat() | ({"recent_since": plan["recent_since"] or ""} if mode == "update" else {})
        key = training_key(
            model=name,
            fingerprint=features.fingerprint(),
            feature_set=features.feature_set,
            settings=flat,
            mode=mode,
            parent=rival.version if rival else None,
        )
        version = find_registered(client, name, key)
        trained = version is None
        if version is None:
            placements = _placements(engine, scope, day, settings)
            training, outcome, update = _train(plan, features, settings, rival, placements)
            if training is None:
                if update:
                    keep_update(engine, plan, name, update, None)
                return _nothing_made(plan, name, rival, len(features), outcome, update)
            record = record_training(
                training,
                features,
                key=key,
                model=name,
                scope=scope,
                settings=flat,
                trained_for=day,
                git_commit=git_commit,
                trigger=plan["trigger"],
                reason=plan["reason"],
            )
            version = register(client, with_update(record, update) if update else record)
        update = update_of(version)
        if update:
            keep_update(engine, plan, name, update, version.version)
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
        "day": plan["day"],
        "model_name": name,
        "model_version": version.version,
        "alias": version.alias,
        "rows": len(features),
        "mae_pp": _rounded(version.metrics.get("mae_pp")),
        "normalized_entropy": _rounded(version.metrics.get("normalized_entropy")),
        "beats_constant": version.tags.get("beats_constant") == "true",
        "trained": trained,
        "run_id": version.run_id,
        "mode": mode,
        "gates": version.tags.get("gates", ""),
        "outcome": version.tags.get("note", ""),
        "update": update,
        "severity": plan["severity"],
        "incident": plan["incident"],
    }


def refuse_peeking(rows: DataFrame, seed: int) -> None:
    """See to it that no feature knows its own day's outcome.

    Raises:
        LeakageFound: names the features.
    """
    from ml.ctr import LeakageFound
    from ml.features import build_ad_features
    from ml.features.peeking import peeking_features

    if found := peeking_features(build_ad_features, rows, seed):
        raise LeakageFound(
            f"feature(s) {', '.join(found)} change when only their own day's outcomes and later ones do: the "
            "model would be told what it has to predict; correct them in ml/features/ads.py"
        )


def _train(
    plan: dict[str, Any],
    features: FeatureFrame,
    settings: CtrSettings,
    rival: Rival | None,
    placements: DataFrame,
) -> tuple[CtrTraining | None, str, dict[str, Any] | None]:
    """A training, or why there is none; and the tournament of updates, where one was held."""
    from ml import ctr

    mode = plan["mode"]
    if mode == "full":
        return ctr.train_ctr(features, settings, rival, placements), "", None
    if rival is None:
        raise ctr.ContinuationRefused(
            "there is no champion to go on from (or it was made by older code): train in mode full first"
        )
    try:
        if mode == "niche":
            grown = ctr.train_niches(rival, features, settings, placements)
            return grown.training, grown.reason, None
        since = plan["recent_since"]
        held = ctr.run_tournament(
            rival,
            features,
            settings,
            ctr.UPDATE if mode == "update" else ctr.INCREMENTAL,
            date.fromisoformat(since) if since else None,
            placements,
        )
    except ctr.NothingNewer as error:
        return None, str(error), None
    except ctr.ContinuationRefused as error:
        # Whoever asks by hand wants to know at once; drift asks again when there is more to see.
        if plan["trigger"] != DRIFT:
            raise
        return None, f"v{rival.version} stays: {error}", None
    return held.training, held.sentence, told(held)


def _rival(client: MlflowClient, tracking_uri: str, name: str) -> Rival | None:
    """The champion with its model; None where there is none that this code can read."""
    from ml.ctr import ModelFilesInvalid, Rival
    from ml.registry import champion, load_ctr_model

    best = champion(client, name)
    if best is None:
        return None
    try:
        model = load_ctr_model(tracking_uri, best.uri)
    except ModelFilesInvalid as error:
        log.warning("champion v%s is not compared with: %s", best.version, error)
        return None
    last = best.tags.get("window_end")
    return Rival(model, best.version, date.fromisoformat(last) if last else None)


def _placements(engine: Engine, scope: str, day: date, settings: CtrSettings) -> DataFrame:
    """Cells by placement of the days that the model will be judged by, and a few more."""
    from include.config import thresholds
    from include.db.ads import read_placements

    days = round(thresholds().ctr.max_training_days * settings.test_share) + 1
    return read_placements(engine, scope, day - timedelta(days=days), day)


def _nothing_made(
    plan: dict[str, Any],
    name: str,
    rival: Rival | None,
    rows: int,
    outcome: str,
    update: dict[str, Any] | None,
) -> dict[str, Any]:
    return {
        "scope": plan["scope"],
        "day": plan["day"],
        "model_name": name,
        "model_version": rival.version if rival else None,
        "alias": "champion" if rival else "",
        "rows": rows,
        "mae_pp": None,
        "normalized_entropy": None,
        "beats_constant": None,
        "trained": False,
        "run_id": "",
        "mode": plan["mode"],
        "gates": "",
        "outcome": outcome,
        "update": update,
        "severity": plan["severity"],
        "incident": plan["incident"],
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
    """A scope's rows up to `until`, from so long before `since` that lags on `since` are complete, with what
    `ctr.mined_features` names (of their own day) and `ctr.pipeline_features` (before it).

    Raises:
        NoPerformanceRows: there are none.
    """
    from include.config import thresholds
    from include.db.ads import read_performance
    from ml.features.ads import LAG_DAYS
    from nightshift.errors import NoPerformanceRows
    from nightshift.mine_features import with_mined
    from nightshift.pipeline_source import with_deals

    rows = read_performance(engine, scope, since - timedelta(days=LAG_DAYS), until)
    if rows.empty:
        raise NoPerformanceRows(
            f"scope '{scope}' has no performance rows from {since} to {until}: run meta_insights_etl for "
            "these days, import an export, or name another scope"
        )
    rows = with_mined(rows, thresholds().ctr.mined_features, engine=engine, scope=scope)
    return with_deals(rows, thresholds().ctr.pipeline_features, engine=engine)


def ctr_settings(values: CtrThresholds) -> CtrSettings:
    """The training's settings from the thresholds file."""
    from ml import ctr

    own = {
        name: getattr(values, name)
        for name in ("min_rows", "min_clicks", "test_share", "validation_share", "seed")
    }
    forms = {
        "xgboost": ctr.XgboostSettings,
        "lightgbm": ctr.LightgbmSettings,
        "mlp": ctr.MlpSettings,
        "ensemble": ctr.EnsembleSettings,
        "niche": ctr.NicheSettings,
        "incremental": ctr.IncrementalSettings,
        "gates": ctr.GateSettings,
    }
    parts = {name: form(**getattr(values, name).model_dump()) for name, form in forms.items()}
    return ctr.CtrSettings(**own, **parts)


def _plan(
    scope: str,
    day: date,
    days: int,
    trigger: str,
    reason: str,
    mode: str,
    *,
    recent_since: str | None = None,
    severity: str | None = None,
    incident: str | None = None,
) -> dict[str, Any]:
    return {
        "scope": scope,
        "day": day.isoformat(),
        "since": (day - timedelta(days=days - 1)).isoformat(),
        "recent_since": recent_since,
        "trigger": trigger,
        "reason": reason,
        "mode": mode,
        "severity": severity,
        "incident": incident,
    }


def _sentence(training: dict[str, Any]) -> str:
    name = f"{training['model_name']} v{training['model_version']}"
    called = f" ({training['alias']})" if training["alias"] else ""
    if not training["run_id"]:
        return f"Mode {training['mode']} made no version of {training['model_name']}: {training['outcome']}."
    if not training["trained"]:
        return f"{name}{called} had been trained on exactly these {training['rows']:,} rows; nothing changed."
    better = "better than" if training["beats_constant"] else "NOT reliably better than"
    update = training["update"]
    return (
        f"Trained {name}{called} on {training['rows']:,} rows: "
        f"click-rate error {training['mae_pp']:.4g} points, "
        f"normalised entropy {_text(training['normalized_entropy'])}, {better} the average."
        + (f" Update: {update['outcome']}." if update else "")
        + (f" Note: {training['outcome']}." if training["outcome"] else "")
        + (f" It fails its gates: {training['gates']}." if training["gates"] not in ("", "passed") else "")
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _text(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
