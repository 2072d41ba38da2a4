"""The thresholds the tests of drift are held against: those of the house."""

import pytest

from ml.drift import DriftSettings, Ladder, Severity


@pytest.fixture(scope="session")
def settings() -> DriftSettings:
    return DriftSettings(
        min_rows=50,
        psi_drifted=0.2,
        false_discovery_rate=0.05,
        inputs=Ladder(0.1, 0.25, 0.4, 0.7),
        outcomes=Ladder(0.02, 0.05, 0.1, 1.0),
        alert_from=Severity.HIGH,
        retrain_from=Severity.HIGH,
    )
