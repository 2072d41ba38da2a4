"""New trees for a version's niches: accepted where a niche is its own world, refused where none is."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ml.ctr import ContinuationRefused, NothingNewer, Rival, train_ctr, train_niches
from ml.features import build_ad_features
from tests.ml.ad_rows import ad_rows, export_rows
from tests.ml.training_settings import quick_settings

SETTINGS = quick_settings()
LAST = pd.Timestamp("2026-01-22")


@pytest.fixture(scope="module")
def rows():
    return ad_rows(ads=200, days=32)


def parent_of(rows) -> Rival:
    old = rows[pd.to_datetime(rows["metric_date"]) <= LAST]
    return Rival(train_ctr(build_ad_features(old), SETTINGS).model, 3, LAST.date())


def test_a_niche_that_is_its_own_world_gets_trees_of_its_own(rows):
    """In one niche the hooks work the other way round; in the others nothing is special."""
    own = ad_rows(seed=9, ads=500, days=40)
    niches = sorted(set(own["niche"]))
    special = (own["niche"] == niches[0]).to_numpy()
    first = (own["hook_type"] == sorted(set(own["hook_type"]))[0]).to_numpy()
    rate = np.where(special, np.where(first, 0.002, 0.03), np.where(first, 0.03, 0.002))
    own["impressions"] = 4000
    own["clicks"] = np.random.default_rng(2).binomial(own["impressions"], rate)
    features = build_ad_features(own)
    parent = train_ctr(features, quick_settings(niche=replace(SETTINGS.niche, min_clicks=10**9)))
    assert not parent.model.niches.boosters_
    weak = replace(
        parent.model,
        members=parent.model.members[:1],
        weights={parent.model.members[0].name: 0.2, "constant": 0.8},
    )
    last = pd.to_datetime(own["metric_date"]).max().date() - timedelta(days=12)
    found = train_niches(Rival(weak, 3, last), features, SETTINGS)
    assert found.training is not None, found.reason
    assert found.on_new.low > 0
    assert features.dates[found.training.split.test].min() > np.datetime64(last)
    assert niches[0] in found.training.model.niches.boosters_
    unseen = features.X.head(5).assign(niche="a new one")
    assert (found.training.model.predict(unseen) == weak.predict(unseen)).all()


def test_where_no_niche_is_special_no_version_is_made(rows):
    found = train_niches(parent_of(rows), build_ad_features(rows), SETTINGS)
    assert found.training is None
    assert "proved better on its own" in found.reason


def test_what_the_parent_knows_does_not_judge_its_niches(rows):
    parent = replace(parent_of(rows), learnt_until=pd.to_datetime(rows["metric_date"]).max().date())
    with pytest.raises(NothingNewer, match=r"learnt these days already"):
        train_niches(parent, build_ad_features(rows), SETTINGS)


def test_without_niches_there_is_nothing_to_grow():
    features = build_ad_features(export_rows())
    parent = Rival(train_ctr(features, SETTINGS).model, 1, None)
    with pytest.raises(ContinuationRefused, match="knows no niches"):
        train_niches(parent, features, SETTINGS)
