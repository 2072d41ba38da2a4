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

from ml.drift.plan import floats, kind_of
from ml.drift.windows import WatchedColumn


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
    reference: pd.DataFrame,
    current: pd.DataFrame,
    columns: Sequence[WatchedColumn],
    *,
    labels: tuple[str, str],
    sample_rows: int,
) -> EvidentlyReport | None:
    """Draw the columns that hold something in both windows, each by the method Evidently chooses for it.

    Args:
        reference, current: rows of the windows, or evenly drawn ones.
        columns: which columns to draw, in this order; embeddings are left out.
        labels: of reference and current window.
        sample_rows: at most this many rows of each window are used, drawn without replacement.

    Returns:
        None where no column can be drawn.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    before, after = (_sample(rows, sample_rows) for rows in (reference, current))
    names = [c.name for c in columns if _drawable(before, c.name) and _drawable(after, c.name)]
    if not names:
        return None
    numeric = [name for name in names if kind_of(before[name]) == "number"]
    # Numbers that became text are told by the verdict; Evidently refuses a column without a number.
    names = [n for n in names if n not in numeric or np.isfinite(floats(after[n])).any()]
    if not names:
        return None
    numeric = [name for name in numeric if name in names]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in names if name not in numeric]
    )
    datasets = [
        Dataset.from_pandas(_plain(rows[names], numeric), data_definition=definition)
        for rows in (after, before)
    ]
    snapshot = Report(
        [ValueDrift(column=name) for name in names],
        metadata={"reference": labels[0], "current": labels[1]},
    ).run(*datasets)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        snapshot.save_html(str(page))
        html = page.read_text()
    return EvidentlyReport(
        html=html, numbers=json.loads(snapshot.json()), sampled_rows=(len(before), len(after))
    )


def _sample(rows: pd.DataFrame, at_most: int) -> pd.DataFrame:
    return rows if len(rows) <= at_most else rows.sample(n=at_most, random_state=0)


def _drawable(rows: pd.DataFrame, name: str) -> bool:
    """Whether there is a value, and not vectors; numbers must have a finite one."""
    if name not in rows or kind_of(rows[name]) == "embedding":
        return False
    if kind_of(rows[name]) == "number":
        return bool(np.isfinite(floats(rows[name])).any())
    return bool(rows[name].notna().any())


def _plain(rows: pd.DataFrame, numeric: Sequence[str]) -> pd.DataFrame:
    """Floats and text: Evidently looks for those, and neither for pandas' strings nor for infinities."""
    plain = {}
    for name in rows.columns:
        if name in numeric:
            numbers = floats(rows[name])
            plain[name] = pd.Series(np.where(np.isfinite(numbers), numbers, np.nan))
        else:
            plain[name] = rows[name].map(str, na_action="ignore").astype("object").reset_index(drop=True)
    return pd.DataFrame(plain)
