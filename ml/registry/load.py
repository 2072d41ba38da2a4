"""Load a registered CTR model for use in this process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ml.ctr.bundle_runtime import FILE
from ml.registry.errors import registry_errors
from ml.registry.packaging import BUNDLE_FOLDER

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

    from ml.ctr import CtrModel
    from ml.pipeline_value import PipelineModel

# Where `ml.registry.packaging` puts the model's own files.
_FILES = "data/ctr_model"
_PIPELINE_FILES = "data/pipeline_model"


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


def load_ctr_model(tracking_uri: str, model_uri: str) -> CtrModel:
    """The CTR model itself, to be compared with or gone on from.

    Sets MLflow's address for the whole process, as `load_predictor` does.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
        ModelFilesInvalid: it was written by another form of this code.
    """
    from ml.ctr import CtrModel

    with tempfile.TemporaryDirectory() as folder:
        return CtrModel.load(_fetched(tracking_uri, f"{model_uri}/{_FILES}", folder))


def load_pipeline_model(tracking_uri: str, model_uri: str) -> PipelineModel:
    """The pipeline's model itself. Sets MLflow's address for the whole process, as `load_predictor` does.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
        PipelineModelInvalid: it was written by another form of this code.
    """
    from ml.pipeline_value import PipelineModel

    with tempfile.TemporaryDirectory() as folder:
        return PipelineModel.load(_fetched(tracking_uri, f"{model_uri}/{_PIPELINE_FILES}", folder))


def fetch_bundle(tracking_uri: str, model_uri: str) -> bytes:
    """The ONNX bundle of a version. Sets MLflow's address for the whole process, as `load_predictor` does.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _fetched(tracking_uri, f"{model_uri}/{_FILES}/{BUNDLE_FOLDER}/{FILE}", folder).read_bytes()


def _fetched(tracking_uri: str, artifact_uri: str, folder: str) -> Path:
    import mlflow
    from mlflow.artifacts import download_artifacts

    # Addresses given as arguments are not passed on to where a version's files are looked up.
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    with registry_errors(f"fetch {artifact_uri}"):
        return Path(download_artifacts(artifact_uri=artifact_uri, dst_path=folder))
