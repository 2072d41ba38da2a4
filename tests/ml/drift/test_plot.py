"""The picture of a drift report: small, the same each time, and there whatever is missing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml.drift.plot import drift_plot
from tests.ml.drift.reports import OLD_NUMBERS, a_column, measured, numbers

NOW, ERROR = (47, 111, 196), (198, 47, 75)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def has(png: bytes, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels(png) - np.array(colour)).max(axis=2) < 12).any())


def test_it_is_a_small_png_and_the_same_each_time() -> None:
    png = drift_plot(numbers())
    assert pixels(png).shape == (320, 900, 3)
    assert len(png) < 100_000
    assert png == drift_plot(numbers())
    assert has(png, NOW)
    assert has(png, ERROR)


def test_on_a_dark_page_it_is_dark() -> None:
    assert pixels(drift_plot(numbers()))[0, 0].sum() > 700
    assert pixels(drift_plot(numbers(), dark=True))[0, 0].sum() < 150


def test_without_errors_and_performance_only_the_bars_are_drawn() -> None:
    bins = {**a_column("x")["bins"], "error": []}
    png = drift_plot({"columns": [a_column("x", bins=bins)]})
    assert has(png, NOW)
    assert not has(png, ERROR)


def test_without_columns_performance_is_drawn_alone() -> None:
    png = drift_plot({"performance": measured()})
    assert has(png, ERROR)
    assert not has(png, NOW)


@pytest.mark.parametrize(
    "nothing",
    [{}, OLD_NUMBERS, {"columns": None}, {"columns": [{"column": "x", "bins": None}], "performance": {}}],
)
def test_where_there_is_nothing_to_draw_it_says_so(nothing: dict[str, Any]) -> None:
    png = drift_plot(nothing)
    assert png == drift_plot({})
    assert len(np.unique(pixels(png))) > 10, "there are words"


@pytest.mark.parametrize(
    "column",
    [
        a_column("$x^{", kind="number"),
        a_column("a" * 500),
        a_column("<b>&amp;</b>\n\x00"),
        a_column("one", bins={"labels": ["only"], "reference": [1.0], "current": [1.0], "error": [None]}),
        a_column(
            "zero", bins={"labels": ["a", "b"], "reference": [0, 0], "current": [0, 1], "error": [9e9, -1]}
        ),
        a_column("odd", bins={"labels": ["a"], "reference": ["x"], "current": [0.5], "error": None}),
        a_column(
            "many",
            bins={
                "labels": [f"$level {n}" for n in range(300)],
                "reference": [1 / 300] * 300,
                "current": [1 / 300] * 300,
                "error": [0.1] * 300,
            },
        ),
    ],
)
def test_odd_names_and_bins_are_drawn_too(column: dict[str, Any]) -> None:
    assert has(drift_plot(numbers(columns=[column])), NOW)


@pytest.mark.parametrize(
    "performance",
    [
        measured(cost=None),
        measured(current=None),
        measured(cost=5.0, cost_low=None, cost_high=None),
        measured(cost=-0.4, cost_low=-9.0, cost_high=0.2),
        measured(metric="$m" * 90),
        {"state": "estimated", "estimated": 0.9, "metric": "normalized entropy"},
        {"state": "estimated"},
        {"state": "nonsense"},
        None,
    ],
)
def test_any_state_of_performance_is_drawn(performance: Any) -> None:
    assert pixels(drift_plot(numbers(performance=performance))).shape == (320, 900, 3)
