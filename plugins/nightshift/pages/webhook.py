"""Where MLflow tells that an alias moved: the one address without Airflow's login, kept by a signature.

What comes in is only ever a reason to look: `watch_registry` asks MLflow itself what its aliases are.
"""

from __future__ import annotations

import hmac
import json
import os
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, status

from include.config import thresholds
from ml.registry.webhooks import signature
from nightshift.assets import ALIAS_MOVED
from nightshift.watch_aliases import WEBHOOK_SECRET

LARGEST_BODY = 65_536


def create_app() -> FastAPI:
    """The application. Its one route answers 202 when a run of `watch_registry` is on its way."""
    app = FastAPI(title="Nightshift for MLflow", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/webhook", status_code=status.HTTP_202_ACCEPTED)
    def alias_moved(event: Annotated[dict[str, Any], Depends(signed_event)]) -> dict[str, bool]:
        if event.get("entity") != "model_version_alias":
            return {"looked_at": False}
        data = event.get("data")
        told = {name: str(data.get(name))[:250] for name in ("name", "alias", "version")} if data else {}
        register_event({**told, "action": str(event.get("action"))[:50], "from": "MLflow's webhook"})
        return {"looked_at": True}

    return app


async def signed_event(request: Request) -> dict[str, Any]:
    """What MLflow sent, if it did.

    Raises:
        HTTPException: 503 without a secret of ours, 413 for a body no event of MLflow has, 401 for a
            signature that is missing, wrong or old, 400 for what is no JSON object.
    """
    secret = os.environ.get(WEBHOOK_SECRET)
    if not secret:
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE, f"{WEBHOOK_SECRET} is not set: MLflow's word is not taken"
        )
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, "no event of MLflow is this large")
    told = {
        name: request.headers.get(f"x-mlflow-{name}", "")
        for name in ("signature", "delivery-id", "timestamp")
    }
    expected = signature(secret, told["delivery-id"], told["timestamp"], body)
    # The same answer for every reason.
    if not hmac.compare_digest(expected.encode(), told["signature"].encode()) or not _is_fresh(
        told["timestamp"]
    ):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "signature missing, wrong, or too old")
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("data", {}), dict | None):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "not an event of MLflow")
    return event


def register_event(extra: dict[str, str]) -> None:
    """Have Airflow know that an alias moved, as its own API does it.

    Raises:
        HTTPException: 503 where Airflow has not parsed the DAGs yet.
    """
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        asset = session.scalar(select(AssetModel).where(AssetModel.uri == ALIAS_MOVED.uri).limit(1))
        registered = asset and asset_manager.register_asset_change(
            asset=asset,
            timestamp=datetime.now(UTC),
            extra=extra,
            source_is_api=True,
            api_user_teams=set(),
            session=session,
        )
    if not registered:
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE, f"Airflow does not know {ALIAS_MOVED.uri} yet: try again"
        )


def _is_fresh(timestamp: str) -> bool:
    try:
        age = time.time() - int(timestamp)
    except ValueError:
        return False
    return abs(age) <= thresholds().promotion.webhook_tolerance_s
