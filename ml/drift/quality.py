"""Is the data broken, rather than different? Missing, new, impossible and too few values, from two
sketches.

Each finding needs two things: that it is large enough to matter, and that chance does not explain it.
Chance is judged by Fisher's exact test on effective rows: thirty days of one ad are one piece of
evidence if the ad's feed is broken, so rows count by Kish's formula, (sum n)^2 / sum n^2 over the rows n
of each ad or account (Kish, Survey Sampling, 1965), which takes rows of one cluster as all alike and so
errs towards silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import fisher_exact

from ml.drift.category_sketch import CategorySketch
from ml.drift.cumulative import cumulative
from ml.drift.number_sketch import NumberSketch
from ml.drift.sketch import Sketch

IssueKind = Literal["missing", "new_levels", "out_of_range", "unusable", "volume"]

_LEVELS_NAMED = 3


@dataclass(frozen=True)
class QualitySettings:
    """When a finding is one.

    Attributes:
        p_value: chance alone must be less likely than this to have made it. missing_change: least change
        of the share of rows without a value, either way. new_levels_share: least share of rows whose
        level the reference does not have. out_of_range_share: least share of values beyond the
        reference's least and greatest. unusable_rise: least rise of the share of rows with infinities,
        or with text among numbers. volume_low, volume_high: rows against the same weekdays before: fewer
        than the first times as many, or more than the second, are an issue.
    """

    p_value: float
    missing_change: float
    new_levels_share: float
    out_of_range_share: float
    unusable_rise: float
    volume_low: float
    volume_high: float


@dataclass(frozen=True)
class QualityIssue:
    """One finding.

    Attributes:
        column: which; empty for the window as a whole.
        kind: what is wrong.
        before, now: share of rows concerned, 0 to 1; for `volume`, rows a day.
        sentence: the same for people.
        p_value: chance of at least this without a change; None for `volume`, which is judged by range.
    """

    column: str
    kind: IssueKind
    before: float
    now: float
    sentence: str
    p_value: float | None = None


@dataclass(frozen=True)
class EffectiveRows:
    """How many independent rows each window is worth."""

    reference: float
    current: float


def effective_rows(rows_per_cluster: np.ndarray) -> float:
    """Kish's effective number of rows, where each of (c,) clusters has that many rows all alike."""
    rows = np.asarray(rows_per_cluster, dtype=np.float64)
    rows = rows[rows > 0]
    return float(rows.sum() ** 2 / (rows**2).sum()) if len(rows) else 0.0


def quality_issues(
    reference: Mapping[str, Sketch],
    current: Mapping[str, Sketch],
    settings: QualitySettings,
    *,
    worth: EffectiveRows | None = None,
) -> tuple[QualityIssue, ...]:
    """What is broken in the current window, worst first.

    Args:
        reference, current: sketches by column; columns that only one has are passed over, as the plans
            of the reference name every column (`ml.drift.sketch.summarise_all`).
        settings: when a finding is one.
        worth: effective rows of both windows; by default every row counts as independent.

    Raises:
        ValueError: a column has numbers in one window and categories in the other.
    """
    issues: list[QualityIssue] = []
    for column, before in reference.items():
        now = current.get(column)
        if now is None or not before.rows or not now.rows:
            continue
        evidence = _Evidence(before, now, worth)
        found = [_missing(column, before, now, evidence, settings)]
        if isinstance(before, CategorySketch) and isinstance(now, CategorySketch):
            found.append(_new_levels(column, before, now, evidence, settings))
        elif isinstance(before, NumberSketch) and isinstance(now, NumberSketch):
            found.append(_out_of_range(column, before, now, evidence, settings))
            found.append(_unusable(column, before, now, evidence, settings))
        else:
            raise ValueError(f"{column} has numbers in one window and categories in the other")
        issues += [issue for issue in found if issue is not None]
    return tuple(sorted(issues, key=lambda issue: (-abs(issue.now - issue.before), issue.column)))


def volume_issue(
    reference_rows: np.ndarray,
    reference_weekdays: np.ndarray,
    current_rows: np.ndarray,
    current_weekdays: np.ndarray,
    settings: QualitySettings,
) -> QualityIssue | None:
    """Whether the window has far fewer or more rows a day than the same weekdays had.

    What a weekday has is the median of its days in the reference, or of all days if it has none there. A
    ratio that one of the reference's own days reached is no issue.

    Args:
        reference_rows, current_rows: (d,), (e,) rows of each day, days without rows included as 0.
        reference_weekdays, current_weekdays: (d,), (e,) their weekdays, 0 to 6.

    Returns:
        None where nothing is wrong, or either window has no day.
    """
    if not len(reference_rows) or not len(current_rows):
        return None
    usual = np.full(7, np.median(reference_rows))
    for weekday in np.unique(reference_weekdays):
        usual[weekday] = np.median(reference_rows[reference_weekdays == weekday])
    expected = usual[current_weekdays]
    if expected.sum() <= 0:
        return None
    ratio = float(np.sum(current_rows) / expected.sum())
    own = reference_rows / np.maximum(usual[reference_weekdays], 1e-9)
    if settings.volume_low <= ratio <= settings.volume_high or own.min() <= ratio <= own.max():
        return None
    before, now = float(expected.mean()), float(np.mean(current_rows))
    word = "few" if ratio < 1 else "many"
    return QualityIssue(
        column="",
        kind="volume",
        before=before,
        now=now,
        sentence=f"Unusually {word} rows: {now:,.0f} a day, against {before:,.0f} on such weekdays before.",
    )


class _Evidence:
    """How surprising a change of a share is."""

    def __init__(self, before: Sketch, now: Sketch, worth: EffectiveRows | None) -> None:
        self._before = min(worth.reference, before.rows) if worth else before.rows
        self._now = min(worth.current, now.rows) if worth else now.rows

    def p_value(self, before: float, now: float) -> float:
        """Two-sided, of shares of all rows; effective counts are rounded to whole rows."""
        table = []
        for share, rows in ((before, self._before), (now, self._now)):
            size = max(1, round(rows))
            hit = round(share * size)
            table.append([hit, size - hit])
        return float(fisher_exact(table).pvalue)


def _missing(
    column: str, before: Sketch, now: Sketch, evidence: _Evidence, settings: QualitySettings
) -> QualityIssue | None:
    was, is_now = before.missing / before.rows, now.missing / now.rows
    if abs(is_now - was) < settings.missing_change:
        return None
    p_value = evidence.p_value(was, is_now)
    if p_value >= settings.p_value:
        return None
    told = f"is missing in {_percent(is_now)} of the rows"
    if now.missing == now.rows:
        told = "has no values at all any more"
    sentence = f"{column} {told}; before, {_percent(was)} lacked it."
    return QualityIssue(column, "missing", was, is_now, sentence, p_value)


def _new_levels(
    column: str,
    before: CategorySketch,
    now: CategorySketch,
    evidence: _Evidence,
    settings: QualitySettings,
) -> QualityIssue | None:
    new = ~np.isin(now.levels.astype(str), before.levels.astype(str))
    share = float(now.counts[new].sum() / now.rows)
    if not new.any() or share < settings.new_levels_share:
        return None
    p_value = evidence.p_value(0.0, share)
    if p_value >= settings.p_value:
        return None
    order = np.argsort(-now.counts[new], kind="stable")[:_LEVELS_NAMED]
    named = ", ".join(
        f"{level} ({_percent(count / now.rows)})"
        for level, count in zip(now.levels[new][order], now.counts[new][order], strict=True)
    )
    more = f" and {int(new.sum()) - _LEVELS_NAMED:,} more" if new.sum() > _LEVELS_NAMED else ""
    sentence = f"{_percent(share)} of the rows have levels of {column} never seen before: {named}{more}."
    return QualityIssue(column, "new_levels", 0.0, share, sentence, p_value)


def _out_of_range(
    column: str, before: NumberSketch, now: NumberSketch, evidence: _Evidence, settings: QualitySettings
) -> QualityIssue | None:
    if not before.finite or not now.finite:
        return None
    ends = np.array([before.minimum, np.nextafter(before.maximum, np.inf)])
    below = cumulative(now, ends).counts
    share = float((below[0] + now.finite - below[1]) / now.rows)
    if share <= 0 or share < settings.out_of_range_share:
        return None
    p_value = evidence.p_value(0.0, share)
    if p_value >= settings.p_value:
        return None
    reach = f"{before.minimum:.6g} to {before.maximum:.6g}"
    sentence = (
        f"{_percent(share)} of the rows have a {column} outside {reach}, all there was before; "
        f"now it reaches from {now.minimum:.6g} to {now.maximum:.6g}."
    )
    return QualityIssue(column, "out_of_range", 0.0, share, sentence, p_value)


def _unusable(
    column: str, before: NumberSketch, now: NumberSketch, evidence: _Evidence, settings: QualitySettings
) -> QualityIssue | None:
    was, is_now = ((s.unparsable + s.infinite_low + s.infinite_high) / s.rows for s in (before, now))
    if is_now <= was or is_now - was < settings.unusable_rise:
        return None
    p_value = evidence.p_value(was, is_now)
    if p_value >= settings.p_value:
        return None
    infinite = now.infinite_low + now.infinite_high
    sentence = (
        f"{column} holds no usable number in {_percent(is_now)} of the rows "
        f"({now.unparsable:,} rows with text, {infinite:,} infinite); before, in {_percent(was)}."
    )
    return QualityIssue(column, "unusable", was, is_now, sentence, p_value)


def _percent(share: float) -> str:
    percent = 100 * share
    if percent in (0, 100):
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 0.1 else "under 0.1 %"
