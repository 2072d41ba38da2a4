"""Train and judge: first as it would have been a horizon ago, to see what that was worth, then on all.

The first model knows only what was known then, and is judged by what became of the deals since. How much its
errors exceeded chance widens the intervals of the second, which learns from all deals and is what ships.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.features.pipeline import FEATURE_SET, deal_features, open_moments, prepare
from ml.features.pipeline_frames import CrmFrames, naive
from ml.pipeline_value.evaluation import Judgement, judge
from ml.pipeline_value.fitting import fit_pipeline, refuse_too_few
from ml.pipeline_value.model import PipelineModel
from ml.pipeline_value.settings import PipelineSettings

if TYPE_CHECKING:
    from datetime import datetime

    from matplotlib.figure import Figure

EXAMPLE_DEALS = 5


@dataclass(frozen=True)
class PipelineTraining:
    """What came out.

    Attributes:
        model: fitted to everything.
        judgement: of the same recipe a horizon earlier.
        judged_at: when that forecast was made.
        failed_gates: a sentence for each gate it does not pass.
        beats_rules: whether it erred less than both rules people use today.
        counts: deals, closed_deals, won_deals, stage_events learnt from.
        window: first and last creation of a deal.
        example: features of a few open deals, ready for `PipelineModel.forecast`.
    """

    model: PipelineModel
    judgement: Judgement
    judged_at: np.datetime64
    failed_gates: tuple[str, ...]
    beats_rules: bool
    counts: dict[str, int]
    window: tuple[str, str]
    example: pd.DataFrame


def train_pipeline(
    frames: CrmFrames, until: datetime | pd.Timestamp | np.datetime64, settings: PipelineSettings
) -> PipelineTraining:
    """Train on what is known at `until`, and say what the recipe was worth one horizon earlier.

    Raises:
        TooFewDeals: there are too few deals to learn from or to be judged by.
    """
    now = naive(until)
    known = frames.known(now)
    before = now - np.timedelta64(settings.horizon_days, "D")
    refuse_too_few(known.known(before), before, settings)
    earlier = prepare(known.known(before))
    judgement = judge(fit_pipeline(earlier, before, settings), earlier, known, before, settings)
    histories = prepare(known)
    model = fit_pipeline(histories, now, settings)
    model.spread = judgement.spread
    codes, moments = open_moments(histories, now)
    example = deal_features(histories, codes[:EXAMPLE_DEALS], moments[:EXAMPLE_DEALS])
    closes = histories.closes
    created = known.deals["created_at"]
    return PipelineTraining(
        model=model,
        judgement=judgement,
        judged_at=before,
        failed_gates=_failed_gates(judgement.metrics, settings),
        beats_rules=_beats_rules(judgement.metrics),
        counts={
            "deals": len(known.deals),
            "closed_deals": len(closes),
            "won_deals": int(closes["won"].sum()),
            "stage_events": len(known.stage_events),
        },
        window=(str(created.min().date()), str(created.max().date())),
        example=example[list(model.feature_names)],
    )


def fingerprint(frames: CrmFrames) -> str:
    """SHA-256 of everything a model could learn from: equal data, equal text. What was spent is not in
    it.
    """
    digest = hashlib.sha256(FEATURE_SET.encode())
    for name in (
        "deals",
        "stages",
        "stage_events",
        "amount_events",
        "owner_events",
        "contacts",
        "conversions",
        "ads",
    ):
        table = getattr(frames, name)
        table = table.sort_values(list(table.columns), kind="stable").astype("string")
        digest.update(name.encode())
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def judgement_plot(judgement: Judgement) -> Figure:
    """Forecast against what came of each campaign, and how often deals of a chance were won."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    table = judgement.campaigns[judgement.campaigns["judged"]]
    for rule, marker, colour in (
        ("stage_table", "x", "#b0b0b0"),
        ("last_month", "+", "#c98a3a"),
        ("model", "o", "#2b6cb0"),
    ):
        left.scatter(
            table["real"], table[rule], marker=marker, s=22, color=colour, label=rule.replace("_", " ")
        )
    most = float(max(table["real"].max(), table["model"].max())) * 1.05
    left.plot([0, most], [0, most], color="#555555", linewidth=0.8)
    left.set(xlabel="what came, dollars", ylabel="forecast, dollars", title="Campaigns, a horizon later")
    left.legend(frameon=False)
    deals = judgement.deals.sort_values("chance", kind="stable")
    parts = [part for part in np.array_split(np.arange(len(deals)), 10) if len(part)]
    told = [deals["chance"].to_numpy()[part].mean() for part in parts]
    real = [deals["won"].to_numpy()[part].mean() for part in parts]
    right.plot([0, 1], [0, 1], color="#555555", linewidth=0.8)
    right.plot(told, real, marker="o", color="#2b6cb0")
    right.set(xlabel="chance to be won", ylabel="share that was won", title="Open deals, tenths by chance")
    return figure


def _beats_rules(metrics: dict[str, float]) -> bool:
    return metrics["mape_campaign"] < min(metrics["mape_stage_table"], metrics["mape_last_month"])


def _failed_gates(metrics: dict[str, float], settings: PipelineSettings) -> tuple[str, ...]:
    gates, failed = settings.gates, []
    if metrics["mape_campaign"] > gates.mape_campaign:
        failed.append(
            f"campaigns are missed by {metrics['mape_campaign']:.1%} on average, more than "
            f"{gates.mape_campaign:.0%}"
        )
    if not _beats_rules(metrics):
        failed.append("it is no better than the stage table or last month's close rate")
    ratio = metrics.get("ratio_open", float("nan"))
    if not gates.ratio_low <= ratio <= gates.ratio_high:
        failed.append(
            f"it expects {ratio:.2f} times what open deals brought, outside {gates.ratio_low} to "
            f"{gates.ratio_high}"
        )
    if metrics["coverage"] < gates.coverage_low:
        failed.append(
            f"only {metrics['coverage']:.0%} of campaigns lie within their intervals, fewer than "
            f"{gates.coverage_low:.0%}"
        )
    return tuple(failed)
