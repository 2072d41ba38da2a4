"""The tables that drift is measured between: what a model was told, what it answered, what came of it.

Each row (an ad's day, a deal, a request) counts once, whatever its impressions: so one large ad does not
decide for all, and the figures agree with the pictures Evidently draws of the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

_BY_ROW = ("clusters", "days", "predicted", "observed", "exposure", "niches")


@dataclass(frozen=True)
class WatchedColumn:
    """A column to compare.

    Attributes:
        name: as in the windows' rows.
        role: `input` is what the model is told; `outcome` is what came of it.
        importance: share of it in what the model sees; None where unknown.
    """

    name: str
    role: Literal["input", "prediction", "outcome"] = "input"
    importance: float | None = None


@dataclass(frozen=True)
class Window:
    """Rows of one period or campaign.

    Attributes:
        label: what it is, for people.
        rows: (n, k) watched columns; numbers, categories or vectors, all may be missing.
        clusters: (n,) what rows hang together by, such as the ad. Rows of one are one piece of evidence.
        days: (n,) datetime64[D]; None where rows have no dates.
        predicted: (n,) what the model answered: a rate for each unit of exposure, or a value; NaN allowed.
        observed: (n,) what came of it: clicks of the exposure, or a value; NaN while it is not known.
        exposure: (n,) impressions, or ones.
        niches: (n,) text; None where there are none.
    """

    label: str
    rows: pd.DataFrame
    clusters: np.ndarray
    days: np.ndarray | None = None
    predicted: np.ndarray | None = None
    observed: np.ndarray | None = None
    exposure: np.ndarray | None = None
    niches: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in _BY_ROW:
            values = getattr(self, name)
            if values is not None and len(values) != len(self.rows):
                raise ValueError(f"window '{self.label}' has {len(self.rows)} rows but {len(values)} {name}")

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: np.ndarray, label: str | None = None) -> Window:
        """The rows that a mask or positions name."""
        picked: dict[str, Any] = {
            name: None if (values := getattr(self, name)) is None else values[which] for name in _BY_ROW
        }
        places = np.flatnonzero(which) if which.dtype == bool else which
        rows = self.rows.iloc[places].reset_index(drop=True)
        return replace(self, label=label or self.label, rows=rows, **picked)

    def between(self, since: np.datetime64, until: np.datetime64, label: str | None = None) -> Window:
        """The rows of a period, both ends included.

        Raises:
            ValueError: the rows have no dates.
        """
        if self.days is None:
            raise ValueError("rows without dates have no windows by date: compare campaigns instead")
        which = (self.days >= since) & (self.days <= until)
        return self.take(which, label or f"{since} to {until}")

    def chunks(self, rows: int) -> Iterator[Window]:
        """The same rows in pieces."""
        for start in range(0, len(self), rows):
            yield self.take(np.arange(start, min(start + rows, len(self))))
