"""Says in one sentence what the loads of a run did, and which of it a person should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from include.db.insight_loads import unallocated_shares
from include.meta_ads.loading import SHOWN

_ADDED = ("accounts", "rows", "inserted", "changed", "mismatches", "exceeding", "strays")


def report_of_run(
    engine: Engine, run_key: str, windows: Sequence[dict[str, str]], loads: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """`summarise`, with the share of the spend that stands in no cell, as `ads.insight_load` has it."""
    return summarise(windows, loads, unallocated_shares(engine, run_key))


def summarise(
    windows: Sequence[dict[str, str]],
    loads: Sequence[dict[str, Any]],
    unallocated: Mapping[str, Decimal | float] | None = None,
) -> dict[str, Any]:
    """Add up the `counts` of several loads and say what was done.

    Args:
        windows: as `window_to_fetch` or `slices_to_fetch` gave them, newest first; not empty.
        loads: one entry per load; none where no account is fed by an API.
        unallocated: share of the spend that is in no cell, per breakdown.
    """
    window = {**windows[0], "since": windows[-1]["since"]}
    total = {name: sum(load[name] for load in loads) for name in _ADDED}
    # Each slice of a backfill loads every account.
    total["accounts"] //= len(windows)
    attribution: Counter[str] = Counter()
    for load in loads:
        attribution.update(load["attribution"])
    shares = {name: round(float(share), 4) for name, share in (unallocated or {}).items() if share > 0}
    shown = [sentence for load in loads for sentence in load["mismatches_shown"]][:SHOWN]
    span = f"{window['since']} to {window['until']}"
    if not loads:
        summary = f"no account is fed by an API: nothing to fetch for {span}"
    else:
        told = [
            f"{total['rows']:,} ad-days of {total['accounts']} accounts, {span}: {total['inserted']:,} new, "
            f"{total['changed']:,} restated"
        ]
        told += _warnings(window, total, attribution, shares, shown)
        summary = "; ".join(told)
    return {
        **window,
        **total,
        "attribution": dict(attribution),
        "unallocated": shares,
        "mismatches_shown": shown,
        "summary": summary,
    }


def add_counts(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The `counts` of two loads of the same window by the same task, as those of one."""
    total: dict[str, Any] = {name: first[name] + second[name] for name in _ADDED}
    attribution = Counter(first["attribution"]) + Counter(second["attribution"])
    shown = [*first["mismatches_shown"], *second["mismatches_shown"]][:SHOWN]
    return {**total, "attribution": dict(attribution), "mismatches_shown": shown}


def _warnings(
    window: Mapping[str, str],
    total: Mapping[str, int],
    attribution: Mapping[str, int],
    shares: Mapping[str, float],
    shown: Sequence[str],
) -> list[str]:
    told = []
    if "missed_since" in window:
        told.append(
            f"still missing: {window['missed_since']} to {window['missed_until']}, run them by hand with "
            f"param since = {window['missed_since']}"
        )
    if shares:
        worst = max(shares, key=lambda name: shares[name])
        told.append(f"{shares[worst]:.1%} of the spend is in no cell by {worst}")
    if shown:
        told.append(f"{total['mismatches']} breakdowns do not add up, the first: {shown[0]}")
    if total["exceeding"]:
        told.append(f"{total['exceeding']} breakdowns tell more than their total and are kept as they came")
    if len(attribution) > 1 or "mixed" in attribution:
        named = ", ".join(sorted(attribution))
        told.append(
            f"ads run with different attribution settings ({named}): compare their purchases with care"
        )
    return told
