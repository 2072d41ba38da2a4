"""A feature that knows its own day is found, and those of the house do not."""

import numpy as np
import pandas as pd

from ml.features import build_ad_features
from ml.features.peeking import peeking_features
from tests.ml.ad_rows import ad_rows, export_rows


def with_planted(column):
    """The house's features and one more, made by `column(frame)` of the rows' own outcomes."""

    def build(rows):
        features = build_ad_features(rows)
        features.X["planted"] = column(features)
        return features

    return build


def test_the_features_of_the_house_know_only_earlier_days():
    assert peeking_features(build_ad_features, ad_rows(), seed=1) == []


def test_a_rate_that_includes_its_own_day_is_found():
    def own_rate(features):
        return pd.Series(features.clicks / features.impressions, index=features.X.index)

    assert peeking_features(with_planted(own_rate), ad_rows(), seed=1) == ["planted"]


def test_an_average_over_all_days_is_found():
    def average(features):
        rate = pd.Series(features.clicks / features.impressions)
        return rate.groupby(pd.Series(features.groups)).transform("mean").to_numpy()

    assert peeking_features(with_planted(average), ad_rows(), seed=1) == ["planted"]


def test_rows_without_dates_have_no_future():
    assert peeking_features(build_ad_features, export_rows(), seed=1) == []
    assert np.isfinite(build_ad_features(export_rows()).clicks).all()
