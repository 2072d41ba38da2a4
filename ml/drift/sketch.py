"""What is kept of a window: a small summary of each column, made in one pass; summaries add up.

The reference is summarised once, when a model is trained. Its plan (what kind a column is, which cells
numbers are counted in) then holds for every later window, so that a day is read once, piece by piece,
and days add up to weeks. `ml.drift.distances` compares two summaries without the rows.

    plans = {name: plan_column(reference[name]) for name in columns}
    before = {name: summarise(reference[name], plan) for name, plan in plans.items()}
    write_sketches(path, before)
    ...
    plans = {name: plan_of(sketch) for name, sketch in read_sketches(path).items()}
    day = summarise_all(pieces, plans)

Why own cells rather than a sketch from a library: KLL sketches (`datasketches`) know ranks to about 1 %
and nothing of sums, so neither the Wasserstein distance nor tails come out as asked here;
boost-histogram bins at given edges, without quantile cells as quick to find, and would be a new
dependency for what a table does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pandas as pd

from ml.drift.category_sketch import CategorySketch, merge_categories, summarise_categories
from ml.drift.number_cells import Cells, plan_cells
from ml.drift.number_sketch import NumberSketch, merge_numbers, summarise_numbers
from ml.drift.plan import parsed

Sketch = NumberSketch | CategorySketch
Column = pd.Series | np.ndarray

# More rows than this say little more about where edges should lie.
_PLAN_ROWS = 200_000
_FORMAT = 1
_NUMBER_TALLIES = ("rows", "missing", "unparsable", "infinite_low", "infinite_high", "whole")
_NUMBER_ARRAYS = ("values", "value_counts", "counts", "sums", "low", "high")
_CELL_ARRAYS = ("edges", "codes", "compared")


@dataclass(frozen=True, eq=False)
class ColumnPlan:
    """How a column is summarised in every window.

    Attributes:
        kind: `number` or `category`.
        cells: what numbers are counted in; None for categories.
    """

    kind: Literal["number", "category"]
    cells: Cells | None = None


def plan_column(reference: Column, kind: Literal["number", "category"] | None = None) -> ColumnPlan:
    """The plan of a column from its reference, or from a sample of it.

    Edges need not be the reference's exact quantiles, so of a large column every n-th row is looked at.

    Args:
        reference: (n,) values; may be empty or all missing.
        kind: what it is; by default numbers if its type is numeric, categories otherwise (booleans too).
    """
    if kind is None:
        series = _series(reference)
        numeric = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
        kind = "number" if numeric else "category"
    if kind == "category":
        return ColumnPlan("category")
    stride = max(1, len(reference) // _PLAN_ROWS)
    numbers, _, _ = _numbers(reference[::stride])
    return ColumnPlan("number", plan_cells(numbers[np.isfinite(numbers)]))


def plan_of(reference: Sketch) -> ColumnPlan:
    """The plan a sketch was made by."""
    if isinstance(reference, NumberSketch):
        return ColumnPlan("number", reference.cells)
    return ColumnPlan("category")


def summarise(column: Column, plan: ColumnPlan) -> Sketch:
    """The sketch of one column of one window, or of a piece of it.

    In a column of numbers, text is read as a number where it is one ("3.5"), else counted as
    `unparsable`; Decimal and boolean values are numbers; integers beyond 2**53 lose their last digits.

    Args:
        column: (n,) values of any pandas or numpy type; empty is fine.
        plan: of the reference.
    """
    if plan.cells is None:
        return summarise_categories(_series(column))
    numbers, whole, unparsable = _numbers(column)
    return summarise_numbers(numbers, plan.cells, whole=whole, unparsable=unparsable)


def summarise_all(pieces: Iterable[pd.DataFrame], plans: Mapping[str, ColumnPlan]) -> dict[str, Sketch]:
    """The sketches of a window that comes in pieces; memory is bounded by the largest piece.

    A column that a piece lacks counts as missing in all of its rows; without any piece the sketches are
    empty.
    """
    found = {name: summarise(np.empty(0), plan) for name, plan in plans.items()}
    for piece in pieces:
        for name, plan in plans.items():
            column = piece[name] if name in piece else np.full(len(piece), np.nan)
            found[name] = merge(found[name], summarise(column, plan))
    return found


def merge(a: Sketch, b: Sketch) -> Sketch:
    """The sketch of both pieces together.

    Raises:
        ValueError: one is of numbers and one of categories, or they were made by different plans.
    """
    if isinstance(a, NumberSketch) and isinstance(b, NumberSketch):
        return merge_numbers(a, b)
    if isinstance(a, CategorySketch) and isinstance(b, CategorySketch):
        return merge_categories(a, b)
    raise ValueError("a sketch of numbers and one of categories do not add up: use one plan for both")


def write_sketches(file: Path | BinaryIO, sketches: Mapping[str, Sketch]) -> None:
    """Store sketches as one compressed NumPy archive of plain arrays; names and levels are JSON in it.

    About 30 kB a column of continuous numbers.

    Args:
        file: where to; NumPy appends `.npz` to a path that lacks it.
        sketches: by column name.
    """
    arrays: dict[str, np.ndarray] = {}
    columns: list[dict[str, Any]] = []
    for number, (name, sketch) in enumerate(sketches.items()):
        about: dict[str, Any] = {"name": name}
        if isinstance(sketch, NumberSketch):
            about |= {"kind": "number"} | {tally: getattr(sketch, tally) for tally in _NUMBER_TALLIES}
            cells = sketch.cells
            floats = (sketch.mean, sketch.squares, cells.centre, cells.scale)
            arrays[f"{number}.floats"] = np.array(floats)
            arrays |= {f"{number}.{part}": getattr(sketch, part) for part in _NUMBER_ARRAYS}
            arrays |= {f"{number}.{part}": getattr(cells, part) for part in _CELL_ARRAYS}
        else:
            tallies = {tally: getattr(sketch, tally) for tally in ("rows", "missing", "other")}
            about |= {"kind": "category", "levels": sketch.levels.tolist()} | tallies
            arrays[f"{number}.counts"] = sketch.counts
        columns.append(about)
    told = json.dumps({"format": _FORMAT, "columns": columns}).encode()
    arrays["about"] = np.frombuffer(told, dtype=np.uint8)
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_sketches(file: Path | BinaryIO) -> dict[str, Sketch]:
    """The sketches that `write_sketches` stored. Nothing in the file is executed.

    Raises:
        ValueError: the file is of another format.
        OSError: it cannot be read.
    """
    with np.load(file, allow_pickle=False) as arrays:
        told = json.loads(arrays["about"].tobytes()) if "about" in arrays else {}
        if told.get("format") != _FORMAT:
            raise ValueError(
                f"this file holds no sketches of format {_FORMAT}: summarise the reference again"
            )
        columns = enumerate(told["columns"])
        return {about["name"]: _restored(about, arrays, number) for number, about in columns}


def _restored(about: dict[str, Any], arrays: Mapping[str, np.ndarray], number: int) -> Sketch:
    if about["kind"] == "category":
        return CategorySketch(
            rows=about["rows"],
            missing=about["missing"],
            levels=np.array(about["levels"], dtype=object),
            counts=arrays[f"{number}.counts"],
            other=about["other"],
        )
    mean, squares, centre, scale = arrays[f"{number}.floats"].tolist()
    edges, codes, compared = (arrays[f"{number}.{part}"] for part in _CELL_ARRAYS)
    parts: dict[str, Any] = {part: arrays[f"{number}.{part}"] for part in _NUMBER_ARRAYS}
    parts |= {tally: about[tally] for tally in _NUMBER_TALLIES}
    return NumberSketch(
        mean=mean, squares=squares, cells=Cells(edges, codes, compared, centre, scale), **parts
    )


def _series(column: Column) -> pd.Series:
    return column if isinstance(column, pd.Series) else pd.Series(column)


def _numbers(column: Column) -> tuple[np.ndarray, bool, int]:
    """The column as float64, whether it came as whole numbers, and how many values are no numbers."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
        return column.astype(np.float64, copy=False), column.dtype.kind in "iub", 0
    series = _series(column)
    if pd.api.types.is_complex_dtype(series) or pd.api.types.is_datetime64_any_dtype(series):
        # Numbers became something else: none of it can be read as one.
        return np.full(len(series), np.nan), False, int(series.notna().sum())
    if pd.api.types.is_numeric_dtype(series):
        whole = pd.api.types.is_integer_dtype(series) or pd.api.types.is_bool_dtype(series)
        return series.to_numpy("float64", na_value=np.nan), whole, 0
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    numbers = parsed(series)
    return numbers, False, int((series.notna().to_numpy() & np.isnan(numbers)).sum())
