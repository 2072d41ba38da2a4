"""What drift costs: how wrong the model has become on the newest rows, where, and what that is worth.

A change of the inputs may leave a model right, and a change of the loss may only mean that the rows became
harder. So the cost is what a small correction would win back: the model's own answers, shifted for all rows
or by one column's bins, learnt on half of the clusters and judged on the other half (and the other way
round). It is told as a share of what the model is worth: what its answers save against one answer for all.
Whether the model is wrong at all is told by a test of its misses cluster by cluster, and by a t-test of what
the correction wins on clusters that it did not learn from.
Where outcomes are not known yet, the loss is estimated from the answers alone, in the spirit of
confidence-based performance estimation: right only while the model is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import t as student

from ml.drift.movement import effective_clusters, merged_rare, surprise
from ml.drift.profile import GROUPS, Profile

OVERALL = "all rows"
# Of the intervals that people read.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Error:
    """How wrong the model is by one column's bins.

    Attributes:
        column: which, or `all rows`.
        p_value: chance of such misses if the model were right.
        cost: share of the model's worth that correcting for this column wins back.
        by_bin: (bins,) observed over expected, less 1; NaN where nothing was expected.
    """

    column: str
    p_value: float
    cost: Estimate
    by_bin: tuple[float, ...]


@dataclass(frozen=True)
class Performance:
    """How the model does on the current window.

    Attributes:
        state: `measured` on rows with outcomes, `estimated` from answers alone, or `unknown`.
        metric: name of the loss, the lower the better.
        reference: of the model on rows it had not learnt from, when it was judged; None where unknown.
        current: on the window; None unless measured.
        estimated: what the answers alone promise; None where unknown.
        ratio: observed over expected; None unless measured, and for values, which may be around 0.
        miss: observed less expected on average; only for values.
        worth: what the model saves per unit of exposure against one answer for all.
        errors: by column, `all rows` first; empty unless measured.
        rows: that were measured.
        note: why it is unknown or only estimated.
    """

    state: Literal["measured", "estimated", "unknown"]
    metric: str
    reference: float | None = None
    current: Estimate | None = None
    estimated: float | None = None
    ratio: Estimate | None = None
    miss: Estimate | None = None
    worth: float | None = None
    errors: tuple[Error, ...] = ()
    rows: int = 0
    note: str = ""

    @property
    def worst(self) -> Error | None:
        """The error whose correction wins back most; None unless measured."""
        return max(self.errors, key=lambda error: error.cost.value, default=None)


def assess_performance(
    reference: Profile, current: Profile, *, judged_loss: float | None, least_rows: int, note: str = ""
) -> Performance:
    """Measure it where outcomes are known, else estimate it, else say why not.

    Args:
        reference: for the model's worth, and for losses by the answer where the loss is no log loss.
        current: rows that the model has not learnt from.
        judged_loss: the model's loss when it was judged; None where unknown.
        least_rows: with fewer measured rows nothing is said of the cost.
        note: why there are few rows or none, where the caller knows.
    """
    metric = "normalized entropy" if current.loss == "log_loss" else "mean squared error"
    known = Performance(
        "unknown", metric, reference=judged_loss, estimated=_estimated(reference, current), note=note
    )
    told = int(current.told_rows)
    if told < least_rows:
        why = note or f"{told} rows with prediction and outcome, at least {least_rows} are needed"
        answered = current.totals["answered_exposure"].sum() > 0
        return replace(known, state="estimated" if answered else "unknown", rows=told, note=why)
    worth = _worth(reference) or _worth(current)
    if not worth:
        return replace(known, rows=told, note="the model gives one answer for all: it has nothing to lose")
    errors = [_error(OVERALL, *_overall(current), current, worth)]
    errors += [
        _error(
            column.name,
            current.misses[column.name],
            current.weights[column.name],
            current,
            worth,
            current.expected[column.name],
        )
        for column in current.plan.columns
        # Misses sorted by the outcome itself would always look systematic.
        # And all rows in one bin are all rows again.
        if column.of.role != "outcome" and (current.weights[column.name].sum(axis=0) > 0).sum() > 1
    ]
    totals = current.totals
    rates = current.loss == "log_loss"
    missed = totals["observed"] - totals["expected"]
    return replace(
        known,
        state="measured",
        current=_loss(current),
        ratio=_of_sums(totals["observed"], totals["expected"]) if rates else None,
        miss=None if rates else _of_sums(missed, totals["exposure"]),
        worth=worth,
        errors=tuple(errors),
        rows=told,
    )


def _overall(profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    misses = profile.totals["observed"] - profile.totals["expected"]
    weights = next(iter(profile.weights.values())).sum(axis=1)
    return misses[:, None], weights[:, None]


def _error(
    name: str,
    misses: np.ndarray,
    weights: np.ndarray,
    profile: Profile,
    worth: float,
    expected: np.ndarray | None = None,
) -> Error:
    told = weights.sum(axis=0) > 0
    misses, weights = misses[:, told], weights[:, told]
    freedom = effective_clusters(weights) - 1
    p_value = _surprise_of_misses(misses, weights, profile)
    gains = np.zeros(GROUPS)
    half = np.arange(GROUPS) % 2 == 0
    for learnt, judged in ((half, ~half), (~half, half)):
        shift = _correction(misses[learnt], weights[learnt])
        gains[judged] = misses[judged] @ shift - weights[judged] @ shift**2 / 2
    scale = float(profile.totals["exposure"].sum()) * worth
    cost, unlikely = _sum_over_clusters(gains[weights.sum(axis=1) > 0] / scale, freedom)
    # The first test sees small errors of many clusters, the second large ones of few; two were tried.
    return Error(name, min(1.0, 2 * min(p_value, unlikely)), cost, _by_bin(misses, expected, told))


def _surprise_of_misses(misses: np.ndarray, weights: np.ndarray, profile: Profile) -> float:
    """Chance of misses that differ so much from nothing, bin by bin, if the model were right.

    Each cluster's miss counts by how much it can say: its own noise, and how much clusters differ anyway
    (random effects, DerSimonian and Laird, Controlled Clinical Trials 7, 1986). So one ad with half of all
    impressions is still one ad. The spread is that of the clusters about their bin (a sandwich, with the
    correction for few of them), pooled over bins as in `ml.drift.movement`.
    """
    misses, weights = merged_rare(misses, weights)
    seen = weights > 0
    clusters, cells = seen.sum(axis=0), int(seen.sum())
    freedom = float((weights.sum(axis=1) > 0).sum() - weights.shape[1])
    if freedom < 1:
        return 1.0
    raw = np.divide(misses, weights, out=np.zeros_like(misses), where=seen)
    noise = 1.0
    if profile.loss == "squared_error":
        noise = float(profile.totals["loss"].sum() / profile.totals["exposure"].sum())
    of_bin = weights.sum(axis=0)
    distance = float((weights * (raw - misses.sum(axis=0) / of_bin) ** 2).sum())
    scale = float(of_bin.sum() - ((weights**2).sum(axis=0) / of_bin).sum())
    between = max(0.0, distance - noise * (cells - len(of_bin))) / scale if scale > 0 else 0.0
    weight = np.divide(weights, noise + between * weights, where=seen, out=np.zeros_like(weights))
    total = weight.sum(axis=0)
    middle = (weight * raw).sum(axis=0) / total
    few = np.sqrt(clusters / np.maximum(1, clusters - 1))
    pull = weight * (raw - middle) / np.sqrt(total) * few
    return surprise(float((middle**2 * total).sum()), pull, freedom)[1]


def _by_bin(misses: np.ndarray, expected: np.ndarray | None, told: np.ndarray) -> tuple[float, ...]:
    if expected is None:
        return ()
    shares = np.full(len(told), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares[told] = misses.sum(axis=0) / expected[told]
    return tuple(map(float, shares))


def _correction(misses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(bins,) shift of the answers that these misses call for, shrunk by how little they can say.

    A Newton step for each bin, pulled towards none by the empirical Bayes estimate of how much bins differ
    (method of moments). On the scale of log-odds for rates, of the answer itself for values.
    """
    miss, weight = misses.sum(axis=0), weights.sum(axis=0)
    seen = weight > 0
    if not seen.any():
        return np.zeros_like(weight)
    raw = np.divide(miss, weight, out=np.zeros_like(miss), where=seen)
    # Misses of one cluster hang together: their variance over what independent rows would have.
    dispersion = max(1e-12, float(((misses - weights * raw) ** 2).sum() / weight.sum()))
    between = float((miss[seen] ** 2 / weight[seen] - dispersion).sum() / weight.sum())
    return np.zeros_like(weight) if between <= 0 else miss / (weight + dispersion / between)


def _sum_over_clusters(parts: np.ndarray, freedom: float) -> tuple[Estimate, float]:
    """A sum over clusters, and the chance of at least as much where the truth is nothing."""
    total, n = float(parts.sum()), len(parts)
    if n < 2 or freedom <= 0:
        return Estimate(total, -np.inf, np.inf), 1.0
    error = float(np.sqrt(n) * parts.std(ddof=1))
    reach = float(student.ppf((1 + _CONFIDENCE) / 2, freedom)) * error
    unlikely = float(student.sf(total / error, freedom)) if error > 0 else 1.0
    return Estimate(total, total - reach, total + reach), unlikely


def _of_sums(above: np.ndarray, below: np.ndarray) -> Estimate:
    """The ratio of two sums over clusters, with the linearised interval."""
    value = float(above.sum() / below.sum())
    parts = (above - value * below)[below > 0] / below.sum()
    spread, _ = _sum_over_clusters(parts, effective_clusters(below[:, None]) - 1)
    return Estimate(value, value + spread.low - spread.value, value + spread.high - spread.value)


def _loss(profile: Profile) -> Estimate:
    totals = profile.totals
    if profile.loss == "squared_error":
        return _of_sums(totals["loss"], totals["exposure"])
    rate = float(totals["observed"].sum() / totals["exposure"].sum())
    if not 0 < rate < 1:
        return Estimate(np.nan, np.nan, np.nan)
    # Normalised entropy: the loss over that of the mean rate, whose own uncertainty is linearised too.
    missed = totals["exposure"] - totals["observed"]
    constant = -(totals["observed"] * np.log(rate) + missed * np.log1p(-rate))
    return _of_sums(totals["loss"], constant)


def _worth(profile: Profile) -> float:
    """What the answers save, if right, per unit of exposure against the mean answer; 0 without answers."""
    exposure = float(profile.totals["answered_exposure"].sum())
    if exposure <= 0:
        return 0.0
    mean = float(profile.totals["claimed"].sum()) / exposure
    claimed = float(profile.totals["claimed_loss"].sum()) / exposure
    saved = _entropy(mean) - claimed if profile.loss == "log_loss" else (claimed - mean**2) / 2
    # A constant leaves rounding behind.
    return saved if saved > 1e-9 * abs(claimed) else 0.0


def _estimated(reference: Profile, current: Profile) -> float | None:
    exposure = float(current.totals["answered_exposure"].sum())
    if exposure <= 0:
        return None
    if current.loss == "log_loss":
        constant = _entropy(float(current.totals["claimed"].sum()) / exposure)
        return float(current.totals["claimed_loss"].sum()) / exposure / constant if constant > 0 else None
    answers = next((c.name for c in current.plan.columns if c.of.role == "prediction"), None)
    if answers is None or not reference.shown[answers].any():
        return None
    shown = reference.shown[answers]
    of_bin = np.divide(reference.losses[answers], shown, out=np.zeros_like(shown), where=shown > 0)
    rows = current.counts[answers].sum(axis=0) * (shown > 0)
    return float(rows @ of_bin / rows.sum()) if rows.any() else None


def _entropy(rate: float) -> float:
    return float(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))) if 0 < rate < 1 else 0.0
