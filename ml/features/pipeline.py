"""The pipeline feature set: what is known of a deal at a moment, and nothing that happened after it.

Each row is a deal at a moment. Where it stands, how it got there, what it is worth by then, who sells it, and
which ad brought it. How well its owner, account, campaign and ad have done is learnt from deals that had
closed before the moment. Everything is done with sorts and binary searches over all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline_attribution import attribute
from ml.features.pipeline_frames import DAY, CrmFrames, CrmInputInvalid
from ml.features.pipeline_norms import stage_norms

FEATURE_SET = "pipeline-1"

# An effect of an owner, account, campaign or ad is pulled towards none as if it had this many closed deals
# more that went as the pipeline's others did.
PSEUDO_DEALS = {"owner_id": 20.0, "account_id": 20.0, "campaign_id": 25.0, "ad_id": 30.0}

Times = npt.NDArray[np.datetime64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PipelineFeature:
    """One column: `category` (text levels) or `number`, and what it means."""

    name: str
    kind: Literal["category", "number"]
    meaning: str


PIPELINE_FEATURES: tuple[PipelineFeature, ...] = (
    PipelineFeature("pipeline_id", "category", "the sales process"),
    PipelineFeature("stage_id", "category", "the stage the deal is in"),
    PipelineFeature("stage_order", "number", "its place in the process, 0 first, 1 last before closing"),
    PipelineFeature("stage_probability", "number", "what the CRM's own table says of the stage"),
    PipelineFeature("age_days", "number", "days since the deal was created"),
    PipelineFeature("days_in_stage", "number", "days since it entered the stage"),
    PipelineFeature("days_in_stage_vs_norm", "number", "the same over the stage's median"),
    PipelineFeature("stage_moves", "number", "stages entered so far, the first included"),
    PipelineFeature("velocity", "number", "stages moved forward a week"),
    PipelineFeature("regressions", "number", "moves back to an earlier stage"),
    PipelineFeature("reopens", "number", "times it was closed and opened again"),
    PipelineFeature("log_amount", "number", "logarithm of the amount by then, dollars"),
    PipelineFeature("amount_change", "number", "logarithm of the amount by then over the first one"),
    PipelineFeature("amount_changes", "number", "times the amount was set"),
    PipelineFeature("owner_changes", "number", "times the owner changed"),
    PipelineFeature("deal_type", "category", "new or existing business"),
    PipelineFeature("first_source", "category", "where the contact first came from"),
    PipelineFeature("matched_by", "category", "what led to the ad"),
    PipelineFeature("niche", "category", "of the account"),
    PipelineFeature("hook_type", "category", "of the ad's creative"),
    PipelineFeature("format", "category", "of the ad's creative"),
    PipelineFeature("visual_pattern", "category", "of the ad's creative"),
    PipelineFeature("persona", "category", "of the ad's creative"),
    PipelineFeature("owner_effect", "number", "the owner's win rate beyond the pipeline's, shrunk"),
    PipelineFeature("account_effect", "number", "the same of the account's deals"),
    PipelineFeature("campaign_effect", "number", "the same of the campaign's deals"),
    PipelineFeature("ad_effect", "number", "the same of the ad's deals"),
    PipelineFeature("pipeline_win_rate", "number", "share of the pipeline's closed deals that were won"),
)  # fmt: skip
CATEGORIES = tuple(feature.name for feature in PIPELINE_FEATURES if feature.kind == "category")
NAMES = tuple(feature.name for feature in PIPELINE_FEATURES)


@dataclass(frozen=True)
class Histories:
    """A CRM's histories made ready to be asked for moments; make one with `prepare`, ask it often.

    Attributes:
        frames: what it was made of.
        deals: deal_id, pipeline_id, deal_type, created_at and origin; its row number is the deal's code.
        stage_keys, amount_keys, owner_keys: (events,) sortable keys of deal code and time.
        stage_events, amount_events, owner_events: the events in that order, with running counts.
        closes: the first end of every deal: code, closed_at, won and what it is grouped by.
        norms: median days of each pipeline and stage, as they were known at the beginning of each month.
    """

    frames: CrmFrames
    deals: pd.DataFrame
    stage_keys: Ints
    stage_events: pd.DataFrame
    amount_keys: Ints
    amount_events: pd.DataFrame
    owner_keys: Ints
    owner_events: pd.DataFrame
    closes: pd.DataFrame
    norms: pd.Series

    def code(self, deal_ids: pd.Series) -> Ints:
        """Row numbers of deals.

        Raises:
            CrmInputInvalid: there is no such deal.
        """
        codes = pd.Index(self.deals["deal_id"]).get_indexer(pd.Index(deal_ids))
        if (codes < 0).any():
            raise CrmInputInvalid(
                f"there is no deal {deal_ids.iloc[int((codes < 0).argmax())]} in the CRM's rows"
            )
        return np.asarray(codes, np.int64)


def prepare(frames: CrmFrames) -> Histories:
    """Sort the events once. `frames` must hold only what is known when the features are asked for."""
    deals = pd.concat(
        [
            frames.deals[["deal_id", "pipeline_id", "deal_type", "created_at"]],
            attribute(frames).drop(columns="deal_id"),
        ],
        axis=1,
    )
    codes = pd.Index(deals["deal_id"])
    stage_keys, stage_events = _ordered(frames.stage_events, codes, "entered_at")
    stage_events = _with_stage_facts(stage_events, deals, frames.stages)
    amount_keys, amount_events = _ordered(frames.amount_events, codes, "changed_at")
    owner_keys, owner_events = _ordered(frames.owner_events, codes, "changed_at")
    for events in (stage_events, amount_events, owner_events):
        events["number"] = events.groupby("code").cumcount() + 1
    first = amount_events.drop_duplicates("code").set_index("code")["amount"]
    amount_events["first"] = amount_events["code"].map(first)
    return Histories(
        frames=frames,
        deals=deals,
        stage_keys=stage_keys,
        stage_events=stage_events,
        amount_keys=amount_keys,
        amount_events=amount_events,
        owner_keys=owner_keys,
        owner_events=owner_events,
        closes=_first_closes(deals, stage_events, owner_keys, owner_events),
        norms=_monthly_norms(frames),
    )


def deal_features(histories: Histories, codes: Ints, moments: Times) -> pd.DataFrame:
    """Features of deals at moments.

    Args:
        histories: see `prepare`.
        codes: (n,) row numbers of deals in `histories.deals`.
        moments: (n,) datetime64, not before the deal was created.

    Returns:
        (n, k) the columns of `PIPELINE_FEATURES`, and `amount` (dollars, missing where there was none
        yet) and `is_open`, which are no features. Times after the moment of a row touch nothing in it.

    Raises:
        CrmInputInvalid: a moment lies before the creation of its deal.
    """
    moments = moments.astype("datetime64[us]")
    deals = histories.deals.iloc[codes].reset_index(drop=True)
    stage = asof(histories.stage_keys, codes, moments)
    if len(stage) and (histories.stage_events["code"].to_numpy()[stage] != codes).any():
        wrong = int((histories.stage_events["code"].to_numpy()[stage] != codes).argmax())
        raise CrmInputInvalid(
            f"deal {deals['deal_id'].iloc[wrong]} is asked for {moments[wrong]}, before it was created"
        )
    events = histories.stage_events.iloc[stage].reset_index(drop=True)
    amounts = _of_deal(histories.amount_keys, histories.amount_events, codes, moments)
    owners = _of_deal(histories.owner_keys, histories.owner_events, codes, moments)
    age = (moments - deals["created_at"].to_numpy()) / DAY
    in_stage = (moments - events["entered_at"].to_numpy()) / DAY
    wanted = pd.MultiIndex.from_arrays(
        [_months(moments, histories.norms), deals["pipeline_id"], events["stage_id"]]
    )
    median = histories.norms.reindex(wanted).to_numpy(dtype="float64")
    made = pd.DataFrame({name: deals[name] for name in CATEGORIES if name in deals})
    made["stage_id"] = events["stage_id"]
    made["stage_order"] = events["order"]
    made["stage_probability"] = events["probability"]
    made["age_days"] = age
    made["days_in_stage"] = in_stage
    made["days_in_stage_vs_norm"] = in_stage / np.where(np.isfinite(median), np.maximum(median, 0.25), np.nan)
    made["stage_moves"] = events["number"].astype(float)
    made["velocity"] = 7.0 * events["forward"] / np.maximum(age, 1.0)
    made["regressions"] = events["regressions"].astype(float)
    made["reopens"] = events["reopens"].astype(float)
    amount = amounts["amount"].to_numpy(dtype="float64")
    made["log_amount"] = np.log1p(amount)
    made["amount_change"] = made["log_amount"] - np.log1p(amounts["first"].to_numpy(dtype="float64"))
    made["amount_changes"] = amounts["number"].fillna(0.0)
    made["owner_changes"] = np.maximum(owners["number"].fillna(1.0) - 1.0, 0.0)
    made = made.join(_effects(histories, deals.assign(owner_id=owners["owner_id"]), moments))
    made = made[list(NAMES)].astype({f.name: "float64" for f in PIPELINE_FEATURES if f.kind == "number"})
    made[list(CATEGORIES)] = (
        made[list(CATEGORIES)].astype("object").where(made[list(CATEGORIES)].notna(), None)
    )
    return made.assign(
        amount=amount,
        is_open=~events["is_closed"].to_numpy(dtype=bool),
        owner_id=owners["owner_id"].to_numpy(),
    )


def open_moments(histories: Histories, moment: np.datetime64) -> tuple[Ints, Times]:
    """Codes of the deals that are open at a moment, and that moment for each."""
    created = histories.deals["created_at"].to_numpy() <= moment
    codes = np.flatnonzero(created)
    moments = np.full(len(codes), moment.astype("datetime64[us]"))
    at = asof(histories.stage_keys, codes, moments)
    is_open = ~histories.stage_events["is_closed"].to_numpy(dtype=bool)[at]
    return codes[is_open], moments[is_open]


def asof(keys: Ints, codes: Ints, moments: Times) -> Ints:
    """(n,) position of the last event not later than the moment; of an earlier deal where there is none."""
    return np.maximum(np.searchsorted(keys, sortable(codes, moments), side="right") - 1, 0)


def sortable(codes: Ints, times: Times) -> Ints:
    """Keys that sort by code and then by time, to the second; the year 2100 is the last."""
    seconds = times.astype("datetime64[s]").astype(np.int64)
    return np.asarray(codes.astype(np.int64) * (1 << 32) + np.clip(seconds, 0, (1 << 32) - 1))


def _ordered(events: pd.DataFrame, codes: pd.Index, time: str) -> tuple[Ints, pd.DataFrame]:
    table = events.assign(code=codes.get_indexer(pd.Index(events["deal_id"])))
    table = table[table["code"] >= 0].sort_values(["code", time], kind="stable").reset_index(drop=True)
    return sortable(table["code"].to_numpy(), table[time].to_numpy()), table


def _of_deal(keys: Ints, events: pd.DataFrame, codes: Ints, moments: Times) -> pd.DataFrame:
    """Columns of the newest event of each deal, missing where it had none."""
    if events.empty:
        return pd.DataFrame(np.nan, index=range(len(codes)), columns=events.columns).astype("object")
    at = asof(keys, codes, moments)
    found = events.iloc[at].reset_index(drop=True)
    own = events["code"].to_numpy()[at] == codes
    in_time = sortable(codes, moments) >= keys[at]
    return found[own & in_time].reindex(range(len(codes)))


def _with_stage_facts(events: pd.DataFrame, deals: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """Events with what their stage is, and how often the deal moved on, back and was opened again so
    far.
    """
    facts = stages.copy()
    of_open = facts[~facts["is_closed"]].groupby("pipeline_id")["display_order"]
    first, last = facts["pipeline_id"].map(of_open.min()), facts["pipeline_id"].map(of_open.max())
    facts["order"] = ((facts["display_order"] - first) / np.maximum(last - first, 1)).clip(0, 1)
    table = events.assign(pipeline_id=deals["pipeline_id"].to_numpy()[events["code"].to_numpy()])
    table = table.merge(
        facts[["pipeline_id", "stage_id", "order", "display_order", "probability", "is_closed", "is_won"]],
        on=["pipeline_id", "stage_id"],
        how="left",
    )
    # A stage that was deleted, or belongs to the pipeline the deal was in before, counts as open.
    for flag in ("is_closed", "is_won"):
        table[flag] = table[flag].eq(True)
    before = table.groupby("code")[["display_order", "is_closed"]].shift()
    was_closed = before["is_closed"].eq(True)
    back = (table["display_order"] < before["display_order"]) & ~table["is_closed"] & ~was_closed
    ahead = (table["display_order"] > before["display_order"]) & ~table["is_closed"] & ~was_closed
    table["regressions"] = back.groupby(table["code"]).cumsum()
    table["forward"] = ahead.groupby(table["code"]).cumsum()
    table["reopens"] = (was_closed & ~table["is_closed"]).groupby(table["code"]).cumsum()
    return table


def _monthly_norms(frames: CrmFrames) -> pd.Series:
    """Median days by month, pipeline and stage: what had been seen when the month began."""
    events = frames.stage_events["entered_at"]
    names = ["month", "pipeline_id", "stage_id"]
    if events.empty:
        return pd.Series(dtype="float64", index=pd.MultiIndex.from_arrays([[], [], []], names=names))
    first = events.min().to_period("M").start_time
    months = pd.date_range(
        first, events.max() + pd.offsets.MonthBegin(), freq="MS", unit="us", normalize=True
    )
    tables = [stage_norms(frames.known(month), month).assign(month=month) for month in months]
    return pd.concat(tables).set_index(names)["median_days"]


def _months(moments: Times, norms: pd.Series) -> Times:
    """Beginnings of the moments' months; the last month with norms stands for later ones."""
    months = moments.astype("datetime64[M]").astype("datetime64[us]")
    if norms.empty:
        return months
    return np.minimum(months, norms.index.get_level_values("month").max().to_datetime64())


def _first_closes(
    deals: pd.DataFrame, stage_events: pd.DataFrame, owner_keys: Ints, owner_events: pd.DataFrame
) -> pd.DataFrame:
    """The first end of every deal, which stays known whatever happens to the deal later."""
    ends = stage_events[stage_events["is_closed"]].drop_duplicates("code")
    codes, moments = ends["code"].to_numpy(), ends["entered_at"].to_numpy()
    closes = deals.iloc[codes].reset_index(drop=True)
    closes["owner_id"] = _of_deal(owner_keys, owner_events, codes, moments)["owner_id"]
    closes["closed_at"] = moments
    closes["won"] = ends["is_won"].to_numpy(dtype=float)
    closes = closes.sort_values("closed_at", kind="stable").reset_index(drop=True)
    closes["expected"] = _running_rate(closes)
    return closes


def _running_rate(closes: pd.DataFrame) -> pd.Series:
    """Win rate of the pipeline's deals that closed before each one, half and half where there were none."""
    by = closes.groupby("pipeline_id")["won"]
    return (by.cumsum() - closes["won"] + 1.0) / (by.cumcount() + 2.0)


def _effects(histories: Histories, deals: pd.DataFrame, moments: Times) -> pd.DataFrame:
    """How much better than their pipelines owner, account, campaign and ad did in deals closed before."""
    closes = histories.closes
    made = {}
    for by, pseudo in PSEUDO_DEALS.items():
        gained, count = _earlier_sums(
            closes[by], closes["closed_at"], closes["won"] - closes["expected"], deals[by], moments
        )
        made[f"{by.removesuffix('_id')}_effect"] = gained / (count + pseudo)
    won, count = _earlier_sums(
        closes["pipeline_id"], closes["closed_at"], closes["won"], deals["pipeline_id"], moments
    )
    made["pipeline_win_rate"] = (won + 1.0) / (count + 2.0)
    return pd.DataFrame(made)


def _earlier_sums(
    groups: pd.Series, times: pd.Series, values: pd.Series, wanted: pd.Series, moments: Times
) -> tuple[Floats, Floats]:
    """Sum and count of `values` in the wanted group up to each moment; 0 where the group is missing."""
    if groups.empty:
        return np.zeros(len(moments)), np.zeros(len(moments))
    codes, levels = pd.factorize(groups)
    asked = levels.get_indexer(pd.Index(wanted))
    known = codes >= 0
    keys = sortable(codes[known], times.to_numpy()[known])
    order = np.argsort(keys, kind="stable")
    running = np.concatenate([[0.0], np.cumsum(values.to_numpy(dtype="float64")[known][order])])
    safe = np.maximum(asked, 0)
    until = np.searchsorted(keys[order], sortable(safe, moments), side="right")
    since = np.searchsorted(keys[order], safe.astype(np.int64) * (1 << 32), side="left")
    has = asked >= 0
    return np.where(has, running[until] - running[since], 0.0), np.where(has, until - since, 0.0)
