"""The ads feature set: what gets in, what never does, and what is refused."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from ml.features import FeatureInputInvalid, build_ad_features
from tests.ml.ad_rows import ad_rows, export_rows


def test_platform_rows_get_dna_calendar_age_and_past():
    features = build_ad_features(ad_rows(ads=20, days=12))
    assert set(features.feature_names) >= {
        "account_id", "niche", "hook_type", "weekday", "duration_s", "ad_age_days", "ad_ctr_lag7",
        "log_impressions_lag7",
    }  # fmt: skip
    assert features.feature_set == "ads-1"
    assert (features.clicks <= features.impressions).all()


def test_no_feature_knows_its_own_day():
    rows = ad_rows(ads=25, days=20)
    last = rows["metric_date"] == rows["metric_date"].max()
    other = rows.assign(
        clicks=rows["clicks"].where(~last, 0),
        spend=rows["spend"].where(~last, 999.0),
        frequency=rows["frequency"].where(~last, 9.0),
    )
    honest, changed = build_ad_features(rows), build_ad_features(other)
    pd.testing.assert_frame_equal(honest.X, changed.X)
    assert honest.clicks.sum() != changed.clicks.sum()


def test_impressions_of_the_day_are_no_feature_either():
    rows = ad_rows(ads=25, days=20)
    last = rows["metric_date"] == rows["metric_date"].max()
    more = build_ad_features(rows.assign(impressions=rows["impressions"].where(~last, 10**6)))
    honest = build_ad_features(rows)
    kept = np.isin(more.groups.astype(str), honest.groups.astype(str))
    assert kept.all()
    pd.testing.assert_frame_equal(honest.X.tail(0), more.X.tail(0))
    for name in honest.X.columns:
        merged = pd.DataFrame({"g": more.groups, "d": more.dates, "v": more.X[name]}).merge(
            pd.DataFrame({"g": honest.groups, "d": honest.dates, "w": honest.X[name]}), on=["g", "d"]
        )
        same = (merged["v"] == merged["w"]) | (merged["v"].isna() & merged["w"].isna())
        assert same.all(), name


def test_earlier_rows_only_feed_the_lags():
    rows = ad_rows(ads=20, days=20)
    since = date(2026, 1, 15)
    late, everything = build_ad_features(rows, since=since), build_ad_features(rows)
    assert late.dates.min() == np.datetime64(since)
    same_days = everything.take(everything.dates >= np.datetime64(since))
    assert late.X["ad_ctr_lag28"].tolist() == same_days.X["ad_ctr_lag28"].tolist()


def test_an_export_keeps_what_tells_its_rows_apart_and_leaves_out_the_campaign():
    features = build_ad_features(export_rows())
    assert features.feature_names == ("age", "gender", "interest")
    assert features.dates is None
    assert set(features.campaigns) == {"916", "936", "1178"}


def test_breakdown_cells_do_not_count_beside_their_total():
    rows = ad_rows(ads=5, days=3)
    cells = pd.concat([rows.assign(breakdown=f"age={age}") for age in ("18-24", "25-34")])
    assert build_ad_features(pd.concat([rows, cells])).clicks.sum() == build_ad_features(rows).clicks.sum()
    assert len(build_ad_features(cells)) == 2 * len(build_ad_features(rows))


def test_order_of_rows_and_types_of_the_driver_do_not_matter():
    rows = ad_rows(ads=12, days=6)
    mixed = rows.sample(frac=1, random_state=3).assign(
        spend=rows["spend"].map(lambda dollars: Decimal(str(dollars))),
        hook_type=rows["hook_type"].astype("string"),
        metric_date=pd.to_datetime(rows["metric_date"]),
    )
    assert build_ad_features(rows).fingerprint() == build_ad_features(mixed).fingerprint()


def test_one_click_more_is_another_fingerprint():
    rows = ad_rows(ads=12, days=6)
    more = rows.assign(clicks=rows["clicks"] + (rows.index == 3))
    assert build_ad_features(rows).fingerprint() != build_ad_features(more).fingerprint()


def test_rows_without_impressions_teach_nothing_and_clicks_beyond_them_are_cut():
    rows = ad_rows(ads=5, days=4).assign(impressions=lambda r: r["impressions"].where(r.index != 0, 0))
    rows.loc[1, ["impressions", "clicks"]] = [3, 7]
    features = build_ad_features(rows)
    assert len(features) == len(rows) - 1
    assert (features.clicks <= features.impressions).all()


def test_no_rows_at_all_make_an_empty_frame():
    features = build_ad_features(ad_rows(ads=3, days=2).iloc[:0])
    assert len(features) == 0
    assert features.feature_names == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop(columns="clicks"), "no column 'clicks'"),
        (lambda rows: rows.assign(clicks=-1), "clicks of ad ad_.* is '-1'"),
        (lambda rows: rows.assign(impressions="many"), "impressions of ad ad_.* is 'many'"),
        (
            lambda rows: rows.assign(
                metric_date=[None, *[date(2026, 1, 1) + timedelta(1)] * (len(rows) - 1)]
            ),
            "have no date",
        ),
    ],
)
def test_rows_that_cannot_be_right_are_refused_by_name(change, says):
    with pytest.raises(FeatureInputInvalid, match=says):
        build_ad_features(change(ad_rows(ads=3, days=2)))
