"""What MLflow calls to load a registered pipeline model as `mlflow.pyfunc`: features of open deals in,
what is expected of them out.
"""

from pathlib import Path

import pandas as pd

from ml.pipeline_value.model import PipelineModel


class PipelinePyfunc:
    """A pipeline model behind MLflow's generic interface."""

    def __init__(self, model: PipelineModel) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, object] | None = None) -> pd.DataFrame:
        """Chances to be won within 30, 60 and 90 days and ever, amount if won, expected value, days to
        close.
        """
        told = self.model.forecast(model_input)
        chances = {f"won_within_{days}_days": told.won_by(days) for days in (30, 60, 90)}
        return pd.DataFrame(
            {
                **chances,
                "won_ever": told.won_ever,
                "amount_if_won": told.amount,
                "expected_value": told.won_ever * told.amount,
                "days_to_close": told.days_to_close(),
            }
        )


def _load_pyfunc(path: str) -> PipelinePyfunc:
    return PipelinePyfunc(PipelineModel.load(Path(path)))
