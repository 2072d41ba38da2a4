"""Sketches: right however a window is cut, small, storable, and calm about whatever a column holds."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ml.drift.category_sketch import LEVELS_UP_TO
from ml.drift.cumulative import cumulative
from ml.drift.number_sketch import EXACT_UP_TO
from ml.drift.sketch import (
    merge,
    plan_column,
    plan_of,
    read_sketches,
    summarise,
    summarise_all,
    write_sketches,
)


def shapes(rows=50_000, seed=1):
    random = np.random.default_rng(seed)
    return {
        "normal": random.normal(size=rows),
        "heavy": random.lognormal(0, 3, rows),
        "cauchy": random.standard_cauchy(rows),
        "many_zeros": np.where(random.random(rows) < 0.5, 0.0, random.lognormal(size=rows)),
        "far": random.normal(1e9, 1, rows),
        "two_heaps": np.where(random.random(rows) < 0.5, 0, 1e6) + random.normal(size=rows),
        "tiny": random.normal(size=rows) * 1e-300,
        "huge": random.normal(size=rows) * 1e307,
        "counts": random.poisson(4, rows).astype(float),
        "holed": np.where(random.random(rows) < 0.3, np.nan, random.normal(size=rows)),
    }


@pytest.mark.parametrize("name", shapes(rows=1))
def test_counts_at_edges_extremes_and_moments_are_those_of_the_values(name):
    values = shapes()[name]
    finite = np.sort(values[np.isfinite(values)])
    sketch = summarise(values, plan_column(values))
    assert (sketch.rows, sketch.missing) == (len(values), np.isnan(values).sum())
    assert (sketch.minimum, sketch.maximum) == (finite[0], finite[-1])
    if name not in ("tiny", "huge"):
        assert sketch.mean == pytest.approx(finite.mean(), rel=1e-12, abs=1e-12)
        assert sketch.variance == pytest.approx(finite.var(), rel=1e-9)
    edges = sketch.cells.edges
    below = cumulative(sketch, edges).counts
    exact = np.searchsorted(finite, edges, side="left")
    # Edges are exact to the precision of a 32-bit float around the column's centre.
    assert np.abs(below - exact).max() <= 5
    outside = np.sort(np.concatenate([finite[:300], finite[-300:], [finite[0] - 1, finite[-1] + 1]]))
    assert cumulative(sketch, outside).counts.tolist() == np.searchsorted(finite, outside).tolist()


@pytest.mark.parametrize("name", shapes(rows=1))
def test_no_cell_of_an_unshared_value_holds_more_than_a_hundredth(name):
    values = shapes()[name]
    sketch = summarise(values, plan_column(values))
    if not sketch.exact:
        shared = np.unique(values, return_counts=True)[1].max() > 2
        assert np.sort(sketch.counts)[-2 if shared else -1] <= 0.011 * sketch.finite


@pytest.mark.parametrize("name", shapes(rows=1))
def test_cells_are_found_as_a_search_of_the_edges_would(name):
    values = shapes()[name]
    values = values[np.isfinite(values)]
    cells = plan_column(values).cells
    with np.errstate(over="ignore"):
        others = np.concatenate([values, -values, values * 1.5, [0.0, 1e300, -1e300]])
    others = others[np.isfinite(others)]
    found, searched = cells.place(others), np.searchsorted(cells.edges, others, side="right")
    # The table rounds to 32-bit floats: a value that close to an edge may fall on its other side.
    assert np.abs(found - searched).max() <= 1
    assert (found != searched).mean() < 1e-4
    assert (np.diff(found[np.argsort(others)]) >= 0).all()


@pytest.mark.parametrize("name", shapes(rows=1))
def test_any_split_of_a_window_gives_the_same_sketch(name):
    values = shapes(rows=20_000)[name]
    plan = plan_column(values)
    whole = summarise(values, plan)
    cuts = [0, 1, 90, 5000, 5000, 19_000, 20_000]
    pieces = [summarise(values[a:b], plan) for a, b in pairwise(cuts)]
    forward, backward = pieces[0], pieces[-1]
    for piece in pieces[1:]:
        forward = merge(forward, piece)
    for piece in pieces[-2::-1]:
        backward = merge(backward, piece)
    for other in (forward, backward):
        for part in ("values", "value_counts", "counts", "low", "high"):
            assert np.array_equal(getattr(whole, part), getattr(other, part)), part
        assert (other.rows, other.missing, other.whole) == (whole.rows, whole.missing, whole.whole)
        if name != "huge":
            assert other.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-12)
            # A mean of 1e9 is known to 1e-7, and squares about it accordingly.
            assert other.squares == pytest.approx(whole.squares, rel=1e-8)


def test_few_distinct_values_are_kept_one_by_one_however_many_rows():
    values = np.tile(np.arange(EXACT_UP_TO, dtype=float), 20)
    plan = plan_column(values)
    sketch = summarise(values, plan)
    assert sketch.distinct == EXACT_UP_TO
    assert (sketch.value_counts == 20).all()
    one_more = merge(sketch, summarise(np.array([-1.0]), plan))
    assert one_more.distinct is None
    assert one_more.finite == len(values) + 1
    assert one_more.counts.sum() == len(values) + 1


def test_values_that_many_rows_share_have_a_cell_of_their_own():
    random = np.random.default_rng(2)
    values = np.where(random.random(40_000) < 0.1, 1.25, random.normal(1.25, 0.01, 40_000))
    sketch = summarise(values, plan_column(values))
    here, after = cumulative(sketch, np.array([1.25, np.nextafter(1.25, 2)])).counts
    assert after - here == (values == 1.25).sum()


def test_a_later_window_beyond_the_reference_is_told_apart():
    random = np.random.default_rng(3)
    plan = plan_column(random.normal(size=10_000))
    later = np.sort(random.normal(50, 5, 20_000))
    middle = later[[2_000, 10_000, 18_000]]
    found = cumulative(summarise(later, plan), middle).counts
    assert found == pytest.approx([2_000, 10_000, 18_000], rel=0.05)


@pytest.mark.parametrize(
    ("column", "tallies"),
    [
        (np.empty(0), (0, 0, 0, 0, 0)),
        (pd.Series([], dtype="object"), (0, 0, 0, 0, 0)),
        (np.array([3.5]), (1, 0, 0, 0, 1)),
        (np.full(9, 2.0), (9, 0, 0, 0, 9)),
        (np.full(9, np.nan), (9, 9, 0, 0, 0)),
        (np.array([1.0, np.inf, -np.inf, -np.inf, np.nan]), (5, 1, 0, 3, 1)),
        (pd.Series([1, 2, None], dtype="Int64"), (3, 1, 0, 0, 2)),
        (pd.Series(["1", " 2.5", "x", None, "1e3"]), (5, 1, 1, 0, 3)),
        (pd.Series([1, "two", 3.0, None, Decimal("4.5"), True], dtype="object"), (6, 1, 1, 0, 4)),
        (pd.Series(["1", "2", "1"], dtype="category"), (3, 0, 0, 0, 3)),
        (np.array([True, False, True]), (3, 0, 0, 0, 3)),
        (np.array([1, 2], dtype="uint8"), (2, 0, 0, 0, 2)),
    ],
)
def test_whatever_a_column_of_numbers_holds_every_row_is_accounted_for(column, tallies):
    for plan in (plan_column(np.arange(100.0)), plan_column(column, "number")):
        found = summarise(column, plan)
        infinite = found.infinite_low + found.infinite_high
        assert (found.rows, found.missing, found.unparsable, infinite, found.finite) == tallies


def test_whole_numbers_are_known_as_such_and_not_when_a_piece_was_not():
    plan = plan_column(np.arange(10))
    assert summarise(np.arange(10), plan).whole
    assert summarise_all([pd.DataFrame({"a": [1, 2]})], {"a": plan})["a"].whole
    assert not merge(summarise(np.arange(3), plan), summarise(np.array([1.5]), plan)).whole


def test_numbers_that_became_dates_or_lists_are_none_and_counted_as_such():
    plan = plan_column(np.arange(3.0))
    for odd in (
        pd.Series(pd.date_range("2026-01-01", periods=3)),
        pd.Series([[1], {"a": 2}, date(2026, 1, 1)]),
    ):
        found = summarise(odd, plan)
        assert (found.rows, found.unparsable, found.finite) == (3, 3, 0)


def test_sketches_of_different_plans_or_kinds_do_not_add_up():
    numbers, others = np.arange(9.0), np.arange(9.0) * 3
    with pytest.raises(ValueError, match="different plans"):
        merge(summarise(numbers, plan_column(numbers)), summarise(others, plan_column(others)))
    letters = pd.Series(list("abc"))
    with pytest.raises(ValueError, match="numbers and one of categories"):
        merge(summarise(numbers, plan_column(numbers)), summarise(letters, plan_column(letters)))


def test_kinds_follow_the_type_unless_said_otherwise():
    assert plan_column(np.arange(3)).kind == "number"
    for column in (pd.Series(list("ab")), pd.Series([True, False]), pd.Series(["x"], dtype="category")):
        assert plan_column(column).kind == "category"
    assert plan_column(pd.Series(["1", "2"]), "number").cells is not None


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_levels_are_counted_alike_whatever_type_holds_them(dtype):
    column = pd.Series(["b", "a", None, "b", "c"], dtype=dtype)
    found = summarise(column, plan_column(column))
    assert found.levels.tolist() == ["a", "b", "c"]
    assert found.counts.tolist() == [1, 2, 1]
    assert (found.rows, found.missing, found.distinct, found.note) == (5, 1, 3, "")


def test_unused_and_missing_categories_are_no_levels():
    column = pd.Series(pd.Categorical(["b", None, "b"], categories=["a", "b", "z"]))
    found = summarise(column, plan_column(column))
    assert (found.levels.tolist(), found.counts.tolist(), found.missing) == (["b"], [2], 1)
    nothing = column[:0]
    assert summarise(nothing, plan_column(nothing)).rows == 0


def test_a_mixture_of_types_is_read_as_it_would_be_written():
    column = pd.Series([1, 1.0, "1", True, Decimal("1.0"), 2.5, np.inf, np.nan, ["a"], 2**60], dtype="object")
    found = summarise(column, plan_column(column))
    counts = dict(zip(found.levels, found.counts, strict=True))
    assert counts.pop("['a']") == 1
    assert counts["2.5"] == counts[str(2**60)] == 1
    assert sum(counts.values()) == 7
    assert found.missing == 2


def test_beyond_the_bound_the_most_frequent_levels_are_kept_and_the_rest_counted():
    levels = [f"rare {i:05}" for i in range(LEVELS_UP_TO + 5)] + ["often"] * 7
    found = summarise(pd.Series(levels), plan_column(pd.Series(levels)))
    assert len(found.levels) == LEVELS_UP_TO
    assert "often" in found.levels
    assert (found.other, found.missing, found.distinct) == (6, 0, None)
    assert found.note == "6 rows have levels beyond the 10,000 most frequent"


def test_a_window_in_pieces_with_a_column_lacking_counts_it_as_missing():
    random = np.random.default_rng(4)
    frame = pd.DataFrame({"a": random.normal(size=9000), "b": random.choice(["x", "y"], 9000)})
    plans = {name: plan_column(frame[name]) for name in frame}
    found = summarise_all([frame[:4000], frame[["b"]][4000:]], plans)
    assert (found["a"].rows, found["a"].missing) == (9000, 5000)
    assert found["b"].missing == 0
    assert summarise_all([], plans)["a"].rows == 0


def test_stored_sketches_come_back_as_they_were_and_go_on_adding_up(tmp_path):
    values = shapes(rows=20_000)
    sketches = {name: summarise(column, plan_column(column)) for name, column in values.items()}
    letters = pd.Series(["ä", "b", None, "long" * 50])
    sketches["letters, ünusual"] = summarise(letters, plan_column(letters))
    sketches["nothing"] = summarise(np.empty(0), plan_column(np.empty(0)))
    path = tmp_path / "reference.npz"
    write_sketches(path, sketches)
    assert path.stat().st_size < 40_000 * len(sketches)
    back = read_sketches(path)
    assert list(back) == list(sketches)
    for name, column in {**values, "letters, ünusual": letters}.items():
        stored, twice = back[name], merge(back[name], summarise(column, plan_of(back[name])))
        again = merge(sketches[name], summarise(column, plan_of(sketches[name])))
        assert vars(stored).keys() >= {"rows", "missing"}
        assert (stored.rows, twice.rows) == (len(column), 2 * len(column))
        assert np.array_equal(twice.counts, again.counts)


def test_a_file_that_holds_no_sketches_is_refused(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, a=np.arange(3))
    with pytest.raises(ValueError, match="holds no sketches of format 1"):
        read_sketches(path)
    np.savez(path, about=np.array([{"code": "runs"}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_sketches(path)
