"""Do pictures sell? How many planted effects are found, and how many findings are false.

`make bench-visual-effects`. Worlds of pictures (`include.simulator.pictures`) with 100 accounts in 15
niches, some 1,800 creatives and 90 days: effects that differ by niche, u-shapes, features that go together,
and confounding by budget, season, account, placement and wear. Twenty seeds, none of which was looked at
while the method was made. The naive way beside it asks of each feature whether the creatives' click rates
correlate with it (or differ with it) at p <= 0.05. Then the simulated platform as it is, whose hooks and
visual patterns have known effects, and whose music, colours, voices and campaigns have none. All data are
simulated.

    python -m tests.benchmarks.bench_visual_effects --seeds 3
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from scipy import stats

from include.simulator import SimulatedWorld, WorldConfig, truth
from include.simulator.pictures import PICTURES, PictureWorld
from ml.features.creative_cells import EVERYWHERE, Prepared
from ml.features.creative_effects import CreativeEffect, effects_of, prepared_creatives
from tests.benchmarks.reporting import print_table, write_figures
from tests.ml.picture_frames import SETTINGS, TABLES, picture_frames, platform_frames, true_effects

FIRST_SEED, SEEDS = 6_001, 20
PLATFORM_SEEDS = 5
ACCOUNTS, ADS_PER_ACCOUNT, DAYS = 100, 20, 90
# A true effect below half a per cent is none: to find it is a mistake.
NEGLIGIBLE = 0.005
# What somebody would change a creative for.
WORTHWHILE = 0.05
NAIVE_P = 0.05
# Features that do nothing in any simulated world.
IDLE = ("music", "colours", "voice", "tempo", "tag", "planned_motion", "planned_text", "planned_faces")


@dataclass(frozen=True)
class Judged:
    """One effect that was asked for, beside its truth; all in log outcomes."""

    effect: CreativeEffect
    true: float
    naive_p: float
    naive_sign: float

    @property
    def is_null(self) -> bool:
        return abs(self.true) < NEGLIGIBLE

    @property
    def is_false(self) -> bool:
        """Whether finding it is a mistake: there is nothing, or the opposite."""
        return self.is_null or np.sign(self.effect.size) != np.sign(self.true)

    @property
    def is_covered(self) -> bool:
        low, high = np.log1p(self.effect.size_low), np.log1p(self.effect.size_high)
        return bool(low <= self.true <= high)

    @property
    def is_naive_false(self) -> bool:
        return self.is_null or self.naive_sign != np.sign(self.true)


def main() -> int:
    """Measure, print, keep."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--seeds", type=int, default=SEEDS)
    arguments.add_argument("--first-seed", type=int, default=FIRST_SEED, help="others are for development")
    given = arguments.parse_args()
    judged: list[Judged] = []
    seconds, cores = [], []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        world = PictureWorld.generate(_config(seed, ADS_PER_ACCOUNT))
        creatives, days = picture_frames(world)
        began, began_cpu = time.perf_counter(), time.process_time()
        prepared = prepared_creatives(creatives, days, SETTINGS, "clicks")
        assert prepared is not None, "a world of pictures has enough creatives"
        effects = effects_of(prepared, SETTINGS, "clicks")
        seconds.append(time.perf_counter() - began)
        cores.append(time.process_time() - began_cpu)
        judged += _judged(prepared, effects.effects, creatives, days, world)
    rows = [_row(name, [each for each in judged if chosen(each)]) for name, chosen in _PARTS.items()]
    print_table(
        ("effects on clicks", "asked", "true", "found", "of true", f"of {WORTHWHILE:.0%} up", "false",
         "coverage", "of found", "naive found", "naive false", "with BH"),
        rows,
    )  # fmt: skip
    pictures = [each for each in judged if each.effect.feature in PICTURES]
    figures = {
        "seeds": float(given.seeds),
        "effects_found_share": _found_share(pictures, NEGLIGIBLE),
        "effects_found_share_5pct": _found_share(pictures, WORTHWHILE),
        "false_discovery_share": _false_share(pictures),
        "interval_coverage": _coverage(pictures),
        "interval_coverage_found": _coverage([each for each in pictures if each.effect.is_found]),
        "naive_false_discovery_share": _naive_false_share(pictures),
        "naive_bh_false_discovery_share": _naive_false_share(_with_bh(pictures)),
        "false_discovery_share_all_features": _false_share(judged),
        "effects_found_share_all_features": _found_share(judged, NEGLIGIBLE),
        "interval_coverage_all_features": _coverage(judged),
        "seconds": float(np.median(seconds)),
        "cpu_seconds": float(np.median(cores)),
    }
    figures |= _platform(min(PLATFORM_SEEDS, given.seeds))
    print()  # noqa: T201
    print_table(("figure", "value"), [(name, f"{value:.4g}") for name, value in figures.items()])
    if given.seeds >= SEEDS:
        print(f"written to {write_figures('bench-visual-effects', figures)}")  # noqa: T201
    return 0


_PARTS: dict[str, Callable[[Judged], bool]] = {
    "pictures, by niche": lambda it: it.effect.feature in PICTURES and it.effect.niche != EVERYWHERE,
    "pictures, all niches": lambda it: it.effect.feature in PICTURES and it.effect.niche == EVERYWHERE,
    "  straight": lambda it: it.effect.feature in PICTURES and it.effect.shape == "straight",
    "  hump": lambda it: it.effect.feature in PICTURES and it.effect.shape == "hump",
    "hook, pattern, format, ...": lambda it: it.effect.feature in (*TABLES, "persona", "duration_s"),
    "music, colours, tags, ...": lambda it: it.effect.feature.split(":")[0] in IDLE,
}  # fmt: skip


def _config(seed: int, ads_per_account: int) -> WorldConfig:
    return WorldConfig(
        seed=seed, accounts=ACCOUNTS, ads_per_account=ads_per_account, days=DAYS, start=date(2026, 1, 5)
    )


def _judged(
    prepared: Prepared,
    effects: Sequence[CreativeEffect],
    creatives: pl.DataFrame,
    days: pl.DataFrame,
    world: PictureWorld,
) -> list[Judged]:
    truths = true_effects(prepared, creatives, world)
    sums = days.group_by("account_id", "creative_id").agg(pl.col("clicks", "impressions").sum())
    rows = prepared.creatives.join(sums, on=["account_id", "creative_id"], how="left", maintain_order="left")
    rate = (rows["clicks"] / rows["impressions"]).to_numpy()
    known = rows.join(creatives, on=["account_id", "creative_id"], how="left", maintain_order="left")
    having = {
        (block.feature, contrast.level): contrast.having
        for block in prepared.design.blocks
        for contrast in block.contrasts
    }
    found = []
    for effect in effects:
        here = np.ones(len(rate), dtype=bool)
        if effect.niche != EVERYWHERE:
            here = prepared.niche == prepared.niche_names.index(effect.niche)
        p, sign = np.nan, 0.0
        if effect.shape == "straight":
            values = known[effect.feature].to_numpy()
            use = here & np.isfinite(values)
            r, p = stats.pearsonr(values[use], rate[use])
            sign = np.sign(r)
        elif effect.shape != "hump":
            has = having[effect.feature, effect.level]
            t, p = stats.ttest_ind(rate[here & has], rate[here & ~has], equal_var=False)
            sign = np.sign(t)
        true = truths[effect.niche, effect.feature, effect.shape, effect.level]
        found.append(Judged(effect, true, float(p), float(sign)))
    return found


def _platform(seeds: int) -> dict[str, float]:
    """Orders of hooks and patterns on the simulated platform, and what is found where nothing is."""
    order: dict[str, list[float]] = {"hook_type": [], "visual_pattern": []}
    nulls = found = 0
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        creatives, days = platform_frames(SimulatedWorld.generate(_config(seed, ads_per_account=12)))
        prepared = prepared_creatives(creatives, days, SETTINGS, "clicks")
        assert prepared is not None, "the platform has enough creatives"
        effects = effects_of(prepared, SETTINGS, "clicks").effects
        for feature, table in (("hook_type", truth.HOOK), ("visual_pattern", truth.PATTERN)):
            told = {e.level: e.size for e in effects if e.feature == feature and e.niche == EVERYWHERE}
            order[feature].append(stats.spearmanr(list(told.values()), [table[level] for level in told])[0])
        idle = [e for e in effects if e.feature.split(":")[0] in IDLE]
        nulls += len(idle)
        found += sum(e.is_found for e in idle)
    return {
        "platform_hook_order": float(np.mean(order["hook_type"])),
        "platform_pattern_order": float(np.mean(order["visual_pattern"])),
        "platform_nulls_asked": float(nulls),
        "platform_nulls_found": float(found),
    }


def _row(name: str, part: list[Judged]) -> tuple[str, ...]:
    found = [each for each in part if each.effect.is_found]
    return (
        name, f"{len(part):,}", f"{sum(not each.is_null for each in part):,}", f"{len(found):,}",
        _percent(_found_share(part, NEGLIGIBLE)), _percent(_found_share(part, WORTHWHILE)),
        _percent(_false_share(part)), _percent(_coverage(part)), _percent(_coverage(found)),
        f"{sum(each.naive_p <= NAIVE_P for each in part):,}", _percent(_naive_false_share(part)),
        _percent(_naive_false_share(_with_bh(part))),
    )  # fmt: skip


def _found_share(part: Sequence[Judged], least: float) -> float:
    true = [each for each in part if abs(each.true) >= least]
    return (
        sum(each.effect.is_found and not each.is_false for each in true) / len(true) if true else float("nan")
    )


def _false_share(part: Sequence[Judged]) -> float:
    found = [each for each in part if each.effect.is_found]
    return sum(each.is_false for each in found) / len(found) if found else 0.0


def _naive_false_share(part: Sequence[Judged]) -> float:
    found = [each for each in part if each.naive_p <= NAIVE_P]
    return sum(each.is_naive_false for each in found) / len(found) if found else float("nan")


def _with_bh(part: Sequence[Judged]) -> list[Judged]:
    """Those that the naive way finds with Benjamini and Hochberg's correction at the same rate."""
    asked = [each for each in part if np.isfinite(each.naive_p)]
    if not asked:
        return []
    q = stats.false_discovery_control([each.naive_p for each in asked])
    return [each for each, rate in zip(asked, q, strict=True) if rate <= SETTINGS.false_discovery_rate]


def _coverage(part: Sequence[Judged]) -> float:
    return float(np.mean([each.is_covered for each in part])) if part else float("nan")


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.1%}"


if __name__ == "__main__":
    sys.exit(main())
