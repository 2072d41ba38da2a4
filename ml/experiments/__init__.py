"""Champion against challenger on live traffic: assignment, statistics and the verdict."""

from ml.experiments.assignment import Arm, assign, bucket
from ml.experiments.cuped import adjusted
from ml.experiments.errors import ExperimentDataInvalid, ExperimentSettingsInvalid
from ml.experiments.guardrails import Guardrail
from ml.experiments.observations import ExperimentData, UnitLosses
from ml.experiments.paired import PairedResult, paired_difference
from ml.experiments.power import SmallestEffect, smallest_effect, smallest_effect_in_loss
from ml.experiments.ratio_check import RatioCheck, check_ratio
from ml.experiments.sequential import ConfidenceSequence
from ml.experiments.settings import ExperimentSettings
from ml.experiments.verdict import Decision, Verdict, judge
from ml.experiments.welch import ArmSample, TestResult, welch_test

__all__ = [
    "Arm",
    "ArmSample",
    "ConfidenceSequence",
    "Decision",
    "ExperimentData",
    "ExperimentDataInvalid",
    "ExperimentSettings",
    "ExperimentSettingsInvalid",
    "Guardrail",
    "PairedResult",
    "RatioCheck",
    "SmallestEffect",
    "TestResult",
    "UnitLosses",
    "Verdict",
    "adjusted",
    "assign",
    "bucket",
    "check_ratio",
    "judge",
    "paired_difference",
    "smallest_effect",
    "smallest_effect_in_loss",
    "welch_test",
]
