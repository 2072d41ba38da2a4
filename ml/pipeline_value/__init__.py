"""The model `pipeline_value`: how deals end, when, for how much, and what that makes of what was spent."""

from ml.pipeline_value.errors import DealsLeak, PipelineModelInvalid, TooFewDeals
from ml.pipeline_value.fitting import fit_pipeline
from ml.pipeline_value.forecast import outlook, pipeline_roas
from ml.pipeline_value.model import DealForecast, PipelineModel
from ml.pipeline_value.settings import HazardSettings, PipelineGates, PipelineSettings
from ml.pipeline_value.training import PipelineTraining, fingerprint, train_pipeline

__all__ = [
    "DealForecast",
    "DealsLeak",
    "HazardSettings",
    "PipelineGates",
    "PipelineModel",
    "PipelineModelInvalid",
    "PipelineSettings",
    "PipelineTraining",
    "TooFewDeals",
    "fingerprint",
    "fit_pipeline",
    "outlook",
    "pipeline_roas",
    "train_pipeline",
]
