"""What the DAG `train_pipeline_value` does, in functions of plain values: train, register, report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from nightshift.pipeline_source import FAMILY, SCOPE, beginning_of, pipeline_settings

if TYPE_CHECKING:
    import numpy as np
    from sqlalchemy import Engine

    from ml.features.pipeline_frames import CrmFrames


def train_and_register_pipeline(
    *, day: date, reason: str, trigger: str, engine: Engine, tracking_uri: str, git_commit: str
) -> dict[str, Any]:
    """Read the deals, train, judge, register, record. The same deals and settings find the version there
    is.

    Args:
        day: everything before it is learnt from.
        reason: why, in a few words.
        trigger: what started it, for the record.
        engine, tracking_uri, git_commit: where, and by which code.

    Returns:
        model_name, model_version, alias, trained (whether a version was made now), deals, mape_campaign,
        mape_stage_table, mape_last_month, coverage, gates, left_out (deals without a history) and
        outcome (a sentence where nothing was made).

    Raises:
        CrmInputInvalid: the rows cannot be learnt from.
        DealsLeak: a feature knows what it has to predict; nothing was registered.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.config import thresholds
    from include.db.ml import TrainingRun, model_lock, record_training_run
    from include.db.pipeline import left_out, read_frames
    from ml.features.pipeline import FEATURE_SET
    from ml.pipeline_value import TooFewDeals, fingerprint, train_pipeline
    from ml.registry import (
        connect,
        find_registered,
        model_name,
        record_pipeline_training,
        register,
        training_key,
    )

    settings, name, at = (
        pipeline_settings(thresholds().pipeline_value),
        model_name(FAMILY, SCOPE),
        beginning_of(day),
    )
    frames = read_frames(engine).known(at)
    skipped = left_out(engine)
    flat = settings.flat()
    data = fingerprint(frames)
    # The day counts: an open deal that was silent since is a day older.
    key = training_key(
        model=name, fingerprint=data, feature_set=FEATURE_SET, settings=flat | {"day": day.isoformat()}
    )
    client = connect(tracking_uri)
    with model_lock(engine, name):
        version = find_registered(client, name, key)
        trained = version is None
        if version is None:
            try:
                refuse_leaks(frames, at, settings.horizon_days, settings.seed)
                training = train_pipeline(frames, at, settings)
            except TooFewDeals as error:
                return _nothing_made(name, len(frames.deals), skipped, str(error))
            record = record_pipeline_training(
                training,
                key=key,
                model=name,
                scope=SCOPE,
                settings=flat,
                data_fingerprint=data,
                trained_for=day,
                git_commit=git_commit,
                trigger=trigger,
                reason=reason,
            )
            version = register(client, record)
        record_training_run(
            engine,
            TrainingRun(
                training_key=key,
                model_name=name,
                model_version=version.version,
                scope=SCOPE,
                mlflow_run_id=version.run_id,
                trained_for=day,
                trigger=trigger,
                reason=reason,
                rows=len(frames.deals),
                window_start=date.fromisoformat(version.tags["window_start"]),
                window_end=date.fromisoformat(version.tags["window_end"]),
                metrics=version.metrics,
                alias=version.alias or None,
            ),
        )
    figures = ("mape_campaign", "mape_stage_table", "mape_last_month", "coverage")
    return {
        "model_name": name,
        "model_version": version.version,
        "alias": version.alias,
        "trained": trained,
        "deals": len(frames.deals),
        **{figure: _rounded(version.metrics.get(figure)) for figure in figures},
        "gates": version.tags.get("gates", ""),
        "left_out": skipped,
        "outcome": "",
    }


def refuse_leaks(frames: CrmFrames, at: np.datetime64, horizon_days: int, seed: int) -> None:
    """See to it that features of deals do not know what came after their moment.

    Raises:
        DealsLeak: names the features.
    """
    import numpy as np

    from ml.features.pipeline import deal_features, open_moments, prepare
    from ml.features.pipeline_peeking import peeking_deal_features
    from ml.pipeline_value import DealsLeak

    def build(known: CrmFrames, moment: np.datetime64) -> Any:
        histories = prepare(known)
        return deal_features(histories, *open_moments(histories, moment))

    earlier = at - np.timedelta64(horizon_days, "D")
    if not (frames.deals["created_at"].to_numpy() <= earlier).any():
        return
    if found := peeking_deal_features(build, frames, earlier, seed):
        raise DealsLeak(
            f"feature(s) {', '.join(found)} of deals change when only what happened later does: "
            "the model would be "
            "told what it has to predict; correct them in ml/features/pipeline.py"
        )


def pipeline_training_report(trained: Mapping[str, Any]) -> dict[str, Any]:
    """What the run did, and a sentence of it."""
    return {**trained, "summary": _sentence(trained)}


def _nothing_made(name: str, deals: int, skipped: int, outcome: str) -> dict[str, Any]:
    empty = ("model_version", "mape_campaign", "mape_stage_table", "mape_last_month", "coverage")
    return {
        "model_name": name,
        "alias": "",
        "trained": False,
        "deals": deals,
        "gates": "",
        "left_out": skipped,
        "outcome": outcome,
        **dict.fromkeys(empty),
    }


def _sentence(trained: Mapping[str, Any]) -> str:
    skipped = (
        f" {trained['left_out']:,} deals have no history yet and were left out."
        if trained["left_out"]
        else ""
    )
    if trained["outcome"]:
        return f"No version of {trained['model_name']} was made: {trained['outcome']}.{skipped}"
    name = f"{trained['model_name']} v{trained['model_version']}"
    called = f" ({trained['alias']})" if trained["alias"] else ""
    if not trained["trained"]:
        return f"{name}{called} had been trained on exactly these deals; nothing changed.{skipped}"
    return (
        f"Trained {name}{called} on {trained['deals']:,} deals: campaigns missed by "
        f"{trained['mape_campaign']:.1%}, "
        f"against {trained['mape_stage_table']:.1%} by the stage table and "
        f"{trained['mape_last_month']:.1%} by last "
        "month's close rate."
        + (f" It fails its gates: {trained['gates']}." if trained["gates"] not in ("", "passed") else "")
        + skipped
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
