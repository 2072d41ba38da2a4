"""A prediction service over HTTP, on a real MLflow with small models, a real Redis and a database."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from include.config import Thresholds, thresholds
from include.config.connections import ConnectionInfo
from include.db import make_engine
from include.serving import ApiKeys, create_app
from include.serving.predictions.subject import prediction_subject
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from include.stack.postgres import Cluster
from ml.ctr import CtrTraining, train_ctr
from ml.features import FeatureFrame, build_ad_features
from ml.registry import connect, record_training, register, training_key
from tests.include.serving.conftest import EVERYBODYS, FIRST, served
from tests.ml.training_settings import quick_settings

DAY = date(2026, 3, 31)
DAYS = 60
WORLD = WorldConfig(accounts=10, start=DAY - timedelta(days=DAYS - 1), days=DAYS)
ACCOUNT = "act_1000700000"


@dataclass
class Service:
    """A running prediction service.

    Attributes:
        client: speaks to it with a key that is good for all accounts.
        folder: where it keeps models and waiting lines.
    """

    client: httpx.Client
    folder: Path
    url: str

    def predict(self, account_id: str = ACCOUNT, **row: Any) -> httpx.Response:
        body = {"account_id": account_id, **row}
        return self.client.post("/api/predictions/ctr", json={"model": self.model, **body})

    model: str = "ctr"

    def wait_for(self, what: Callable[[], Any], within_s: float = 15) -> Any:
        deadline = time.monotonic() + within_s
        while not (found := what()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)
        return found


@pytest.fixture(scope="session")
def features() -> FeatureFrame:
    from tests.ml.simulated import simulated_rows

    return build_ad_features(simulated_rows(WORLD))


@pytest.fixture(scope="session")
def trainings(features: FeatureFrame) -> tuple[CtrTraining, CtrTraining]:
    """Two different models of the same rows."""
    first = train_ctr(features, quick_settings())
    second = train_ctr(features, quick_settings(seed=8))
    return replace(first, failed_gates=()), replace(second, failed_gates=())


@pytest.fixture
def model_name() -> str:
    return f"ctr_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def packaged(mlflow_uri: str, features: FeatureFrame, trainings: Any) -> tuple[str, ...]:
    """The logged models of the two trainings, as MLflow keeps them."""
    client, name = connect(mlflow_uri), f"ctr_{uuid.uuid4().hex[:8]}"
    for number, training in enumerate(trainings):
        key = training_key(
            model=name, fingerprint=str(number), feature_set=features.feature_set, settings={"seed": 7}
        )
        register(
            client,
            record_training(
                training,
                features,
                key=key,
                model=name,
                scope="all",
                settings={"seed": 7},
                trained_for=DAY,
                git_commit="0123abc",
                trigger="manual",
                reason="a test",
            ),
        )
    sources = tuple(client.get_model_version(name, str(number)).source for number in (1, 2))
    # Its aliases would be served by every service of the tests.
    client.delete_registered_model_alias(name, "champion")
    return sources


@pytest.fixture
def registered(mlflow_uri: str, model_name: str, packaged: tuple[str, ...]) -> Iterator[Any]:
    """A client of MLflow in which v1 of the model is champion and v2 challenger."""
    client = connect(mlflow_uri)
    client.create_registered_model(model_name)
    for source, alias in zip(packaged, ("champion", "challenger"), strict=True):
        made = client.create_model_version(
            model_name,
            source=source,
            model_id=source.removeprefix("models:/"),
            tags={"alias_state": "given"},
        )
        client.set_registered_model_alias(model_name, alias, made.version)
    yield client
    client.delete_registered_model(model_name)


@pytest.fixture(scope="session")
def world(postgres: Cluster) -> str:
    """Name of a database with ten accounts of the simulated platform, to copy from."""
    name = "simulated_template"
    postgres.make_database(name, template="nightshift_template")
    engine = make_engine(postgres.dsn(name))
    load_world(engine, WORLD)
    engine.dispose()
    return name


@pytest.fixture
def platform(postgres: Cluster, world: str) -> Iterator[Engine]:
    """A database of the test's own with these accounts."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.make_database(name, template=world)
    engine = make_engine(postgres.dsn(name))
    yield engine
    engine.dispose()


def quick(**changes: Any) -> Thresholds:
    known = thresholds()
    limits = {"poll_seconds": 0.2, "log_seconds": 0.1, **changes}
    return known.model_copy(update={"predictions": known.predictions.model_copy(update=limits)})


@pytest.fixture
def make_service(
    platform: Engine, registered: Any, mlflow_uri: str, model_name: str, redis_server: Any, tmp_path: Path
) -> Iterator[Callable[..., Service]]:
    """Makes services that run until the test ends."""
    with ExitStack() as stack:

        def make(
            *,
            uri: str = mlflow_uri,
            engine: Engine = platform,
            redis: ConnectionInfo | None = redis_server,
            folder: Path = tmp_path,
            wait: bool = True,
            **changes: Any,
        ) -> Service:
            settings = quick(**changes)
            subject = prediction_subject(engine, uri, redis, folder, settings)
            # The key of one account, which is also good for the test's model.
            keys = ApiKeys({"*": EVERYBODYS, ACCOUNT: FIRST, model_name.removeprefix("ctr_"): FIRST})
            url = stack.enter_context(served(create_app(keys, [subject], settings)))
            client = stack.enter_context(
                httpx.Client(base_url=url, headers={"x-api-key": EVERYBODYS}, timeout=30)
            )
            service = Service(client, folder, url)
            service.model = model_name
            if wait:
                service.wait_for(lambda: service.predict().status_code == 200, 60)
                service.wait_for(lambda: httpx.get(f"{url}/readyz").status_code == 200, 60)
            return service

        make.stop = stack.close  # type: ignore[attr-defined]
        yield make


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


def told(response: httpx.Response) -> dict[str, Any]:
    """The JSON of a success."""
    assert response.status_code in (200, 201), response.text
    found: dict[str, Any] = json.loads(response.text)
    return found
