"""The quick form of Evidently's rule is the rule, on quiet and on changed days of every size."""

import pandas as pd
import pytest

from tests.benchmarks.drift_streams import Stream
from tests.benchmarks.evidently_rule import evidently_says_drift, planned, sketches_say_drift

# Reference days and rows a day: Evidently's tests (up to 1,000 rows) and its distances.
CASES = [
    ("quiet", 30, 28),
    ("quiet", 100, 28),
    ("quiet_seasonal", 2_000, 14),
    ("covariate", 1_000, 14),
    ("covariate_unimportant", 30, 28),
]


@pytest.mark.parametrize(("kind", "rows", "reference_days"), CASES)
def test_sketches_give_evidently_s_verdict_and_its_count_of_drifted_columns(kind, rows, reference_days):
    days = list(Stream(kind, rows, seed=4, drift_start=reference_days).days(reference_days + 6))
    reference = pd.concat(days[:reference_days], ignore_index=True)
    sketched = planned(reference)
    for day in (days[reference_days + 1], days[-1]):
        assert sketches_say_drift(*sketched, day) == evidently_says_drift(reference, day)


def test_neither_has_a_verdict_where_a_column_has_no_values():
    days = list(Stream("broken_column", 200, seed=4, drift_start=5).days(6))
    reference = pd.concat(days[:5], ignore_index=True)
    with pytest.raises(ValueError, match="budget"):
        evidently_says_drift(reference, days[5])
    with pytest.raises(ValueError, match="no value in the current window"):
        sketches_say_drift(*planned(reference), days[5])
