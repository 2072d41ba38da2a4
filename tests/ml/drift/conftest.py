"""The thresholds the tests of drift are held against: those of the house."""

import pytest

from include.config import thresholds
from ml.drift.settings import DriftSettings
from nightshift.drift_settings import drift_settings


@pytest.fixture(scope="session")
def settings() -> DriftSettings:
    return drift_settings(thresholds().drift)
