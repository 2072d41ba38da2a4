"""The way to MLflow: an explicit address, a quick look whether anybody answers, no global state."""

import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from ml.registry.errors import ModelNameInvalid, RegistryUnavailable, registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

_HEALTH_TIMEOUT_S = 10.0


def connect(tracking_uri: str) -> "MlflowClient":
    """A client of the MLflow at `tracking_uri` for tracking and registry.

    MLflow's own client tries for minutes when nobody listens; a health check says so in seconds.

    Raises:
        RegistryUnavailable: nobody answers there.
        ValueError: the address is empty.
    """
    from mlflow import MlflowClient

    if not tracking_uri:
        raise ValueError("MLflow's address is empty: set the host of connection mlflow_default")
    if tracking_uri.startswith(("http://", "https://")):
        try:
            with urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=_HEALTH_TIMEOUT_S) as answer:  # noqa: S310
                healthy = answer.status == HTTPStatus.OK
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise RegistryUnavailable(f"MLflow at {tracking_uri} does not answer ({reason})") from error
        if not healthy:
            raise RegistryUnavailable(f"MLflow at {tracking_uri} says that it is not healthy")
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def model_name(family: str, scope: str) -> str:
    """Name of the registered model of a family for a scope: `ctr` for all accounts, `ctr_<account>` for one.

    Raises:
        ModelNameInvalid: the scope holds characters that MLflow or a URI would stumble over.

    >>> model_name("ctr", "all"), model_name("ctr", "kag")
    ('ctr', 'ctr_kag')
    """
    if scope == "all":
        return family
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", scope):
        raise ModelNameInvalid(
            f"scope {scope!r} cannot be part of a model's name: use 'all' or an account id of letters, "
            "digits, '_', '-' and '.'"
        )
    return f"{family}_{scope}"


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The experiment of that name, made or brought back where needed.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from mlflow.exceptions import MlflowException

    with registry_errors(f"find or make experiment '{name}'"):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name))
            except MlflowException as error:
                # Someone else made it in between.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
