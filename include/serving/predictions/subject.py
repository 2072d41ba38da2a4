"""Puts the part about predictions together from connections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
from redis.asyncio import Redis
from sqlalchemy import Engine

from include.config import Thresholds
from include.config.connections import ConnectionInfo
from include.serving.app import Subject
from include.serving.predictions.experiment_routes import experiment_router
from include.serving.predictions.log import PredictionLog
from include.serving.predictions.metrics import Metrics
from include.serving.predictions.models import ServedModels
from include.serving.predictions.precomputed import PrecomputedRates
from include.serving.predictions.predictor import Predictor
from include.serving.predictions.routes import metrics_router, prediction_router

if TYPE_CHECKING:
    from mlflow import MlflowClient


def prediction_subject(
    engine: Engine, tracking_uri: str, redis: ConnectionInfo | None, folder: Path, settings: Thresholds
) -> Subject:
    """Click rates of ads, experiments, and figures for Prometheus.

    Args:
        engine: the `nightshift` database.
        tracking_uri: MLflow's address.
        redis: where rates computed ahead lie; None computes all of them.
        folder: for served models and for lines of the log that wait.
        settings: all thresholds.
    """
    limits = settings.predictions
    models = ServedModels(tracking_uri, engine, settings, folder / "models")
    journal = PredictionLog(engine, folder / "predictions", limits)
    store = PrecomputedRates(_client(redis, limits.redis_timeout_ms / 1000), limits)
    metrics = Metrics()
    metrics.watch("nightshift_predictions_waiting", "Log lines in memory", lambda: float(journal.waiting))
    metrics.watch(
        "nightshift_predictions_spooled", "Files of log lines that wait", lambda: float(journal.spooled)
    )
    predictor = Predictor(models, store, journal, metrics, limits)

    def model() -> None:
        if not models.past_sought:
            raise RuntimeError("what ads and accounts did before has not been read yet")
        # A platform without any champion is young, not broken: the other subjects are served.
        if not models.current and models.trouble:
            raise RuntimeError(models.trouble)

    def start() -> None:
        models.start()
        journal.start()

    async def stop() -> None:
        await anyio.to_thread.run_sync(models.stop)
        await anyio.to_thread.run_sync(journal.close)
        await store.close()

    def registry() -> MlflowClient:
        from ml.registry import connect

        return connect(tracking_uri)

    return Subject(
        [
            prediction_router(predictor, limits),
            experiment_router(engine, registry, settings),
            metrics_router(predictor),
        ],
        {"model": model},
        start,
        stop,
    )


def _client(redis: ConnectionInfo | None, timeout_s: float) -> Redis | None:
    if redis is None:
        return None
    return Redis(
        host=redis.host,
        port=redis.port or 6379,
        password=redis.password or None,
        db=int(redis.extra.get("db", 0)),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )
