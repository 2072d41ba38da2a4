"""MLflow: log, register, aliases, load. Every function takes the address or a client of it."""

from ml.registry.connect import connect, model_name
from ml.registry.drift_reports import KeptReport, log_drift_report
from ml.registry.errors import ModelNameInvalid, RegistryRefused, RegistryUnavailable
from ml.registry.load import load_predictor
from ml.registry.record import TrainingRecord, record_training, training_key
from ml.registry.register import find_registered, register
from ml.registry.versions import CHALLENGER, CHAMPION, RegisteredVersion, champion, complete_aliases

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "KeptReport",
    "ModelNameInvalid",
    "RegisteredVersion",
    "RegistryRefused",
    "RegistryUnavailable",
    "TrainingRecord",
    "champion",
    "complete_aliases",
    "connect",
    "find_registered",
    "load_predictor",
    "log_drift_report",
    "model_name",
    "record_training",
    "register",
    "training_key",
]
