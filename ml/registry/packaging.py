"""A CTR model as MLflow keeps models: files, signature, example, requirements, the code, and the bundle.

The folder `data/` of the version holds the model's own files and, in `bundle/`, the same model as ONNX, which
the prediction service and an edge run without any of the libraries.
"""

import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import ml
from ml.ctr import CtrModel
from ml.ctr.bundle_runtime import FILE

# Named, because MLflow otherwise finds them out by loading the model in a process of its own: 20 seconds.
_REQUIREMENTS = (
    "mlflow",
    "xgboost",
    "lightgbm",
    "torch",
    "safetensors",
    "onnx",
    "onnxruntime",
    "scipy",
    "numpy",
    "pandas",
)
BUNDLE_FOLDER = "bundle"


def package(
    model: CtrModel, bundle: bytes, example: pd.DataFrame, folder: Path, model_id: str, run_id: str
) -> None:
    """Write `model` and its `bundle` as an MLflow pyfunc into `folder`, which must not exist.

    It loads with `mlflow.pyfunc.load_model` in any process: the code of `ml` goes with it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch) / "ctr_model"
        files.mkdir()
        model.save(files)
        (files / BUNDLE_FOLDER).mkdir()
        (files / BUNDLE_FOLDER / FILE).write_bytes(bundle)
        save_pyfunc(
            files,
            folder,
            loader="ml.registry.ctr_pyfunc",
            signature=_signature(model),
            example=example[list(model.feature_names)],
            requirements=_REQUIREMENTS,
            model_id=model_id,
            run_id=run_id,
        )


def save_pyfunc(
    files: Path,
    folder: Path,
    *,
    loader: str,
    signature: Any,
    example: pd.DataFrame,
    requirements: Sequence[str],
    model_id: str,
    run_id: str,
) -> None:
    """Write an MLflow pyfunc around a model's own `files` into `folder`, which must not exist.

    Args:
        files: a folder; its name is kept below `data/`.
        folder: where to.
        loader: the module whose `_load_pyfunc` reads `files`; the code of `ml` goes with it.
        signature, example: what goes in and comes out.
        requirements: libraries, of the versions that are installed here.
        model_id, run_id: of MLflow.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    mlflow.pyfunc.save_model(
        path=str(folder),
        loader_module=loader,
        data_path=str(files),
        code_paths=[str(Path(ml.__file__).parent)],
        mlflow_model=Model(model_id=model_id, run_id=run_id),
        signature=signature,
        input_example=example,
        pip_requirements=[f"{name}=={version(name)}" for name in requirements],
    )


def environment(requirements: Sequence[str] = _REQUIREMENTS) -> dict[str, str]:
    """Versions of Python and of every library that decides what a training yields."""
    return {"python": platform.python_version(), **{name: version(name) for name in requirements}}


def _signature(model: CtrModel) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    levels = model.encoder.levels_
    columns = [
        ColSpec("string" if name in levels else "double", name, required=False)
        for name in model.feature_names
    ]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double", "ctr")]))
