"""Deals that follow from a simulated world's conversions, as a CRM would hold them.

A deal's whole fate is drawn when it is created, also what lies after the world's last day; `Sales.known` cuts
it at a moment. Draws are made in the order of the clicks, so that a longer world never changes earlier deals.
Why deals are won is told in `sales_truth`, who buys and sells in `sales_people`, how a deal moves in
`sales_paths`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from include.simulator import sales_truth as truth
from include.simulator.draws import stream
from include.simulator.sales_paths import Path, walk
from include.simulator.sales_people import Owners, make_companies, make_contacts, make_owners

if TYPE_CHECKING:
    from include.simulator.world import SimulatedWorld

_UNIFORMS = 12
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Sales:
    """What a CRM holds. All times are UTC, ids are text, amounts are dollars.

    Attributes:
        pipelines: pipeline_id, label, display_order.
        stages: pipeline_id, stage_id, label, display_order, probability, is_closed, is_won.
        owners: owner_id, user_id, email, first_name, last_name, team, archived.
        companies: company_id, name, domain, created_at.
        contacts: contact_id, company_id, email, phone, first_name, last_name, created_at, and how they came:
            click_id, utm_source, utm_campaign (campaign id), utm_content (ad id), first_source, first_detail
            (campaign name); each may be None.
        deals: deal_id, contact_id, company_id, pipeline_id, owner_id, name, deal_type, currency,
            created_at, stage_id, amount, closed_at, is_closed, is_won, lost_reason, won_reason,
            updated_at, and their true origin: account_id, campaign_id, ad_id, creative_id.
        stage_events: deal_id, stage_id, entered_at.
        amount_events: deal_id, changed_at, amount.
        owner_events: deal_id, changed_at, owner_id.
        conversions: conversion_id, account_id, ad_id, click_id, converted_at, value; of niches that have a
            sales team.
        chances: deal_id, win_probability: the true chance when the deal was created.
    """

    pipelines: pd.DataFrame
    stages: pd.DataFrame
    owners: pd.DataFrame
    companies: pd.DataFrame
    contacts: pd.DataFrame
    deals: pd.DataFrame
    stage_events: pd.DataFrame
    amount_events: pd.DataFrame
    owner_events: pd.DataFrame
    conversions: pd.DataFrame
    chances: pd.DataFrame

    def known(self, at: datetime) -> Sales:
        """What the CRM holds at `at` (with a time zone): nothing later, outcomes only where they are in."""
        moment = pd.Timestamp(at).tz_convert("UTC")
        deals = self.deals[self.deals["created_at"] <= moment].drop(columns=_STATE)
        told = replace(
            self,
            companies=self.companies[self.companies["created_at"] <= moment],
            contacts=self.contacts[self.contacts["created_at"] <= moment],
            stage_events=self.stage_events[self.stage_events["entered_at"] <= moment],
            amount_events=self.amount_events[self.amount_events["changed_at"] <= moment],
            owner_events=self.owner_events[self.owner_events["changed_at"] <= moment],
            conversions=self.conversions[self.conversions["converted_at"] <= moment],
            chances=self.chances[self.chances["deal_id"].isin(deals["deal_id"])],
        )
        reasons = self.deals.set_index("deal_id")[["lost_reason", "won_reason"]]
        return replace(told, deals=_with_state(deals, told, reasons))


_STATE = [
    "stage_id", "amount", "owner_id", "closed_at", "is_closed", "is_won", "lost_reason", "won_reason",
    "updated_at",
]  # fmt: skip


def simulate_sales(world: SimulatedWorld) -> Sales:
    """Every deal that follows from the conversions of `world`, with its whole fate."""
    seed = world.config.seed
    owners = make_owners(seed)
    clicks = _conversions(world)
    uniforms = stream(seed, "deals").random((len(clicks), _UNIFORMS))
    share = clicks["niche"].map({name: s.deal_share for name, s in truth.NICHE_SALES.items()}).to_numpy()
    is_deal = uniforms[:, 0] < share
    deals, drawn = clicks[is_deal].reset_index(drop=True), uniforms[is_deal]
    number = np.flatnonzero(is_deal)
    deals["deal_id"] = _ids(3, seed, number)
    deals["pipeline_id"] = deals["niche"].map({n: s.pipeline_id for n, s in truth.NICHE_SALES.items()})
    wait_s = np.round(60 * (5 + 600 * drawn[:, 1] ** 3)).astype("int64")
    deals["created_at"] = deals["converted_at"] + pd.to_timedelta(wait_s, unit="s")
    deals["deal_type"] = np.where(drawn[:, 2] < truth.EXISTING_SHARE, "existingbusiness", "newbusiness")
    deals["currency"] = "USD"
    companies = make_companies(seed, deals, number)
    contacts = make_contacts(seed, deals, number, drawn[:, 3:7], companies)
    deals["contact_id"], deals["company_id"] = contacts["contact_id"], contacts["company_id"]
    deals["name"] = contacts["last_name"] + " - " + deals["niche"].str.replace("_", " ")
    first, second = owners.assigned(deals, drawn[:, 7], drawn[:, 8])
    chance = _chances(world, deals, owners, second)
    path = walk(seed, world, deals, number, chance)
    sales = Sales(
        pipelines=pd.DataFrame(
            [(p.pipeline_id, p.label, i) for i, p in enumerate(truth.PIPELINES)],
            columns=["pipeline_id", "label", "display_order"],
        ),
        stages=_stages(),
        owners=owners.table,
        companies=companies,
        contacts=contacts,
        deals=deals,
        stage_events=path.stage_events,
        amount_events=path.amount_events,
        owner_events=_owner_events(deals, path, owners, first, second),
        conversions=clicks[["conversion_id", "account_id", "ad_id", "click_id", "converted_at", "value"]],
        chances=pd.DataFrame({"deal_id": deals["deal_id"], "win_probability": chance}),
    )
    kept = [
        "deal_id", "contact_id", "company_id", "pipeline_id", "name", "deal_type", "currency", "created_at",
        "account_id", "campaign_id", "ad_id", "creative_id",
    ]  # fmt: skip
    reasons = pd.DataFrame(
        {
            "lost_reason": _picked(truth.LOST_REASONS, truth.LOST_WEIGHTS, drawn[:, 9]),
            "won_reason": _picked(truth.WON_REASONS, truth.WON_WEIGHTS, drawn[:, 10]),
        },
        index=pd.Index(deals["deal_id"]),
    )
    return replace(sales, deals=_with_state(deals[kept], sales, reasons))


def _conversions(world: SimulatedWorld) -> pd.DataFrame:
    """One row per conversion of an account with a sales team, in the order of the clicks."""
    daily, by_delay = world.daily, world.delivery.conversions
    niches = world.ads["niche"].to_numpy()[daily["ad_number"]]
    counts = np.where(np.isin(niches, list(truth.NICHE_SALES))[:, None], by_delay, 0).ravel()
    cell = np.repeat(np.arange(len(counts)), counts)
    row, delay = cell // by_delay.shape[1], cell % by_delay.shape[1]
    found = daily.iloc[row][["account_id", "campaign_id", "ad_id", "creative_id", "ad_number"]]
    found = found.reset_index(drop=True)
    found["niche"] = pd.Series(niches[row], dtype="str")
    seconds = np.floor(86_400 * stream(world.config.seed, "conversion_times").random(len(row)))
    at = daily["date"].to_numpy()[row] + delay * _DAY + seconds.astype("timedelta64[s]")
    found["converted_at"] = pd.Series(at.astype("datetime64[us]")).dt.tz_localize("UTC")
    found["conversion_id"] = _ids(7, world.config.seed, np.arange(len(row)))
    found["click_id"] = "fb.1." + found["conversion_id"]
    found["campaign_name"] = found["campaign_id"].map(world.campaign_names)
    found["value"] = world.delivery.order_cents[row] / 100
    return found


def _chances(world: SimulatedWorld, deals: pd.DataFrame, owners: Owners, owner: np.ndarray) -> np.ndarray:
    ads = world.ads
    selling = ads["niche"].isin(truth.NICHE_SALES).to_numpy()
    of_ad = np.full(len(ads), np.nan)
    # By account and launch, as the ads' own draws: neither more accounts nor more days change an ad's.
    spread = np.array(
        [stream(world.config.seed, "ad_sales", int(ad)).standard_normal() for ad in ads["ad_id"][selling]]
    )
    of_ad[selling] = truth.log_odds_of_ads(ads[selling], spread)
    days = (deals["created_at"] - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    log_odds = (
        of_ad[deals["ad_number"].to_numpy()]
        + truth.EXISTING * (deals["deal_type"] == "existingbusiness").to_numpy()
        + owners.skill[owner]
        + truth.season(np.asarray(days, np.float64))
    )
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def _stages() -> pd.DataFrame:
    rows = [
        (p.pipeline_id, s.stage_id, s.label, i, s.probability, s in (p.won, p.lost), s is p.won)
        for p in truth.PIPELINES
        for i, s in enumerate(p.stages)
    ]
    names = ["pipeline_id", "stage_id", "label", "display_order", "probability", "is_closed", "is_won"]
    return pd.DataFrame(rows, columns=names)


def _owner_events(
    deals: pd.DataFrame, path: Path, owners: Owners, first: np.ndarray, second: np.ndarray
) -> pd.DataFrame:
    """Who a deal belonged to from when: a second owner takes over when it first moves."""
    ids = owners.table["owner_id"].to_numpy()
    begun = pd.DataFrame(
        {"deal_id": deals["deal_id"], "changed_at": deals["created_at"], "owner_id": ids[first]}
    )
    handed = first != second
    taken = pd.DataFrame(
        {"deal_id": deals["deal_id"], "changed_at": path.first_move, "owner_id": ids[second]}
    )[handed]
    return pd.concat([begun, taken], ignore_index=True)


def _with_state(deals: pd.DataFrame, sales: Sales, reasons: pd.DataFrame) -> pd.DataFrame:
    """`deals` with what their newest events say of them."""
    stages = sales.stages.set_index("stage_id")[["is_closed", "is_won"]]
    told = deals.reset_index(drop=True)
    for events, time in (
        (sales.stage_events.rename(columns={"entered_at": "moved_at"}), "moved_at"),
        (sales.amount_events.rename(columns={"changed_at": "estimated_at"}), "estimated_at"),
        (sales.owner_events.rename(columns={"changed_at": "handed_at"}), "handed_at"),
    ):
        told = told.merge(_newest(events, time), how="left", on="deal_id")
    told = told.merge(stages, how="left", on="stage_id").merge(reasons, how="left", on="deal_id")
    told[["is_closed", "is_won"]] = told[["is_closed", "is_won"]].astype(bool)
    told["closed_at"] = told["moved_at"].where(told["is_closed"])
    told["lost_reason"] = told["lost_reason"].where(told["is_closed"] & ~told["is_won"], None)
    told["won_reason"] = told["won_reason"].where(told["is_won"], None)
    moments = ["moved_at", "estimated_at", "handed_at"]
    told["updated_at"] = told[moments].max(axis=1)
    return told[[*deals.columns, *_STATE]]


def _newest(events: pd.DataFrame, time: str) -> pd.DataFrame:
    ordered = events.sort_values(time, kind="stable")
    return ordered.drop_duplicates("deal_id", keep="last")


def _picked(words: tuple[str, ...], weights: tuple[float, ...], draw: np.ndarray) -> np.ndarray:
    return np.array(words)[np.searchsorted(np.cumsum(weights)[:-1], draw, side="right")]


def _ids(kind: int, seed: int, number: np.ndarray) -> np.ndarray:
    base = kind * 10**11 + (seed % 10_000) * 10**7
    return (base + number).astype(str).astype(object)
