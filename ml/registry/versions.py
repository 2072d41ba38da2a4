"""Versions of a registered model and their aliases.

A version is born with two tags: `alias_wanted` (the alias it should get) and `alias_state` = `pending`.
Giving the alias and setting the state to `given` are two calls, and the process may die between any two. So
whoever comes next completes what is pending: nothing is guessed, and doing it twice changes nothing.

    created: pending --alias set--> given
                 \\--a newer version has the alias--> superseded
    created: withheld, where it does not pass its gates: no alias is owed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml.registry.errors import registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True)
class RegisteredVersion:
    """One version.

    Attributes:
        model_name, version, run_id: which.
        aliases: what it is called now.
        tags: what was written down about it.
        metrics: of the run that made it; empty where that run is gone.
    """

    model_name: str
    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    metrics: dict[str, float]

    @property
    def uri(self) -> str:
        """What `mlflow.pyfunc.load_model` takes."""
        return f"models:/{self.model_name}/{self.version}"

    @property
    def alias(self) -> str:
        """Champion if it is one, else challenger if it is one, else empty."""
        return next((name for name in (CHAMPION, CHALLENGER) if name in self.aliases), "")


def champion(client: MlflowClient, model_name: str) -> RegisteredVersion | None:
    """The champion of a registered model, None where there is none.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    with registry_errors(f"find the champion of '{model_name}'"):
        number = _aliases(client, model_name).get(CHAMPION)
        return None if number is None else _read(client, model_name, number)


def find_version(client: MlflowClient, model_name: str, number: int) -> RegisteredVersion | None:
    """One version by its number, None where there is none.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from mlflow.exceptions import MlflowException

    with registry_errors(f"read v{number} of '{model_name}'"):
        try:
            return _read(client, model_name, number)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


def version_of_training(client: MlflowClient, model_name: str, key: str) -> RegisteredVersion | None:
    """The version a training made, None where it made none.

    A creation whose answer was lost and that was sent again leaves two; the older is kept, the other deleted.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    with registry_errors(f"look for versions of '{model_name}'"):
        numbers = sorted(
            int(found.version)
            for found in client.search_model_versions(f"name='{model_name}' and tags.training_key='{key}'")
        )
        for doubled in numbers[1:]:
            client.delete_model_version(model_name, str(doubled))
        return _read(client, model_name, numbers[0]) if numbers else None


def complete_aliases(client: MlflowClient, model_name: str) -> None:
    """Give every version the alias it was promised and did not get, oldest first.

    A champion is never replaced: who should have been the first and finds one becomes challenger. An alias
    that a newer version has is left there.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    with registry_errors(f"give the aliases of '{model_name}'"):
        pending = client.search_model_versions(f"name='{model_name}' and tags.alias_state='pending'")
        for found in sorted(pending, key=lambda version: int(version.version)):
            number, held = int(found.version), _aliases(client, model_name)
            wanted = found.tags.get("alias_wanted", CHALLENGER)
            if wanted == CHAMPION and held.get(CHAMPION, number) != number:
                wanted = CHALLENGER
            newer = wanted == CHALLENGER and held.get(CHALLENGER, 0) > number
            if not newer:
                client.set_registered_model_alias(model_name, wanted, str(number))
            client.set_model_version_tag(
                model_name, str(number), "alias_state", "superseded" if newer else "given"
            )


def has_versions(client: MlflowClient, model_name: str) -> bool:
    """Whether the registered model has any version."""
    with registry_errors(f"look for versions of '{model_name}'"):
        return bool(client.search_model_versions(f"name='{model_name}'", max_results=1))


def _aliases(client: MlflowClient, model_name: str) -> dict[str, int]:
    from mlflow.exceptions import MlflowException

    try:
        held = client.get_registered_model(model_name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: int(number) for alias, number in held.items()}


def _read(client: MlflowClient, model_name: str, number: int) -> RegisteredVersion:
    found: Any = client.get_model_version(model_name, str(number))
    return RegisteredVersion(
        model_name=model_name,
        version=number,
        run_id=found.run_id or "",
        aliases=tuple(
            sorted(alias for alias, held in _aliases(client, model_name).items() if held == number)
        ),
        tags=dict(found.tags),
        metrics=_metrics(client, found.run_id),
    )


def _metrics(client: MlflowClient, run_id: str | None) -> dict[str, float]:
    from mlflow.exceptions import MlflowException

    if not run_id:
        return {}
    try:
        return dict(client.get_run(run_id).data.metrics)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
