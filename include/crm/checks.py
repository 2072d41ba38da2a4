"""Holds what is stored against HubSpot after every run: counts per pipeline, and histories against stages.

Where the counts of a pipeline differ, ranges of ids are halved until the few deals that make the difference
are found, so that one missing deal among a hundred thousand costs some ten searches. What differs is read
again. What still differs then is said: in the log, and in the run's report.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from typing import Any

from sqlalchemy import Engine

from include.config.crm import CrmThresholds
from include.crm.client import HubSpotClient
from include.crm.deals import STREAM as DEALS
from include.crm.storing import DealStore
from include.crm.walks import Walk, next_page
from include.db import crm, crm_checks, crm_sync

# Above every id HubSpot gives.
_LAST_ID = 2**53

_log = logging.getLogger(__name__)


def check_deals(engine: Engine, client: HubSpotClient, settings: CrmThresholds) -> dict[str, Any]:
    """Compare, read again, compare again.

    While another run reads deals nothing is done: what is read here could undo its newer rows.

    Returns:
        `deals`: live deals stored; `refetched`: deals read again; `behind`: deals that HubSpot's search index
        does not show yet as they are; `warnings`: a sentence for each difference that stayed; `quarantined`:
        values in quarantine, and `quarantined_shown`, the first of them; `busy` where another run is at work,
        and nothing was done.
    """
    with crm_sync.alone(engine, DEALS) as ours:
        return _check(engine, client, settings) if ours else {"busy": True}


def _check(engine: Engine, client: HubSpotClient, settings: CrmThresholds) -> dict[str, Any]:
    store = DealStore(engine, client, settings)
    before = client.calls
    with engine.begin() as connection:
        crm.note_merges(connection, crm.merges_told(connection))
    warnings, behind = _check_counts(store)
    warnings += _check_stages(store)
    for warning in warnings:
        _log.warning("%s", warning)
    total, shown = crm_checks.quarantined(engine, settings.notes_shown)
    return {
        "deals": sum(crm_checks.deals_by_pipeline(engine).values()),
        "refetched": store.total.read,
        "behind": behind,
        "warnings": warnings,
        "quarantined": total,
        "quarantined_shown": [
            f"{row['property']} of deal {row['deal_id']}: {row['reason']}" for row in shown
        ],
        "requests": client.calls - before,
    }


def _check_counts(store: DealStore) -> tuple[list[str], int]:
    """A sentence for each pipeline whose number of deals is not HubSpot's after reading again, and how many
    deals the search index is behind with."""
    engine, settings = store.engine, store.settings
    if crm_sync.sync_state(engine, DEALS).cursor_at is None:
        # A part was read, or the first walk is not at its end: counts cannot agree yet.
        return [], 0
    stored = crm_checks.deals_by_pipeline(engine)
    suspects: dict[str, list[str]] = {}
    for pipeline_id in sorted({*crm_checks.current_pipelines(engine), *stored}):
        told = _Pipeline(store, pipeline_id)
        if told.total() != stored.get(pipeline_id, 0):
            suspects[pipeline_id] = told.differing(settings.refetched_at_most)
    if not suspects:
        return [], 0
    wanted = sorted({deal_id for ids in suspects.values() for deal_id in ids})
    for begin in range(0, len(wanted), settings.deals_per_step):
        store.read_and_store(wanted[begin : begin + settings.deals_per_step])
    after = crm_checks.deals_by_pipeline(engine)
    warnings, behind = [], 0
    for pipeline_id, ids in suspects.items():
        total, ours = _Pipeline(store, pipeline_id).total(), after.get(pipeline_id, 0)
        unsettled = crm_checks.young_or_gone(engine, ids, settings.search_lag_minutes)
        if abs(total - ours) <= unsettled:
            behind += abs(total - ours)
        else:
            warnings.append(
                f"pipeline {pipeline_id}: HubSpot's search counts {total:,} deals, {ours:,} are stored, "
                f"after {len(ids):,} were read again; run once with mode reconcile"
            )
    return warnings, behind


class _Pipeline:
    """The deals of one pipeline as HubSpot's search has them, and as they are stored."""

    def __init__(self, store: DealStore, pipeline_id: str) -> None:
        self._store = store
        self._id = pipeline_id
        self._filters = [{"propertyName": "pipeline", "operator": "EQ", "value": pipeline_id}]
        self._stored: list[int] = []
        self._left = 0

    def total(self, begin: int = 0, end: int | None = None) -> int:
        """Deals that HubSpot counts, with ids above `begin` and up to `end`."""
        filters = self._within(begin, end)
        total, _ = self._store.client.search("deals", filters, limit=1)
        return total

    def differing(self, most: int) -> list[str]:
        """Ids of deals that are on one side alone, `most` of them or a few more.

        Ranges whose counts agree are taken to have the same deals.
        """
        self._stored = sorted(map(int, crm_checks.deals_of_pipeline(self._store.engine, self._id)))
        self._left = most
        return list(map(str, sorted(self._narrowed(0, _LAST_ID))))

    def _narrowed(self, begin: int, end: int) -> set[int]:
        page = self._store.settings.search_page
        first, last = (bisect_right(self._stored, edge) for edge in (begin, end))
        total = self.total(begin, end)
        if self._left <= 0 or total == last - first:
            return set()
        # With few of ours in the range there is nothing to halve by, and a list tells as fast.
        if total <= page or last - first <= page:
            found = self._listed(begin, end) ^ set(self._stored[first:last])
            self._left -= len(found)
            return found
        middle = self._stored[(first + last - 1) // 2]
        return self._narrowed(begin, middle) | self._narrowed(middle, end)

    def _listed(self, begin: int, end: int) -> set[int]:
        walk = Walk("full", position=str(begin))
        found: set[int] = set()
        while len(found) <= self._left + self._store.settings.search_page:
            told, position = next_page(
                self._store.client,
                "deals",
                walk,
                (),
                self._store.settings.search_page,
                self._within(None, end),
            )
            found |= {int(each["id"]) for each in told}
            if position is None:
                return found
            walk = walk.at(position)
        return found

    def _within(self, begin: int | None, end: int | None) -> list[dict[str, str]]:
        filters = list(self._filters)
        for operator, edge in (("GT", begin), ("LTE", end)):
            if edge:
                filters.append({"propertyName": "hs_object_id", "operator": operator, "value": str(edge)})
        return filters


def _check_stages(store: DealStore) -> list[str]:
    """A sentence where the last stage of a history is not the deal's stage, after reading again."""
    most = store.settings.refetched_at_most
    differing = crm_checks.stage_disagreements(store.engine, most)
    if not differing:
        return []
    for begin in range(0, len(differing), store.settings.deals_per_step):
        store.read_and_store(differing[begin : begin + store.settings.deals_per_step])
    left = crm_checks.stage_disagreements(store.engine, most)
    if not left:
        return []
    shown = ", ".join(left[: store.settings.notes_shown])
    return [
        f"the last stage in the history of {len(left):,} deals is not their stage, "
        f"as HubSpot itself tells it: {shown}"
    ]
