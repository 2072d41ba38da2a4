"""Reads contacts and companies of deals: ids, keyed HMACs, and how a contact came.

Only those that deals are associated with are read: a portal holds many times more people than buyers. A walk
over all of them goes by the ids that deals told; changes come from HubSpot's search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from include.config.crm import CrmThresholds
from include.crm.client import HubSpotClient, Object
from include.crm.people import PeopleKey
from include.crm.rows import COMPANY_PROPERTIES, CONTACT_PROPERTIES, company_row, contact_row
from include.crm.walks import Mode, Walk, begin, newest_change, next_page
from include.db import crm, crm_checks, crm_sync
from include.db.merging import Merged

_WITH_DEALS = ({"propertyName": "num_associated_deals", "operator": "GT", "value": "0"},)


@dataclass(frozen=True)
class Kind:
    """Contacts, or companies.

    Attributes:
        stream: HubSpot's word, and the name of the stream.
        table: ours.
    """

    stream: str
    table: str
    properties: Sequence[str]
    row: Callable[[Object, PeopleKey], dict[str, Any]]
    upsert: Callable[[Connection, Any], Merged]


CONTACTS = Kind("contacts", "contact", CONTACT_PROPERTIES, contact_row, crm.upsert_contacts)
COMPANIES = Kind("companies", "company", COMPANY_PROPERTIES, company_row, crm.upsert_companies)


def load_linked(
    engine: Engine,
    client: HubSpotClient,
    key: PeopleKey,
    settings: CrmThresholds,
    kind: Kind,
    *,
    mode: Mode = "incremental",
    since: datetime | None = None,
) -> dict[str, Any]:
    """Read contacts or companies of deals; call it after `load_deals`, which tells whose they are.

    Args:
        mode: as of `load_deals`; `full` and `reconcile` both read everybody anew.
        since: read changes from then on, whatever is stored.

    Returns:
        Counts, and raises, as `load_deals`.
    """
    with crm_sync.alone(engine, kind.stream) as ours:
        if not ours:
            return {"busy": True}
        walker = _Walker(engine, client, key, settings, kind)
        before = client.calls
        state = crm_sync.sync_state(engine, kind.stream)
        resumed = Walk.from_json(state.progress) if state.progress else None
        if resumed is not None:
            walker.follow(resumed)
        if resumed is None or mode == "incremental" or since is not None or resumed.mode != mode:
            cursor_at = crm_sync.sync_state(engine, kind.stream).cursor_at
            walker.follow(begin(mode, cursor_at, since, settings.search_lag_minutes))
        walker.read_missing()
        return {**walker.counts, "requests": client.calls - before}


class _Walker:
    def __init__(
        self, engine: Engine, client: HubSpotClient, key: PeopleKey, settings: CrmThresholds, kind: Kind
    ) -> None:
        self._engine = engine
        self._client = client
        self._key = key
        self._settings = settings
        self._kind = kind
        self.counts = {"read": 0, "inserted": 0, "changed": 0, "gone": 0}

    def follow(self, walk: Walk) -> None:
        """Follow a walk to its end."""
        if walk.position is None:
            everybody = walk.since is None
            walk, few = newest_change(
                self._client,
                self._kind.stream,
                walk,
                1 if everybody else self._settings.search_page,
                _WITH_DEALS,
                self._kind.properties,
            )
            if few is not None and not everybody:
                with self._engine.begin() as connection:
                    self._count(self._upsert(connection, few))
                self._end(walk)
                return
        if walk.since is None:
            self._read_all(walk)
        else:
            self._read_changes(walk)
        self._end(walk)

    def read_missing(self) -> None:
        """Read those that deals are associated with and that no walk has met."""
        while ids := crm_checks.associated_but_missing(
            self._engine, self._kind.table, self._settings.deals_per_step
        ):
            self._read(ids)

    def _read_all(self, walk: Walk) -> None:
        while ids := crm_checks.associated_after(
            self._engine, self._kind.table, walk.position or "", self._settings.deals_per_step
        ):
            walk = walk.at(ids[-1])
            self._read(ids, walk)

    def _read_changes(self, walk: Walk) -> None:
        kind = self._kind
        while True:
            found, position = next_page(
                self._client, kind.stream, walk, kind.properties, self._settings.search_page, _WITH_DEALS
            )
            walk = walk.at(position)
            with self._engine.begin() as connection:
                self._count(self._upsert(connection, found))
                if position is not None:
                    crm_sync.save_progress(connection, kind.stream, walk.to_json())
            if position is None:
                return

    def _read(self, ids: Sequence[str], walk: Walk | None = None) -> None:
        """Read these by their ids; those that are gone are marked, and no deal is theirs."""
        found = self._client.read(self._kind.stream, ids, properties=self._kind.properties)
        gone = sorted(set(ids) - {str(each["id"]) for each in found})
        with self._engine.begin() as connection:
            self._count(self._upsert(connection, found))
            self.counts["gone"] += crm.mark_archived(connection, self._kind.table, gone)
            crm_checks.forget_associations(connection, self._kind.table, gone)
            if walk is not None:
                crm_sync.save_progress(connection, self._kind.stream, walk.to_json())

    def _end(self, walk: Walk) -> None:
        with self._engine.begin() as connection:
            crm_sync.end_walk(connection, self._kind.stream, walk.newest if walk.moves_cursor else None)

    def _upsert(self, connection: Connection, objects: Sequence[Object]) -> Merged:
        rows = {str(each["id"]): self._kind.row(each, self._key) for each in objects}
        return self._kind.upsert(connection, rows.values())

    def _count(self, merged: Merged) -> None:
        self.counts["read"] += merged.rows
        self.counts["inserted"] += merged.inserted
        self.counts["changed"] += merged.changed
