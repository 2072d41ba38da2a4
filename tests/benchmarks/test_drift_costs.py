"""The costs are measured of work that was done: both ways find the same columns drifted."""

from tests.benchmarks.drift_costs import CATEGORICAL, NUMERIC, drift_table, measure_costs


def test_both_ways_are_measured_and_call_drift_in_as_many_columns():
    ours, judged, theirs = measure_costs([2000], [2000])
    assert (ours.way, judged.way, theirs.way) == ("verdict", "with outcomes", "evidently")
    assert judged.drifted == ours.drifted
    assert ours.drifted == theirs.drifted > 3
    assert 0 < ours.cpu_s < theirs.cpu_s
    assert ours.imported_mb <= ours.peak_mb < theirs.peak_mb


def test_the_table_has_thirty_columns_of_which_a_third_moves():
    still, moved = drift_table(500, 1, moved=False), drift_table(500, 1, moved=True)
    assert still.num_columns == NUMERIC + CATEGORICAL == 30
    changed = sum(not still[name].equals(moved[name]) for name in still.column_names)
    assert changed >= 10
