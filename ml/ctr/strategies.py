"""The ways to answer a champion that got worse, each from "how it is" to "how it would be".

None is best everywhere, and each does harm somewhere: going on boosting follows a change of what works and
doubles the excess loss where nothing changed; shifting the intercept follows a change of level at the price
of one number and is blind to everything else; a retrain on all rows needs the new ones to be many; one on the
recent rows alone forgets what still holds. So `tournament.py` tries them and lets the newest rows decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ml.ctr.blending import Recalibration, shrunk_shift
from ml.ctr.errors import TrainingDataInsufficient
from ml.ctr.fitting import FittedModel, fit_model, refit
from ml.ctr.member import EncodedRows
from ml.ctr.model import CtrModel
from ml.ctr.settings import CtrSettings
from ml.ctr.split import share_of_ads
from ml.ctr.training import check_sufficient
from ml.features import FeatureFrame


class Strategy(Enum):
    """What can be done about a champion, beside keeping it.

    `recalibrate` moves its log-odds by one number, `continue` lets every member go on learning from the new
    rows, `retrain_full` learns anew from all rows, `retrain_recent` from the recent ones only.
    """

    RECALIBRATE = "recalibrate"
    CONTINUE = "continue"
    RETRAIN_FULL = "retrain_full"
    RETRAIN_RECENT = "retrain_recent"


INCREMENTAL = (Strategy.RECALIBRATE, Strategy.CONTINUE)
RETRAINS = (Strategy.RETRAIN_FULL, Strategy.RETRAIN_RECENT)
UPDATE = INCREMENTAL + RETRAINS


@dataclass(frozen=True)
class Update:
    """A model that a strategy made.

    Attributes:
        fitted: the model, with what a retrain on more rows needs to know of it.
        recipe: what a retrain found: rounds, weights, calibration, niches; None where nothing was retrained.
    """

    fitted: FittedModel
    recipe: FittedModel | None = None


def made_by(
    strategy: Strategy, parent: CtrModel, new: FeatureFrame, rows: FeatureFrame, settings: CtrSettings
) -> Update:
    """What a strategy makes of a parent and rows.

    Args:
        strategy: which.
        parent: the champion.
        new: rows it did not learn from; all that `recalibrate` and `continue` look at.
        rows: what a retrain learns from: new and old rows, or the recent ones.
        settings: how far to go.

    Raises:
        TrainingDataInsufficient: a retrain has too few rows, or there is no member that could go on.
    """
    if strategy is Strategy.RECALIBRATE:
        return _plain(recalibrated_model(parent, new, settings))
    if strategy is Strategy.CONTINUE:
        if not parent.members:
            raise TrainingDataInsufficient("one rate for everybody has no member that could go on")
        return _plain(extended(parent, new, settings))
    check_sufficient(rows, settings)
    stop = share_of_ads(rows.groups, settings.validation_share, settings.seed)
    train, validation = rows.take(~stop), rows.take(stop)
    if min(train.clicks.sum(), validation.clicks.sum()) == 0:
        raise TrainingDataInsufficient("its rows have too few clicks to learn from and to stop by")
    return _retrained(fit_model(train, validation, settings), rows, settings)


def made_again(
    update: Update,
    strategy: Strategy,
    parent: CtrModel,
    new: FeatureFrame,
    rows: FeatureFrame,
    settings: CtrSettings,
) -> Update:
    """The same with more rows, for use: a retrain keeps the recipe that was judged. See `made_by`."""
    if update.recipe is not None:
        return _retrained(update.recipe, rows, settings)
    return made_by(strategy, parent, new, rows, settings)


def recalibrated_model(model: CtrModel, rows: FeatureFrame, settings: CtrSettings) -> CtrModel:
    """The model with its log-odds moved by what `rows` say, shrunk towards no move.

    Niches' trees are added after the calibration, so a move of the calibration moves every row by as much.
    """
    log_odds = model.log_odds(EncodedRows.of(rows, model.encoder).matrix)
    shift = shrunk_shift(log_odds, rows.clicks, rows.impressions, rows.groups, settings.incremental.shift_sd)
    known = model.calibration
    return replace(model, calibration=Recalibration(known.intercept + shift, known.slope))


def extended(model: CtrModel, rows: FeatureFrame, settings: CtrSettings) -> CtrModel:
    """Every member goes on for the rounds the settings name; weights, calibration and niches stay."""
    encoded = EncodedRows.of(rows, model.encoder)
    longer = tuple(
        member.extended(
            encoded, settings.incremental.epochs if member.name == "mlp" else settings.incremental.rounds
        )
        for member in model.members
    )
    return replace(model, members=longer)


def _plain(model: CtrModel) -> Update:
    return Update(FittedModel(model, model.members, ""))


def _retrained(recipe: FittedModel, rows: FeatureFrame, settings: CtrSettings) -> Update:
    model = refit(recipe, rows, settings)
    return Update(FittedModel(model, model.members, recipe.note), recipe)
