"""Olist's real funnel: which leads are won, by origin, and how fast; told at a date, judged on leads
after it.
 8,000 leads of a marketplace (June 2017 to May 2018), of which 842 were won. Nobody wrote down who was
lost, so a lead that is not won yet may still be. Wins were written down from December 2017 on only:
earlier leads are watched from then, not from their first day. What was won per lead changed much over
the months, so only what happened in the newest 60 days counts, of leads of every age (a period table, as
life expectancy is told); this was chosen after seeing that all months together told too little. Told is
each origin's share that is won within 90 days of the first contact.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ml.features.survival import kaplan_meier
from tests.benchmarks.reporting import print_table

# Told on a day, for the leads of the two months that follow.
CUTS = ("2018-02-01", "2018-03-01", "2018-04-01")
AHEAD_DAYS = 60
WITHIN_DAYS = 90
PSEUDO_LEADS = 100.0
LEAST_LEADS = 50
PERIOD_DAYS = 60
RECORDED_SINCE = pd.Timestamp("2017-12-01")


def read_leads(folder: Path) -> pd.DataFrame:
    """Leads: origin, came, won (NaT where not), days. The few won before they came are left out."""
    leads = pd.read_csv(folder / "olist_marketing_qualified_leads_dataset.csv")
    closed = pd.read_csv(folder / "olist_closed_deals_dataset.csv")[["mql_id", "won_date"]]
    table = leads.merge(closed, on="mql_id", how="left")
    table["came"] = pd.to_datetime(table["first_contact_date"])
    table["won"] = pd.to_datetime(table["won_date"])
    table["origin"] = table["origin"].fillna("unknown")
    table["days"] = (table["won"] - table["came"]) / np.timedelta64(1, "D")
    return table[~(table["days"] < 0)].reset_index(drop=True)


def measure_olist(folder: Path) -> dict[str, float]:
    """Errors of three ways to tell how many of the later leads are won within 90 days, by origin."""
    leads = read_leads(folder)
    told = pd.concat([_told(leads, pd.Timestamp(cut)) for cut in CUTS], ignore_index=True)
    enough = told[told["leads"] >= LEAST_LEADS]
    rules = ("curve", "closed_so_far", "last_month")
    figures = {}
    rows = []
    for rule in rules:
        error = (enough[rule] - enough["real"]).abs()
        wins, real = (enough[rule] * enough["leads"]).sum(), (enough["real"] * enough["leads"]).sum()
        figures[f"olist_error_pp_{rule}"] = float(100 * np.average(error, weights=enough["leads"]))
        figures[f"olist_ratio_{rule}"] = float(wins / real)
        rows.append(
            [
                rule.replace("_", " "),
                f"{figures[f'olist_error_pp_{rule}']:.2f}",
                f"{figures[f'olist_ratio_{rule}']:.2f}",
            ]
        )
    curve = kaplan_meier(*_observed(leads, leads["won"].max(), won_only=True))
    figures |= {
        "olist_leads": float(len(leads)),
        "olist_won": float(leads["won"].notna().sum()),
        "olist_cells": float(len(enough)),
        "olist_median_days_of_won": curve.median()[0],
    }
    print(  # noqa: T201
        f"\nOlist: {len(leads):,} leads, {len(enough)} cells of origin and date with "
        f"{LEAST_LEADS} leads or more"
    )
    print_table(["share won within 90 days", "error, points", "told over real"], rows)
    by_origin = leads.groupby("origin").agg(leads=("mql_id", "size"), won=("won", "count"))
    by_origin["rate"] = by_origin["won"] / by_origin["leads"]
    for origin in ("paid_search", "organic_search", "social", "email", "unknown"):
        figures[f"olist_win_rate_{origin}"] = float(by_origin.loc[origin, "rate"])
    return figures


def _told(leads: pd.DataFrame, cut: pd.Timestamp) -> pd.DataFrame:
    """Per origin: leads that came after the cut, the share won, and what each rule told of it."""
    known = leads[leads["came"] < cut]
    days, happened = _observed(known, cut)
    since = max(RECORDED_SINCE, cut - pd.Timedelta(days=PERIOD_DAYS))
    entered = np.maximum(((since - known["came"]) / np.timedelta64(1, "D")).to_numpy(), 0.0)
    watched = days > entered
    overall = _won_within(days[watched], happened[watched], entered[watched])
    closed = (known["won"] < cut).to_numpy()
    month = known["won"].between(cut - pd.Timedelta(days=30), cut)
    arrived = known["came"] >= cut - pd.Timedelta(days=30)
    later = leads[(leads["came"] >= cut) & (leads["came"] < cut + pd.Timedelta(days=AHEAD_DAYS))]
    rows = []
    for origin, rest in later.groupby("origin"):
        own = (known["origin"] == origin).to_numpy()
        count = int(own.sum())
        seen = own & watched
        share = _won_within(days[seen], happened[seen], entered[seen])
        curve = (share * count + overall * PSEUDO_LEADS) / (count + PSEUDO_LEADS)
        rows.append(
            {
                "origin": origin,
                "leads": len(rest),
                "real": float((rest["days"] <= WITHIN_DAYS).mean()),
                "curve": curve,
                # Leads that are not won yet counted as lost: what a table of closed deals says.
                "closed_so_far": float(closed[own].mean()) if count else float(closed.mean()),
                # Won last month over came last month.
                "last_month": float((month & own).sum() / max((arrived & own).sum(), 1)),
            }
        )
    return pd.DataFrame(rows)


def _observed(
    leads: pd.DataFrame, now: pd.Timestamp, won_only: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    happened = (leads["won"] < now).to_numpy() | (leads["won"] == now).to_numpy()
    end = leads["won"].where(happened, now)
    days = np.maximum(((end - leads["came"]) / np.timedelta64(1, "D")).to_numpy(dtype="float64"), 0.0)
    return (days[happened], happened[happened]) if won_only else (days, happened)


def _won_within(days: np.ndarray, happened: np.ndarray, entered: np.ndarray) -> float:
    """Share won within 90 days by Kaplan-Meier: who came lately counts for as long as they were seen."""
    if not happened.any():
        return 0.0
    curve = kaplan_meier(days, happened, entered)
    at = int(np.searchsorted(curve.days, WITHIN_DAYS, side="right")) - 1
    return float(1 - curve.share[at]) if at >= 0 else 0.0
