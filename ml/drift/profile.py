"""What a window comes down to: counts of rows and of the model's errors by column, bin and cluster.

Everything measured later is made of these sums, so a window of a million rows takes one pass in pieces, two
windows add up, and the reference is kept with the model version instead of being read again. Clusters (the
days of one ad are one piece of evidence) are gathered into a fixed number of groups by a hash of their name:
sums over groups of independent clusters are independent too (the random group method: Wolter, Introduction
to Variance Estimation, chapter 2), and the same ad is in the same group of every window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from ml.drift.plan import DriftPlan
from ml.drift.windows import Window

Loss = Literal["log_loss", "squared_error"]

GROUPS = 1024
_LEAST_RATE = 1e-9
# Up to here, 32-bit floats hold every whole number.
_EXACT = 2**24
# The day of rows without dates.
NO_DAY = int(np.iinfo("int64").min)

_TOLD = ("told", "exposure", "observed", "expected", "loss")
_ANSWERED = ("answered_exposure", "claimed", "claimed_loss")
_TOTALS = ("rows", *_TOLD, *_ANSWERED)
_TABLES = ("counts", "misses", "weights")
_LINES = ("expected", "losses", "shown")


@dataclass
class Profile:
    """Sums over a window's rows.

    Attributes:
        plan: the bins.
        loss: what the model is judged by.
        counts: by column, (GROUPS, bins) rows.
        misses: by column, (GROUPS, bins) of observed less expected.
        weights: by column, (GROUPS, bins) of how much one row can say of a miss: the variance of its outcome
            under the model (log loss), or 1 (squared error).
        expected, losses, shown: by column, (bins,) what the model expected, what it lost, and the exposure of
            the rows whose outcome is known.
        totals: by name, (GROUPS,): `rows`; of rows with prediction and outcome `told` (how many), `exposure`,
            `observed`, `expected`, `loss`; of rows with a prediction `answered_exposure`, and what the
            predictions say of themselves: `claimed` (the outcome), `claimed_loss` (their entropy, or square).
        days: rows by day, as days since 1970; empty where rows have none.
    """

    plan: DriftPlan
    loss: Loss
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    misses: dict[str, np.ndarray] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    expected: dict[str, np.ndarray] = field(default_factory=dict)
    losses: dict[str, np.ndarray] = field(default_factory=dict)
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    totals: dict[str, np.ndarray] = field(default_factory=dict)
    days: dict[int, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, plan: DriftPlan, loss: Loss) -> Profile:
        """The sums of no rows."""
        profile = cls(plan, loss)
        for column in plan.columns:
            for table in _TABLES:
                getattr(profile, table)[column.name] = np.zeros((GROUPS, column.bins))
            for line in _LINES:
                getattr(profile, line)[column.name] = np.zeros(column.bins)
        profile.totals = {name: np.zeros(GROUPS) for name in _TOTALS}
        return profile

    @classmethod
    def of(cls, plan: DriftPlan, loss: Loss, pieces: Iterable[Window]) -> Profile:
        """Sum up the pieces of a window."""
        profile = cls.empty(plan, loss)
        for piece in pieces:
            for part in cls.by_day(plan, loss, piece).values():
                profile.add(part)
        return profile

    @classmethod
    def by_day(cls, plan: DriftPlan, loss: Loss, window: Window) -> dict[int, Profile]:
        """The sums of each day in one pass; days since 1970, `NO_DAY` where rows have none."""
        if window.days is None:
            return cls.by_slot(plan, loss, window, np.full(len(window), NO_DAY))
        return cls.by_slot(plan, loss, window, window.days.astype("int64"))

    @classmethod
    def by_slot(cls, plan: DriftPlan, loss: Loss, window: Window, slots: np.ndarray) -> dict[int, Profile]:
        """The sums of the rows of each slot in one pass; (n,) integers, a few different ones."""
        if not len(window):
            return {}
        names, places = np.unique(slots, return_inverse=True)
        return dict(zip(map(int, names), _summed(plan, loss, window, places, len(names)), strict=True))

    @property
    def rows(self) -> float:
        """How many rows there are."""
        return float(self.totals["rows"].sum())

    @property
    def told_rows(self) -> float:
        """How many of them have both a prediction and an outcome."""
        return float(self.totals["told"].sum())

    @property
    def clusters(self) -> int:
        """How many groups of clusters have rows; as many as there are clusters, while these are few."""
        return int((self.totals["rows"] > 0).sum())

    def plus(self, other: Profile, weight: float = 1.0) -> Profile:
        """This window and `weight` times another one of the same plan."""

        def summed(mine: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: mine[name] + weight * others[name] for name in mine}

        sums = {
            part: summed(getattr(self, part), getattr(other, part)) for part in (*_TABLES, *_LINES, "totals")
        }
        both = sorted({*self.days, *other.days})
        days = {day: self.days.get(day, 0) + other.days.get(day, 0) for day in both}
        return Profile(self.plan, self.loss, days=days, **sums)

    def add(self, other: Profile) -> None:
        """Add the rows of another window of the same plan to this one."""
        # Without outcomes there are no errors to add, and tables that nobody touches take no memory.
        errors = ("misses", "weights", *_LINES) if other.totals["told"].any() else ()
        for part in ("counts", *errors, "totals"):
            mine, others = getattr(self, part), getattr(other, part)
            for name in mine:
                mine[name] += others[name]
        for day, rows in other.days.items():
            self.days[day] = self.days.get(day, 0) + rows

    def packed(self) -> dict[str, np.ndarray]:
        """The sums as few arrays: cells that are not zero, column after column. `unpacked` reads them."""
        days = sorted(self.days.items())
        arrays: dict[str, np.ndarray] = {"days": np.array(days, dtype="int64").reshape(-1, 2)}
        for part in (*_TABLES, *_LINES, "totals"):
            values = np.concatenate([np.ravel(each) for each in getattr(self, part).values()])
            filled = np.flatnonzero(values)
            arrays[f"{part}_at"], arrays[part] = filled.astype("uint32"), values[filled]
            if part == "counts" and values.max(initial=0) < _EXACT:
                # Counts are whole numbers, which half the bytes hold as exactly.
                arrays[part] = arrays[part].astype("float32")
        return arrays

    def without_errors(self) -> Profile:
        """The same without the tables of the model's errors, which only a current window is asked for."""
        nothing = Profile.empty(self.plan, self.loss)
        return replace(self, misses=nothing.misses, weights=nothing.weights)

    @classmethod
    def unpacked(cls, plan: DriftPlan, loss: Loss, arrays: Mapping[str, np.ndarray]) -> Profile:
        """Read what `packed` wrote."""
        profile = cls.empty(plan, loss)
        for part in (*_TABLES, *_LINES, "totals"):
            cells: dict[str, np.ndarray] = getattr(profile, part)
            values = np.zeros(sum(each.size for each in cells.values()))
            values[arrays[f"{part}_at"]] = arrays[part]
            start = 0
            for name, each in cells.items():
                cells[name] = values[start : start + each.size].reshape(each.shape)
                start += each.size
        profile.days = {int(day): int(rows) for day, rows in arrays["days"]}
        return profile


def group_of(clusters: np.ndarray) -> np.ndarray:
    """(n,) the group of each row's cluster; the same name or number has the same one everywhere."""
    codes, names = pd.factorize(clusters)
    names = np.asarray(names)
    if names.dtype.kind not in "iu":
        names = names.astype(str).astype(object)
    # Rows that name no cluster are one of their own: code -1 picks the last.
    nameless = pd.util.hash_array(np.array([""], dtype=object))
    hashed = np.append(pd.util.hash_array(names), nameless) if len(names) else nameless
    return np.asarray((hashed % GROUPS).astype("int64")[codes])


def _summed(plan: DriftPlan, loss: Loss, window: Window, slots: np.ndarray, count: int) -> list[Profile]:
    """The sums of (n,) rows in `count` slots."""
    profiles = [Profile.empty(plan, loss) for _ in range(count)]
    groups = slots * GROUPS + group_of(window.clusters)
    told, answers, claims = _answers(window, loss)

    def totals(names: Sequence[str], where: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        for name in names:
            counted = np.bincount(where, values.get(name), minlength=count * GROUPS)
            for profile, own in zip(profiles, counted.reshape(count, GROUPS), strict=True):
                profile.totals[name] = own * 1.0

    totals(("rows",), groups, {})
    if claims:
        totals(_ANSWERED, groups, claims)
    known = groups if told.all() else groups[told]
    if answers:
        totals(_TOLD, known, answers)
    for column in plan.columns:
        codes = column.codes(window.rows)
        shape = (count, GROUPS, column.bins)
        size = count * GROUPS * column.bins
        places = groups * column.bins + codes
        _spread(profiles, "counts", column.name, np.bincount(places, minlength=size).reshape(shape))
        if not answers:
            continue
        if len(known) < len(groups):
            places, codes = places[told], codes[told]
        for part, name in (("misses", "miss"), ("weights", "weight")):
            table = np.bincount(places, answers[name], minlength=size).reshape(shape)
            _spread(profiles, part, column.name, table)
        by_bin = known // GROUPS * column.bins + codes
        for part, name in (("expected", "expected"), ("losses", "loss"), ("shown", "exposure")):
            line = np.bincount(by_bin, answers[name], minlength=count * column.bins)
            _spread(profiles, part, column.name, line.reshape(count, column.bins))
    if window.days is not None:
        days = window.days.astype("int64")
        for slot, profile in enumerate(profiles):
            found, rows = np.unique(days[slots == slot], return_counts=True)
            profile.days = dict(zip(map(int, found), map(int, rows), strict=True))
    return profiles


def _spread(profiles: Sequence[Profile], part: str, name: str, values: np.ndarray) -> None:
    for profile, own in zip(profiles, values, strict=True):
        getattr(profile, part)[name] = own * 1.0


def _answers(window: Window, loss: Loss) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Which rows have prediction and outcome; what of these counts; and what all predictions claim."""
    if window.predicted is None:
        return np.zeros(len(window), dtype=bool), {}, {}
    exposure = np.ones(len(window)) if window.exposure is None else window.exposure.astype("float64")
    answered = np.isfinite(window.predicted) & np.isfinite(exposure) & (exposure > 0)
    predicted = np.where(answered, window.predicted, 0.0)
    if loss == "log_loss":
        predicted = np.clip(predicted, _LEAST_RATE, 1 - _LEAST_RATE)
        own_loss = -(predicted * np.log(predicted) + (1 - predicted) * np.log1p(-predicted))
    else:
        own_loss = predicted**2
    exposure = np.where(answered, exposure, 0.0)
    claims = {
        "answered_exposure": exposure,
        "claimed": exposure * predicted,
        "claimed_loss": exposure * own_loss,
    }
    if window.observed is None:
        return np.zeros(len(window), dtype=bool), {}, claims
    told = answered & np.isfinite(window.observed)
    if not told.any():
        return told, {}, claims
    predicted, exposure, observed = predicted[told], exposure[told], window.observed[told]
    answers = {"exposure": exposure, "observed": observed, "expected": predicted * exposure}
    answers["miss"] = observed - answers["expected"]
    if loss == "log_loss":
        answers["weight"] = answers["expected"] * (1 - predicted)
        missed = exposure - observed
        answers["loss"] = -(observed * np.log(predicted) + missed * np.log1p(-predicted))
    else:
        answers["weight"] = exposure
        answers["loss"] = answers["miss"] ** 2 / exposure
    return told, answers, claims
