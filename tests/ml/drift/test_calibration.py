"""Quiet weeks of the simulated platform stay quiet, planted changes are found; over several worlds."""

from collections import Counter
from datetime import date, timedelta

import pytest

from include.simulator import DriftEvent, WorldConfig
from ml.drift import Severity, assess_drift, watched_ad_columns, windows_by_date
from ml.drift.windows import Window
from ml.features import build_ad_features
from tests.ml.simulated import simulated_rows

START = date(2026, 1, 5)


def verdict(features, until, settings):
    current = until - timedelta(days=6), until
    reference = current[0] - timedelta(days=56), current[0] - timedelta(days=1)
    windows = windows_by_date(features, reference=reference, current=current)
    return assess_drift(*windows, watched_ad_columns(features), settings)


@pytest.mark.parametrize("accounts", [100, 12])
def test_weeks_without_a_planted_change_say_none_or_low(settings, accounts):
    severities = Counter()
    for seed in (101, 202):
        config = WorldConfig(seed=seed, accounts=accounts, start=START, days=170)
        features = build_ad_features(simulated_rows(config))
        for day in range(92, 170, 5):
            severities[verdict(features, START + timedelta(days=day), settings).severity] += 1
    assert sum(severities.values()) == 32
    assert severities[Severity.NONE] + severities[Severity.LOW] >= 31
    assert severities[Severity.HIGH] + severities[Severity.CRITICAL] == 0


@pytest.mark.parametrize("days_ago", [4, 7, 12])
def test_a_planted_change_is_high(settings, days_ago):
    for seed in (303, 404):
        until = START + timedelta(days=99)
        event = DriftEvent(until - timedelta(days=days_ago - 1))
        features = build_ad_features(
            simulated_rows(WorldConfig(seed=seed, start=START, days=100, drift=event))
        )
        found = verdict(features, until, settings)
        assert found.severity >= Severity.HIGH
        assert "ctr_vs_past" in found.drifted_columns


def test_resampled_ads_of_one_quiet_period_are_hardly_ever_high(settings):
    import numpy as np

    features = build_ad_features(simulated_rows(WorldConfig(seed=505, accounts=40, start=START, days=60)))
    whole, _ = windows_by_date(
        features, reference=(START + timedelta(30), START + timedelta(59)), current=(START, START)
    )
    random, ads = np.random.default_rng(9), np.unique(whole.ads.astype(str))
    worst = Counter()
    for _ in range(40):
        chosen = random.permutation(ads)[: len(ads) // 4]
        now = np.isin(whole.ads.astype(str), chosen)
        parts = [
            Window(label, whole.rows[part].reset_index(drop=True), whole.ads[part])
            for label, part in (("then", ~now), ("now", now))
        ]
        worst[assess_drift(*parts, watched_ad_columns(features), settings).severity] += 1
    assert worst[Severity.HIGH] + worst[Severity.CRITICAL] <= 1
