"""Predictions of two versions whose quality is known, for the ads of a small simulated platform."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text

from include.db.predictions import LoggedPrediction, add_predictions
from ml.experiments import assign
from tests.include.serving.predictions.conftest import (  # noqa: F401 - fixtures
    DAY,
    features,
    model_name,
    packaged,
    platform,
    registered,
    trainings,
    world,
)

# Units meet the same arm in every run of the tests; what is logged is what counts.
SALT = "the same salt"


@pytest.fixture
def add_traffic(platform):  # noqa: F811
    """Logs four predictions of every ad and day from the test's first day on, with errors as they are told.

    The rates are what really happened, with noise in log-odds: a version with more of it predicts worse.
    """

    def add(test, *, until: date, champion_noise: float, challenger_noise: float) -> None:
        query = text("""
            SELECT account_id, ad_id, metric_date, clicks::float8 AS clicks,
                   impressions::float8 AS impressions
            FROM ads.performance_metric
            WHERE metric_date BETWEEN :first AND :until AND breakdown = '' AND impressions > 0
            ORDER BY account_id, ad_id, metric_date
        """)
        with platform.connect() as connection:
            rows = connection.execute(query, {"first": test.first_day, "until": until}).mappings().all()
        random = np.random.default_rng(5)
        lines = []
        for row in rows * 4:
            seen = (row["clicks"] + 1) / (row["impressions"] + 80)
            odds = np.log(seen / (1 - seen))
            noise = {"champion": champion_noise, "challenger": challenger_noise}
            rates = {arm: 1 / (1 + np.exp(-odds - random.normal(0, sd))) for arm, sd in noise.items()}
            request = f"request-{len(lines)}"
            unit = row["account_id"] if test.unit == "account" else request
            arm = str(assign(unit, salt=SALT, challenger_share=float(test.settings["challenger_share"])))
            other = "champion" if arm == "challenger" else "challenger"
            versions = {"champion": test.champion_version, "challenger": test.challenger_version}
            lines.append(
                LoggedPrediction(
                    id=uuid4(),
                    predicted_at=datetime.combine(row["metric_date"], time(5), UTC),
                    model_name=test.model_name,
                    model_version=versions[arm],
                    arm=arm,
                    ab_test_id=test.id,
                    unit_key=unit,
                    account_id=row["account_id"],
                    ad_id=row["ad_id"],
                    about_day=row["metric_date"],
                    features_hash="h",
                    rate=float(rates[arm]),
                    other_version=versions[other],
                    other_rate=float(rates[other]),
                    source="computed",
                    latency_us=300,
                )
            )
        add_predictions(platform, lines)

    return add


@pytest.fixture
def first_morning() -> date:
    """A day after which ten more are known."""
    return DAY - timedelta(days=11)
