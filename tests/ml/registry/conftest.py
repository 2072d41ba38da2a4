"""One real MLflow, a model name of each test's own, and a small training to register."""

import uuid
from dataclasses import replace
from datetime import date

import pytest

from ml.ctr import XgboostSettings, train_ctr
from ml.features import build_ad_features
from ml.registry import connect, record_training, training_key
from tests.ml.ad_rows import ad_rows
from tests.ml.training_settings import quick_settings

SETTINGS = quick_settings(
    xgboost=XgboostSettings(
        rounds=30, early_stopping_rounds=10, learning_rate=0.2, max_depth=3, min_child_weight=20, reg_lambda=5
    )
)


@pytest.fixture
def client(mlflow_uri):
    return connect(mlflow_uri)


@pytest.fixture
def name():
    return f"ctr_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def features():
    return build_ad_features(ad_rows(ads=60, days=15))


@pytest.fixture(scope="session")
def training(features):
    return train_ctr(features, SETTINGS)


@pytest.fixture
def record_of(features, training):
    """Makes a record of the same training under any model name; another `salt` is another training."""

    def make(model, salt=""):
        key = training_key(
            model=model,
            fingerprint=features.fingerprint() + salt,
            feature_set=features.feature_set,
            settings=SETTINGS.flat(),
        )
        return record_training(
            replace(training, failed_gates=()),
            features,
            key=key,
            model=model,
            scope="all",
            settings=SETTINGS.flat(),
            trained_for=date(2026, 1, 15),
            git_commit="0123abc",
            trigger="manual",
            reason="a test",
        )

    return make
