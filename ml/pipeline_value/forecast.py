"""Pipeline ROAS: what deals have brought and are expected to bring, over what was spent, with intervals.

Counted are deals that exist. Those that ads of these days will still bring are not in it, so the youngest
days look poorer than they will turn out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline import Histories, deal_features, open_moments
from ml.pipeline_value.model import DealForecast, PipelineModel
from ml.pipeline_value.settings import PipelineSettings

Floats = npt.NDArray[np.float64]
# What the deals of a level are grouped by.
LEVELS = {"campaign": ("account_id", "campaign_id"), "ad": ("account_id", "campaign_id", "ad_id")}
UNATTRIBUTED = ""


@dataclass(frozen=True)
class DealOutlook:
    """Every deal of the window as it stands, and what is expected of it.

    Attributes:
        deals: deal_id, origin, matched_by, created_at, amount, is_open, is_won, won_value (dollars
            brought so
            far), chance (to be won within the horizon; of closed deals 0), amount_if_won, expected_value
            (dollars still to come), stage_id, pipeline_id and days_to_close (of open deals).
        spread: (n,) standard deviation of the logarithm of the amount if won.
    """

    deals: pd.DataFrame
    spread: Floats


def outlook(
    model: PipelineModel, histories: Histories, at: np.datetime64, settings: PipelineSettings
) -> DealOutlook:
    """The deals created within the window before `at`, with what is expected within the horizon after
    it.

    `histories` must hold only what is known at `at`.
    """
    state = histories.frames.state()
    origin = ["account_id", "campaign_id", "ad_id", "creative_id", "matched_by"]
    deals = state[
        ["deal_id", "pipeline_id", "stage_id", "probability", "created_at", "closed_at", "amount"]
    ].copy()
    deals["is_open"], deals["is_won"] = ~state["is_closed"], state["is_won"]
    deals[origin] = histories.deals[origin]
    deals["won_value"] = np.where(deals["is_won"], deals["amount"].fillna(0.0), 0.0)
    codes, moments = open_moments(histories, at)
    told: DealForecast = model.forecast(deal_features(histories, codes, moments))
    for name, values in {
        "chance": told.won_by(settings.horizon_days),
        "chance_ever": told.won_ever,
        "amount_if_won": told.amount,
        "expected_value": told.value_by(settings.horizon_days),
    }.items():
        deals[name] = _at(codes, values, len(deals), 0.0)
    deals["days_to_close"] = _at(codes, told.days_to_close(), len(deals), np.nan)
    spread = _at(codes, told.amount_spread, len(deals), 0.0)
    since = at - np.timedelta64(settings.window_days, "D")
    within = (deals["created_at"].to_numpy() >= since) & (deals["created_at"].to_numpy() <= at)
    return DealOutlook(deals[within].reset_index(drop=True), spread[within])


def pipeline_roas(
    look: DealOutlook,
    spend: pd.DataFrame,
    level: str,
    at: np.datetime64,
    settings: PipelineSettings,
    spread: float,
) -> pd.DataFrame:
    """What each campaign or ad has brought and will bring.

    Args:
        look: see `outlook`.
        spend: account_id, campaign_id, ad_id, day, spend.
        level: `campaign` or `ad`.
        at: the moment of the forecast.
        settings: window, horizon, draws and share of the intervals.
        spread: the model's own; how much wider than chance its errors were.

    Returns:
        One row a campaign or ad with spend or deals in the window, and one for the unattributed deals, whose
        ids are '': deals, open_deals, won_deals, won_value, expected_value (still to come), total, low, high
        (dollars), spend, roas, roas_low, roas_high (missing without spend), days_to_close (median of the open
        deals'), crm_value (by the CRM's stage table).
    """
    keys = list(LEVELS[level])
    deals = look.deals.copy()
    for key in keys:
        deals[key] = deals[key].fillna(UNATTRIBUTED)
    deals["crm_value"] = np.where(
        deals["is_open"], deals["probability"].fillna(0.0) * deals["amount"].fillna(0.0), 0.0
    )
    grouped = deals.groupby(keys, sort=True)
    table = grouped.agg(
        deals=("deal_id", "size"),
        open_deals=("is_open", "sum"),
        won_deals=("is_won", "sum"),
        won_value=("won_value", "sum"),
        expected_value=("expected_value", "sum"),
        crm_value=("crm_value", "sum"),
        days_to_close=("days_to_close", "median"),
    )
    drawn = deviations(deals, look.spread, np.asarray(grouped.ngroup(), np.int64), len(table), settings)
    low, high = interval(drawn * spread, settings.interval)
    expected = table["expected_value"].to_numpy()
    table["low"] = table["won_value"] + np.maximum(expected + low, 0.0)
    table["high"] = table["won_value"] + np.maximum(expected + high, 0.0)
    since = at - np.timedelta64(settings.window_days, "D")
    paid = spend[(spend["day"].to_numpy() >= since.astype("datetime64[D]")) & (spend["day"].to_numpy() < at)]
    table = table.join(paid.groupby(keys)["spend"].sum(), how="outer")
    counts = ["deals", "open_deals", "won_deals"]
    table = table.fillna({name: 0 for name in table.columns if name != "days_to_close"})
    table[counts] = table[counts].astype("int64")
    table["total"] = table["won_value"] + table["expected_value"]
    for name, value in {"roas": "total", "roas_low": "low", "roas_high": "high"}.items():
        table[name] = table[value] / table["spend"].where(table["spend"] > 0)
    return table.reset_index()


def deviations(
    deals: pd.DataFrame, spread: Floats, group: npt.NDArray[np.int64], groups: int, settings: PipelineSettings
) -> Floats:
    """(draws, groups) by how much drawn futures miss the expectation: who is won, and for how much."""
    still = np.flatnonzero(deals["is_open"].to_numpy(dtype=bool))
    chance = deals["chance"].to_numpy()[still]
    amount = deals["amount_if_won"].to_numpy()[still]
    wide = spread[still]
    random = np.random.default_rng(settings.seed)
    made = np.zeros((settings.draws, groups))
    expected = np.bincount(group[still], chance * amount, minlength=groups)
    for draw in range(settings.draws):
        won = random.random(len(still)) < chance
        # The mean of a log-normal factor is 1 only after half its variance is taken off.
        value = amount[won] * np.exp(wide[won] * random.standard_normal(int(won.sum())) - wide[won] ** 2 / 2)
        made[draw] = np.bincount(group[still][won], value, minlength=groups) - expected
    return made


def interval(drawn: Floats, share: float) -> tuple[Floats, Floats]:
    """Bounds of the middle `share` of the deviations of each group, 0 (the expectation) always within.

    A few deals of small chance bring nothing in almost every future: the quantiles alone would then leave
    out the expectation that is shown between them.
    """
    outside = (1.0 - share) / 2.0
    low, high = np.quantile(drawn, [outside, 1.0 - outside], axis=0)
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def _at(codes: npt.NDArray[np.int64], values: Floats, count: int, otherwise: float) -> Floats:
    """(count,) the values at their places, and something else at the others."""
    made = np.full(count, otherwise)
    made[codes] = values
    return made
