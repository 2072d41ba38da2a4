"""The kept numbers of a drift report, read back: what `ml.drift.telling.as_json` wrote, in any of its forms.

Reports of years lie in the database, some written by older code. Reading never fails: what is missing or odd
is None or empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Below this share of the model's worth, a cost is not worth a warning.
_LITTLE = 0.005


@dataclass(frozen=True)
class Figure:
    """A value with its interval of 95 %, whose ends may be unknown."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ToldBins:
    """Shares of a column's bins, (bins,) each; `error` is observed over expected less 1, None if unknown."""

    labels: tuple[str, ...]
    before: tuple[float, ...]
    now: tuple[float, ...]
    error: tuple[float | None, ...]


@dataclass(frozen=True)
class ToldColumn:
    """One column. Missing shares are 0 to 1; figures are None where they were not measured."""

    name: str
    role: str
    kind: str
    importance: float | None
    method: str
    score: float | None
    psi: float | None
    expected_psi: float | None
    p_value: float | None
    drifted: bool
    missing_before: float | None
    missing_now: float | None
    note: str
    bins: ToldBins | None


@dataclass(frozen=True)
class ToldPerformance:
    """How the model did. `cost` is the share of what it is worth that is lost."""

    state: Literal["measured", "estimated", "unknown"]
    metric: str
    rows: int | None
    reference: float | None
    current: Figure | None
    ratio: Figure | None
    miss: Figure | None
    cost: Figure | None
    worst_column: str
    estimated: float | None
    note: str


@dataclass(frozen=True)
class ToldNiche:
    """One niche."""

    name: str
    severity: str
    rows: int | None
    cost: float | None
    ratio: float | None
    summary: str


@dataclass(frozen=True)
class ToldReport:
    """A report's numbers.

    Attributes:
        complete: whether it has performance, quality and kinds; older forms know only columns.
        kinds: severity by kind of drift.
        columns: most important first.
        rows_per_day: of reference and current window.
    """

    complete: bool
    observed_severity: str
    reason: str
    kinds: Mapping[str, str]
    reference_rows: int | None
    current_rows: int | None
    new_labelled_rows: int | None
    share_drifted: float | None
    importance_drifted: float | None
    columns: tuple[ToldColumn, ...]
    performance: ToldPerformance
    rows_per_day: tuple[float, float] | None
    issues: tuple[str, ...]
    niches: tuple[ToldNiche, ...]
    notes: tuple[str, ...]

    @property
    def drifted(self) -> tuple[ToldColumn, ...]:
        """The columns that moved, most important first."""
        return tuple(column for column in self.columns if column.drifted)


def read_numbers(numbers: Mapping[str, Any]) -> ToldReport:
    """The numbers of a report as `ml.drift_report` keeps them."""
    quality = _mapping(numbers.get("quality"))
    per_day = [number(each) for each in _list(quality.get("rows_per_day"))]
    before, now = per_day if len(per_day) == 2 else (None, None)
    return ToldReport(
        complete="form" in numbers,
        observed_severity=_text(numbers.get("observed_severity")),
        reason=_text(numbers.get("reason")),
        kinds={str(kind): _text(level) for kind, level in _mapping(numbers.get("kinds")).items()},
        reference_rows=_count(numbers.get("reference_rows")),
        current_rows=_count(numbers.get("current_rows")),
        new_labelled_rows=_count(numbers.get("new_labelled_rows")),
        share_drifted=number(numbers.get("share_drifted")),
        importance_drifted=number(numbers.get("importance_drifted")),
        columns=tuple(_column(each) for each in _mappings(numbers.get("columns"))),
        performance=_performance(_mapping(numbers.get("performance"))),
        rows_per_day=None if before is None or now is None else (before, now),
        issues=tuple(_text(each) for each in _list(quality.get("issues")) if _text(each)),
        niches=tuple(_niche(each) for each in _mappings(numbers.get("niches"))),
        notes=tuple(_text(each) for each in _list(numbers.get("notes")) if _text(each)),
    )


def performance_sentences(performance: ToldPerformance) -> str:
    """What drift costs, in plain words."""
    note = performance.note.rstrip(".")
    if performance.state != "measured":
        told = f"What it costs is not known yet: {note}." if note else "What it costs is not known yet."
        if performance.estimated is None:
            return told
        return (
            f"{told} By its own answers the {performance.metric or 'loss'} should be "
            f"{performance.estimated:.4f}: an estimate, right only while the model is."
        )
    parts = []
    if (cost := performance.cost) is not None:
        if cost.value < _LITTLE or (cost.low is not None and cost.low <= 0):
            parts.append(
                f"The model has lost nothing of what it is worth that chance would not explain{_span(cost)}."
            )
        else:
            where = performance.worst_column
            by = f", above all by {where}" if where and where != "all rows" else ""
            parts.append(f"The model has lost {cost.value:.0%} of what it is worth{_span(cost)}{by}.")
    if (ratio := performance.ratio) is not None:
        more = "more" if ratio.value >= 1 else "less"
        ends = (
            ""
            if ratio.low is None or ratio.high is None
            else f" ({ratio.low - 1:+.0%} to {ratio.high - 1:+.0%})"
        )
        parts.append(f"What happens is {abs(ratio.value - 1):.0%} {more} than it expects{ends}.")
    if (miss := performance.miss) is not None:
        ends = "" if miss.low is None or miss.high is None else f" ({miss.low:+.4g} to {miss.high:+.4g})"
        word = "above" if miss.value >= 0 else "below"
        parts.append(f"What happens is on average {abs(miss.value):.4g} {word} what it expects{ends}.")
    return " ".join(parts) or (f"Nothing could be said of what it costs: {note}." if note else "")


def number(value: Any) -> float | None:
    """A finite number, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _span(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" ({figure.low:.0%} to {figure.high:.0%})"


def _column(told: Mapping[str, Any]) -> ToldColumn:
    return ToldColumn(
        name=_text(told.get("column")) or "a column without a name",
        role=_text(told.get("role")),
        kind=_text(told.get("kind")),
        importance=number(told.get("importance")),
        method=_text(told.get("method")),
        score=number(told.get("score")),
        psi=number(told.get("psi")),
        expected_psi=number(told.get("expected_psi")),
        p_value=number(told.get("p_value")),
        drifted=told.get("drifted") is True,
        missing_before=number(told.get("missing_before")),
        missing_now=number(told.get("missing_now")),
        note=_text(told.get("note")),
        bins=_bins(_mapping(told.get("bins"))),
    )


def _bins(told: Mapping[str, Any]) -> ToldBins | None:
    labels = tuple(_text(label) for label in _list(told.get("labels")))
    before, now, error = (
        [number(each) for each in _list(told.get(name))][: len(labels)]
        for name in ("reference", "current", "error")
    )
    if not labels or len(before) != len(labels) or len(now) != len(labels):
        return None
    were, are = (tuple(max(0.0, share or 0.0) for share in window) for window in (before, now))
    if not any(were) and not any(are):
        return None
    error += [None] * (len(labels) - len(error))
    return ToldBins(labels, were, are, tuple(error))


def _performance(told: Mapping[str, Any]) -> ToldPerformance:
    state = told.get("state")
    return ToldPerformance(
        state=state if state in ("measured", "estimated") else "unknown",
        metric=_text(told.get("metric")) or "error",
        rows=_count(told.get("rows")),
        reference=number(told.get("reference")),
        current=_figure(told, "current", ""),
        ratio=_figure(told, "observed_over_predicted", "ratio_"),
        miss=_figure(told, "miss", "miss_"),
        cost=_figure(told, "cost", "cost_"),
        worst_column=_text(told.get("worst_column")),
        estimated=number(told.get("estimated")),
        note=_text(told.get("note")),
    )


def _figure(told: Mapping[str, Any], name: str, prefix: str) -> Figure | None:
    value = number(told.get(name))
    if value is None:
        return None
    return Figure(value, number(told.get(f"{prefix}low")), number(told.get(f"{prefix}high")))


def _niche(told: Mapping[str, Any]) -> ToldNiche:
    return ToldNiche(
        name=_text(told.get("niche")),
        severity=_text(told.get("severity")),
        rows=_count(told.get("rows")),
        cost=number(told.get("cost")),
        ratio=number(told.get("observed_over_predicted")),
        summary=_text(told.get("summary")),
    )


def _count(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _text(value: Any) -> str:
    """In one line; control characters have no glyph."""
    if value is None or isinstance(value, dict | list):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in _list(value) if isinstance(each, Mapping)]
