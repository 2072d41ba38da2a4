"""From a frame of features to the matrix of numbers that trees eat, and the same way again next month."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

# A level seen on fewer training rows is treated as unknown: it teaches the trees where unknown levels go.
_LEAST_ROWS = 10


@dataclass
class FrameEncoder:
    """Learns the columns and category levels of the training rows and encodes any later rows by them.

    A level that was not learnt, and a column that is not there, become missing values: tomorrow's new hook
    type is not an error.

    Attributes:
        columns_: names of the learnt columns, in order.
        levels_: for each category its levels; a level's position is its code.

    >>> frame = pd.DataFrame({"cta": ["buy"] * 10 + ["read"] * 10, "n": range(20)})
    >>> encoder = FrameEncoder().fit(frame)
    >>> encoder.transform(pd.DataFrame({"cta": ["read", "new"], "n": [1, 2]})).tolist()
    [[1.0, 1.0], [nan, 2.0]]
    """

    columns_: tuple[str, ...] = ()
    levels_: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def fit(self, X: pd.DataFrame) -> Self:
        """Learn columns and levels of `X`: what is not a number is a category."""
        self.columns_ = tuple(map(str, X.columns))
        self.levels_ = {
            name: tuple(
                sorted(str(level) for level, rows in X[name].value_counts().items() if rows >= _LEAST_ROWS)
            )
            for name in X.columns
            if not pd.api.types.is_numeric_dtype(X[name])
        }
        return self

    @property
    def feature_types(self) -> list[str]:
        """XGBoost's type of each column: `c` for codes of a category, `q` for a quantity."""
        return ["c" if name in self.levels_ else "q" for name in self.columns_]

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """(n, k) float32 with codes for categories and NaN for everything missing or not learnt."""
        encoded = np.full((len(X), len(self.columns_)), np.nan, dtype="float32")
        for place, name in enumerate(self.columns_):
            if name not in X:
                continue
            if name in self.levels_:
                text = X[name].astype("object").map(lambda value: str(value) if pd.notna(value) else None)
                codes = pd.Index(self.levels_[name], dtype="object").get_indexer(
                    pd.Index(text, dtype="object")
                )
                encoded[:, place] = np.where(codes >= 0, codes, np.nan)
            else:
                values = pd.to_numeric(X[name], errors="coerce").to_numpy("float64", na_value=np.nan)
                encoded[:, place] = np.where(np.isfinite(values), values, np.nan)
        return encoded

    def as_dict(self) -> dict[str, Any]:
        """Everything learnt, as JSON values."""
        return {"columns": list(self.columns_), "levels": {name: list(v) for name, v in self.levels_.items()}}

    @classmethod
    def from_dict(cls, learnt: dict[str, Any]) -> Self:
        """The encoder that `as_dict` described."""
        return cls(
            columns_=tuple(learnt["columns"]),
            levels_={name: tuple(levels) for name, levels in learnt["levels"].items()},
        )
