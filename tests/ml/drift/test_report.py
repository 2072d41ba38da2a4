"""Evidently's page and numbers: drawn from a sample, in agreement with ours."""

import numpy as np
import pandas as pd
import pytest

from ml.drift import WatchedColumn, Window, assess_drift
from ml.drift.report import render_report

COLUMNS = (WatchedColumn("hook"), WatchedColumn("budget"))


def window(label, seed, rows=3000, hooks=(0.5, 0.3, 0.2)):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"hook": random.choice(["a", "b", "c"], size=rows, p=hooks), "budget": random.normal(size=rows)}
    )
    return Window(label, frame, np.array([f"{label}{i}" for i in range(rows)], object))


@pytest.fixture(scope="module")
def windows():
    return window("then", 1), window("now", 2, hooks=(0.3, 0.3, 0.4))


def test_the_page_is_html_and_its_numbers_agree_with_ours(windows, settings):
    report = render_report(*windows, COLUMNS, sample_rows=10_000, psi_drifted=0.2)
    assert "<html" in report.html[:500].lower()
    assert report.sampled_rows == (3000, 3000)
    theirs = {m["config"]["column"]: m["value"] for m in report.numbers["metrics"]}
    ours = {c.column: c.score for c in assess_drift(*windows, COLUMNS, settings).columns}
    # Categories are binned alike; numbers by deciles here and thirty bins there.
    assert theirs["hook"] == pytest.approx(ours["hook"], abs=0.005)
    assert theirs["budget"] == pytest.approx(ours["budget"], abs=0.05)


def test_large_windows_are_sampled_to_the_stated_size(windows):
    report = render_report(*windows, COLUMNS, sample_rows=500, psi_drifted=0.2)
    assert report.sampled_rows == (500, 500)


def test_columns_evidently_cannot_draw_are_left_out(windows):
    then, now = windows
    odd = Window("now", now.rows.assign(budget=np.inf, hook=None), now.ads)
    assert render_report(then, odd, COLUMNS, sample_rows=500, psi_drifted=0.2) is None
    half = Window("now", now.rows.assign(budget=[np.inf, 1.0] * 1500), now.ads)
    assert render_report(then, half, COLUMNS, sample_rows=500, psi_drifted=0.2) is not None
