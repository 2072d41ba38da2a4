"""Aliases and tags of a registered model's versions, one call of MLflow each.

MLflow's aliases are last-writer-wins, keep no history, and vanish with a deleted version. Who moves the
champion makes that safe first: `include.promotion` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.registry.errors import registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREVIOUS_CHAMPION = "previous_champion"

# What MLflow takes as a tag's value.
_TAG_CHARS = 5_000


def aliases_of(client: MlflowClient, model: str) -> dict[str, int]:
    """Alias -> version of a registered model, empty where there is no such model.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from mlflow.exceptions import MlflowException

    with registry_errors(f"read the aliases of '{model}'"):
        try:
            held = client.get_registered_model(model).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
    return {alias: int(version) for alias, version in held.items()}


def set_alias(client: MlflowClient, model: str, alias: str, version: int) -> None:
    """Have an alias mean a version, whatever it meant before.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered; the latter where there is no such version.
    """
    with registry_errors(f"make v{version} of '{model}' its {alias}"):
        client.set_registered_model_alias(model, alias, str(version))


def drop_alias(client: MlflowClient, model: str, alias: str) -> None:
    """Have an alias mean nothing. It need not mean anything now.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from mlflow.exceptions import MlflowException

    with registry_errors(f"take alias {alias} from '{model}'"):
        try:
            client.delete_registered_model_alias(model, alias)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise


def tag_version(client: MlflowClient, model: str, version: int, **tags: str) -> None:
    """Write tags on a version. A text longer than MLflow takes is cut.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    with registry_errors(f"tag v{version} of '{model}'"):
        for name, value in tags.items():
            client.set_model_version_tag(model, str(version), name, value[:_TAG_CHARS])


def version_exists(client: MlflowClient, model: str, version: int) -> bool:
    """Whether a registered model has that version.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from mlflow.exceptions import MlflowException

    with registry_errors(f"look for v{version} of '{model}'"):
        try:
            client.get_model_version(model, str(version))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
    return True


def registered_models(client: MlflowClient) -> list[str]:
    """Names of all registered models.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    with registry_errors("list the registered models"):
        names: list[str] = []
        page = client.search_registered_models()
        names += [model.name for model in page]
        while page.token:
            page = client.search_registered_models(page_token=page.token)
            names += [model.name for model in page]
    return sorted(names)
