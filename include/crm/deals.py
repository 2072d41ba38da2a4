"""Reads deals with their histories and links: what changed, everything, or what differs from what is stored.

Each step of a walk is one transaction that holds the rows and how far the walk has come, so a run that is
stopped goes on where it stopped. The lists of deals come from HubSpot's store; only changes come from its
search index, which lags.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine

from include.config.crm import CrmThresholds
from include.crm.client import HubSpotClient, Object
from include.crm.rows import DEAL_PROPERTIES, deal_rows
from include.crm.storing import DealStore
from include.crm.walks import Mode, Walk, begin, newest_change, next_page
from include.db import crm, crm_checks, crm_sync

STREAM = "deals"
ARCHIVED_STREAM = "archived_deals"
# Position of a comparison that has met every deal, and has yet to settle what it has not met.
_END = "end"
# Columns by which a stored deal is held against what a list tells of it, besides `properties`.
_COMPARED = (
    "pipeline_id", "stage_id", "owner_id", "amount", "currency", "deal_type", "created_at", "closed_at",
    "is_closed", "is_won", "lost_reason", "won_reason", "archived", "updated_at",
)  # fmt: skip

_log = logging.getLogger(__name__)


def load_deals(
    engine: Engine,
    client: HubSpotClient,
    settings: CrmThresholds,
    *,
    mode: Mode = "incremental",
    since: datetime | None = None,
) -> dict[str, Any]:
    """Read deals as `mode` says, after finishing what an earlier run was stopped in.

    Args:
        engine: the `nightshift` database, with pipelines and properties stored by `load_directory`.
        client: an open client.
        settings: pages and limits.
        mode: `incremental`, since the last run; `full`, everything anew; `reconcile`, compare everything and
            read what differs.
        since: read changes from then on, whatever is stored.

    Returns:
        Counts: `read`, `inserted`, `changed`, `gone`, `differences` (found by a comparison), `resumed`,
        `requests`; `busy` where another run is at work, and nothing was done.

    Raises:
        CrmTokenRefused, CrmRequestRefused, CrmDailyLimit: at once.
        CrmBusy, CrmUnreachable: it did not work out within the attempts. What was read is stored in any case.
    """
    with crm_sync.alone(engine, STREAM) as ours:
        if not ours:
            return {"busy": True, "mode": mode}
        walker = _DealWalker(DealStore(engine, client, settings))
        before = client.calls
        state = crm_sync.sync_state(engine, STREAM)
        resumed = Walk.from_json(state.progress) if state.progress else None
        if resumed is not None:
            _log.info("going on with a %s run that was stopped", resumed.mode)
            walker.follow(resumed)
        if resumed is None or mode == "incremental" or since is not None or resumed.mode != mode:
            cursor_at = crm_sync.sync_state(engine, STREAM).cursor_at
            walker.follow(begin(mode, cursor_at, since, settings.search_lag_minutes))
        return {
            **walker.counts(),
            "mode": mode,
            "resumed": resumed is not None,
            "requests": client.calls - before,
        }


def load_archived_deals(engine: Engine, client: HubSpotClient, settings: CrmThresholds) -> dict[str, Any]:
    """Read the deals HubSpot keeps as archived (90 days), and mark them.

    Returns:
        Counts and raises as `load_deals`.
    """
    with crm_sync.alone(engine, STREAM) as ours:
        if not ours:
            return {"busy": True}
        store = DealStore(engine, client, settings)
        before = client.calls
        progress = crm_sync.sync_state(engine, ARCHIVED_STREAM).progress or {}
        position: str | None = progress.get("position")
        listing = _Listing(store, archived=True)
        while True:
            objects, position = listing.step(position)
            _store_archived(store, objects, position)
            if position is None:
                return {
                    "read": store.total.read,
                    "inserted": store.total.inserted,
                    "changed": store.total.changed,
                    "requests": client.calls - before,
                }


def _store_archived(store: DealStore, objects: Sequence[Object], position: str | None) -> None:
    progress = None if position is None else {"position": position}
    store.store((), lambda c: crm_sync.save_progress(c, ARCHIVED_STREAM, progress), archived=objects)


@dataclass(frozen=True)
class _Listing:
    """Steps through the list of deals."""

    store: DealStore
    archived: bool = False

    def step(self, position: str | None) -> tuple[list[Object], str | None]:
        """Deals for one transaction, whole, and where the next begin."""
        client, kept = self.store.client, self.store.kept
        whole = client.fits_address(kept.asked_for)
        objects: list[Object] = []
        while True:
            found, position = client.list_deals(
                position,
                properties=kept.asked_for if whole else ["hs_object_id"],
                histories=whole,
                archived=self.archived,
            )
            if not whole:
                ids = [str(each["id"]) for each in found]
                found = client.read(
                    "deals", ids, properties=kept.asked_for, histories=True, archived=self.archived
                )
            objects += found
            if position is None or len(objects) >= self.store.settings.deals_per_step:
                return objects, position


class _DealWalker:
    def __init__(self, store: DealStore) -> None:
        self._store = store
        self._client = store.client
        self._settings = store.settings
        self._differences = 0

    def counts(self) -> dict[str, Any]:
        """What all walks did."""
        total = self._store.total
        return {
            "read": total.read,
            "inserted": total.inserted,
            "changed": total.changed,
            "gone": total.gone,
            "differences": self._differences,
        }

    def follow(self, walk: Walk) -> None:
        """Follow a walk to its end."""
        if walk.mode == "reconcile":
            self._compare_all(walk)
        elif walk.since is None:
            self._list_all(walk)
        else:
            self._follow_changes(walk)

    def _list_all(self, walk: Walk) -> None:
        if walk.position is None:
            walk, _ = newest_change(self._client, "deals", walk, 1)
        listing = _Listing(self._store)
        while True:
            objects, position = listing.step(walk.position)
            walk = walk.at(position)
            self._store.store(objects, partial(self._save, walk))
            if position is None:
                return

    def _follow_changes(self, walk: Walk) -> None:
        page = self._settings.search_page
        if walk.position is None:
            walk, few = newest_change(self._client, "deals", walk, page)
            if few is not None:
                self._read_changes(few, walk)
                return
        while True:
            objects: list[Object] = []
            position = walk.position
            while True:
                found, position = next_page(
                    self._client, "deals", walk.at(position), ["hs_lastmodifieddate"], page
                )
                objects += found
                if position is None or len(objects) >= self._settings.deals_per_step:
                    break
            walk = walk.at(position)
            self._read_changes(objects, walk)
            if position is None:
                return

    def _read_changes(self, objects: Sequence[Object], walk: Walk) -> None:
        ids = [str(each["id"]) for each in objects]
        if walk.passes_known:
            told = {
                row["deal_id"]: row["updated_at"] for row in deal_rows(objects, self._store.kept, {}).deals
            }
            with self._store.engine.connect() as connection:
                stored = crm_checks.stored_facts(connection, ["updated_at"], ids)
            ids = [each for each in ids if told[each] is None or stored.get(each) != (told[each],)]
        self._store.read_and_store(ids, partial(self._save, walk))

    def _compare_all(self, walk: Walk) -> None:
        if walk.position is None:
            with self._store.engine.begin() as connection:
                crm_sync.forget_seen(connection, STREAM)
        kept = self._store.kept.asked_for
        whole = self._client.fits_address(kept)
        while walk.position != _END:
            objects: list[Object] = []
            position = walk.position
            while True:
                found, position = self._client.list_deals(
                    position, properties=kept if whole else DEAL_PROPERTIES, histories=False
                )
                objects += found
                if position is None or len(objects) >= self._settings.deals_per_step:
                    break
            walk = walk.at(position or _END)
            self._compare(objects, walk, (*_COMPARED, "properties") if whole else _COMPARED)
        # What the whole list did not have: archived, merged, gone, or made while it was read.
        while unseen := crm_checks.live_and_unseen(self._store.engine, STREAM, self._settings.deals_per_step):
            self._differences += len(unseen)
            self._store.read_and_store(unseen, partial(crm_sync.note_seen, STREAM, unseen))
        with self._store.engine.begin() as connection:
            crm_sync.end_walk(connection, STREAM, None)

    def _compare(self, objects: Sequence[Object], walk: Walk, columns: Sequence[str]) -> None:
        told = deal_rows(objects, self._store.kept, crm_checks.stage_flags(self._store.engine))
        with self._store.engine.connect() as connection:
            stored = crm_checks.stored_facts(connection, columns, told.ids)
        differing = [
            row["deal_id"]
            for row in told.deals
            if stored.get(row["deal_id"]) != tuple(row[column] for column in columns)
        ]
        self._differences += len(differing)
        # HubSpot does not call a deal modified when what it is associated with changes.
        links = self._store.links([each for each in told.ids if each not in set(differing)])

        def remember(connection: Connection) -> None:
            crm.replace_associations(connection, links)
            crm_sync.note_seen(STREAM, told.ids, connection)
            crm_sync.save_progress(connection, STREAM, walk.to_json())

        self._store.read_and_store(differing, remember)

    def _save(self, walk: Walk, connection: Connection) -> None:
        """Within a step's transaction: how far the walk is, or that it is done."""
        if walk.position is not None:
            crm_sync.save_progress(connection, STREAM, walk.to_json())
        else:
            crm_sync.end_walk(connection, STREAM, walk.newest if walk.moves_cursor else None)
