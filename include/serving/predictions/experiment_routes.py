"""Experiments over HTTP: see them, start one, stop one. For whoever may ask for every account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from sqlalchemy import Engine

from include.config import Thresholds
from include.db import experiments
from include.experiments.errors import ExperimentRefused
from include.experiments.starting import start_experiment
from include.serving.errors import Kind, Refused, documented
from include.serving.keys import Caller
from include.serving.llm_bodies import HIGHEST_ID, Name
from include.serving.predictions.bodies import Body
from include.serving.predictions.routes import KEYS, caller_of
from ml.experiments import ExperimentSettingsInvalid
from ml.registry import RegistryRefused, RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NewExperiment(Body):
    """What to test."""

    model: Name = "ctr"
    challenger_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="a version; by default the next challenger in line"
    )
    unit: Literal["account", "request"] | None = Field(
        default=None, description="what is assigned to an arm; by default as the thresholds say"
    )
    challenger_share: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        default=None, description="of the units, at most a half"
    )
    min_days: Annotated[int, Field(ge=1, le=90)] | None = Field(
        default=None, description="before which nothing is promoted"
    )


class Stop(Body):
    """Why it ends."""

    reason: Name


class LookTold(Body):
    """What was seen on a day."""

    day: date
    decision: str
    paragraph: str
    numbers: dict[str, float]


class ExperimentTold(Body):
    """One experiment."""

    id: int
    model_name: str
    champion_version: int
    challenger_version: int
    unit: str
    salt: str = Field(description="with which `ml.experiments.assign` says again who met which arm")
    settings: dict[str, Any]
    smallest_effect: str
    started_by: str
    started_at: datetime
    first_day: date
    state: str
    reason: str
    ended_at: datetime | None
    looks: tuple[LookTold, ...] = ()


class ExperimentsTold(Body):
    """Experiments, newest first."""

    experiments: list[ExperimentTold]


def experiment_router(engine: Engine, client: Callable[[], MlflowClient], settings: Thresholds) -> APIRouter:
    """`/api/experiments`."""
    router = APIRouter(prefix="/api/experiments", tags=["experiments"], dependencies=KEYS)
    refusals = documented(Kind.UNAUTHORIZED, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.INVALID, Kind.UNAVAILABLE)

    @router.get("", summary="All experiments", responses=refusals)
    def all_of_them(
        caller: Annotated[Caller, Depends(_operator)],
        model: Name | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> ExperimentsTold:
        """Newest first."""
        found = experiments.experiments_of(engine, model, limit)
        return ExperimentsTold(experiments=[ExperimentTold(**asdict(test)) for test in found])

    @router.get("/{id}", summary="One experiment, with what was seen each day", responses=refusals)
    def one(
        test_id: Annotated[int, Path(alias="id", ge=1, le=HIGHEST_ID)],
        caller: Annotated[Caller, Depends(_operator)],
    ) -> ExperimentTold:
        """How it stands."""
        return _told(engine, test_id)

    @router.post("", status_code=201, summary="Start an experiment", responses=refusals)
    def start(wanted: NewExperiment, caller: Annotated[Caller, Depends(_operator)]) -> ExperimentTold:
        """It shares the traffic within seconds and counts from tomorrow on. One runs per model."""
        try:
            test = start_experiment(
                engine,
                client(),
                wanted.model,
                day=datetime.now(UTC).date(),
                started_by="api",
                settings=settings,
                challenger=wanted.challenger_version,
                unit=wanted.unit,
                challenger_share=wanted.challenger_share,
                min_days=wanted.min_days,
            )
        except (ExperimentRefused, ExperimentSettingsInvalid, RegistryRefused) as error:
            raise Refused(Kind.INVALID, str(error)) from error
        except RegistryUnavailable as error:
            raise Refused(Kind.UNAVAILABLE, "MLflow does not answer; ask again in a moment") from error
        return ExperimentTold(**asdict(test))

    @router.post("/{id}/stop", summary="Stop an experiment", responses=refusals)
    def stop(
        test_id: Annotated[int, Path(alias="id", ge=1, le=HIGHEST_ID)],
        why: Stop,
        caller: Annotated[Caller, Depends(_operator)],
    ) -> ExperimentTold:
        """All traffic goes back to the champion within seconds. Stopping one that ended says how it ended."""
        _told(engine, test_id)
        experiments.end_experiment(engine, test_id, state="stopped", reason=f"stopped by hand: {why.reason}")
        return _told(engine, test_id)

    return router


def _operator(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    if caller.tenants is not None:
        raise Refused(
            Kind.FORBIDDEN, "experiments share the traffic of all accounts: use a key that is good for all"
        )
    return caller


def _told(engine: Engine, test_id: int) -> ExperimentTold:
    test = experiments.experiment_by_id(engine, test_id)
    if test is None:
        raise Refused(Kind.NOT_FOUND, f"there is no experiment {test_id}")
    looks = tuple(LookTold(**vars(look)) for look in experiments.looks_at(engine, test_id))
    return ExperimentTold(**asdict(test), looks=looks)
