"""A real MLflow with a model of each test's own, and a client that breaks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from ml.registry import connect
from tests.include.promotion.registry import Dying, register_version


@pytest.fixture
def client(mlflow_uri: str) -> Any:
    return connect(mlflow_uri)


@pytest.fixture
def model(client: Any) -> str:
    """A model with champion v1, v2, and challenger v3, of which our books know nothing."""
    name = f"m_{uuid.uuid4().hex[:8]}"
    for _ in range(3):
        register_version(client, name)
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "challenger", "3")
    return name


@pytest.fixture
def dying(client: Any) -> Callable[[int], Any]:
    """Makes a client whose n-th call that changes MLflow kills the process before it is sent."""
    return lambda survived: Dying(client, survived)
