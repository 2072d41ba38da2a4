"""A CTR model as MLflow keeps models: files, signature, example, requirements, and the code to read them."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import ml
from ml.ctr import CtrModel

# Named, because MLflow otherwise finds them out by loading the model in a process of its own: 20 seconds.
_REQUIREMENTS = ("mlflow", "xgboost", "scipy", "numpy", "pandas")


def package(model: CtrModel, example: pd.DataFrame, folder: Path, model_id: str, run_id: str) -> None:
    """Write `model` as an MLflow pyfunc into `folder`, which must not exist.

    It loads with `mlflow.pyfunc.load_model` in any process: the code of `ml` goes with it.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch) / "ctr_model"
        files.mkdir()
        model.save(files)
        mlflow.pyfunc.save_model(
            path=str(folder),
            loader_module="ml.registry.ctr_pyfunc",
            data_path=str(files),
            code_paths=[str(Path(ml.__file__).parent)],
            mlflow_model=Model(model_id=model_id, run_id=run_id),
            signature=_signature(model),
            input_example=example[list(model.feature_names)],
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
        )


def _signature(model: CtrModel) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    levels = model.member.encoder_.levels_
    columns = [
        ColSpec("string" if name in levels else "double", name, required=False)
        for name in model.feature_names
    ]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double", "ctr")]))
