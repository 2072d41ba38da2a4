"""The CTR model: members, ensemble, niches, baselines, splits, evaluation, training, bundle.

`training.py` trains in full, `incremental.py` goes on from a version; both put members (`xgboost_member.py`,
`lightgbm_member.py`, `mlp_member.py`) together with `fitting.py` and judge with `judging.py`. Members are
imported when they are needed: PyTorch alone takes seconds.
"""

from ml.ctr.errors import (
    ContinuationRefused,
    CtrTrainingError,
    LeakageFound,
    ModelFilesInvalid,
    ParityFailed,
    TrainingDataInsufficient,
)
from ml.ctr.incremental import Continuation, train_incremental, train_niches
from ml.ctr.model import CtrModel
from ml.ctr.settings import (
    CtrSettings,
    EnsembleSettings,
    GateSettings,
    IncrementalSettings,
    LightgbmSettings,
    MlpSettings,
    NicheSettings,
    XgboostSettings,
)
from ml.ctr.training import CtrTraining, Rival, train_ctr

__all__ = [
    "Continuation",
    "ContinuationRefused",
    "CtrModel",
    "CtrSettings",
    "CtrTraining",
    "CtrTrainingError",
    "EnsembleSettings",
    "GateSettings",
    "IncrementalSettings",
    "LeakageFound",
    "LightgbmSettings",
    "MlpSettings",
    "ModelFilesInvalid",
    "NicheSettings",
    "ParityFailed",
    "Rival",
    "TrainingDataInsufficient",
    "XgboostSettings",
    "train_ctr",
    "train_incremental",
    "train_niches",
]
