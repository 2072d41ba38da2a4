"""Figures of parts of the rows: by niche and age, by placement, and silence where there is too little."""

import numpy as np
import pandas as pd

from ml.ctr.slices import placement_slices, slices
from ml.features import build_ad_features
from tests.ml.ad_rows import ad_rows, export_rows


def test_a_niche_that_is_predicted_wrongly_stands_out():
    features = build_ad_features(ad_rows())
    rate = features.clicks.sum() / features.impressions.sum()
    niche = sorted(set(features.X["niche"].dropna()))[0]
    predicted = np.where(features.X["niche"] == niche, 2 * features.ctr, features.ctr)
    found = {(each.by, each.value): each for each in slices(np.maximum(predicted, rate / 100), features)}
    assert found["niche", niche].predicted_actual_ratio > 1.9
    others = [each for (by, value), each in found.items() if by == "niche" and value != niche]
    assert all(each.predicted_actual_ratio < 1.1 for each in others)
    assert sum(each.rows for (by, _), each in found.items() if by == "age of ad") == len(features)


def test_too_few_clicks_tell_nothing():
    features = build_ad_features(ad_rows(base=-11.0))
    assert all(each.normalized_entropy is None for each in slices(features.ctr, features) if each.clicks < 20)


def test_placements_show_how_far_they_lie_from_the_ad():
    features = build_ad_features(ad_rows())
    half = features.impressions // 2
    account, ad = np.array([each.split("/") for each in features.groups]).T
    cells = pd.concat(
        pd.DataFrame(
            {
                "account_id": account,
                "ad_id": ad,
                "metric_date": features.dates,
                "placement": placement,
                "impressions": half,
                "clicks": np.round(features.clicks * share).astype(int),
            }
        )
        for placement, share in (("feed", 0.8), ("reels", 0.2))
    )
    feed, reels = placement_slices(features.ctr, features, cells)
    assert (feed.value, reels.value) == ("feed", "reels")
    assert feed.predicted_actual_ratio < 0.75
    assert reels.predicted_actual_ratio > 1.8


def test_without_dates_there_are_no_placements():
    features = build_ad_features(export_rows())
    assert placement_slices(features.ctr, features, pd.DataFrame()) == ()
