"""Fit members, weigh and calibrate them, try the niches: from parts of the data to a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from ml.ctr.baseline import ShrunkConstant
from ml.ctr.blending import COMBINERS, Recalibration, recalibrated
from ml.ctr.encoding import FrameEncoder
from ml.ctr.evaluation import log_loss_sums
from ml.ctr.member import EncodedRows, Member, log_odds_of, rate_of
from ml.ctr.model import CONSTANT, CtrModel, member_of, members_of, weighted
from ml.ctr.niche import COLUMN, NicheModels
from ml.ctr.settings import CtrSettings
from ml.ctr.split import halves
from ml.features import FeatureFrame


@dataclass(frozen=True)
class FittedModel:
    """A model before it is judged.

    Attributes:
        model: what predicts.
        members: all of them, also those without a weight.
        note: why the constant ships, for people; empty where it does not.
    """

    model: CtrModel
    members: tuple[Member, ...]
    note: str


def fit_model(train: FeatureFrame, validation: FeatureFrame, settings: CtrSettings) -> FittedModel:
    """Fit all members on `train`, stop them on `validation`, and make one model of them there."""
    encoder = FrameEncoder().fit(train.X)
    rows, judged = EncodedRows.of(train, encoder), EncodedRows.of(validation, encoder)
    members = tuple(member.fit(rows, judged) for member in members_of(settings, encoder))
    constant = ShrunkConstant().fit(train.clicks, train.impressions).rate_
    counts = (validation.clicks, validation.impressions)
    candidates = np.vstack(
        [*(member.log_odds(judged.matrix) for member in members), np.full(len(judged), log_odds_of(constant))]
    )
    weights = COMBINERS[settings.ensemble.combine](candidates, *counts, settings.ensemble.steps)
    calibration = recalibrated(weights @ candidates, *counts, validation.groups, settings.ensemble.prior_sd)
    niches = NicheModels(settings.niche, settings.xgboost, encoder, settings.seed)
    model = CtrModel(
        encoder=encoder,
        members=_with_weight(members, weights),
        weights=weighted([member.name for member in members], weights),
        constant=constant,
        calibration=calibration,
        niches=niches,
        feature_set=train.feature_set,
    )
    best = int(np.argmin([_loss(rate_of(each), validation) for each in candidates]))
    if _loss(model.predict(validation.X), validation) > _loss(rate_of(candidates[best]), validation):
        # Only a combiner other than the greedy one can end here: none may be worse than its best member.
        weights, model = np.eye(len(candidates))[best], _only(model, members, best)
    confidence = _confidence_over_constant(model.predict(validation.X), constant, validation)
    if weights[-1] == 1 or confidence < settings.ensemble.constant_confidence:
        note = (
            f"on the validation part ({len(validation):,} rows, {int(validation.clicks.sum()):,} clicks) no "
            "member beats one rate for everybody: that rate is what ships"
        )
        return FittedModel(_constant(model), members, note)
    if COLUMN in encoder.levels_:
        try_niches(model, train, validation, rows, judged, settings.seed)
    return FittedModel(model, members, "")


def refit(fitted: FittedModel, features: FeatureFrame, settings: CtrSettings) -> CtrModel:
    """The same recipe on all rows: as many trees and epochs, the same weights, calibration and niches."""
    judged = fitted.model
    encoder = FrameEncoder().fit(features.X)
    constant = ShrunkConstant().fit(features.clicks, features.impressions).rate_
    niches = NicheModels(
        settings.niche, settings.xgboost, encoder, settings.seed, trials_=judged.niches.trials_
    )
    rows = EncodedRows.of(features, encoder)
    members = []
    for member in judged.members:
        fresh = member_of(member.name, vars(getattr(settings, member.name)), encoder, settings.seed)
        # A member that stopped before its first round is the pooled rate, and stays it.
        members.append(fresh.fit(rows, rounds=member.rounds_))
    model = CtrModel(
        encoder=encoder,
        members=tuple(members),
        weights=judged.weights,
        constant=constant,
        calibration=judged.calibration,
        niches=niches,
        feature_set=features.feature_set,
    )
    if not judged.niches.boosters_:
        return model
    grown = judged.niches.refitted(rows, model.global_log_odds(rows.matrix), encoder)
    niches.boosters_.update(grown.boosters_)
    return model


def try_niches(
    model: CtrModel,
    train: FeatureFrame,
    validation: FeatureFrame,
    rows: EncodedRows,
    judged: EncodedRows,
    seed: int,
) -> None:
    """Give the model the niches' trees that earn it: stopped on one half of the ads, judged by the other."""
    stop = halves(validation.groups, seed)
    parts = (rows, judged.take(stop), judged.take(~stop))
    offsets = tuple(model.global_log_odds(part.matrix) for part in parts)
    model.niches.fit(parts, offsets, validation.groups[~stop])


def _with_weight(members: tuple[Member, ...], weights: np.ndarray) -> tuple[Member, ...]:
    return tuple(member for member, weight in zip(members, weights[:-1], strict=True) if weight > 0)


def _only(model: CtrModel, members: tuple[Member, ...], best: int) -> CtrModel:
    weights = np.eye(len(members) + 1)[best]
    return replace(
        model,
        members=_with_weight(members, weights),
        weights=weighted([member.name for member in members], weights),
        calibration=Recalibration(),
    )


def _constant(model: CtrModel) -> CtrModel:
    weights = dict.fromkeys(model.weights, 0.0) | {CONSTANT: 1.0}
    return replace(model, members=(), weights=weights, calibration=Recalibration())


def _confidence_over_constant(predicted: np.ndarray, constant: float, rows: FeatureFrame) -> float:
    """One-sided confidence that the rates lose less than the constant does, ads being independent."""
    own = log_loss_sums(predicted, rows.clicks, rows.impressions)
    other = log_loss_sums(np.full(len(predicted), constant), rows.clicks, rows.impressions)
    of_row = np.unique(rows.groups.astype(str), return_inverse=True)[1]
    gain = np.bincount(of_row, weights=other - own)
    spread = float(np.sqrt(len(gain)) * gain.std(ddof=1)) if len(gain) > 1 else 0.0
    return float(norm.cdf(gain.sum() / spread)) if spread > 0 else 0.0


def _loss(predicted: np.ndarray, rows: FeatureFrame) -> float:
    return float(log_loss_sums(predicted, rows.clicks, rows.impressions).sum())
