"""Many deals with histories at once, for measuring: no truth behind them, but the shape of the real thing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.sandbox.hubspot_feed import (
    COMPANY_TO_DEAL,
    CONTACT_TO_DEAL,
    DEAL_TO_COMPANY,
    DEAL_TO_CONTACT,
    Record,
    iso,
)
from include.simulator.sales_people import make_owners
from include.simulator.sales_truth import PIPELINES, Pipeline

_DAY_MS = 86_400_000
_YEAR = 365
_CLOSED_SHARE, _WON_SHARE = 0.7, 0.3


@dataclass(frozen=True)
class Made:
    """Records and their associations, with the pipelines and owners they name."""

    records: list[Record]
    links: list[tuple[str, int, str, int, int]]
    pipelines: tuple[Pipeline, ...]
    owners: list[tuple[str, str, str, str, str, str, bool]]


def many_deals(count: int, seed: int, now_ms: int) -> Made:
    """`count` deals of the last year, each with a contact, every second with a company."""
    draw = np.random.default_rng(seed)
    owners = make_owners(seed).table
    owner_ids = owners["owner_id"].tolist()
    created = now_ms - _DAY_MS - (draw.random(count) * _YEAR * _DAY_MS).astype(np.int64)
    pipeline = draw.integers(0, len(PIPELINES), count)
    closed, won = draw.random(count) < _CLOSED_SHARE, draw.random(count) < _WON_SHARE
    reached, steps = draw.random(count), draw.random((count, 7))
    amount, owner = draw.lognormal(7.5, 0.6, count), draw.integers(0, len(owner_ids), count)
    records: list[Record] = []
    links: list[tuple[str, int, str, int, int]] = []
    for n in range(count):
        of = PIPELINES[pipeline[n]]
        begun = int(created[n])
        deal, contact, company = 10**9 + n, 2 * 10**9 + n, 3 * 10**9 + n // 2
        last = len(of.open_stages) - 1 if won[n] else int(reached[n] * len(of.open_stages))
        times = begun + np.concatenate([[0], np.cumsum(np.maximum(1.0, steps[n] * 20 * _DAY_MS))]).astype(int)
        changes = [
            (min(int(times[i]), now_ms - 1), "dealstage", of.open_stages[i].stage_id) for i in range(last + 1)
        ]
        changes += [(begun, "amount", f"{amount[n]:.2f}"), (begun, "hubspot_owner_id", owner_ids[owner[n]])]
        end = int(times[last + 1])
        if closed[n] and end < now_ms:
            stage = of.won if won[n] else of.lost
            changes += [
                (end, "dealstage", stage.stage_id),
                (end, "closedate", iso(end)),
                (end, "hs_is_closed", "true"),
                (end, "hs_is_closed_won", "true" if won[n] else "false"),
                (end, "closed_won_reason" if won[n] else "closed_lost_reason", "price"),
            ]
        changes = [change for change in changes if change[0] < now_ms]
        records.append(
            Record(
                "deals",
                deal,
                begun,
                {
                    "dealname": f"Deal {n}",
                    "pipeline": of.pipeline_id,
                    "deal_currency_code": "USD",
                    "dealtype": "newbusiness",
                },
                sorted(changes, key=lambda change: change[0]),
            )
        )
        records.append(
            Record(
                "contacts",
                contact,
                begun,
                {
                    "email": f"person{n}@mail.example",
                    "phone": f"+1 555 {1_000_000 + n % 9_000_000}",
                    "firstname": "Ada",
                    "lastname": "Berg",
                },
            )
        )
        links += [
            ("deals", deal, "contacts", contact, DEAL_TO_CONTACT),
            ("contacts", contact, "deals", deal, CONTACT_TO_DEAL),
        ]
        if n % 2 == 0:
            records.append(
                Record("companies", company, begun, {"name": f"Company {n}", "domain": f"c{n}.example"})
            )
            links += [
                ("deals", deal, "companies", company, DEAL_TO_COMPANY),
                ("companies", company, "deals", deal, COMPANY_TO_DEAL),
            ]
    told = owners[["owner_id", "user_id", "email", "first_name", "last_name", "team", "archived"]]
    return Made(records, links, PIPELINES, list(told.itertuples(index=False, name=None)))
