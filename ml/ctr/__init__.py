"""The CTR model: members, ensemble, niches, baselines, splits, evaluation, training, bundle.

`training.py` trains in full, `tournament.py` tries updates of a version (`strategies.py`), and
`niche_training.py` grows new trees for its niches. All put members (`xgboost_member.py`,
`lightgbm_member.py`, `mlp_member.py`) together with `fitting.py` and judge with `judging.py`. Members are
imported when they are needed: PyTorch alone takes seconds.
"""

from ml.ctr.errors import (
    ContinuationRefused,
    CtrTrainingError,
    LeakageFound,
    ModelFilesInvalid,
    NothingNewer,
    ParityFailed,
    TrainingDataInsufficient,
)
from ml.ctr.model import CtrModel
from ml.ctr.niche_training import NicheUpdate, train_niches
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
from ml.ctr.strategies import INCREMENTAL, UPDATE, Strategy
from ml.ctr.tournament import Candidate, Tournament, run_tournament
from ml.ctr.training import CtrTraining, Rival, train_ctr

__all__ = [
    "INCREMENTAL",
    "UPDATE",
    "Candidate",
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
    "NicheUpdate",
    "NothingNewer",
    "ParityFailed",
    "Rival",
    "Strategy",
    "Tournament",
    "TrainingDataInsufficient",
    "XgboostSettings",
    "run_tournament",
    "train_ctr",
    "train_niches",
]
