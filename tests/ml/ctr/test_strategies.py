"""What each strategy makes of a champion: how much it changes, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest

from ml.ctr import TrainingDataInsufficient, train_ctr
from ml.ctr.member import EncodedRows, log_odds_of
from ml.ctr.niche import NicheModels
from ml.ctr.strategies import Strategy, made_again, made_by, recalibrated_model
from ml.features import build_ad_features
from tests.ml.ad_rows import ad_rows
from tests.ml.training_settings import quick_settings

SETTINGS = quick_settings()


@pytest.fixture(scope="module")
def features():
    return build_ad_features(ad_rows())


@pytest.fixture(scope="module")
def parent(features):
    """With trees of its own for a niche."""
    model = train_ctr(features, SETTINGS).model
    rows = EncodedRows.of(features, model.encoder)
    niches = NicheModels(SETTINGS.niche, SETTINGS.xgboost, model.encoder, SETTINGS.seed)
    offset = model.global_log_odds(rows.matrix)
    niches.fit((rows, rows, rows), (offset, offset, offset), features.groups)
    assert niches.boosters_
    return replace(model, niches=niches)


def test_recalibration_moves_every_row_by_the_same_number_niches_included(parent, features):
    more = replace(features, clicks=np.minimum(2 * features.clicks, features.impressions))
    moved = recalibrated_model(parent, more, SETTINGS)
    matrix = parent.encoder.transform(features.X)
    by = moved.log_odds(matrix) - parent.log_odds(matrix)
    assert by.mean() == pytest.approx(np.log(2), abs=0.1)
    assert by == pytest.approx(by.mean(), abs=1e-5)


def test_going_on_leaves_the_parent_as_it_is_and_keeps_weights_and_niches(parent, features):
    before = parent.predict(features.X)
    longer = made_by(Strategy.CONTINUE, parent, features, features, SETTINGS).fitted.model
    assert (parent.predict(features.X) == before).all()
    assert dict(longer.weights) == dict(parent.weights)
    assert longer.niches is parent.niches
    assert all(new.rounds_ > old.rounds_ for new, old in zip(longer.members, parent.members, strict=True))


def test_a_retrain_is_made_again_with_the_recipe_that_was_judged(parent, features):
    part = features.take(features.dates < features.dates.max() - 3)
    judged = made_by(Strategy.RETRAIN_FULL, parent, part, part, SETTINGS)
    again = made_again(judged, Strategy.RETRAIN_FULL, parent, features, features, SETTINGS)
    assert again.recipe is judged.recipe
    assert {member.name: member.rounds_ for member in again.fitted.members} == {
        member.name: member.rounds_ for member in judged.fitted.members
    }
    assert (again.fitted.model.predict(features.X) != judged.fitted.model.predict(features.X)).any()


def test_too_few_rows_or_clicks_for_a_retrain_are_told_with_their_numbers(parent, features):
    few = features.take(np.arange(150))
    with pytest.raises(TrainingDataInsufficient, match="150 rows"):
        made_by(Strategy.RETRAIN_RECENT, parent, few, few, SETTINGS)
    one_ad = replace(features, clicks=np.where(features.groups == features.groups[0], features.clicks, 0))
    loud = replace(one_ad, clicks=np.where(one_ad.clicks > 0, one_ad.impressions, 0))
    with pytest.raises(TrainingDataInsufficient, match="too few clicks to learn from and to stop by"):
        made_by(Strategy.RETRAIN_FULL, parent, loud, loud, SETTINGS)


def test_one_rate_for_everybody_is_moved_but_cannot_go_on(parent, features):
    constant = replace(
        parent,
        members=(),
        weights={"constant": 1.0},
        niches=NicheModels(SETTINGS.niche, SETTINGS.xgboost, parent.encoder, SETTINGS.seed),
    )
    moved = made_by(Strategy.RECALIBRATE, constant, features, features, SETTINGS).fitted.model
    rate = features.clicks.sum() / features.impressions.sum()
    assert moved.log_odds(moved.encoder.transform(features.X[:1]))[0] == pytest.approx(
        float(log_odds_of(rate)), abs=0.1
    )
    with pytest.raises(TrainingDataInsufficient, match="no member that could go on"):
        made_by(Strategy.CONTINUE, constant, features, features, SETTINGS)
