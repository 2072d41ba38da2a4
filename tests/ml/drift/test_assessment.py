"""The verdict: clear cases, odd input, and never a crash."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from ml.drift import (
    Decision,
    Ladder,
    Severity,
    WatchedColumn,
    Window,
    assess_drift,
    watched_ad_columns,
    windows_by_campaign,
    windows_by_date,
)
from ml.features import build_ad_features
from tests.ml.ad_rows import ad_rows, export_rows

COLUMNS = (WatchedColumn("hook"), WatchedColumn("budget"), WatchedColumn("ctr", "outcome"))


def window(label, rows=400, seed=0, shift=0.0, hooks=("a", "b"), ctr=0.0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "hook": random.choice(list(hooks), size=rows),
            "budget": random.normal(shift, 1, size=rows),
            "ctr": random.normal(ctr, 1, size=rows),
        }
    )
    return Window(label, frame, np.array([f"{label} {i}" for i in range(rows)], object))


def test_two_samples_of_the_same_are_no_drift(settings):
    found = assess_drift(window("then"), window("now", seed=1), COLUMNS, settings)
    assert found.severity is Severity.NONE
    assert found.decision is Decision.NO_ACTION
    assert found.drifted_columns == ()
    assert found.summary.startswith("No drift: 0 of 3 columns drifted between then and now; most moved:")


def test_moved_inputs_are_found_named_and_counted(settings):
    found = assess_drift(window("then"), window("now", seed=1, shift=1.5), COLUMNS, settings)
    assert found.drifted_columns == ("budget",)
    assert found.share_drifted == 0.5
    assert found.severity is Severity.HIGH
    assert found.decision is Decision.RETRAIN
    assert "budget (PSI" in found.summary.split("most moved:")[1].split(",")[0]


def test_a_moved_click_rate_weighs_more_than_a_moved_input(settings):
    found = assess_drift(window("then"), window("now", seed=1, ctr=0.6), COLUMNS, settings)
    assert found.share_drifted == 0
    assert found.severity is Severity.HIGH


def test_large_but_explained_by_few_ads_is_no_drift(settings):
    random = np.random.default_rng(5)
    ads = np.repeat([f"ad{i}" for i in range(6)], 50).astype(object)
    of_ad = dict(zip(sorted(set(ads)), random.normal(size=6), strict=True))
    few = Window("now", pd.DataFrame({"budget": [of_ad[ad] for ad in ads]}), ads)
    found = assess_drift(window("then"), few, (WatchedColumn("budget"),), settings)
    assert found.columns[0].score > 0.2
    assert found.severity is Severity.NONE


@pytest.mark.parametrize(
    ("reference", "current", "says"),
    [
        (window("then", rows=0), window("now"), "reference window (then) has 0 rows, at least 50"),
        (window("then"), window("now", rows=1), "current window (now) has 1 rows, at least 50"),
        (
            window("then"),
            dataclasses.replace(window("now"), ads=np.array(["one"] * 400, object)),
            "current window (now) has 1 ads",
        ),
        (
            dataclasses.replace(window("then"), rows=pd.DataFrame({"hook": ["a"] * 400})),
            dataclasses.replace(window("now"), rows=pd.DataFrame({"hook": ["a"] * 400})),
            "missing or the same throughout",
        ),
    ],
)
def test_too_little_to_tell_is_said_with_its_reason(settings, reference, current, says):
    found = assess_drift(reference, current, COLUMNS, settings)
    assert found.severity is Severity.CANNOT_TELL
    assert found.decision is Decision.NO_ACTION
    assert says in found.summary
    json.dumps(found.as_json(), allow_nan=False)


def test_columns_that_vanish_or_appear_are_drift_and_said_so(settings):
    then, now = window("then"), window("now", seed=1)
    gone = dataclasses.replace(now, rows=now.rows.drop(columns="hook"))
    found = assess_drift(then, gone, COLUMNS, settings)
    assert found.drifted_columns[0] == "hook"
    assert "hook (vanished, PSI" in found.summary
    found = assess_drift(
        dataclasses.replace(then, rows=then.rows.drop(columns="budget")), now, COLUMNS, settings
    )
    assert "budget (new, PSI" in found.summary


def test_constant_and_missing_columns_are_left_out_of_the_share(settings):
    then, now = window("then"), window("now", seed=1)
    for each in (then, now):
        each.rows["constant"] = 1.0
        each.rows["empty"] = np.nan
    columns = (*COLUMNS, WatchedColumn("constant"), WatchedColumn("empty"), WatchedColumn("nowhere"))
    notes = {c.column: c.note for c in assess_drift(then, now, columns, settings).columns}
    assert notes["constant"] == "the same throughout"
    assert notes["empty"] == notes["nowhere"] == "missing in both windows"


def test_infinities_and_text_among_numbers_do_not_crash(settings):
    then, now = window("then"), window("now", seed=1)
    now.rows.loc[:200, "budget"] = np.inf
    now.rows["ctr"] = "text now"
    found = assess_drift(then, now, COLUMNS, settings)
    assert "budget" in found.drifted_columns
    json.dumps(found.as_json(), allow_nan=False)


def test_severities_are_ordered_and_cannot_tell_decides_nothing(settings):
    assert Severity.CANNOT_TELL < Severity.NONE < Severity.LOW < Severity.HIGH < Severity.CRITICAL
    assert max(Severity.LOW, Severity.CRITICAL, Severity.MEDIUM) is Severity.CRITICAL
    assert settings.decide(Severity.CANNOT_TELL) is Decision.NO_ACTION
    alerting = dataclasses.replace(settings, alert_from=Severity.MEDIUM)
    assert alerting.decide(Severity.MEDIUM) is Decision.ALERT
    assert Ladder(1, 2, 3, 4).severity(2.5) is Severity.MEDIUM


def test_an_export_compares_its_newest_campaign_with_the_others():
    features = build_ad_features(export_rows())
    reference, current = windows_by_campaign(features)
    assert current.label == "campaign 1178"
    assert reference.label == "campaigns 916, 936"
    assert len(reference.rows) + len(current.rows) == len(features)
    assert {c.name for c in watched_ad_columns(features)} == {
        "age",
        "gender",
        "interest",
        "impressions",
        "cpm",
        "ctr",
    }


def test_an_export_of_one_campaign_cannot_be_told(settings):
    features = build_ad_features(export_rows().assign(campaign_id="only"))
    found = assess_drift(*windows_by_campaign(features), watched_ad_columns(features), settings)
    assert found.severity is Severity.CANNOT_TELL


def test_dated_rows_are_cut_by_day_and_dateless_ones_refused():
    features = build_ad_features(ad_rows(ads=20, days=20))
    days = features.dates.astype(object)
    first, last = min(days), max(days)
    reference, current = windows_by_date(features, reference=(first, first), current=(last, last))
    assert reference.label == f"{first} to {first}"
    assert len(current.rows) == (days == last).sum()
    with pytest.raises(ValueError, match="campaigns instead"):
        windows_by_date(build_ad_features(export_rows()), reference=(first, first), current=(last, last))
