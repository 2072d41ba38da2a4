"""How often the rule for challengers errs, and what it finds, when simulated: `make bench-experiments`.

Every experiment is looked at daily for 90 days, and no rule stops before: "always keep testing". Losses are
log losses of a click model. In the first world each impression is a unit, 10 % of them the challenger's. In
the second 100 accounts of very different size, click rate and prediction error are the units, 10 or 50 of
them the challenger's. In the third both models score every impression of the 100 accounts.

The arithmetic is that of `ml.experiments`, many experiments at once; that `judge` decides the same is checked
on some of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ml.experiments import Decision, ExperimentData, ExperimentSettings, adjusted, judge
from ml.experiments.observations import Numbers
from ml.experiments.sequential import ConfidenceSequence
from ml.experiments.welch import joint_degrees, ratio_moments, steadied
from tests.benchmarks.reporting import print_table, write_figures

DAYS, ACCOUNTS, SHARE = 90, 100, 0.1
# Of the logarithm of an account's traffic and of its click rate.
SPREADS = (1.0, 1.0)
EVEN_BUT_SKEWED = (0.3, 1.5)
PLAN = ExperimentSettings(
    challenger_share=SHARE,
    min_days=7,
    max_days=28,
    alpha=0.05,
    power=0.8,
    min_effect=0.0,
    harm_effect=0.0,
    min_units_per_arm=10,
)
# Impressions of four kinds, a quarter each: their true click rates, which the champion predicts.
RATES = np.array([0.002, 0.005, 0.01, 0.023])


@dataclass(frozen=True)
class Look:
    """One day of many experiments: difference of losses, its variance and degrees of freedom, relative."""

    day: int
    difference: Numbers
    variance: Numbers
    degrees: Numbers
    relative: Numbers


@dataclass(frozen=True)
class Outcome:
    """First days, one an experiment; beyond `DAYS` for never.

    Attributes:
        promoted, harmed: by our rule.
        peeked: by a t-test at 5 %, looked at daily from day 7, lower loss.
        uncorrected: by the sequence with its normal multiple, without Student's t.
    """

    promoted: Numbers
    harmed: Numbers
    peeked: Numbers
    uncorrected: Numbers

    def share(self, name: str, by: int = DAYS) -> float:
        return round(float((getattr(self, name) <= by).mean()), 4)


def main() -> int:
    """Simulate, print, keep."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--experiments", type=int, default=4_000, help="of each A/A; others take less")
    count = arguments.parse_args().experiments
    began = time.perf_counter()
    figures: dict[str, float] = {}
    rows: list[tuple[str, ...]] = []

    def keep(label: str, suffix: str, outcome: Outcome, size: int) -> None:
        cells = (
            outcome.share("promoted", PLAN.max_days),
            outcome.share("promoted"),
            outcome.share("harmed"),
            outcome.share("peeked"),
            outcome.share("uncorrected"),
        )
        rows.append((label, f"{size:,}", *(f"{100 * cell:.1f} %" for cell in cells)))
        if suffix.startswith("aa"):
            figures[f"aa_false_promotion_90d{suffix[2:]}"] = cells[1]
            figures[f"aa_false_harm_90d{suffix[2:]}"] = cells[2]
            figures[f"ttest_peeking_false_promotion_90d{suffix[2:]}"] = cells[3]
            figures[f"aa_false_promotion_90d_uncorrected{suffix[2:]}"] = cells[4]
        elif suffix.startswith("harm"):
            figures[suffix.replace("harm", "harmful_promoted_90d")] = cells[1]
        else:
            figures[f"power_{suffix}"], figures[f"power_{suffix}_28d"] = cells[1], cells[0]

    half = count // 2
    for traffic, told in ((10_000, "10k"), (100_000, "100k")):
        tail = "" if traffic == 100_000 else "_10k_a_day"
        keep(f"A/A, {told} impressions a day", f"aa{tail}", followed(impressions(count, traffic)), count)
        for effect in (5, 10, 20):
            seen = followed(impressions(half, traffic, -effect / 100))
            keep(f"{effect} % better, {told} a day", f"{effect}pct{tail}", seen, half)
        seen = followed(impressions(half, traffic, 0.1))
        keep(f"10 % worse, {told} a day", f"harm{tail}", seen, half)
        figures[f"harm_stopped_share{tail}"] = seen.share("harmed")
        figures[f"harm_stopped_median_day{tail}"] = float(np.median(seen.harmed))
    for with_past, challengers in ((False, 10), (True, 10), (True, 50)):
        tail = "_accounts" + ("_cuped" if with_past else "") + ("_50_50" if challengers == 50 else "")
        label = f"{challengers} of {ACCOUNTS} accounts" + (", past known" if with_past else "")
        same = followed(accounts(count, with_past=with_past, challengers=challengers))
        keep(f"A/A, {label}", f"aa{tail}", same, count)
        for effect in (10, 20):
            looks = accounts(half // 2, -effect / 100, with_past=with_past, challengers=challengers)
            keep(f"{effect} % better, {label}", f"{effect}pct{tail}", followed(looks), half // 2)
    worst = followed(accounts(count, with_past=False, spreads=EVEN_BUT_SKEWED))
    keep(f"A/A, 10 of {ACCOUNTS} accounts, skewed", "aa_accounts_skewed", worst, count)
    keep("A/A, paired", "aa_paired", followed(paired(count)), count)
    for effect in (2, 5, 10):
        seen = followed(paired(half // 2, -effect / 100))
        keep(f"{effect} % better, paired", f"paired_{effect}pct", seen, half // 2)
    checked = agree_with_judge(60)
    head = (
        "world",
        "experiments",
        "promoted 28 d",
        "promoted 90 d",
        "harm 90 d",
        "t-test daily",
        "no Student",
    )
    print_table(head, rows)
    path = write_figures("experiments", figures)
    sys.stdout.write(
        f"`judge` decided the same in {checked} of {checked}; {time.perf_counter() - began:.0f} s; {path}\n"
    )
    return 0


def followed(looks: Iterator[Look]) -> Outcome:
    """Look at many experiments day by day; note when each rule first decided."""
    first: dict[str, Numbers] = {}
    for look in looks:
        decided = decisions(look)
        for name, now in decided.items():
            at = first.setdefault(name, np.full(len(now), DAYS + 1.0))
            at[now & (at > DAYS)] = look.day
    # An experiment ends with its first decision.
    ended = np.minimum(first["promoted"], first["harmed"])
    for name in ("promoted", "harmed"):
        first[name] = np.where(first[name] > ended, DAYS + 1.0, first[name])
    return Outcome(**first)


def decisions(look: Look) -> dict[str, np.ndarray]:
    """What each rule says today, for every experiment."""
    error = np.sqrt(look.variance)
    p_value = 2 * stats.t.sf(np.abs(look.difference) / error, look.degrees)
    sequence = ConfidenceSequence(PLAN.alpha, 1.0)
    # Relative to the plan, as `ConfidenceSequence.of_plan` does for one experiment.
    progress = look.day / PLAN.tightest_day
    corrected = error * sequence.multiple(1 / progress, look.degrees)
    normal = error * sequence.multiple(1 / progress)
    late = look.day >= PLAN.min_days
    better = look.difference < 0
    return {
        "promoted": (look.difference + corrected < 0) & (p_value < PLAN.alpha) & late,
        "harmed": look.difference - corrected > 0,
        "peeked": better & (p_value < PLAN.alpha) & late,
        "uncorrected": (look.difference + normal < 0) & late,
    }


def impressions(count: int, a_day: int, effect: float = 0.0, seed: int = 1) -> Iterator[Look]:
    """Each impression a unit: sums of losses and squares from binomial clicks are exact, and quick."""
    random = np.random.default_rng(seed)
    clicked, passed = -np.log(RATES), -np.log1p(-RATES)
    sizes = {"champion": a_day * (1 - SHARE), "challenger": a_day * SHARE}
    scale = {"champion": 1.0, "challenger": 1 + effect}
    sums = {arm: np.zeros((2, count)) for arm in sizes}
    for day in range(1, DAYS + 1):
        moments = {}
        for arm, size in sizes.items():
            shown = round(size / len(RATES))
            clicks = random.binomial(shown, RATES, size=(count, len(RATES)))
            for power in (1, 2):
                losses = clicks * clicked**power + (shown - clicks) * passed**power
                sums[arm][power - 1] += scale[arm] ** power * losses.sum(axis=1)
            n = day * shown * len(RATES)
            mean = sums[arm][0] / n
            moments[arm] = mean, (sums[arm][1] / n - mean**2) / (n - 1), np.full(count, n - 1.0)
        yield _look(day, moments["champion"], moments["challenger"])


class People:
    """Accounts of many experiments, with lognormal traffic, click rate and error of the champion.

    Attributes:
        traffic, rate, told: (count, accounts) impressions a day, click rate, and what the champion predicts.
    """

    def __init__(self, count: int, random: np.random.Generator, spreads: tuple[float, float]) -> None:
        shape = (count, ACCOUNTS)
        self.traffic = 150 * np.exp(random.normal(-0.5, spreads[0], shape))
        self.rate = np.minimum(0.01 * np.exp(random.normal(-0.5, spreads[1], shape)), 0.5)
        self.told = np.minimum(self.rate * np.exp(random.normal(0.0, 0.5, shape)), 0.9)
        self._random = random

    def live(self, days: float = 1.0) -> tuple[Numbers, Numbers, Numbers]:
        """Impressions, clicks and the loss of the champion's predictions, by experiment and account."""
        shown = self._random.poisson(self.traffic * days)
        clicks = self._random.binomial(shown, self.rate)
        return shown, clicks, clicks * -np.log(self.told) + (shown - clicks) * -np.log1p(-self.told)


def accounts(
    count: int,
    effect: float = 0.0,
    *,
    with_past: bool,
    challengers: int = 10,
    spreads: tuple[float, float] = SPREADS,
    seed: int = 2,
    raw: list[ExperimentData] | None = None,
) -> Iterator[Look]:
    """Accounts as units, the last ones the challenger's.

    Args:
        count: of experiments.
        effect: on the loss, relative.
        with_past: the accounts' losses of two weeks before are known.
        challengers: accounts of the challenger.
        spreads: sigma of the logarithm of the accounts' traffic and click rate.
        seed: of everything.
        raw: gets the same as data for `judge`, every day.
    """
    random = np.random.default_rng(seed)
    people = People(count, random, spreads)
    arms = np.arange(ACCOUNTS) >= ACCOUNTS - challengers
    shown_before, _, loss_before = people.live(14.0)
    past = np.where(shown_before > 0, loss_before / np.maximum(shown_before, 1), np.nan)
    if not with_past:
        past = np.full_like(past, np.nan)
    shown, loss = np.zeros(past.shape), np.zeros(past.shape)
    for day in range(1, DAYS + 1):
        today, _, lost = people.live()
        shown += today
        loss += lost * np.where(arms, 1 + effect, 1.0)
        # Accounts without an impression so far weigh next to nothing; arrays side by side need one length.
        weight = np.maximum(shown, 1e-9)
        cleared = weight * adjusted(loss / weight, past, arms=arms, weights=weight)
        if raw is not None:
            raw += [ExperimentData(lo[~arms], w[~arms], lo[arms], w[arms], p[~arms], p[arms])
                    for lo, w, p in zip(loss, weight, past, strict=True)]  # fmt: skip
        yield _look(
            day,
            ratio_moments(cleared[:, ~arms], weight[:, ~arms]),
            ratio_moments(cleared[:, arms], weight[:, arms]),
        )


def paired(count: int, effect: float = 0.0, seed: int = 3) -> Iterator[Look]:
    """Both models on every impression; in A/A the challenger errs as much, but elsewhere."""
    random = np.random.default_rng(seed)
    people = People(count, random, SPREADS)
    theirs = np.minimum(people.rate * np.exp(random.normal(0.0, 0.5, people.rate.shape)), 0.9)
    shown, loss, difference = (np.zeros(theirs.shape) for _ in range(3))
    for day in range(1, DAYS + 1):
        today, clicks, lost = people.live()
        challenger = clicks * -np.log(theirs) + (today - clicks) * -np.log1p(-theirs)
        shown += today
        loss += lost
        difference += challenger * (1 + effect) - lost
        weight = np.maximum(shown, 1e-9)
        mean, variance, degrees = ratio_moments(difference, weight)
        yield Look(day, mean, variance, degrees, mean / (loss.sum(axis=1) / weight.sum(axis=1)))


def agree_with_judge(count: int) -> int:
    """Check on whole experiments that `judge` decides as the arithmetic above; returns the looks compared."""
    compared = 0
    for effect in (-0.5, 0.0, 0.5):
        raw: list[ExperimentData] = []
        for look in accounts(count, effect, with_past=True, seed=4, raw=raw):
            if look.day in (3, 7, 14, 27):
                said = decisions(look)
                for at, data in enumerate(raw):
                    decision = judge(data, PLAN, day_number=look.day).decision
                    assert (decision is Decision.PROMOTE) == said["promoted"][at], (look.day, at)
                    assert (decision is Decision.STOP_FOR_HARM) == said["harmed"][at], (look.day, at)
                compared += len(raw)
            raw.clear()
            if look.day == 27:
                break
    return compared


def _look(day: int, champion: tuple[Numbers, ...], challenger: tuple[Numbers, ...]) -> Look:
    (mean_a, variance_a, degrees_a), (mean_b, variance_b, degrees_b) = champion, challenger
    variance_a, variance_b = steadied(variance_a, degrees_a, variance_b, degrees_b)
    degrees = joint_degrees(variance_a, degrees_a, variance_b, degrees_b)
    return Look(day, mean_b - mean_a, variance_a + variance_b, degrees, (mean_b - mean_a) / mean_a)


if __name__ == "__main__":
    raise SystemExit(main())
