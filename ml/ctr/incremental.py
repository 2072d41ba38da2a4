"""Training that goes on from a version there is, and takes the result only where it is proved to be worth it.

Going on at every opportunity does harm: without drift, fifty more trees on a hundred new rows doubled the
excess loss (measured on simulated clicks). So the newest days judge: the longer model must beat its parent on
new rows that it did not learn from, and must not lose on old ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ml.ctr.errors import ContinuationRefused, TrainingDataInsufficient
from ml.ctr.evaluation import Interval, skill
from ml.ctr.fitting import FittedModel
from ml.ctr.member import EncodedRows
from ml.ctr.model import CtrModel
from ml.ctr.niche import COLUMN, NicheModels
from ml.ctr.settings import CtrSettings
from ml.ctr.split import Split, halves
from ml.ctr.training import CtrTraining, Rival, judged_training
from ml.features import FeatureFrame


@dataclass(frozen=True)
class Continuation:
    """What going on from a parent led to.

    Attributes:
        training: the longer model; None where it was not accepted.
        on_new, on_old: share of the parent's log loss that it saves on new rows and on old ones.
        reason: why it was accepted or not, in a sentence.
    """

    training: CtrTraining | None
    on_new: Interval
    on_old: Interval
    reason: str


def train_incremental(
    parent: Rival, features: FeatureFrame, settings: CtrSettings, placements: pd.DataFrame | None = None
) -> Continuation:
    """Go on from `parent` with the rows after its last day.

    Args:
        parent: its model and the last day it learnt from.
        features: old and new rows; old ones are those up to the parent's last day.
        settings: how far to go and what to allow.
        placements: see `train_ctr`.

    Raises:
        ContinuationRefused: rows without dates, a parent that is the constant, or too few new rows.
    """
    new = _new_rows(parent, features, settings)
    days = np.unique(features.dates[new])  # type: ignore[index]
    judged_days = min(max(1, round(len(days) * settings.incremental.judged_share)), len(days) - 1)
    first_judged = days[len(days) - judged_days]
    judged = new & (features.dates >= first_judged)
    fresh, later, old = features.take(new & ~judged), features.take(judged), features.take(~new)
    longer = _extended(parent.model, fresh, settings)
    on_new, on_old = (
        skill(
            longer.predict(part.X),
            parent.model.predict(part.X),
            part.clicks,
            part.impressions,
            part.groups,
            settings.seed,
        )
        for part in (later, old)
    )
    reason = _reason(on_new, on_old, settings.incremental.old_tolerance)
    if on_new.low <= 0 or on_old.value < -settings.incremental.old_tolerance:
        return Continuation(None, on_new, on_old, f"not accepted: {reason}")
    split = Split(
        train=~new,
        validation=new & ~judged,
        test=judged,
        running=np.zeros(len(features), dtype=bool),
        method="continued",
        description=(
            f"continued: what v{parent.version} had learnt up to {parent.learnt_until}, further rounds on "
            f"{days[0]} to {first_judged - 1}, test {first_judged} to {days[-1]} (ads that ran on are in "
            "both)"
        ),
    )
    training = judged_training(
        FittedModel(longer, longer.members, ""),
        _extended(parent.model, features.take(new), settings),
        features,
        {"train": old, "validation": fresh, "test": later},
        split,
        settings,
        champion=parent,
        placements=placements,
        mode="incremental",
        parent=parent.version,
    )
    return Continuation(training, on_new, on_old, f"accepted: {reason}")


def train_niches(
    parent: Rival, features: FeatureFrame, settings: CtrSettings, placements: pd.DataFrame | None = None
) -> Continuation:
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
    new = _new_rows(parent, features, settings)
    stop = new & halves(features.groups, settings.seed)
    judge_rows = new & ~stop
    masks = {"train": ~new, "validation": stop, "test": judge_rows}
    parts = {name: features.take(mask) for name, mask in masks.items()}
    if min(part.clicks.sum() for part in parts.values()) == 0:
        raise ContinuationRefused("the newer rows have too few clicks to stop by and to judge by")
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
    nothing = Interval(0.0, 0.0, 0.0)
    if not accepted or on_new.low <= 0:
        return Continuation(
            None, on_new, nothing, f"not accepted: none of {tried_niches} niches is proved better on its own"
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
    return Continuation(training, on_new, nothing, f"niches with new trees of their own: {kept}")


def _new_rows(parent: Rival, features: FeatureFrame, settings: CtrSettings) -> np.ndarray:
    if features.dates is None or parent.learnt_until is None:
        raise ContinuationRefused(
            "an export without dates has no newer rows: train in mode full after importing the newer export"
        )
    if parent.model.is_constant:
        raise ContinuationRefused(
            f"v{parent.version} is one rate for everybody, from which nothing can go on: train in mode full"
        )
    new = features.dates > np.datetime64(parent.learnt_until, "D")
    days = len(np.unique(features.dates[new]))
    if new.sum() < settings.incremental.min_rows or days < 2:
        raise ContinuationRefused(
            f"{int(new.sum())} rows on {days} day(s) are newer than {parent.learnt_until}, the last day of "
            f"v{parent.version}; at least {settings.incremental.min_rows} on two days are needed "
            "(ctr.incremental.min_rows in thresholds.yaml)"
        )
    if not (~new).any():
        raise ContinuationRefused("the window has no old rows, which must not get worse: begin it earlier")
    if min(features.clicks[new].sum(), features.clicks[~new].sum()) == 0:
        raise TrainingDataInsufficient("the old rows or the new ones have no click: nothing can be compared")
    return np.asarray(new)


def _extended(model: CtrModel, rows: FeatureFrame, settings: CtrSettings) -> CtrModel:
    """Every member goes on for the rounds the settings name; weights, calibration and niches stay."""
    encoded = EncodedRows.of(rows, model.encoder)
    longer = tuple(
        member.extended(
            encoded, settings.incremental.epochs if member.name == "mlp" else settings.incremental.rounds
        )
        for member in model.members
    )
    return replace(model, members=longer)


def _reason(on_new: Interval, on_old: Interval, tolerance: float) -> str:
    return (
        f"on new rows it saves {on_new.value:.2%} of the parent's log loss ({on_new.low:.2%} to "
        f"{on_new.high:.2%}; above 0 is needed), on old ones {on_old.value:.2%} (no worse than "
        f"{-tolerance:.2%} is allowed)"
    )
