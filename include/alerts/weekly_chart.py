"""The picture of the weekly report: what language models cost and saved per day, and the models' error."""

from __future__ import annotations

import io
from datetime import date, timedelta
from typing import TYPE_CHECKING

from include.alerts.message import Picture, clip
from include.alerts.weekly_facts import WeeklyFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PAID, _SAVED, _ERROR = "#4C6A92", "#6BA368", "#B5523B"


def weekly_chart(facts: WeeklyFacts) -> Picture | None:
    """A PNG of the week, `None` where there is nothing to draw."""
    if not (facts.money or any(training.mae_pp is not None for training in facts.trainings)):
        return None
    # Without pyplot, which keeps figures and a backend of its own for the whole process.
    from matplotlib.figure import Figure

    days = [facts.since + timedelta(days=n) for n in range((facts.until - facts.since).days + 1)]
    figure = Figure(figsize=(8, 3), dpi=110, layout="constrained")
    money, error = figure.subplots(1, 2)
    _draw_money(money, facts, days)
    _draw_error(error, facts, days)
    for axes in (money, error):
        axes.set_xticks(range(len(days)), [f"{day:%a}\n{day.day}" for day in days], fontsize=8)
        axes.set_xlim(-0.6, len(days) - 0.4)
        axes.tick_params(axis="y", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        # Room for the legend; from zero, so that heights compare.
        axes.set_ylim(0, (axes.dataLim.ymax or 1) * 1.35 if axes.has_data() else 1)
    out = io.BytesIO()
    # No time stamp, so that the same week is the same file.
    figure.savefig(out, format="png", metadata={"Software": None})
    return Picture(
        filename=f"nightshift-week-to-{facts.until}.png",
        content=out.getvalue(),
        title=f"Week to {facts.until}",
        alt_text=_in_words(facts),
    )


def _draw_money(axes: Axes, facts: WeeklyFacts, days: list[date]) -> None:
    place = {day: n for n, day in enumerate(days)}
    at = [place[day.day] for day in facts.money]
    paid = [day.paid_usd for day in facts.money]
    axes.bar(at, paid, color=_PAID, label="paid")
    axes.bar(at, [day.saved_usd for day in facts.money], bottom=paid, color=_SAVED, label="saved by batches")
    axes.set_title("Language models, USD per day", fontsize=10, loc="left")
    _legend_or_none(axes, bool(facts.money))


def _draw_error(axes: Axes, facts: WeeklyFacts, days: list[date]) -> None:
    place = {day: n for n, day in enumerate(days)}
    measured = [training for training in facts.trainings if training.mae_pp is not None]
    names = sorted({training.model_name for training in measured})
    for name, marker in zip(names, "os^Dv", strict=False):
        points = sorted(
            (place[training.trained_for], training.mae_pp, training.version)
            for training in facts.trainings
            if training.model_name == name and training.mae_pp is not None
        )
        xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
        axes.plot(xs, ys, marker=marker, color=_ERROR, label=clip(name, 24))
        for x, y, version in points:
            axes.annotate(f"v{version}", (x, y), textcoords="offset points", xytext=(5, 5), fontsize=8)
    axes.set_title("CTR error of what was trained, MAE in pp", fontsize=10, loc="left")
    _legend_or_none(axes, bool(measured))


def _legend_or_none(axes: Axes, something: bool) -> None:
    if something:
        axes.legend(fontsize=8, frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing this week", transform=axes.transAxes, ha="center", color="grey")


def _in_words(facts: WeeklyFacts) -> str:
    paid = sum(day.paid_usd for day in facts.money)
    saved = sum(day.saved_usd for day in facts.money)
    errors = ", ".join(
        f"{training.model_name} v{training.version} {training.mae_pp:.3f}"
        for training in facts.trainings
        if training.mae_pp is not None
    )
    return (
        f"Language models cost {paid:.4f} and batches saved {saved:.4f} US dollars in the week; "
        f"CTR error in percentage points: {errors or 'none measured'}"
    )
