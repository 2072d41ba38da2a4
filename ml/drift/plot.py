"""The picture of a drift report: how the most important columns moved, where the model errs, what it costs.

Drawn from the kept numbers (`ml.drift.telling.as_json`) alone, so any past day can be drawn again.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml.drift.told import Figure, ToldBins, ToldColumn, ToldPerformance, read_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_COLUMNS = 3
# More levels of a category than these are drawn as one bar; bins of numbers keep their order and stay.
_MOST_LEVELS = 7
_MOST_BINS = 24
_LABEL_CHARS = 18
_TITLE_CHARS = 30
# Written into plots as it is: a dollar sign begins no formula.
_PLAIN: dict[str, Any] = {"parse_math": False}


@dataclass(frozen=True)
class _Colours:
    page: str
    ink: str
    quiet: str
    before: str
    now: str
    error: str


_LIGHT = _Colours("#ffffff", "#1b2330", "#5d6878", "#a9b4c2", "#2f6fc4", "#c62f4b")
_DARK = _Colours("#1b212a", "#e3e7ee", "#98a3b3", "#6c7889", "#5b99ea", "#ef6b83")


def drift_plot(numbers: Mapping[str, Any], *, dark: bool = False) -> bytes:
    """A PNG of 900 x 320 pixels: the most important columns, and a strip about the model's performance.

    Whatever is missing is left out; where nothing is left, the picture says so.

    Args:
        numbers: of a report, as `ml.drift.telling.as_json` makes them or an older form did.
        dark: for a dark page.
    """
    # Without pyplot, which keeps figures and a backend of its own for the whole process.
    from matplotlib.figure import Figure as Canvas

    colours = _DARK if dark else _LIGHT
    report = read_numbers(numbers)
    drawable = [
        (column, _most(column.bins, _MOST_BINS if column.kind == "number" else _MOST_LEVELS))
        for column in report.columns
        if column.bins is not None
    ][:MOST_COLUMNS]
    told = _title(report.performance)
    figure = Canvas(figsize=(9, 3.2), dpi=100, layout="constrained", facecolor=colours.page)
    if not drawable and not told:
        _say(figure, "There is nothing to draw: no column could be compared.", colours)
    else:
        panels, strip = _grid(figure, len(drawable), bool(told))
        for axes, (column, bins) in zip(panels, drawable, strict=True):
            _draw_column(axes, column, bins, colours)
        if strip is not None:
            _draw_strip(strip, told, report.performance.cost, colours)
        if drawable:
            _draw_legend(figure, any(_known(bins) for _, bins in drawable), colours)
    out = io.BytesIO()
    # No time stamp, so that the same numbers are the same file.
    figure.savefig(out, format="png", facecolor=colours.page, metadata={"Software": None})
    figure.clear()
    return out.getvalue()


def _grid(figure: Canvas, columns: int, strip: bool) -> tuple[list[Axes], Axes | None]:
    heights = [5.0, 1.0] if columns and strip else [1.0]
    grid = figure.add_gridspec(len(heights), max(1, columns), height_ratios=heights)
    panels = [figure.add_subplot(grid[0, place]) for place in range(columns)]
    return panels, figure.add_subplot(grid[-1, :]) if strip else None


def _draw_column(axes: Axes, column: ToldColumn, bins: ToldBins, colours: _Colours) -> None:
    labels = [_clipped(label, _LABEL_CHARS) for label in bins.labels]
    at = range(len(labels))
    axes.bar([place - 0.2 for place in at], bins.before, width=0.4, color=colours.before)
    axes.bar([place + 0.2 for place in at], bins.now, width=0.4, color=colours.now)
    moved = "moved" if column.drifted else "about as before"
    axes.set_title(
        f"{_clipped(column.name, _TITLE_CHARS)}: {moved}",
        fontsize=10,
        loc="left",
        color=colours.ink,
        pad=5,
        **_PLAIN,
    )
    # As many names as fit beside each other.
    step = math.ceil(len(labels) / 8)
    shown = [place for place in at if place % step == 0]
    crowded = sum(len(labels[place]) + 1 for place in shown) > 34
    axes.set_xticks(
        shown,
        [labels[place] for place in shown],
        fontsize=7.5,
        rotation=28 if crowded else 0,
        ha="right" if crowded else "center",
        rotation_mode="anchor",
        **_PLAIN,
    )
    axes.set_ylim(0, max([*bins.before, *bins.now, 0.01]) * 1.12)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _plain_axes(axes, colours)
    if not _known(bins):
        return
    errors = axes.twinx()
    errors.axhline(0, color=colours.error, linewidth=0.7, linestyle=":")
    line = [math.nan if each is None else each for each in bins.error]
    errors.plot(list(at), line, color=colours.error, marker="o", markersize=3.5, linewidth=1.2)
    # Symmetric, so that "right" is in the middle; one odd bin does not flatten the others.
    widest = min(3.0, max(0.2, *(abs(each) for each in _known(bins))))
    errors.set_ylim(-1.25 * widest, 1.25 * widest)
    errors.yaxis.set_major_formatter(lambda value, _: f"{value:+.0%}" if abs(value) > 1e-9 else "0%")
    errors.locator_params(axis="y", nbins=5)
    _plain_axes(errors, colours)
    errors.tick_params(axis="y", colors=colours.error)


def _draw_strip(axes: Axes, told: str, cost: Figure | None, colours: _Colours) -> None:
    _plain_axes(axes, colours)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title(told, fontsize=10, loc="left", color=colours.ink, pad=4, **_PLAIN)
    if cost is None:
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        return
    low, high = (cost.value if end is None else end for end in (cost.low, cost.high))
    # The scale reaches from nothing to all of the worth: how far the mark has come is how bad it is.
    axes.set_xlim(min(0.0, max(low, -0.3)), max(1.0, min(high, 2.0)))
    axes.set_ylim(-1, 1)
    axes.hlines(0, low, high, color=colours.error, linewidth=6, alpha=0.35)
    axes.plot([cost.value], [0], marker="o", markersize=7, color=colours.error)
    axes.axvline(0, color=colours.quiet, linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _draw_legend(figure: Canvas, errors: bool, colours: _Colours) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Patch | Line2D] = [
        Patch(color=colours.before, label="share of rows the model learnt from"),
        Patch(color=colours.now, label="share of the newest rows"),
    ]
    if errors:
        marks.append(
            Line2D(
                [],
                [],
                color=colours.error,
                marker="o",
                markersize=4,
                label="outcomes against what the model expects",
            )
        )
    figure.legend(
        handles=marks,
        loc="outside upper left",
        ncols=len(marks),
        fontsize=8.5,
        frameon=False,
        labelcolor=colours.ink,
    )


def _say(figure: Canvas, sentence: str, colours: _Colours) -> None:
    figure.text(0.5, 0.5, sentence, ha="center", va="center", fontsize=12, color=colours.quiet)


def _known(bins: ToldBins) -> list[float]:
    return [each for each in bins.error if each is not None]


def _plain_axes(axes: Axes, colours: _Colours) -> None:
    axes.set_facecolor(colours.page)
    axes.tick_params(labelsize=7.5, colors=colours.quiet, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(colours.quiet)


def _most(bins: ToldBins, at_most: int) -> ToldBins:
    """The largest bins in their order, and one for all others. Its error is not known."""
    if len(bins.labels) <= at_most:
        return bins
    largest = [max(pair) for pair in zip(bins.before, bins.now, strict=True)]
    kept = sorted(sorted(range(len(largest)), key=lambda place: -largest[place])[: at_most - 1])
    rest = [place for place in range(len(largest)) if place not in set(kept)]
    return ToldBins(
        (*(bins.labels[place] for place in kept), f"{len(rest)} others"),
        (*(bins.before[place] for place in kept), sum(bins.before[place] for place in rest)),
        (*(bins.now[place] for place in kept), sum(bins.now[place] for place in rest)),
        (*(bins.error[place] for place in kept), None),
    )


def _title(performance: ToldPerformance) -> str:
    """The strip's sentence, empty where nothing is known."""
    if performance.state == "measured":
        parts = []
        if performance.cost is not None:
            parts.append(f"What the model has lost of its worth: {performance.cost.value:.0%}")
        if performance.current is not None:
            before = performance.reference
            against = "" if before is None else f", {before:.4g} when it was judged"
            parts.append(f"{performance.metric} {performance.current.value:.4g}{against}")
        return _clipped("; ".join(parts), 120)
    if performance.state == "estimated" and performance.estimated is not None:
        return (
            "Performance is not measured yet; the model itself expects "
            f"{_clipped(performance.metric, 40)} {performance.estimated:.4g}"
        )
    return ""


def _clipped(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"
