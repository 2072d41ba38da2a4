"""Versions in a real MLflow that hold no model, and a client that breaks: for tests about aliases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mlflow.exceptions import MlflowException


def register_version(
    client: Any, name: str, *, metrics: dict[str, float] | None = None, tags: dict[str, str] | None = None
) -> int:
    """Another version of a registered model, which is made if need be."""
    with suppress(MlflowException):
        client.create_registered_model(name)
    found = client.get_experiment_by_name("promotion tests")
    experiment = found.experiment_id if found else client.create_experiment("promotion tests")
    run = client.create_run(experiment)
    for metric, value in (metrics or {}).items():
        client.log_metric(run.info.run_id, metric, value)
    made = client.create_model_version(
        name, source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id, tags=tags
    )
    return int(made.version)


def aliases(client: Any, name: str) -> dict[str, int]:
    """What a registered model's versions are called in MLflow."""
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


class Killed(BaseException):
    """The process died here; no `except Exception` catches it."""


class Dying:
    """Passes calls on to a client until its last one."""

    CHANGES = (
        "set_registered_model_alias",
        "delete_registered_model_alias",
        "set_model_version_tag",
    )

    def __init__(self, client: Any, survived: int, error: Callable[[], BaseException] = Killed) -> None:
        self.client, self.survived, self.error = client, survived, error

    def __getattr__(self, name: str) -> Any:
        if name in self.CHANGES:
            if self.survived == 0:
                raise self.error()
            self.survived -= 1
        return getattr(self.client, name)
