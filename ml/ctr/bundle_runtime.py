"""Runs a bundle: ONNX Runtime and NumPy, nothing else of the house.

This file is all that an edge needs beside the bundle itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    import pandas as pd


# Name of the file that holds one.
FILE = "ctr.onnx"


class Bundle:
    """A CTR model exported as ONNX, ready to predict; safe to use from several threads.

    Attributes:
        categories: columns of text.
        numbers: columns of numbers.
        feature_set: name and version of the recipe the columns come from.
    """

    def __init__(self, content: bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        told = self._session.get_modelmeta().custom_metadata_map
        self.categories: tuple[str, ...] = tuple(json.loads(told["categories"]))
        self.numbers: tuple[str, ...] = tuple(json.loads(told["numbers"]))
        self.feature_set = told["feature_set"]
        # A column that nothing in the graph uses is not asked for.
        used = {each.name for each in self._session.get_inputs()}
        self._categories = [name for name in self.categories if name in used]
        self._numbers = [name for name in self.numbers if name in used]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns the model knows."""
        return (*self.categories, *self.numbers)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """(n,) click rates for rows of column -> value; what is absent or None is missing.

        Raises:
            ValueError: a number is none.
        """
        feed: dict[str, np.ndarray] = {}
        for name in self._categories:
            feed[name] = np.array([[_text(row.get(name))] for row in rows], dtype=object)
        for name in self._numbers:
            values = [row.get(name) for row in rows]
            feed[name] = np.array([[np.nan if value is None else value] for value in values], dtype="float64")
        return self._run(feed)

    def predict_frame(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) click rates for a frame of features."""
        feed = {}
        for name in self._categories:
            values = frame[name].astype("object") if name in frame else [None] * len(frame)
            feed[name] = np.array([[_text(value)] for value in values], dtype=object)
        for name in self._numbers:
            numbers = np.full(len(frame), np.nan)
            if name in frame:
                import pandas as pd

                numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy("float64", na_value=np.nan)
            feed[name] = numbers[:, None]
        return self._run(feed)

    def _run(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(self._session.run(["ctr"], feed)[0][:, 0])


def _text(value: Any) -> str:
    """Text of a category; nothing and not-a-number are empty, which no level is."""
    # NaN is the one value that differs from itself.
    if value is None or value != value:
        return ""
    return str(value)
