"""Evidently's pictures of two windows, and its own numbers beside ours.

Evidently decides nothing here: its default thresholds call drift on most quiet days with few rows. It draws
the columns from a sample of stated size, one metric each: its preset computes each column three times.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.drift.windows import WatchedColumn, Window


@dataclass(frozen=True)
class EvidentlyReport:
    """What Evidently made of two windows.

    Attributes:
        html: a page of its own, a few megabytes.
        numbers: the same as JSON values.
        sampled_rows: how many rows of reference and current it saw.
    """

    html: str
    numbers: dict[str, Any]
    sampled_rows: tuple[int, int]


def render_report(
    reference: Window,
    current: Window,
    columns: Sequence[WatchedColumn],
    *,
    sample_rows: int,
    psi_drifted: float,
    seed: int = 0,
) -> EvidentlyReport | None:
    """Draw the columns that hold something in both windows.

    Args:
        reference, current: the windows.
        columns: which columns to draw.
        sample_rows: at most this many rows of each window are used, drawn without replacement.
        psi_drifted: threshold Evidently marks columns by.
        seed: of the sampling.

    Returns:
        None where no column can be drawn.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    before, after = (_sample(window.rows, sample_rows, seed) for window in (reference, current))
    names = [c.name for c in columns if _drawable(before, c.name) and _drawable(after, c.name)]
    if not names:
        return None
    numeric = [name for name in names if pd.api.types.is_numeric_dtype(before[name])]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in names if name not in numeric]
    )
    metrics = [ValueDrift(column=name, method="psi", threshold=psi_drifted) for name in names]
    datasets = [
        Dataset.from_pandas(_plain(rows[names], numeric), data_definition=definition)
        for rows in (after, before)
    ]
    snapshot = Report(metrics, metadata={"reference": reference.label, "current": current.label}).run(
        *datasets
    )
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        snapshot.save_html(str(page))
        html = page.read_text()
    return EvidentlyReport(
        html=html, numbers=json.loads(snapshot.json()), sampled_rows=(len(before), len(after))
    )


def _sample(rows: pd.DataFrame, at_most: int, seed: int) -> pd.DataFrame:
    return rows if len(rows) <= at_most else rows.sample(n=at_most, random_state=seed)


def _drawable(rows: pd.DataFrame, name: str) -> bool:
    return name in rows and bool(_without_infinities(rows[name]).notna().any())


def _plain(rows: pd.DataFrame, numeric: Sequence[str]) -> pd.DataFrame:
    """Floats and objects: Evidently looks for those, and neither for pandas' strings nor for infinities."""
    return pd.DataFrame(
        {
            name: _without_infinities(rows[name]) if name in numeric else rows[name].astype("object")
            for name in rows.columns
        }
    ).reset_index(drop=True)


def _without_infinities(values: pd.Series) -> pd.Series:
    if not pd.api.types.is_numeric_dtype(values):
        return values
    return values.astype("float64").replace([np.inf, -np.inf], np.nan)
