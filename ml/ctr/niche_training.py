"""New trees for the niches of a version, while everything else of it stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ml.ctr.errors import ContinuationRefused
from ml.ctr.evaluation import Interval, skill
from ml.ctr.fitting import FittedModel
from ml.ctr.member import EncodedRows
from ml.ctr.newer import newer_rows
from ml.ctr.niche import COLUMN, NicheModels
from ml.ctr.settings import CtrSettings
from ml.ctr.split import Split, halves
from ml.ctr.training import CtrTraining, Rival, judged_training
from ml.features import FeatureFrame


@dataclass(frozen=True)
class NicheUpdate:
    """What new trees for the niches led to.

    Attributes:
        training: the model with them; None where they were not accepted.
        on_new: share of the parent's log loss that it saves on rows neither had learnt from.
        reason: why it was accepted or not, in a sentence.
    """

    training: CtrTraining | None
    on_new: Interval
    reason: str


def train_niches(
    parent: Rival, features: FeatureFrame, settings: CtrSettings, placements: pd.DataFrame | None = None
) -> NicheUpdate:
    """Grow the niches' own trees anew on top of the parent's global model, which stays as it is.

    Trees learn from the rows up to the parent's last day, are stopped by half of the ads of the days after
    it, and judged by the other half: rows the parent knows would praise it by memory. A niche whose new trees
    are not proved better keeps what it has.

    Raises:
        ContinuationRefused: the parent knows no niches, or there are too few rows after its last day.
    """
    base = parent.model
    if COLUMN not in base.encoder.levels_:
        raise ContinuationRefused(
            f"v{parent.version} knows no niches (its accounts have none): train it in mode full"
        )
    if base.is_constant:
        raise ContinuationRefused(
            f"v{parent.version} is one rate for everybody, on which no trees can stand: train it in mode full"
        )
    new = newer_rows(parent, features, settings)
    stop = new & halves(features.groups, settings.seed)
    judge_rows = new & ~stop
    masks = {"train": ~new, "validation": stop, "test": judge_rows}
    parts = {name: features.take(mask) for name, mask in masks.items()}
    if min(part.clicks.sum() for part in parts.values()) == 0:
        raise ContinuationRefused(
            "the old rows or the newer ones have too few clicks to learn and be judged by"
        )
    niches = NicheModels(settings.niche, settings.xgboost, base.encoder, settings.seed)
    rows = tuple(EncodedRows.of(part, base.encoder) for part in parts.values())
    offsets = tuple(base.global_log_odds(part.matrix) for part in rows)
    niches.fit((rows[0], rows[1], rows[2]), offsets, parts["test"].groups)
    accepted, tried_niches = sorted(niches.boosters_), len(niches.trials_)
    niches.boosters_ = {**base.niches.boosters_, **niches.boosters_}
    tried, test = replace(base, niches=niches), parts["test"]
    on_new = skill(
        tried.predict(test.X), base.predict(test.X), test.clicks, test.impressions, test.groups, settings.seed
    )
    if not accepted or on_new.low <= 0:
        return NicheUpdate(
            None, on_new, f"not accepted: none of {tried_niches} niches is proved better on its own"
        )
    everything = EncodedRows.of(features, base.encoder)
    grown = niches.refitted(everything, base.global_log_odds(everything.matrix), base.encoder)
    split = Split(
        train=~new,
        validation=stop,
        test=judge_rows,
        running=np.zeros(len(features), dtype=bool),
        method="continued",
        description=(
            f"by what v{parent.version} knew: niches' trees learnt up to {parent.learnt_until}, half of the "
            "ads of the days after it stopped them, the other half judge"
        ),
    )
    training = judged_training(
        FittedModel(tried, tried.members, ""),
        replace(base, niches=grown),
        features,
        parts,
        split,
        settings,
        placements=placements,
        mode="niche",
        parent=parent.version,
    )
    kept = ", ".join(accepted)
    return NicheUpdate(training, on_new, f"niches with new trees of their own: {kept}")
