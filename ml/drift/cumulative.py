"""Cumulative counts and sums of a sketched column at any place: what every distance is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.drift.number_sketch import NumberSketch


@dataclass(frozen=True)
class Cumulative:
    """Finite values below each of (k,) places.

    Attributes:
        places: (k,) rising. counts: (k,) how many values lie strictly below each; whole where the sketch
        knows, else estimated.
        sums: (k,) of those values.
    """

    places: np.ndarray
    counts: np.ndarray
    sums: np.ndarray


def cumulative(sketch: NumberSketch, places: np.ndarray) -> Cumulative:
    """Counts and sums below (k,) rising places.

    Exact for a sketch that kept its values; else exact at edges of cells and among the 512 least and
    greatest values. Within a cell values are taken to lie along a straight-line density that has the
    cell's own mean.
    """
    if sketch.exact:
        return _steps(sketch.values, sketch.value_counts, places)
    known = _known(sketch)
    counts, sums = _between(known, places)
    low, high = sketch.low, sketch.high
    early = places <= low[-1]
    below_low = _steps(low, np.ones(len(low)), places[early])
    counts[early], sums[early] = below_low.counts, below_low.sums
    late = places > high[0]
    below_high = _steps(high, np.ones(len(high)), places[late])
    with np.errstate(over="ignore", invalid="ignore"):
        counts[late] = sketch.finite - len(high) + below_high.counts
        sums[late] = sketch.sums.sum() - high.sum() + below_high.sums
    return Cumulative(places, counts, sums)


def joint_places(a: NumberSketch, b: NumberSketch) -> np.ndarray:
    """Every place at which either sketch knows its counts, from the least value to the greatest."""
    known = np.unique(
        np.concatenate([part for s in (a, b) for part in (s.values, s.low, s.high, *_edges(s))])
    )
    return known[(known >= min(a.minimum, b.minimum)) & (known <= max(a.maximum, b.maximum))]


def _edges(sketch: NumberSketch) -> tuple[np.ndarray, ...]:
    return () if sketch.exact else (sketch.cells.edges,)


def _steps(values: np.ndarray, counts: np.ndarray, places: np.ndarray) -> Cumulative:
    before = np.searchsorted(values, places, side="left")
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.append(0.0, np.cumsum(values * counts))[before]
    return Cumulative(places, np.append(0.0, np.cumsum(counts))[before], sums)


def _known(sketch: NumberSketch) -> Cumulative:
    """Counts below the edges between the extremes kept one by one, and below the ends of those."""
    low, high, edges = sketch.low, sketch.high, sketch.cells.edges
    inner = (edges > low[-1]) & (edges < high[0])
    first = _steps(low, np.ones(len(low)), low[-1:])
    last = np.nextafter(high[:1], np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        after = high > high[0]
        counts = np.concatenate(
            [first.counts, np.cumsum(sketch.counts)[:-1][inner], [sketch.finite - after.sum()]]
        )
        total = sketch.sums.sum() - high[after].sum()
        sums = np.concatenate([first.sums, np.cumsum(sketch.sums)[:-1][inner], [total]])
    return Cumulative(np.concatenate([low[-1:], edges[inner], last]), counts, sums)


def _between(known: Cumulative, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated counts and sums below places among the known ones."""
    cell = np.clip(np.searchsorted(known.places, places, side="right") - 1, 0, len(known.places) - 2)
    start, count = known.places[cell], np.diff(known.counts)[cell]
    with np.errstate(all="ignore"):
        width = np.diff(known.places)[cell]
        total = np.diff(known.sums)[cell]
        mean = (total / count - start) / width
        mean = np.clip(np.where(np.isfinite(mean), mean, 0.5), 1e-9, 1 - 1e-9)
        along = np.clip((places - start) / width, 0.0, 1.0)
    # Density 1 + slope (2 t - 1) over the part of the cell that can have this mean.
    part = np.minimum(1.0, 3 * np.minimum(mean, 1 - mean))
    begin = np.where(mean > 0.5, 1 - part, 0.0)
    slope = 6 * ((mean - begin) / part - 0.5)
    t = np.clip((along - begin) / part, 0.0, 1.0)
    share = t + slope * (t * t - t)
    moment = t * t / 2 + slope * (2 * t**3 / 3 - t * t / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        within = count * (start * share + width * (begin * share + part * moment))
        return known.counts[cell] + count * share, known.sums[cell] + within
