"""MLflow: log, register, aliases, load. Every function takes the address or a client of it."""

from ml.registry.aliases import (
    PREVIOUS_CHAMPION,
    aliases_of,
    drop_alias,
    registered_models,
    set_alias,
    tag_version,
    version_exists,
)
from ml.registry.connect import connect, model_name
from ml.registry.drift_reports import KeptReport, keep_reference, kept_reference, log_drift_report
from ml.registry.errors import ModelNameInvalid, RegistryRefused, RegistryUnavailable
from ml.registry.load import fetch_bundle, load_ctr_model, load_pipeline_model, load_predictor
from ml.registry.pipeline_record import PipelineRecord, record_pipeline_training
from ml.registry.record import TrainingRecord, record_training, training_key
from ml.registry.register import find_registered, register
from ml.registry.versions import (
    CHALLENGER,
    CHAMPION,
    RegisteredVersion,
    champion,
    complete_aliases,
    find_version,
)

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS_CHAMPION",
    "KeptReport",
    "ModelNameInvalid",
    "PipelineRecord",
    "RegisteredVersion",
    "RegistryRefused",
    "RegistryUnavailable",
    "TrainingRecord",
    "aliases_of",
    "champion",
    "complete_aliases",
    "connect",
    "drop_alias",
    "fetch_bundle",
    "find_registered",
    "find_version",
    "keep_reference",
    "kept_reference",
    "load_ctr_model",
    "load_pipeline_model",
    "load_predictor",
    "log_drift_report",
    "model_name",
    "record_pipeline_training",
    "record_training",
    "register",
    "registered_models",
    "set_alias",
    "tag_version",
    "training_key",
    "version_exists",
]
