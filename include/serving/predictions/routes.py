"""Click rates over HTTP: one row, or many."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request, Response, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from include.config.predictions import PredictionThresholds
from include.serving.errors import Kind, Problem, Refused, documented
from include.serving.keys import Caller
from include.serving.predictions.bodies import EXAMPLES, Many, One, Prediction, Predictions, Row
from include.serving.predictions.models import FAMILY
from include.serving.predictions.predictor import Asked, ModelNotServed, Predicted, Predictor

log = logging.getLogger(__name__)

KEYS = [Security(APIKeyHeader(name="x-api-key", auto_error=False)), Security(HTTPBearer(auto_error=False))]


def caller_of(request: Request) -> Caller:
    """Whom the door let in."""
    caller: Caller = request.state.caller
    return caller


def prediction_router(predictor: Predictor, limits: PredictionThresholds) -> APIRouter:
    """`/api/predictions`."""
    router = APIRouter(prefix="/api/predictions", tags=["predictions"], dependencies=KEYS)
    refusals = documented(
        Kind.UNAUTHORIZED,
        Kind.FORBIDDEN,
        Kind.NOT_FOUND,
        Kind.TOO_LARGE,
        Kind.MEDIA_TYPE,
        Kind.INVALID,
        Kind.BUSY,
        Kind.UNAVAILABLE,
    )

    @router.post("/ctr", summary="The click rate of one ad", responses=refusals)
    async def one(
        asked: Annotated[One, Body(openapi_examples=EXAMPLES)], caller: Annotated[Caller, Depends(caller_of)]
    ) -> Prediction:
        """Its probable clicks per impression, by the version that is champion now.

        While an experiment runs, a fixed share of the accounts (or requests) is answered by the challenger;
        the same one always meets the same arm.
        """
        _check(caller, asked.model, [asked], "")
        (answer,) = await _predicted(predictor, asked.model, [asked])
        return _told(asked.model, answer)

    @router.post("/ctr/batch", summary="The click rates of many ads", responses=refusals)
    async def many(asked: Many, caller: Annotated[Caller, Depends(caller_of)]) -> Predictions:
        """All of them, in the order of the rows, or none."""
        if len(asked.rows) > limits.rows_per_call:
            raise Refused(
                Kind.INVALID,
                f"a call may have {limits.rows_per_call:,} rows, this one has {len(asked.rows):,}; send it "
                "in several calls",
            )
        _check(caller, asked.model, asked.rows, "rows[{}].")
        answers = await _predicted(predictor, asked.model, asked.rows)
        return Predictions(predictions=[_told(asked.model, answer) for answer in answers])

    return router


def metrics_router(predictor: Predictor) -> APIRouter:
    """`/metrics`, for Prometheus."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    def metrics() -> Response:
        page = predictor.metrics.page(predictor.models.current)
        return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _check(caller: Caller, model: str, rows: Sequence[Row], where: str) -> None:
    owner = model.removeprefix(f"{FAMILY}_")
    if owner != model and not caller.may_ask_for(owner):
        raise Refused(Kind.FORBIDDEN, f"this API key is not good for that account's model; ask '{FAMILY}'")
    problems = [
        Problem(
            where=f"{where.format(place)}account_id",
            message="this API key is not good for this account; use one that is",
        )
        for place, row in enumerate(rows)
        if not caller.may_ask_for(row.account_id)
    ]
    if problems:
        raise Refused.for_mistakes(problems, Kind.FORBIDDEN)


async def _predicted(predictor: Predictor, model: str, rows: Sequence[Row]) -> list[Predicted]:
    asked = [
        Asked(
            account_id=row.account_id,
            row=row.values(),
            unit=row.request_id or uuid.uuid4().hex,
            ad_id=row.ad_id,
            about_day=row.about_day,
            daily_budget=row.daily_budget_usd,
        )
        for row in rows
    ]
    try:
        return await predictor.predict(model, asked)
    except ModelNotServed as error:
        predictor.metrics.refused("not_served")
        if predictor.models.current:
            raise Refused(
                Kind.NOT_FOUND,
                f"no model of this name is served: ask '{FAMILY}', or promote a version of it first",
            ) from error
        raise Refused(
            Kind.UNAVAILABLE,
            "no model is served yet: run train_ctr_model, or wait until the service has found the champion",
        ) from error


def _told(model: str, answer: Predicted) -> Prediction:
    return Prediction(
        id=answer.id,
        ctr=answer.rate,
        model=model,
        version=answer.version,
        arm=answer.arm,
        experiment=answer.experiment,
        source=answer.source,
        expected_clicks=answer.expected_clicks,
    )
