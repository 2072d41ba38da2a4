"""The scores are Evidently's: compared with Evidently itself, run on the rows the sketches were made of."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ml.drift.distances import evidently_score, kolmogorov_smirnov
from ml.drift.sketch import merge, plan_column, summarise

FOR_NUMBERS = ("ks", "wasserstein", "jensenshannon", "psi")
FOR_CATEGORIES = ("chisquare", "z", "jensenshannon", "psi")
CATEGORIES = ("few", "many", "two", "flag")


def window(rows, seed, moved):
    """Columns of every shape; about half of them move when `moved`."""
    random = np.random.default_rng(seed)
    by = 0.3 if moved else 0.0
    letters = np.array([f"level {i}" for i in range(200)])
    weights = 1 / np.arange(1, 201) ** (1 + by)
    frame = pd.DataFrame(
        {
            "normal": random.normal(by, 1, rows),
            "heavy": random.lognormal(by, 2, rows),
            "cauchy": random.standard_cauchy(rows) * (1 + by),
            "uniform": random.uniform(0, 1 + by, rows),
            "steps": random.poisson(2 + 2 * by, rows),
            "whole": np.floor(random.lognormal(9 + by, 1, rows)).astype("int64"),
            "nearly_constant": np.where(random.random(rows) < 0.01 * (1 + 9 * by), 1.0, 0.0),
            "three_values": random.choice([0.0, 1.0, 2.0], rows, p=[0.5 - by, 0.3 + by, 0.2]),
            "many_zeros": np.where(random.random(rows) < 0.4, 0.0, random.lognormal(by, 1, rows)),
            "with_missing": np.where(random.random(rows) < 0.2, np.nan, random.normal(by, 2, rows)),
            "with_infinities": np.where(random.random(rows) < 0.02, np.inf, random.normal(size=rows)),
            "far_from_zero": random.normal(1e6 + 3 * by, 1, rows),
            "two_heaps": np.where(random.random(rows) < 0.5, 0.0, 1e6) + random.normal(by, 1, rows),
            "few": random.choice(["a", "b", "c"], rows, p=[0.5 - by, 0.3, 0.2 + by]),
            "many": random.choice(letters, rows, p=weights / weights.sum()),
            "two": random.choice(["yes", "no"], rows, p=[0.5 - by, 0.5 + by]),
            "flag": random.random(rows) < 0.1 + by,
        }
    )
    for name in ("few", "many", "two"):
        frame[name] = frame[name].astype("object")
    frame.loc[random.random(rows) < 0.05, "few"] = None
    if moved:
        frame.loc[:20, "many"] = "never seen before"
    return frame


# Of the reference and the current window: Evidently's tests, its distances on kept values, and cells.
SIZES = {"tests": (900, 700), "tests, large window": (900, 12_000), "distances": (30_000, 300)}
SIZES |= {"cells": (30_000, 12_000)}
WINDOWS = [("tests", False), ("cells", False), *((size, True) for size in SIZES)]


@pytest.fixture(scope="module")
def windows():
    return {
        (size, moved): (window(SIZES[size][0], 1, False), window(SIZES[size][1], 2, moved))
        for size, moved in WINDOWS
    }


@pytest.fixture(scope="module")
def theirs(windows):
    """(size, moved, column, asked method or None) -> (method, value, threshold), by Evidently itself."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    found = {}
    for (size, moved), (before, now) in windows.items():
        asked = [(column, method) for column in before for method in (None, *methods(column))]
        definition = DataDefinition(
            numerical_columns=[c for c in before if c not in CATEGORIES],
            categorical_columns=list(CATEGORIES),
        )
        datasets = [Dataset.from_pandas(rows, data_definition=definition) for rows in (now, before)]
        snapshot = Report([ValueDrift(column=c, method=m) for c, m in asked]).run(*datasets)
        for (column, method), metric in zip(asked, snapshot.dict()["metrics"], strict=True):
            assert metric["config"]["column"] == column
            config = metric["config"]
            found[size, moved, column, method] = (config["method"], metric["value"], config["threshold"])
    return found


def methods(column):
    return FOR_CATEGORIES if column in CATEGORIES else FOR_NUMBERS


@pytest.fixture(scope="module")
def ours(windows):
    found = {}
    for (size, moved), (before, now) in windows.items():
        for column in before:
            kind = "category" if column in CATEGORIES else "number"
            plan = plan_column(before[column], kind)
            sketches = summarise(before[column], plan), summarise(now[column], plan)
            for method in (None, *methods(column)):
                found[size, moved, column, method] = evidently_score(*sketches, method)
    return found


def deviations(ours, theirs, method):
    """(column and so on, our value, theirs) of every score by that method."""
    return [
        (key, score.value, float(theirs[key][1]))
        for key, score in ours.items()
        if key[3] is not None and score.method == method
    ]


def test_evidently_chooses_the_same_method_and_threshold(ours, theirs):
    chosen = {key: (s.method, s.threshold) for key, s in ours.items() if key[3] is None}
    assert chosen == {key: (theirs[key][0], theirs[key][2]) for key in chosen}
    # The columns are such that every method is chosen somewhere.
    assert {method for method, _ in chosen.values()} == {
        "K-S p_value",
        "chi-square p_value",
        "Z-test p_value",
        "Wasserstein distance (normed)",
        "Jensen-Shannon distance",
    }


@pytest.mark.parametrize("method", ["chi-square p_value", "Z-test p_value"])
def test_tests_of_categories_are_exact(ours, theirs, method):
    found = deviations(ours, theirs, method)
    assert found
    for key, our, their in found:
        assert our == pytest.approx(their, rel=1e-9, abs=1e-15, nan_ok=True), key


@pytest.mark.parametrize("method", ["Jensen-Shannon distance", "PSI"])
def test_distances_of_categories_and_of_kept_values_are_exact(ours, theirs, method):
    kept = [
        row
        for row in deviations(ours, theirs, method)
        if row[0][2] in CATEGORIES or row[0][0] == "tests" or row[0][2] in ("steps", "three_values")
    ]
    assert kept
    for key, our, their in kept:
        assert our == pytest.approx(their, rel=1e-9, abs=1e-12), key


@pytest.mark.parametrize("method", ["Wasserstein distance (normed)", "Jensen-Shannon distance", "PSI"])
def test_distances_of_numbers_in_cells_are_within_one_per_cent_or_a_thousandth(ours, theirs, method):
    found = deviations(ours, theirs, method)
    assert any(row[0][0] == "cells" for row in found)
    for key, our, their in found:
        assert our == pytest.approx(their, rel=0.01, abs=0.001), key


def test_p_values_of_kolmogorov_and_smirnov_are_exact_for_kept_values_and_near_in_cells(ours, theirs):
    for key, our, their in deviations(ours, theirs, "K-S p_value"):
        if key[0] == "tests":
            assert our == pytest.approx(their, rel=1e-6, abs=1e-300), key
        elif their > 1e-6:
            assert our == pytest.approx(their, rel=0.35), key
        else:
            assert our < 1e-5, key


def test_the_statistic_of_kolmogorov_and_smirnov_is_within_a_five_hundredth(windows):
    for (size, _), (before, now) in windows.items():
        for column in (c for c in before if c not in CATEGORIES and size != "tests"):
            plan = plan_column(before[column])
            clean = [w[column].replace([np.inf, -np.inf], np.nan).dropna() for w in (before, now)]
            statistic, _ = kolmogorov_smirnov(*(summarise(values, plan) for values in clean))
            expected = stats.ks_2samp(*clean, method="asymp").statistic
            assert statistic == pytest.approx(expected, abs=0.002), (size, column)


def test_drift_is_called_where_evidently_calls_it(ours, theirs):
    for key, score in ours.items():
        _, value, threshold = theirs[key]
        if key[3] is None and abs(value - threshold) > 0.002:
            called = value <= threshold if "p_value" in score.method else value >= threshold
            assert score.drifted == called, key


def test_a_window_in_pieces_has_the_score_of_the_whole(windows):
    before, now = windows["cells", True]
    for column in before:
        plan = plan_column(before[column], "category" if column in CATEGORIES else "number")
        reference = summarise(before[column], plan)
        whole = evidently_score(reference, summarise(now[column], plan))
        pieces = merge(summarise(now[column][:5000], plan), summarise(now[column][5000:], plan))
        assert evidently_score(reference, pieces).value == pytest.approx(whole.value, abs=1e-9)


def test_a_unit_changed_by_a_thousand_is_scored_as_evidently_would():
    random = np.random.default_rng(5)
    before, now = random.lognormal(0, 1, 20_000), random.lognormal(0, 1, 20_000) * 1000
    plan = plan_column(before)
    score = evidently_score(summarise(before, plan), summarise(now, plan))
    expected = stats.wasserstein_distance(before, now) / before.std()
    assert score.value == pytest.approx(expected, rel=1e-6)


def test_few_values_against_very_many_compare_as_levels():
    random = np.random.default_rng(6)
    before, now = random.choice([0.0, 1.0, 2.5], 3000), np.append(random.normal(size=9000), [0.0] * 1000)
    plan = plan_column(before)
    sketches = summarise(before, plan), summarise(now, plan)
    # A tenth of the rows share the level 0, which a third of the reference has.
    share = float((before == 0).mean())
    mid = (share + 0.1) / 2
    divergence = share * np.log(share / mid) + 0.1 * np.log(0.1 / mid) + (1 - share + 0.9) * np.log(2)
    assert evidently_score(*sketches, "jensenshannon").value == pytest.approx(np.sqrt(divergence / 2))
    assert evidently_score(*sketches, "psi").value > 5


def test_a_column_without_values_has_no_score():
    plan = plan_column(np.arange(10.0))
    empty, full = summarise(np.full(5, np.nan), plan), summarise(np.arange(10.0), plan)
    with pytest.raises(ValueError, match="no value in the current window"):
        evidently_score(full, empty)
    with pytest.raises(ValueError, match="no value in the reference"):
        evidently_score(empty, full)


def test_methods_that_do_not_fit_and_sketches_that_do_not_match_are_refused():
    numbers, letters = np.arange(10.0), pd.Series(list("abcdefghij"))
    plan, other = plan_column(numbers), plan_column(numbers * 2)
    of_numbers, of_letters = summarise(numbers, plan), summarise(letters, plan_column(letters))
    with pytest.raises(ValueError, match="compares categories"):
        evidently_score(of_numbers, of_numbers, "chisquare")
    with pytest.raises(ValueError, match="compares numbers"):
        evidently_score(of_letters, of_letters, "wasserstein")
    with pytest.raises(ValueError, match="numbers and one categories"):
        evidently_score(of_numbers, of_letters)
    with pytest.raises(ValueError, match="different plans"):
        evidently_score(of_numbers, summarise(numbers, other))
    with pytest.raises(ValueError, match="no method is called 'kl'"):
        evidently_score(of_numbers, of_numbers, "kl")


def test_numbers_at_the_ends_of_what_floats_hold_are_scored_or_refused_in_words():
    random = np.random.default_rng(7)
    for scale in (1e-300, 1e306):
        before, now = random.normal(size=(2, 6000)) * scale
        plan = plan_column(before)
        sketches = summarise(before, plan), summarise(now, plan)
        assert evidently_score(*sketches, "jensenshannon").value < 0.1
        assert evidently_score(*sketches, "ks").value == pytest.approx(
            stats.ks_2samp(before, now).pvalue, rel=0.2
        )
    widest = random.uniform(-1, 1, 6000) * 1.7e308
    plan = plan_column(widest)
    with pytest.raises(ValueError, match="the width overflows"):
        evidently_score(summarise(widest, plan), summarise(widest, plan), "psi")
