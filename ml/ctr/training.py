"""Train a CTR model, judge it on rows it never saw, and refit it on everything for use.

The model is fitted on the train part, stopped on the validation part and judged on the test part. What ships
is the same recipe refitted on all rows with the number of trees found: a model made because the data moved
must have seen the newest days. The metrics are the judged model's, and the model card says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.ctr.baseline import ShrunkConstant, SmoothedAverage
from ml.ctr.errors import TrainingDataInsufficient
from ml.ctr.evaluation import (
    calibration,
    calibration_plot,
    mae_pp,
    normalized_entropy,
    predicted_actual_ratio,
    skill,
)
from ml.ctr.model import CtrModel
from ml.ctr.settings import CtrSettings
from ml.ctr.split import Split, split_by_ad, split_by_time
from ml.ctr.xgboost_member import XgboostMember
from ml.features import FeatureFrame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class CtrTraining:
    """A trained model with everything known about it.

    Attributes:
        model: refitted on all rows, for use.
        metrics: figures on the test part by name; `_pp` are percentage points. NaN figures are left out.
        split: which rows were which part, and how.
        beats_constant: on the test part the model is better than one rate for everybody, with confidence.
        part_rows, part_clicks: of train, validation and test.
        plot: calibration on the test part.
    """

    model: CtrModel
    metrics: dict[str, float]
    split: Split
    beats_constant: bool
    part_rows: dict[str, int]
    part_clicks: dict[str, int]
    plot: Figure


def train_ctr(features: FeatureFrame, settings: CtrSettings) -> CtrTraining:
    """Train, judge and refit.

    Args:
        features: rows with dates are split by time, rows without by ad.
        settings: sizes, seed and hyper-parameters.

    Raises:
        TrainingDataInsufficient: too few rows, clicks, days or ads, or no feature that varies.
    """
    check_sufficient(features, settings)
    split = split_features(features, settings)
    parts = {name: features.take(getattr(split, name)) for name in ("train", "validation", "test")}
    for name, part in parts.items():
        if part.clicks.sum() == 0:
            raise TrainingDataInsufficient(
                f"the {name} part ({split.description}) has {len(part)} rows and no click: "
                "a click rate cannot be learnt or judged there; load more days or ads"
            )
    judged = XgboostMember(settings.xgboost, settings.seed).fit(parts["train"], parts["validation"])
    test = parts["test"]
    predicted = judged.predict(test.X)
    before_test = features.take(~split.test)
    constant = ShrunkConstant().fit(before_test.clicks, before_test.impressions).predict(len(test))
    smoothed = SmoothedAverage().fit(before_test.clicks, before_test.impressions, before_test.groups)
    metrics, beats = _judge(predicted, constant, smoothed.predict(test.groups), test, settings.seed)
    shipped = XgboostMember(settings.xgboost, settings.seed).fit(features, rounds=judged.rounds_)
    shape = calibration(predicted, test.clicks, test.impressions)
    return CtrTraining(
        model=CtrModel(member=shipped, feature_set=features.feature_set),
        metrics=metrics | {"trees": float(judged.rounds_)},
        split=split,
        beats_constant=beats,
        part_rows={name: len(part) for name, part in parts.items()},
        part_clicks={name: int(part.clicks.sum()) for name, part in parts.items()},
        plot=calibration_plot(shape, f"Calibration on the test part ({len(test):,} rows)"),
    )


def check_sufficient(features: FeatureFrame, settings: CtrSettings) -> None:
    """Refuse what is too little to learn from.

    Raises:
        TrainingDataInsufficient: says how much there is and how much is needed.
    """
    rows, clicks = len(features), int(features.clicks.sum())
    if rows < settings.min_rows or clicks < settings.min_clicks:
        raise TrainingDataInsufficient(
            f"too little data to train on: {rows} rows with {clicks} clicks, but at least "
            f"{settings.min_rows} rows and {settings.min_clicks} clicks are needed (ctr.min_rows and "
            "ctr.min_clicks in thresholds.yaml); load more days or import a longer export"
        )
    if not features.feature_names:
        raise TrainingDataInsufficient(
            f"none of the features varies over the {rows} rows: nothing to learn from but the average"
        )


def split_features(features: FeatureFrame, settings: CtrSettings) -> Split:
    """By time where there are dates, by ad where there are none."""
    shares = {"test_share": settings.test_share, "validation_share": settings.validation_share}
    if features.dates is None:
        return split_by_ad(features.groups, **shares, seed=settings.seed)
    return split_by_time(features.dates, **shares)


def _judge(
    predicted: np.ndarray, constant: np.ndarray, smoothed: np.ndarray, test: FeatureFrame, seed: int
) -> tuple[dict[str, float], bool]:
    outcome = (test.clicks, test.impressions)
    against_constant = skill(predicted, constant, *outcome, test.groups, seed)
    against_average = skill(predicted, smoothed, *outcome, test.groups, seed)
    metrics = {
        "mae_pp": mae_pp(predicted, *outcome),
        "mae_pp_constant": mae_pp(constant, *outcome),
        "normalized_entropy": normalized_entropy(predicted, *outcome),
        "normalized_entropy_constant": normalized_entropy(constant, *outcome),
        "normalized_entropy_smoothed_average": normalized_entropy(smoothed, *outcome),
        "calibration_error_pp": calibration(predicted, *outcome).error_pp,
        "predicted_actual_ratio": predicted_actual_ratio(predicted, *outcome),
        "skill_vs_constant": against_constant.value,
        "skill_vs_constant_low": against_constant.low,
        "skill_vs_constant_high": against_constant.high,
        "skill_vs_smoothed_average": against_average.value,
    }
    return {name: value for name, value in metrics.items() if math.isfinite(value)}, against_constant.low > 0
