"""Judges forecasts by what happened after them, campaign by campaign, beside the rules people use today."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline import Histories
from ml.features.pipeline_frames import CrmFrames
from ml.pipeline_value.baselines import last_month_value, stage_table_value
from ml.pipeline_value.errors import TooFewDeals
from ml.pipeline_value.forecast import deviations, interval, outlook
from ml.pipeline_value.model import PipelineModel
from ml.pipeline_value.settings import PipelineSettings

Floats = npt.NDArray[np.float64]
RULES = ("model", "stage_table", "last_month")


@dataclass(frozen=True)
class Judgement:
    """What a forecast was worth.

    Attributes:
        metrics: figures by name.
        campaigns: campaign_id, deals, open_deals, won_value, real (dollars by the end of the horizon),
            model,
            stage_table, last_month (forecasts of it), low, high, judged (whether it had deals enough).
        spread: how much wider than chance the errors of the open deals' value were.
        deals: deal_id, chance and won, of the deals that were open.
    """

    metrics: dict[str, float]
    campaigns: pd.DataFrame
    spread: float
    deals: pd.DataFrame


def judge(
    model: PipelineModel,
    histories: Histories,
    later: CrmFrames,
    at: np.datetime64,
    settings: PipelineSettings,
) -> Judgement:
    """Judge a model that knew what was known at `at`, by what is known a horizon later.

    Args:
        model: fitted to `histories`.
        histories: what was known at `at`.
        later: what is known now; at least `at` and the horizon.
        at: the moment of the forecast.
        settings: horizon, window and least number of deals; told before anything is looked at.

    Returns:
        Metrics: mape_campaign, mape_stage_table, mape_last_month (mean absolute percentage error of what the
        window's deals have brought by the end of the horizon, campaigns with enough deals and some value);
        wape_* (sum of absolute errors over the sum, same campaigns), wape_open_* (only what was still to
        come), mape_small_* (campaigns with fewer deals), mape_luck (the error of this model if its chances
        were the true ones: nobody can do better by much), ratio_open (expected over real), ratio_wins,
        coverage and coverage_corrected (of the intervals, without and with the model's own spread), auc_open,
        log_loss_open, campaigns, campaigns_small, campaigns_without_value, deals, open_deals.

    Raises:
        TooFewDeals: no campaign has deals enough, or no open deal was won.
    """
    look = outlook(model, histories, at, settings)
    deals = look.deals
    end = at + np.timedelta64(settings.horizon_days, "D")
    fate = later.known(end).state().set_index("deal_id").reindex(deals["deal_id"])
    won = fate["is_won"].to_numpy(dtype=bool)
    deals["real"] = np.where(won, fate["amount"].fillna(0.0), 0.0)
    deals["model"] = deals["won_value"] + deals["expected_value"]
    deals["stage_table"] = deals["won_value"] + stage_table_value(deals)
    deals["last_month"] = deals["won_value"] + last_month_value(deals, histories, at)
    deals["real_open"] = np.where(deals["is_open"], deals["real"], 0.0)
    attributed = deals["campaign_id"].notna().to_numpy()
    known, spread = deals[attributed].reset_index(drop=True), look.spread[attributed]
    grouped = known.groupby(["account_id", "campaign_id"], sort=True)
    table = grouped[["won_value", "real", "real_open", *RULES]].sum()
    table["deals"], table["open_deals"] = grouped.size(), grouped["is_open"].sum()
    drawn = deviations(known, spread, np.asarray(grouped.ngroup(), np.int64), len(table), settings)
    table["judged"] = (table["deals"] >= settings.min_campaign_deals) & (table["real"] > 0)
    if not table["judged"].any():
        raise TooFewDeals(
            f"no campaign has {settings.min_campaign_deals} deals in {settings.window_days} days "
            "and some value "
            "at the end: nothing can be judged"
        )
    judged = table[table["judged"]]
    on = table["judged"].to_numpy()
    error = (judged["real"] - judged["model"]).to_numpy()
    deviation = drawn[:, on].std(axis=0)
    told = deviation > 0
    found_spread = float(np.sqrt(np.mean((error[told] / deviation[told]) ** 2))) if told.any() else 1.0
    for name, factor in (("", 1.0), ("_corrected", model.spread)):
        low, high = interval(drawn * factor, settings.interval)
        floor = table["won_value"].to_numpy()
        table[f"low{name}"] = np.maximum(table["model"].to_numpy() + low, floor)
        table[f"high{name}"] = np.maximum(table["model"].to_numpy() + high, floor)
    metrics = {"mape_campaign": _mape(judged, "model")}
    metrics |= {f"mape_{rule}": _mape(judged, rule) for rule in RULES[1:]}
    small = table[~table["judged"] & (table["real"] > 0)]
    for rule in RULES:
        metrics[f"wape_{rule}"] = _wape(judged, rule, "real")
        metrics[f"wape_open_{rule}"] = _wape(judged, rule, "real_open")
        if len(small):
            metrics[f"mape_small_{rule}"] = _mape(small, rule)
    with np.errstate(divide="ignore", invalid="ignore"):
        luck = np.abs(drawn[:, on]) / np.maximum(judged["model"].to_numpy() + drawn[:, on], 1e-9)
    # Futures in which a campaign brought nothing have no percentage, as in the figures above.
    metrics["mape_luck"] = float(luck[judged["model"].to_numpy() + drawn[:, on] > 1.0].mean())
    for name in ("", "_corrected"):
        inside = table["real"].between(table[f"low{name}"] - 0.01, table[f"high{name}"] + 0.01)
        metrics[f"coverage{name}"] = float(inside[table["judged"]].mean())
    metrics |= _of_open_deals(deals, won)
    metrics |= {
        "spread_found": found_spread,
        "campaigns": float(on.sum()),
        "campaigns_small": float((table["deals"] < settings.min_campaign_deals).sum()),
        "campaigns_without_value": float((table["real"] <= 0).sum()),
        "deals": float(len(deals)),
        "deals_unattributed": float((~attributed).sum()),
    }
    opened = deals["is_open"].to_numpy(dtype=bool)
    return Judgement(
        {name: float(value) for name, value in metrics.items() if np.isfinite(value)},
        table.reset_index(),
        max(1.0, found_spread),
        deals.loc[opened, ["deal_id", "chance"]].assign(won=won[opened]).reset_index(drop=True),
    )


def _of_open_deals(deals: pd.DataFrame, won: npt.NDArray[np.bool_]) -> dict[str, float]:
    from sklearn.metrics import log_loss, roc_auc_score

    still = deals["is_open"].to_numpy(dtype=bool)
    outcome, chance = won[still], deals["chance"].to_numpy()[still]
    if not outcome.any() or outcome.all():
        raise TooFewDeals(
            f"of {len(outcome)} open deals {int(outcome.sum())} were won within the horizon: "
            "nothing can be judged"
        )
    real = deals.loc[still, "real"].sum()
    return {
        "ratio_open": float(deals.loc[still, "expected_value"].sum() / real) if real > 0 else np.nan,
        "ratio_open_stage_table": float(stage_table_value(deals).sum() / real) if real > 0 else np.nan,
        "ratio_wins": float(chance.sum() / outcome.sum()),
        "auc_open": float(roc_auc_score(outcome, chance)),
        "auc_open_stage_table": float(roc_auc_score(outcome, deals.loc[still, "probability"].fillna(0.0))),
        "log_loss_open": float(log_loss(outcome, np.clip(chance, 1e-6, 1 - 1e-6))),
        "log_loss_open_constant": float(log_loss(outcome, np.full(len(outcome), outcome.mean()))),
        "open_deals": float(still.sum()),
    }


def _mape(table: pd.DataFrame, rule: str) -> float:
    return float(((table[rule] - table["real"]).abs() / table["real"]).mean())


def _wape(table: pd.DataFrame, rule: str, of: str) -> float:
    whole = float(table[of].sum())
    return float((table[rule] - table["real"]).abs().sum() / whole) if whole > 0 else float("nan")
