"""A model is told earlier days' mined features, never the predicted day's, and a planted leak is seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.features import build_ad_features
from ml.features.mined_definitions import RECIPE
from ml.features.mined_formulas import SETTLED_DAYS
from ml.features.mined_inputs import STALE_DAYS, MinedFeatureUnknown, check_names, lagged_mined
from ml.features.peeking import peeking_features
from tests.ml.ad_rows import ad_rows


def with_mined(rows: pd.DataFrame, seed: int = 3) -> pd.DataFrame:
    """Rows with two mined features of their own day, the second of purchases."""
    random = np.random.default_rng(seed)
    return rows.assign(
        mined_night_share=random.random(len(rows)), mined_purchases_per_click=random.random(len(rows))
    )


def test_a_row_is_told_the_day_before_and_purchases_of_eight_days_before() -> None:
    rows = with_mined(ad_rows(ads=4, days=20))
    features = build_ad_features(rows)
    own = {(f"{row.account_id}/{row.ad_id}", pd.Timestamp(row.metric_date)): row for row in rows.itertuples()}
    seen = 0
    for group, day, night, bought in zip(
        features.groups,
        pd.to_datetime(features.dates),
        features.X["mined_night_share"],
        features.X["mined_purchases_per_click"],
        strict=True,
    ):
        before = own.get((group, day - pd.Timedelta(days=1)))
        settled = own.get((group, day - pd.Timedelta(days=SETTLED_DAYS)))
        assert (np.isnan(night) and before is None) or night == before.mined_night_share
        assert (np.isnan(bought) and settled is None) or bought == settled.mined_purchases_per_click
        seen += settled is not None
    assert seen > 10
    assert features.feature_set == f"ads-1+{RECIPE}"


def test_after_a_silence_the_newest_day_counts_for_a_week_and_never_another_ads() -> None:
    days = np.array([0, 1 + STALE_DAYS, 40, 0])
    rows = pd.DataFrame({"mined_night_share": [0.1, 0.2, 0.3, 0.4]})
    told = lagged_mined(rows, np.array([5, 5, 5, 6]), days)["mined_night_share"]
    assert told.tolist()[1] == 0.1
    assert np.isnan(told.to_numpy()[[0, 2, 3]]).all()


def test_without_mined_columns_the_feature_set_is_as_it_was() -> None:
    rows = ad_rows(ads=10, days=8)
    plain, told = build_ad_features(rows), build_ad_features(with_mined(rows))
    pd.testing.assert_frame_equal(plain.X, told.X[plain.X.columns])
    assert plain.feature_set == "ads-1"
    assert plain.fingerprint() != told.fingerprint()


def test_lagged_mined_features_know_nothing_of_their_own_day() -> None:
    assert peeking_features(build_ad_features, with_mined(ad_rows()), seed=1) == []


def test_a_mined_feature_of_its_own_day_is_found() -> None:
    rows = with_mined(ad_rows())

    def leaking(changed: pd.DataFrame) -> object:
        features = build_ad_features(changed)
        own = changed.assign(group=changed["account_id"] + "/" + changed["ad_id"])
        own["day"] = pd.to_datetime(own["metric_date"])
        at = pd.MultiIndex.from_arrays([features.groups, pd.to_datetime(features.dates)])
        table = own.set_index(["group", "day"])["mined_night_share"]
        features.X["mined_night_share"] = table.reindex(at).to_numpy()
        return features

    assert peeking_features(leaking, rows, seed=1) == ["mined_night_share"]  # type: ignore[arg-type]


def test_names_come_in_the_order_of_the_definitions_and_unknown_ones_are_refused() -> None:
    assert check_names(["night_share", "feed_share"]) == ("feed_share", "night_share")
    with pytest.raises(MinedFeatureUnknown, match="no mined feature 'nigth_share'"):
        check_names(["nigth_share"])
