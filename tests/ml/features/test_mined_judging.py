"""What helps is found to help, what does not is not, and what only looks like help is not believed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.ctr.errors import TrainingDataInsufficient
from ml.ctr.settings import LightgbmSettings
from ml.features import FeatureFrame, build_ad_features
from ml.features.mined_forgetting import JudgingSettings
from ml.features.mined_judging import (
    EARNS,
    NOT_PROVED,
    FeatureReport,
    as_numbers,
    judge_features,
    purchases_frame,
)
from tests.ml.ad_rows import ad_rows

TREES = LightgbmSettings(
    rounds=60, early_stopping_rounds=10, learning_rate=0.1, leaves=8, min_child_weight=20.0, reg_lambda=5.0,
    feature_share=1.0,
)  # fmt: skip
SETTINGS = JudgingSettings(
    test_share=0.3, validation_share=0.15, folds=2, repeats=3, false_discovery_rate=0.05, least_ads=30,
    seed=7, trees=TREES,
)  # fmt: skip

# Null features of the simulated platform: no device, hour or colour changes whether people click.
NULLS = ("ios_share", "ios_android_ctr_gap", "desktop_ctr_lift", "hour_hhi", "evening_ctr_lift")


def frame(seed: int = 1, *, hidden: float = 0.5, fingerprint: bool = False) -> FeatureFrame:
    """Ads whose hidden effect only `quality_rank` tells; the null features are noise, or a name of the ad."""
    rows = ad_rows(seed=seed, ads=240, days=30, spread=0.01)
    random = np.random.default_rng(seed)
    ads = pd.factorize(rows["account_id"] + "/" + rows["ad_id"])[0]
    effect = random.normal(0, hidden, size=ads.max() + 1)[ads]
    rate = np.clip(rows["clicks"].to_numpy() / np.maximum(rows["impressions"].to_numpy(), 1), 0.002, 0.2)
    rows["clicks"] = random.binomial(rows["impressions"], np.clip(rate * np.exp(effect), 0, 1))
    rows["mined_quality_rank"] = np.round(effect + random.normal(0, 0.1, size=len(rows)), 1)
    for name in NULLS:
        noise = random.normal(size=ads.max() + 1)[ads] if fingerprint else random.normal(size=len(rows))
        rows[f"mined_{name}"] = noise
    return build_ad_features(rows)


def verdicts(report: FeatureReport) -> dict[str, str]:
    return {each.name: each.verdict for each in report.features}


def test_what_tells_the_hidden_effect_earns_its_place_and_noise_does_not() -> None:
    report = judge_features(frame(), SETTINGS, "ctr")
    found = verdicts(report)
    assert found["quality_rank"] == EARNS
    assert report.gain.verdict == EARNS
    assert [name for name in NULLS if found[name] == EARNS] == []
    first = report.features[0]
    assert (first.name, first.low > 0) == ("quality_rank", True)
    assert first.low < first.value < first.high
    assert report.entropy_with < report.entropy_without
    assert "Together the mined features help" in report.summary
    assert "quality_rank earns a place" in report.summary


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_what_names_the_ad_but_tells_nothing_of_others_is_not_believed(seed: int) -> None:
    features = frame(seed, hidden=0.3, fingerprint=True)
    features = replace(features, X=features.X.drop(columns="mined_quality_rank"))
    report = judge_features(features, SETTINGS, "ctr")
    assert report.earning == ()
    assert report.gain.verdict != EARNS
    assert f"None of {len(NULLS)} earns its place" in report.summary


def test_a_feature_that_says_what_the_model_knows_already_is_not_proved() -> None:
    features = frame(5)
    features.X["mined_frequency"] = features.X["ad_ctr_lag7"]
    features = replace(features, X=features.X.drop(columns="mined_quality_rank"))
    assert verdicts(judge_features(features, SETTINGS, "ctr"))["frequency"] == NOT_PROVED


def test_the_same_rows_and_seed_give_the_same_report_and_it_is_plain_json() -> None:
    features = frame(6)
    one, other = (judge_features(features, SETTINGS, "ctr") for _ in range(2))
    assert one == other
    assert json.loads(json.dumps(as_numbers(one), allow_nan=False))["ads"] == one.ads


def test_purchases_per_click_are_counted_per_click_and_never_above_one() -> None:
    rows = ad_rows(ads=30, days=10).assign(conversions=lambda told: told["clicks"] * 2.0)
    rows.loc[rows["ad_id"] == "ad_00003", "conversions"] = 0.0
    features = build_ad_features(rows)
    bought = purchases_frame(features, rows)
    assert (bought.impressions > 0).all()
    assert bought.impressions.sum() == features.clicks.sum()
    never = np.char.endswith(bought.groups.astype(str), "ad_00003")
    assert bought.clicks[never].sum() == 0
    assert (bought.clicks[~never] == bought.impressions[~never]).all()


@pytest.mark.parametrize(
    ("features", "settings", "says"),
    [
        (build_ad_features(ad_rows(ads=40, days=12)), SETTINGS, "run mine_ad_features"),
        (frame(), replace(SETTINGS, least_ads=10_000), "10000 are needed"),
    ],
)
def test_too_little_to_judge_is_said(features: FeatureFrame, settings: JudgingSettings, says: str) -> None:
    with pytest.raises(TrainingDataInsufficient, match=says):
        judge_features(features, settings, "ctr")
