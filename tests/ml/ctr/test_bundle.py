"""The exported bundle predicts what the model does, in every case that converters get wrong."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.ctr import ParityFailed, train_ctr
from ml.ctr.blending import Recalibration
from ml.ctr.bundle import TOLERANCE, check_parity, export_bundle, probing_rows
from ml.ctr.bundle_runtime import Bundle
from ml.ctr.encoding import FrameEncoder
from ml.ctr.member import EncodedRows
from ml.ctr.model import CtrModel, members_of, weighted
from ml.ctr.niche import NicheModels
from ml.ctr.strategies import extended
from ml.features import build_ad_features
from tests.ml.ad_rows import ad_rows, export_rows
from tests.ml.training_settings import quick_settings

SETTINGS = quick_settings()


@pytest.fixture(scope="module")
def features():
    return build_ad_features(ad_rows())


@pytest.fixture(scope="module")
def everything(features):
    """A model in which every member has a weight, calibrated, with trees for two niches."""
    encoder = FrameEncoder().fit(features.X)
    rows = EncodedRows.of(features, encoder)
    members = tuple(member.fit(rows, rounds=12) for member in members_of(SETTINGS, encoder))
    niches = NicheModels(SETTINGS.niche, SETTINGS.xgboost, encoder, SETTINGS.seed)
    model = CtrModel(
        encoder,
        members,
        weighted([member.name for member in members], np.array([0.3, 0.3, 0.3, 0.1])),
        0.011,
        Recalibration(-0.3, 0.93),
        niches,
        features.feature_set,
    )
    offset = model.global_log_odds(rows.matrix)
    for code, niche in enumerate(encoder.levels_["niche"][:2]):
        mask = rows.matrix[:, encoder.columns_.index("niche")] == code
        import xgboost

        niches.boosters_[niche] = xgboost.train(
            niches._parameters(), niches._matrix(rows.take(mask), offset[mask]), num_boost_round=9
        )
    return model


def test_the_whole_ensemble_with_calibration_and_niches(everything, features):
    assert check_parity(everything, export_bundle(everything), features.X) <= TOLERANCE


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "mlp"])
def test_each_member_alone(everything, features, name):
    members = tuple(member for member in everything.members if member.name == name)
    alone = replace(everything, members=members, weights={name: 1.0}, calibration=Recalibration())
    alone = replace(alone, niches=NicheModels(SETTINGS.niche, SETTINGS.xgboost, alone.encoder, 7))
    assert check_parity(alone, export_bundle(alone), features.X) <= TOLERANCE


def test_continued_boosters_and_a_network_that_went_on(everything, features):
    longer = extended(everything, features, SETTINGS)
    rounds = {member.name: member.rounds_ for member in longer.members}
    assert rounds == {"xgboost": 42, "lightgbm": 42, "mlp": 15}
    assert check_parity(longer, export_bundle(longer), features.X) <= TOLERANCE
    assert np.abs(longer.predict(features.X) - everything.predict(features.X)).max() > 1e-5


def test_the_constant(features):
    rows = ad_rows(seed=3, ads=60, spread=0.0).assign(niche="same", account_id="one")
    rows["clicks"] = np.random.default_rng(1).binomial(rows["impressions"], 0.01)
    frame = build_ad_features(rows)
    model = train_ctr(frame, SETTINGS).model
    assert model.is_constant
    bundle = export_bundle(model)
    assert check_parity(model, bundle, frame.X) <= TOLERANCE
    assert Bundle(bundle).predict([{}, {}]).shape == (2,)


def test_a_dateless_export():
    frame = build_ad_features(export_rows())
    model = train_ctr(frame, SETTINGS).model
    assert check_parity(model, export_bundle(model), frame.X) <= TOLERANCE


def test_rows_of_plain_values_predict_as_frames_do(everything, features):
    bundle = Bundle(export_bundle(everything))
    rows = features.X.head(50)
    plain = [
        {name: (None if pd.isna(value) else value) for name, value in row.items()}
        for row in rows.to_dict("records")
    ]
    assert np.abs(bundle.predict(plain) - everything.predict(rows)).max() <= TOLERANCE
    unknown = bundle.predict([{"hook_type": "never seen", "not a column": 3}])
    assert 0 < unknown[0] < 1


def test_what_does_not_agree_is_refused(everything, features):
    other = replace(everything, calibration=Recalibration(-0.31, 0.93))
    with pytest.raises(ParityFailed, match="where the model predicts"):
        check_parity(everything, export_bundle(other), features.X)


def test_probes_hit_thresholds_and_break_everything_once(everything, features):
    probes = probing_rows(everything, features.X, seed=1)
    numbers = probes.select_dtypes("number")
    assert np.isinf(numbers.to_numpy()).any()
    assert np.isnan(numbers.to_numpy()).any()
    assert "never seen" in set(probes["hook_type"])
