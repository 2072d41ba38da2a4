"""Quiet weeks stay quiet and changes are found: on the simulated platform, and on streams with known truth.

The full table with false alarms a year is `make bench-drift`; here are a few weeks of it.
"""

import pytest

from ml.drift.settings import Severity
from tests.benchmarks.drift_detection import BEFORE, judged_stream, judged_world


def test_a_quiet_platform_calls_for_nothing():
    told = judged_world(accounts=12, seed=101, drift_after=None, days=28)
    assert max(told.severities) <= Severity.LOW


def test_a_change_of_what_works_on_the_platform_is_high_within_a_week():
    told = judged_world(accounts=30, seed=303, drift_after=10, days=20)
    assert told.quiet_days(Severity.MEDIUM)[0] == 0
    assert told.days_to(Severity.HIGH) <= 7


@pytest.mark.parametrize("kind", ["quiet", "quiet_seasonal"])
def test_quiet_streams_are_never_high(kind):
    told = judged_stream(kind, 100, seed=11, days=35)
    assert told.quiet_days(Severity.HIGH) == (0, 35)


@pytest.mark.parametrize("kind", ["concept_sudden", "prior", "broken_column"])
def test_a_hundred_rows_a_day_show_what_changed(kind):
    told = judged_stream(kind, 100, seed=12, days=BEFORE + 10)
    assert told.days_to(Severity.MEDIUM) is not None
    assert told.quiet_days(Severity.HIGH)[0] == 0


def test_inputs_that_move_without_harm_are_no_reason_to_act():
    told = judged_stream("covariate", 300, seed=13, days=BEFORE + 10)
    assert max(told.severities) <= Severity.LOW
