"""Which update of a champion helps, by kind of drift: fixed strategies against the tournament of them.

Worlds whose true click rates are known: ads with features, each with a hidden effect of its own, seen on
several days. A champion learns from old rows; then nothing changes, or the mix of ads does (covariate), or
all rates rise or fall alike (prior), or what works does (concept). Each strategy makes a model of the new
rows, and its excess loss over whoever knows the true rates is worked out on 20,000 new ads of the new regime,
without any luck of clicks. `python -m tests.benchmarks.drift_updates` prints the table.

For the time it takes, XGBoost is the member that counts here: LightGBM and the neural network get one round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from include.config import thresholds
from ml.ctr import CtrSettings, Rival, TrainingDataInsufficient, run_tournament, train_ctr
from ml.ctr.model import CtrModel
from ml.ctr.strategies import UPDATE, Strategy, made_by
from ml.ctr.tournament import KEEP
from ml.features import FeatureFrame
from nightshift.train_model import ctr_settings
from tests.benchmarks.reporting import print_table

KINDS = ("none", "covariate", "prior", "concept")
SIZES = (100, 500, 2000)
RATES = {"17 %": 0.17, "2 %": 0.02}
SEEDS = (101, 102)
# Of the effect that an ad has and no feature tells, in log-odds.
HIDDEN_SD = 0.2
OLD_ADS, OLD_DAYS, FRESH_ADS = 400, 15, 20_000
FIRST_DAY = np.datetime64("2026-01-01")
IMPRESSIONS = 150
_NAMES = (KEEP, *(strategy.value for strategy in UPDATE))


@dataclass(frozen=True)
class UpdateCase:
    """One champion that met one change.

    Attributes:
        kind, size, rate, seed: of the case; `size` in new rows, `rate` in words.
        excess: excess log loss over the oracle, in per cent, of each strategy; NaN where it was not made.
        chosen: by the tournament.
        tournament: excess of what the tournament shipped.
    """

    kind: str
    size: int
    rate: str
    seed: int
    excess: dict[str, float]
    chosen: str
    tournament: float

    @property
    def ties_or_beats_keep(self) -> bool:
        """Whether nobody is worse off for having held the tournament."""
        return self.tournament <= self.excess[KEEP] + 1e-9


@dataclass(frozen=True)
class UpdateSummary:
    """All cases together.

    Attributes:
        share_ties_or_beats_keep: of the cases.
        cases, updates: how many there were, and how many made a version.
        harmed: of the cases in which a version was made, those in which keeping had been better.
        excess: (kind, strategy) -> mean excess in per cent, `tournament` being one of the strategies.
        regret: mean excess of the tournament over that of the best strategy of each case, in points.
        regret_keep: the same of never updating.
    """

    share_ties_or_beats_keep: float
    cases: int
    updates: int
    harmed: int
    excess: dict[tuple[str, str], float]
    regret: float
    regret_keep: float


def measure_updates(
    seeds: Sequence[int] = SEEDS, sizes: Sequence[int] = SIZES, settings: CtrSettings | None = None
) -> tuple[list[UpdateCase], UpdateSummary]:
    """Every kind of drift, size, click rate and seed, and their summary."""
    used = settings or bench_settings()
    cases = []
    for seed in seeds:
        for rate_name, rate in RATES.items():
            world = World(seed, rate)
            old = world.rows("none", OLD_ADS, OLD_DAYS, FIRST_DAY, stream=0)
            last = old.dates.max().item()  # type: ignore[union-attr]
            parent = Rival(train_ctr(old, used).model, 1, last)
            for kind in KINDS:
                for size in sizes:
                    cases.append(_case(world, kind, size, rate_name, old, parent, used))  # noqa: PERF401
    return cases, summarized(cases)


def summarized(cases: Sequence[UpdateCase]) -> UpdateSummary:
    """Shares and means over cases."""
    updated = [case for case in cases if case.chosen != KEEP]
    best = [np.nanmin(list(case.excess.values())) for case in cases]
    return UpdateSummary(
        share_ties_or_beats_keep=float(np.mean([case.ties_or_beats_keep for case in cases])),
        cases=len(cases),
        updates=len(updated),
        harmed=sum(not case.ties_or_beats_keep for case in updated),
        excess={
            (kind, name): _mean(
                case.tournament if name == "tournament" else case.excess[name]
                for case in cases
                if case.kind == kind
            )
            for kind in dict.fromkeys(case.kind for case in cases)
            for name in (*_NAMES, "tournament")
        },
        regret=float(np.mean([case.tournament for case in cases]) - np.mean(best)),
        regret_keep=float(np.mean([case.excess[KEEP] for case in cases]) - np.mean(best)),
    )


def bench_settings() -> CtrSettings:
    """The settings in force with quicker trees, and next to nothing of the other members."""
    settings = ctr_settings(thresholds().ctr)
    return replace(
        settings,
        xgboost=replace(
            settings.xgboost, rounds=150, early_stopping_rounds=15, learning_rate=0.1, max_depth=4
        ),
        lightgbm=replace(settings.lightgbm, rounds=1),
        mlp=replace(settings.mlp, epochs=1, patience=1, batch_rows=100_000, hidden=2),
        incremental=replace(settings.incremental, rounds=30),
    )


class World:
    """Ads with four numbers and two categories that decide their click rate, and a hidden effect each."""

    def __init__(self, seed: int, rate: float) -> None:
        self.seed, self.rate = seed, rate
        drawn = np.random.default_rng([seed, 1])
        self.slopes = {"before": drawn.normal(0, 0.35, 4), "after": drawn.normal(0, 0.35, 4)}
        self.levels = {"before": drawn.normal(0, 0.4, (2, 5)), "after": drawn.normal(0, 0.4, (2, 5))}
        self.sign = drawn.choice([-1.0, 1.0])

    def rows(self, kind: str, ads: int, days: int, first: np.datetime64, stream: int) -> FeatureFrame:
        """Ad-days of a regime: every ad is seen on every day."""
        drawn = np.random.default_rng([self.seed, 2, stream])
        numbers, categories = self._features(kind, ads, drawn)
        log_odds = self.log_odds(kind, numbers, categories) + drawn.normal(0, HIDDEN_SD, ads)
        of_row = np.repeat(np.arange(ads), days)
        impressions = drawn.poisson(drawn.lognormal(np.log(IMPRESSIONS), 0.5, ads)[of_row]) + 1
        clicks = drawn.binomial(impressions, 1 / (1 + np.exp(-log_odds[of_row])))
        names = np.array([f"{stream}-{ad}" for ad in range(ads)], dtype=object)
        return FeatureFrame(
            X=frame_of(numbers, categories).iloc[of_row].reset_index(drop=True),
            clicks=clicks,
            impressions=impressions,
            groups=names[of_row],
            accounts=np.full(len(of_row), "one", dtype=object),
            campaigns=np.full(len(of_row), "one", dtype=object),
            spend=np.full(len(of_row), np.nan),
            dates=first + np.tile(np.arange(days), ads),
            feature_set="bench",
        )

    def log_odds(self, kind: str, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """(n,) of the rate that the features tell."""
        when = "after" if kind == "concept" else "before"
        shape = numbers @ self.slopes[when] + 0.3 * np.abs(numbers[:, 0]) - 0.24
        own = sum(self.levels[when][place][categories[:, place]] for place in range(2))
        moved = 0.5 * self.sign if kind == "prior" else 0.0
        return np.asarray(np.log(self.rate / (1 - self.rate)) + shape + own + moved)

    def excess(self, model: CtrModel, kind: str) -> float:
        """Expected excess log loss over whoever knows `log_odds`, in per cent, on new ads of the regime."""
        numbers, categories = self._features(kind, FRESH_ADS, np.random.default_rng([self.seed, 3]))
        # The hidden effect integrated out: what the best prediction from features is.
        nodes, weights = np.polynomial.hermite_e.hermegauss(9)
        known = self.log_odds(kind, numbers, categories)[:, None] + HIDDEN_SD * nodes
        true = (1 / (1 + np.exp(-known))) @ (weights / weights.sum())
        guess = model.predict(frame_of(numbers, categories))
        loss = -(true * np.log(guess) + (1 - true) * np.log1p(-guess)).sum()
        best = -(true * np.log(true) + (1 - true) * np.log1p(-true)).sum()
        return float(loss / best - 1) * 100

    def _features(self, kind: str, ads: int, drawn: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        numbers = drawn.normal(0, 1, (ads, 4))
        likely = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
        if kind == "covariate":
            numbers += np.array([1.0, -1.0, 0.5, 0.0])
            likely = likely[::-1]
        return numbers, drawn.choice(5, size=(ads, 2), p=likely)


def frame_of(numbers: np.ndarray, categories: np.ndarray) -> pd.DataFrame:
    """Features by name."""
    columns: dict[str, object] = {f"number_{place}": numbers[:, place] for place in range(4)}
    levels = [f"level_{level}" for level in range(5)]
    columns |= {
        f"category_{place}": pd.Categorical.from_codes(categories[:, place], levels) for place in range(2)
    }
    return pd.DataFrame(columns)


def _case(
    world: World,
    kind: str,
    size: int,
    rate_name: str,
    old: FeatureFrame,
    parent: Rival,
    settings: CtrSettings,
) -> UpdateCase:
    days = 4 if size < 500 else 5
    first = old.dates.max() + 1  # type: ignore[union-attr]
    new = world.rows(kind, size // days, days, first, stream=1)
    both = _stacked(old, new)
    excess = {KEEP: world.excess(parent.model, kind)}
    for strategy in UPDATE:
        rows = new if strategy is Strategy.RETRAIN_RECENT else both
        try:
            made = made_by(strategy, parent.model, new, rows, settings)
            excess[strategy.value] = world.excess(made.fitted.model, kind)
        except TrainingDataInsufficient:
            excess[strategy.value] = float("nan")
    held = run_tournament(parent, both, settings, UPDATE)
    return UpdateCase(
        kind=kind,
        size=size,
        rate=rate_name,
        seed=world.seed,
        excess=excess,
        chosen=held.winner.value if held.winner else KEEP,
        tournament=world.excess(held.training.model, kind) if held.training else excess[KEEP],
    )


def _mean(values: Iterable[float]) -> float:
    """Of those that could be made; NaN where none could."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _stacked(first: FeatureFrame, second: FeatureFrame) -> FeatureFrame:
    both = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("clicks", "impressions", "groups", "accounts", "campaigns", "spend", "dates")
    }
    X = pd.concat([first.X, second.X], ignore_index=True)
    return FeatureFrame(X=X, feature_set=first.feature_set, **both)


def print_updates(cases: Sequence[UpdateCase], summary: UpdateSummary) -> None:
    """Mean excess by kind, rate and size, and the summary in words."""
    table: dict[tuple[str, str, int], list[UpdateCase]] = {}
    for case in cases:
        table.setdefault((case.kind, case.rate, case.size), []).append(case)
    rows = []
    for (kind, rate, size), found in table.items():
        means = [_mean(each.excess[name] for each in found) for name in _NAMES]
        means.append(_mean(each.tournament for each in found))
        chosen = ", ".join(sorted({each.chosen for each in found}))
        rows.append([f"{kind}, {rate}", f"{size}", *(f"{mean:.2f}" for mean in means), chosen])
    print_table(["excess log loss in %", "new rows", *_NAMES, "tournament", "chosen"], rows)
    print(  # noqa: T201
        f"\n{summary.cases} cases: the tournament ties or beats keep in "
        f"{summary.share_ties_or_beats_keep:.1%}; it made {summary.updates} versions, "
        f"{summary.harmed} of them worse than keep. Regret against the "
        f"best of each case {summary.regret:.2f} points, of never updating {summary.regret_keep:.2f}."
    )


def main() -> int:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    given = arguments.parse_args()
    began = time.perf_counter()
    print_updates(*measure_updates(given.seeds, given.sizes))
    print(f"{time.perf_counter() - began:.0f} s")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
