"""What `warm_caches` does for the prediction service: rates that will probably be asked, put into Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Engine

MODEL = "ctr"


def compute_predictions(*, engine: Engine, tracking_uri: str, day: date) -> dict[str, Any]:
    """Compute ahead for the champion and the challenger of the model for all accounts.

    Returns:
        rows, written, summary.

    Raises:
        RedisUnavailable: Redis did not answer; what was written stays.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from redis.exceptions import RedisError

    from include.config import thresholds
    from include.db.experiments import running_experiments
    from include.serving.predictions.ahead import VersionToWarm, compute_ahead
    from ml.ctr.bundle_runtime import Bundle
    from ml.registry import CHALLENGER, CHAMPION, aliases_of, connect, fetch_bundle
    from nightshift.connections import redis_client
    from nightshift.errors import RedisUnavailable

    held = aliases_of(connect(tracking_uri), MODEL)
    numbers = sorted(
        {
            *(held[alias] for alias in (CHAMPION, CHALLENGER) if alias in held),
            *(test.challenger_version for test in running_experiments(engine) if test.model_name == MODEL),
        }
    )
    if not numbers:
        return _nothing("no model is champion yet: no predictions to compute ahead")
    client = redis_client()
    if client is None:
        return _nothing("connection redis_default is not set: predictions are computed when they are asked")
    versions = [
        VersionToWarm(MODEL, number, Bundle(fetch_bundle(tracking_uri, f"models:/{MODEL}/{number}")))
        for number in numbers
    ]
    try:
        with client:
            warmed = compute_ahead(engine, client, versions, day, thresholds())
    except RedisError as error:
        raise RedisUnavailable(
            f"Redis did not take the predictions ({type(error).__name__}): see connection redis_default; it "
            "is tried again, and the service computes meanwhile"
        ) from error
    return {
        "rows": warmed.rows,
        "written": warmed.written,
        "summary": f"{warmed.rows:,} predictions computed ahead for {' and '.join(warmed.versions)}",
    }


def _nothing(why: str) -> dict[str, Any]:
    return {"rows": 0, "written": 0, "summary": why}
