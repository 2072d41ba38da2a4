"""The CTR model: members, baseline, splits, evaluation, training."""

from ml.ctr.errors import CtrTrainingError, ModelFilesInvalid, TrainingDataInsufficient
from ml.ctr.model import CtrModel
from ml.ctr.settings import CtrSettings, XgboostSettings
from ml.ctr.training import CtrTraining, train_ctr

__all__ = [
    "CtrModel",
    "CtrSettings",
    "CtrTraining",
    "CtrTrainingError",
    "ModelFilesInvalid",
    "TrainingDataInsufficient",
    "XgboostSettings",
    "train_ctr",
]
