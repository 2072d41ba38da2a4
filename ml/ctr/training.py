"""Train a CTR model, judge it on rows it never saw, and refit it on everything for use.

The members are fitted on the train part, stopped and weighed on the validation part, and the model is judged
on the test part. What ships is the same recipe refitted on all rows with the number of rounds found: a model
made because the data moved must have seen the newest days. The metrics are the judged model's, and the model
card says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.ctr.baseline import ShrunkConstant, SmoothedAverage
from ml.ctr.errors import TrainingDataInsufficient
from ml.ctr.evaluation import calibration, calibration_plot, normalized_entropy
from ml.ctr.fitting import FittedModel, fit_model, refit
from ml.ctr.judging import against_champion, gates_failed, judge
from ml.ctr.member import EncodedRows, rate_of
from ml.ctr.model import CtrModel
from ml.ctr.niche import NicheTrial
from ml.ctr.settings import CtrSettings
from ml.ctr.slices import Slice, placement_slices, slices
from ml.ctr.split import Split, split_by_ad, split_by_time
from ml.features import FeatureFrame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Rival:
    """The champion of the day, to be compared with.

    Attributes:
        model: what it predicts with.
        version: of the registered model.
        learnt_until: the last day it learnt from; only later rows can compare the two.
    """

    model: CtrModel
    version: int
    learnt_until: date | None


@dataclass(frozen=True)
class CtrTraining:
    """A trained model with everything known about it.

    Attributes:
        model: refitted on all rows, for use.
        judged: the model that the figures are of.
        mode: `full`, `incremental` or `niche`.
        metrics: figures on the test part by name; `_pp` are percentage points. NaN figures are left out.
        split: which rows were which part, and how.
        beats_constant: on the test part the model is better than one rate for everybody, with confidence.
        failed_gates: a sentence for each gate it does not pass; such a version does not become challenger.
        note: what people should know of it, such as that the constant ships.
        slices: figures by niche, format, age of the ad, placement.
        trials: how the niches' own models did.
        part_rows, part_clicks: of train, validation and test.
        plot: calibration on the test part.
        parent: version it went on from, where it did.
        learnt_since: first day the model for use learnt from, where that is later than the rows' first.
    """

    model: CtrModel
    judged: CtrModel
    mode: str
    metrics: dict[str, float]
    split: Split
    beats_constant: bool
    failed_gates: tuple[str, ...]
    note: str
    slices: tuple[Slice, ...]
    trials: tuple[NicheTrial, ...]
    part_rows: dict[str, int]
    part_clicks: dict[str, int]
    plot: Figure
    parent: int | None = field(default=None)
    learnt_since: date | None = None


def train_ctr(
    features: FeatureFrame,
    settings: CtrSettings,
    champion: Rival | None = None,
    placements: pd.DataFrame | None = None,
) -> CtrTraining:
    """Train, judge and refit.

    Args:
        features: rows with dates are split by time, rows without by ad.
        settings: sizes, seed and hyper-parameters.
        champion: compared with on the test's rows after its own last day.
        placements: cells of the rows by placement, to be told apart; see `placement_slices`.

    Raises:
        TrainingDataInsufficient: too few rows, clicks, days or ads, or no feature that varies.
        LeakageFound: the parts are not apart.
    """
    parts, split = parted(features, settings)
    fitted = fit_model(parts["train"], parts["validation"], settings)
    return judged_training(
        fitted,
        refit(fitted, features, settings),
        features,
        parts,
        split,
        settings,
        champion=champion,
        placements=placements,
    )


def parted(features: FeatureFrame, settings: CtrSettings) -> tuple[dict[str, FeatureFrame], Split]:
    """Train, validation and test, checked to be enough and apart.

    Raises:
        TrainingDataInsufficient, LeakageFound: see `train_ctr`.
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
    split.check(features.groups, features.dates)
    return parts, split


def judged_training(
    fitted: FittedModel,
    shipped: CtrModel,
    features: FeatureFrame,
    parts: dict[str, FeatureFrame],
    split: Split,
    settings: CtrSettings,
    *,
    champion: Rival | None = None,
    placements: pd.DataFrame | None = None,
    mode: str = "full",
    parent: int | None = None,
) -> CtrTraining:
    """Everything about a fitted model that the test part tells."""
    model, test = fitted.model, parts["test"]
    predicted = model.predict(test.X)
    known = features.take(split.train | split.validation)
    matrix = EncodedRows.of(test, model.encoder).matrix
    judgement = judge(
        predicted,
        {
            "constant": ShrunkConstant().fit(known.clicks, known.impressions).predict(len(test)),
            "smoothed_average": _smoothed(known, test),
        },
        {member.name: rate_of(member.log_odds(matrix)) for member in fitted.members},
        test,
        settings.gates,
        is_constant=model.is_constant,
        seed=settings.seed,
    )
    metrics = dict(judgement.metrics)
    metrics |= {f"weight_{name}": weight for name, weight in model.weights.items()}
    metrics |= {f"rounds_{member.name}": float(member.rounds_) for member in fitted.members}
    metrics["niche_models"] = float(len(model.niches.boosters_))
    running = features.take(split.running)
    if running.clicks.sum():
        told = normalized_entropy(model.predict(running.X), running.clicks, running.impressions)
        metrics["normalized_entropy_running_ads"] = told
    failed = judgement.failed_gates
    if champion is not None:
        metrics |= _compared(model, champion, test, settings.seed)
        failed = gates_failed(metrics, settings.gates, is_constant=model.is_constant)
    shape = calibration(predicted, test.clicks, test.impressions)
    cut = slices(predicted, test)
    if placements is not None:
        cut += placement_slices(predicted, test, placements)
    return CtrTraining(
        model=shipped,
        judged=model,
        mode=mode,
        metrics=metrics,
        split=split,
        beats_constant=judgement.beats_constant,
        failed_gates=failed,
        note=fitted.note,
        slices=cut,
        trials=model.niches.trials_,
        part_rows={name: len(part) for name, part in parts.items()},
        part_clicks={name: int(part.clicks.sum()) for name, part in parts.items()},
        plot=calibration_plot(shape, f"Calibration on the test part ({len(test):,} rows)"),
        parent=parent,
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
    return split_by_time(features.dates, features.groups, features.clicks, **shares, seed=settings.seed)


def _smoothed(known: FeatureFrame, test: FeatureFrame) -> np.ndarray:
    """The strongest average at hand: of the ad's account where ads are new, as ads of the test are.

    An ad that was never seen gets its account's smoothed rate; smoothing over accounts is the same formula.
    """
    return SmoothedAverage().fit(known.clicks, known.impressions, known.accounts).predict(test.accounts)


def _compared(model: CtrModel, champion: Rival, test: FeatureFrame, seed: int) -> dict[str, float]:
    if test.dates is None or champion.learnt_until is None:
        return {}
    last = np.datetime64(champion.learnt_until, "D")
    newer = test.take(test.dates > last)
    if newer.clicks.sum() == 0:
        return {}
    told = against_champion(model.predict(newer.X), champion.model.predict(newer.X), newer, seed)
    # A champion of last week knows days, and ads, that the judged model had to do without.
    return told | {"champion_is_older": float(last < test.dates.min())}
