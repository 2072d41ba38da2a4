"""Load a registered CTR model for use in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.registry.errors import registry_errors

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


def load_predictor(tracking_uri: str, model_uri: str) -> PyFuncModel:
    """What `model_uri` (`models:/ctr@champion`, `models:/ctr/3`) names, with `predict(frame)`.

    MLflow's loader knows only one address a process, so this sets it for the whole process.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    with registry_errors(f"load {model_uri}"):
        return mlflow.pyfunc.load_model(model_uri)
