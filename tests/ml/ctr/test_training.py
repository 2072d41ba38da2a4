"""Training: beats the average where there is something to learn, says so where not, refuses too little."""

import numpy as np
import pandas as pd
import pytest

from ml.ctr import (
    CtrModel,
    ModelFilesInvalid,
    Rival,
    TrainingDataInsufficient,
    train_ctr,
)
from ml.ctr.encoding import FrameEncoder
from ml.ctr.evaluation import log_loss_sums
from ml.ctr.fitting import fit_model
from ml.ctr.judging import gates_failed
from ml.ctr.member import EncodedRows, rate_of
from ml.ctr.model import member_of
from ml.ctr.training import parted
from ml.features import build_ad_features
from tests.ml.ad_rows import ad_rows, export_rows
from tests.ml.training_settings import quick_settings

SETTINGS = quick_settings()


@pytest.fixture(scope="module")
def features():
    return build_ad_features(ad_rows())


@pytest.fixture(scope="module")
def trained(features):
    return train_ctr(features, SETTINGS)


def test_a_model_of_dated_rows_beats_the_constant_and_is_calibrated(trained):
    assert trained.beats_constant
    assert trained.metrics["normalized_entropy"] < 0.98 < trained.metrics["normalized_entropy_constant"]
    assert trained.metrics["skill_vs_constant_low"] > 0
    assert trained.metrics["predicted_actual_ratio"] == pytest.approx(1, abs=0.1)
    assert trained.metrics["calibration_error_pp"] < 0.3
    assert trained.split.method == "time"
    assert "train 2026-01-01 to" in trained.split.description
    assert trained.failed_gates == ()
    assert set(trained.model.weights) == {"xgboost", "lightgbm", "mlp", "constant"}
    assert sum(trained.model.weights.values()) == pytest.approx(1)
    assert {each.by for each in trained.slices} >= {"niche", "age of ad"}


def test_the_ensemble_is_never_worse_on_validation_than_its_best_member_or_the_constant(features):
    parts, _ = parted(features, SETTINGS)
    fitted = fit_model(parts["train"], parts["validation"], SETTINGS)
    rows = parts["validation"]
    matrix = EncodedRows.of(rows, fitted.model.encoder).matrix

    def loss(rates):
        return log_loss_sums(rates, rows.clicks, rows.impressions).sum()

    own = loss(rate_of(fitted.model.global_log_odds(matrix)))
    alone = [loss(rate_of(member.log_odds(matrix))) for member in fitted.members]
    constant = loss(np.full(len(rows), fitted.model.constant))
    assert own <= min(*alone, constant) + 1e-6


def test_what_the_champion_had_learnt_from_does_not_compare_the_two(features, trained):
    first_test = features.dates[trained.split.test].min().astype(object)
    half_seen = Rival(trained.model, 1, first_test)
    compared = train_ctr(features, SETTINGS, half_seen).metrics
    assert 0 < compared["rows_vs_champion"] < trained.part_rows["test"]
    assert compared["champion_is_older"] == 0
    all_seen = Rival(trained.model, 1, features.dates.max().astype(object))
    assert "skill_vs_champion" not in train_ctr(features, SETTINGS, all_seen).metrics


def test_a_version_that_is_worse_than_an_older_champion_fails_its_gates(features, trained):
    known = dict(trained.metrics, skill_vs_champion_high=-0.01, rows_vs_champion=500.0)
    assert gates_failed(known, SETTINGS.gates, is_constant=False) == ()
    (why,) = gates_failed(known | {"champion_is_older": 1.0}, SETTINGS.gates, is_constant=False)
    assert "worse than the champion with confidence" in why


def test_each_gate_says_what_it_found_and_what_it_wanted(trained):
    def failed(**changes):
        return " ".join(gates_failed(trained.metrics | changes, SETTINGS.gates, is_constant=False))

    assert "calibration error 0.700 points is above 0.5" in failed(calibration_error_pp=0.7)
    assert "not between 0.8 and 1.25" in failed(predicted_actual_ratio=1.4)
    assert "is not below 1" in failed(normalized_entropy=1.01)
    assert "not better than one rate" in failed(skill_vs_constant_low=-0.001)


def test_a_model_of_a_dateless_export_is_split_by_ad_and_beats_the_constant():
    trained = train_ctr(build_ad_features(export_rows()), SETTINGS)
    assert trained.split.method == "ad"
    assert trained.beats_constant


def test_where_nothing_can_be_known_it_says_that_the_constant_is_as_good():
    rows = ad_rows(seed=3, ads=60, spread=0.0).assign(niche="same", account_id="one")
    random = np.random.default_rng(1)
    rows["clicks"] = random.binomial(rows["impressions"], 0.01)
    trained = train_ctr(build_ad_features(rows), SETTINGS)
    assert not trained.beats_constant
    assert trained.metrics["normalized_entropy"] == pytest.approx(1, abs=0.01)
    assert trained.model.is_constant
    assert "no member beats one rate for everybody" in trained.note
    assert len(set(trained.model.predict(build_ad_features(rows).X))) == 1


def test_the_same_data_and_settings_give_the_same_model(features, trained):
    again = train_ctr(features, SETTINGS)
    assert again.metrics == trained.metrics
    assert (again.model.predict(features.X) == trained.model.predict(features.X)).all()


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_impressions_weigh_like_that_many_single_rows(name):
    rows = pd.DataFrame(
        {
            "account_id": "a",
            "ad_id": [f"ad{i}" for i in range(60)],
            "impressions": 50,
            "clicks": [5] * 30 + [20] * 30,
            "age": ["x"] * 30 + ["y"] * 30,
        }
    )
    wide = build_ad_features(rows)
    single = rows.loc[rows.index.repeat(50)].assign(
        impressions=1, clicks=np.concatenate([np.r_[np.ones(c), np.zeros(50 - c)] for c in rows["clicks"]])
    )
    encoder = FrameEncoder().fit(wide.X)
    of_rows, of_impressions = (
        rate_of(
            member_of(name, vars(getattr(SETTINGS, name)), encoder, 7)
            .fit(EncodedRows.of(frame, encoder), rounds=40)
            .log_odds(encoder.transform(wide.X))
        )
        for frame in (wide, build_ad_features(single))
    )
    assert of_rows == pytest.approx(of_impressions, rel=1e-4)
    young = (wide.X["age"] == "x").to_numpy()
    assert of_rows[young] == pytest.approx(0.1, abs=0.02)
    assert of_rows[~young] == pytest.approx(0.4, abs=0.02)


def test_unknown_levels_missing_values_and_absent_columns_are_no_errors(trained, features):
    few = features.X.head(3)
    odd = few.assign(hook_type="never seen", ad_ctr_lag7=np.inf, niche=None).drop(columns="duration_s")
    predicted = trained.model.predict(odd)
    assert np.isfinite(predicted).all()
    assert ((predicted > 0) & (predicted < 1)).all()


def test_columns_in_another_order_and_of_another_text_type_predict_the_same(trained, features):
    texts = features.X.select_dtypes("object").columns
    other = features.X[features.X.columns[::-1]].astype(dict.fromkeys(texts, "str"))
    assert (trained.model.predict(other) == trained.model.predict(features.X)).all()
    categorical = features.X.astype(dict.fromkeys(texts, "category"))
    assert (trained.model.predict(categorical) == trained.model.predict(features.X)).all()


def test_rare_levels_are_learnt_as_unknown():
    frame = pd.DataFrame({"cta": ["buy"] * 20 + ["rare"] * 3})
    encoder = FrameEncoder().fit(frame)
    assert encoder.levels_ == {"cta": ("buy",)}
    assert FrameEncoder.from_dict(encoder.as_dict()) == encoder


def test_a_saved_model_predicts_the_same(trained, features, tmp_path):
    trained.model.save(tmp_path)
    loaded = CtrModel.load(tmp_path)
    assert loaded.feature_names == trained.model.feature_names
    assert (loaded.predict(features.X) == trained.model.predict(features.X)).all()


def test_files_that_are_no_model_are_refused(trained, tmp_path):
    with pytest.raises(ModelFilesInvalid, match="cannot be read"):
        CtrModel.load(tmp_path)
    trained.model.save(tmp_path)
    description = tmp_path / "ctr_model.json"
    description.write_text(description.read_text().replace('"form": 2', '"form": 99'))
    with pytest.raises(ModelFilesInvalid, match="its form is 99"):
        CtrModel.load(tmp_path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (ad_rows(ads=4, days=5), "rows with .* clicks, but at least 200 rows and 50 clicks"),
        (ad_rows(base=-14.0), "clicks, but at least"),
        (ad_rows(ads=300, days=2), r"span 2 day\(s\)"),
        (export_rows().assign(age="x", gender="y", interest="z"), "none of the features varies"),
        (export_rows().iloc[:0], "0 rows with 0 clicks"),
    ],
)
def test_too_little_to_learn_from_is_refused_with_what_there_is_and_is_needed(rows, says):
    with pytest.raises(TrainingDataInsufficient, match=says):
        train_ctr(build_ad_features(rows), SETTINGS)


def test_a_part_without_a_click_is_refused():
    rows = ad_rows()
    late = pd.to_datetime(rows["metric_date"]) > pd.Timestamp("2026-01-20")
    with pytest.raises(TrainingDataInsufficient, match="no click"):
        train_ctr(build_ad_features(rows.assign(clicks=rows["clicks"].where(~late, 0))), SETTINGS)


def test_a_real_export_beats_the_constant(shared_data):
    export = pd.read_csv(shared_data / "meta_ads" / "KAG_conversion_data.csv")
    rows = export.rename(
        columns={"xyz_campaign_id": "campaign_id", "Impressions": "impressions", "Clicks": "clicks"}
    ).assign(account_id="kag", metric_date=None, breakdown="")
    trained = train_ctr(build_ad_features(rows), SETTINGS)
    assert sum(trained.part_rows.values()) == 1143
    assert sum(trained.part_clicks.values()) == 38_165
    assert trained.beats_constant
