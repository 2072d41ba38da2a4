"""Evidently's page and numbers: drawn from samples, each column by the method Evidently chooses."""

import numpy as np
import pandas as pd
import pytest

from ml.drift.distances import evidently_score
from ml.drift.report import render_report
from ml.drift.sketch import plan_column, summarise
from ml.drift.windows import WatchedColumn

COLUMNS = (WatchedColumn("hook"), WatchedColumn("budget"), WatchedColumn("look"))
LABELS = ("then", "now")


def rows(seed, count=3000, hooks=(0.5, 0.3, 0.2)):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "hook": random.choice(["a", "b", "c"], size=count, p=hooks),
            "budget": random.normal(size=count),
            "look": list(random.normal(size=(count, 3))),
        }
    )


@pytest.fixture(scope="module")
def windows():
    return rows(1), rows(2, hooks=(0.3, 0.3, 0.4))


def test_the_page_is_html_and_its_numbers_are_those_of_our_summaries(windows):
    report = render_report(*windows, COLUMNS, labels=LABELS, sample_rows=10_000)
    assert "<html" in report.html[:500].lower()
    assert report.sampled_rows == (3000, 3000)
    theirs = {metric["config"]["column"]: metric["value"] for metric in report.numbers["metrics"]}
    # Vectors are left to the verdict: Evidently would not draw them.
    assert theirs.keys() == {"hook", "budget"}
    for name, value in theirs.items():
        plan = plan_column(windows[0][name])
        ours = evidently_score(*(summarise(window[name], plan) for window in windows))
        assert ours.value == pytest.approx(value, abs=0.002)


def test_large_windows_are_sampled_to_the_stated_size(windows):
    assert render_report(*windows, COLUMNS, labels=LABELS, sample_rows=500).sampled_rows == (500, 500)


def test_columns_evidently_cannot_draw_are_left_out(windows):
    then, now = windows
    odd = now.assign(budget=np.inf, hook=None)
    assert render_report(then, odd, COLUMNS, labels=LABELS, sample_rows=500) is None
    retyped = now.assign(budget="text now")
    told = render_report(then, retyped, COLUMNS, labels=LABELS, sample_rows=500)
    assert [metric["config"]["column"] for metric in told.numbers["metrics"]] == ["hook"]
    half = now.assign(budget=[np.inf, 1.0] * 1500, hook="text")
    assert render_report(then, half, COLUMNS, labels=LABELS, sample_rows=500) is not None
