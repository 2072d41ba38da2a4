"""`make bench-pipeline`: what campaigns' deals bring, told at a moment and judged by what came.

Simulated sales of several seeds, none of which was looked at while the model was made (it was made on 11 and
12). At each moment a model is trained on what was known then (its intervals are widened by a judgement of its
own, which lies wholly before), tells what the deals of the last 90 days will have brought 60 days later, and
is judged by that, beside the rules people use today: the CRM's stage table, and last month's close rate. An
oracle that knows each deal's true chance at its creation, and nothing since, is told beside, and the error
that luck alone makes if the model's chances are the true ones. On Olist's real funnel of leads: the share of
leads that are won, by origin, told for leads that came later. `--quick` takes one small world.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from include.config import thresholds
from include.stack.settings import REPOSITORY
from ml.features.pipeline import prepare
from ml.features.pipeline_frames import CrmFrames, naive
from ml.pipeline_value import PipelineSettings, outlook, train_pipeline
from ml.pipeline_value.evaluation import judge
from nightshift.pipeline_source import pipeline_settings
from tests.benchmarks.olist_funnel import measure_olist
from tests.benchmarks.reporting import print_table, write_figures
from tests.ml.crm_frames import crm_frames, simulated

OLIST = REPOSITORY.parent / "shared" / "data" / "crm_funnel"
SEEDS = (101, 102, 103)
WORLD = {"accounts": 60, "days": 300}
MOMENTS = ("2026-07-01", "2026-08-20")
QUICK_WORLD = {"accounts": 30, "days": 230}
QUICK_MOMENTS = ("2026-06-20",)


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small world, one moment")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of the simulated worlds")
    given = parser.parse_args()
    settings = pipeline_settings(thresholds().pipeline_value)
    seeds, world, moments = given.seeds, WORLD, MOMENTS
    if given.quick:
        seeds, world, moments = given.seeds[:1], QUICK_WORLD, QUICK_MOMENTS
        settings = replace(settings, min_campaign_deals=15)
    figures = measure(seeds, world["accounts"], world["days"], moments, settings)
    if OLIST.is_dir():
        figures |= measure_olist(OLIST)
    else:
        print(f"{OLIST.name} is not there: only the simulated sales were measured")  # noqa: T201
    print(write_figures("pipeline", figures))  # noqa: T201
    return 0


def measure(
    seeds: Sequence[int], accounts: int, days: int, moments: Sequence[str], settings: PipelineSettings
) -> dict[str, float]:
    """All figures of the simulated sales, means over seeds and moments."""
    print(  # noqa: T201
        f"{accounts} accounts, {days} days, seeds {', '.join(map(str, seeds))}; deals of "
        f"{settings.window_days} days, "
        f"told {settings.horizon_days} days ahead; campaigns with at least "
        f"{settings.min_campaign_deals} deals"
    )
    found = []
    for seed in seeds:
        frames = crm_frames(*simulated(seed, accounts, days))
        for moment in moments:
            found.append(_judged(frames, seed, (accounts, days), naive(moment), settings))
            _print_one(seed, moment, found[-1])
    table = pd.DataFrame(found)
    print()  # noqa: T201
    print_table(
        ["mean of all", "model", "stage table", "last month", "oracle at creation", "luck"],
        [
            ["MAPE of campaigns", *_shown(table, "mape_campaign", "mape_stage_table", "mape_last_month",
                                          "mape_oracle_at_creation", "mape_luck")],
            ["error over open value", *_shown(table, "wape_open_model", "wape_open_stage_table",
                                              "wape_open_last_month", "wape_open_oracle_at_creation"), ""],
            ["MAPE of small campaigns", *_shown(table, "mape_small_model", "mape_small_stage_table",
                                                "mape_small_last_month"), "", ""],
        ],
    )  # fmt: skip
    means = table.mean().to_dict()
    print(  # noqa: T201
        f"open value expected over real {means['ratio_open']:.3f} (stage table "
        f"{means['ratio_open_stage_table']:.3f}); {means['coverage_corrected']:.1%} of campaigns "
        "within their "
        f"{settings.interval:.0%} intervals ({means['coverage']:.1%} by chance alone); AUC of open deals "
        f"{means['auc_open']:.3f}, stage table {means['auc_open_stage_table']:.3f}"
    )
    worst = {f"{name}_worst": float(table[name].max()) for name in ("mape_campaign", "wape_open_model")}
    counts = {
        name: float(table[name].sum())
        for name in ("campaigns", "campaigns_small", "campaigns_without_value", "deals", "open_deals")
    }
    return (
        {name: float(value) for name, value in means.items()} | worst | counts | {"runs": float(len(table))}
    )


def _judged(
    frames: CrmFrames, seed: int, size: tuple[int, int], at: np.datetime64, settings: PipelineSettings
) -> dict[str, float]:
    began = time.perf_counter()
    known = frames.known(at)
    training = train_pipeline(known, at, settings)
    seconds = time.perf_counter() - began
    histories = prepare(known)
    judgement = judge(training.model, histories, frames, at, settings)
    _, sales = simulated(seed, *size)
    look = outlook(training.model, histories, at, settings)
    return {
        **judgement.metrics,
        **_oracle(judgement.campaigns, look.deals, sales.chances),
        "training_seconds": seconds,
        "spread": training.model.spread,
    }


def _oracle(campaigns: pd.DataFrame, deals: pd.DataFrame, chances: pd.DataFrame) -> dict[str, float]:
    """The error of who knows each deal's chance at its creation, and expects the model's amount of it."""
    chance = deals["deal_id"].map(chances.set_index("deal_id")["win_probability"])
    expected = np.where(deals["is_open"], chance * deals["amount_if_won"], 0.0)
    deals = deals.assign(oracle=deals["won_value"] + expected)
    told = deals.groupby(["account_id", "campaign_id"])["oracle"].sum()
    judged = campaigns[campaigns["judged"]].join(told, on=["account_id", "campaign_id"])
    error = (judged["oracle"] - judged["real"]).abs()
    return {
        "mape_oracle_at_creation": float((error / judged["real"]).mean()),
        "wape_open_oracle_at_creation": float(error.sum() / judged["real_open"].sum()),
    }


def _print_one(seed: int, moment: str, figures: dict[str, float]) -> None:
    print(  # noqa: T201
        f"seed {seed} at {moment}: {figures['campaigns']:.0f} campaigns "
        f"({figures['campaigns_small']:.0f} smaller, "
        f"{figures['campaigns_without_value']:.0f} that brought nothing), {figures['deals']:,.0f} deals, "
        f"{figures['open_deals']:,.0f} open; MAPE {figures['mape_campaign']:.1%}, stage table "
        f"{figures['mape_stage_table']:.1%}, last month {figures['mape_last_month']:.1%}; "
        f"trained in {figures['training_seconds']:.0f} s"
    )


def _shown(table: pd.DataFrame, *names: str) -> list[str]:
    return [f"{table[name].mean():.1%}" for name in names]


if __name__ == "__main__":
    raise SystemExit(main())
