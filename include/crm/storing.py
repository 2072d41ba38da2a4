"""Reads deals by their ids, whole, and stores them: one transaction for rows, links and progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import Connection, Engine

from include.config.crm import CrmThresholds
from include.crm.client import HubSpotClient, Object
from include.crm.errors import CrmDirectoryUnread
from include.crm.rows import DealRows, KeptProperties, deal_rows
from include.db import crm, crm_checks, crm_sync

# Kinds of object that deals are associated with: HubSpot's word, and ours.
LINKED = {"contacts": "contact", "companies": "company"}

WithinTransaction = Callable[[Connection], object]


@dataclass
class Stored:
    """What was stored of deals.

    Attributes:
        read: deals that were read; `inserted` were new, `changed` differed from what was stored.
        gone: deals that HubSpot has no more, and that were live here.
    """

    read: int = 0
    inserted: int = 0
    changed: int = 0
    gone: int = 0

    def add(self, other: Stored) -> None:
        """Count another's too."""
        self.read += other.read
        self.inserted += other.inserted
        self.changed += other.changed
        self.gone += other.gone


@dataclass
class DealStore:
    """Where deals go.

    Attributes:
        engine: the `nightshift` database.
        client: an open client.
        settings: pages and limits.
    """

    engine: Engine
    client: HubSpotClient
    settings: CrmThresholds
    total: Stored = field(default_factory=Stored)

    @cached_property
    def kept(self) -> KeptProperties:
        """Which properties are kept, by the catalogue as it is stored."""
        types = crm_sync.catalogue(self.engine, "deals")
        if not types:
            raise CrmDirectoryUnread(
                "pipelines and properties were not read yet, and deals cannot be read without them: run task "
                "read_directory of hubspot_etl first"
            )
        return KeptProperties.of_catalogue(types, self.settings.text_properties, self.settings.reason_chars)

    @cached_property
    def _stages(self) -> dict[str, tuple[bool, bool]]:
        return crm_checks.stage_flags(self.engine)

    def read_and_store(self, ids: Sequence[str], also: WithinTransaction | None = None) -> Stored:
        """Read deals anew and store them; those that are archived or gone are marked.

        Args:
            ids: any number of them; memory holds all.
            also: what else belongs into the transaction.
        """
        objects = self._read(ids, archived=False)
        missing = sorted(set(ids) - {str(each["id"]) for each in objects})
        # The search index still knows deals that were archived or merged a moment ago.
        archived = self._read(missing, archived=True) if missing else []
        gone = sorted(set(missing) - {str(each["id"]) for each in archived})
        return self.store(objects, also, archived=archived, gone=gone)

    def store(
        self,
        objects: Sequence[Object],
        also: WithinTransaction | None = None,
        *,
        archived: Sequence[Object] = (),
        gone: Sequence[str] = (),
    ) -> Stored:
        """Store deals that were read with their histories.

        Args:
            objects: live deals; what they are associated with is read here.
            archived: archived ones, which HubSpot no longer tells associations of.
            gone: ids that HubSpot does not know.
        """
        live = deal_rows(objects, self.kept, self._stages)
        # Of a deal that came both ways, the live one is the later word.
        known = set(live.ids)
        past = deal_rows(
            ({**each, "archived": True} for each in archived if str(each["id"]) not in known),
            self.kept,
            self._stages,
        )
        links = self.links(live.ids)
        with self.engine.begin() as connection:
            done = _write(connection, live)
            done.add(_write(connection, past))
            crm.replace_associations(connection, links)
            done.gone = crm.mark_archived(connection, "deal", gone) if gone else 0
            if also is not None:
                also(connection)
        self.total.add(done)
        return done

    def links(self, deal_ids: Sequence[str]) -> dict[str, dict[str, set[tuple[str, str]]]]:
        """What deals are associated with: kind of object -> deal -> `{(id, type of association)}`."""
        return {
            ours: self.client.associations(theirs, deal_ids) for theirs, ours in LINKED.items() if deal_ids
        }

    def _read(self, ids: Sequence[str], *, archived: bool) -> list[Object]:
        return self.client.read(
            "deals", ids, properties=self.kept.asked_for, histories=True, archived=archived
        )


def _write(connection: Connection, rows: DealRows) -> Stored:
    merged = crm.upsert_deals(connection, rows.deals)
    crm.upsert_stage_events(connection, rows.stage_events)
    crm.upsert_property_events(connection, rows.property_events)
    crm.replace_quarantine(connection, rows.ids, rows.quarantine)
    crm.note_merges(connection, rows.merges)
    return Stored(merged.rows, merged.inserted, merged.changed)
