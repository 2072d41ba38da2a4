"""What MLflow calls to load a registered CTR model as `mlflow.pyfunc`: plain files in, a predictor out."""

from pathlib import Path

import numpy as np
import pandas as pd

from ml.ctr import CtrModel


class CtrPyfunc:
    """A CTR model behind MLflow's generic interface."""

    def __init__(self, model: CtrModel) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, object] | None = None) -> np.ndarray:
        """(n,) click rates for a frame of features."""
        return self.model.predict(model_input)


def _load_pyfunc(path: str) -> CtrPyfunc:
    return CtrPyfunc(CtrModel.load(Path(path)))
