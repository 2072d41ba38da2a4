"""HubSpot's records in the sandbox: what reads tell, what the search index knows, and what changes them.

A record changes by `Change`s of its properties, which are kept as its history. The search index follows
`search_lag_s` virtual seconds later, as HubSpot's does. The simulated world feeds the records: what has
happened by the sandbox's clock is written, what is to come waits until the clock gets there.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.sandbox.hubspot_feed import Record, encoded, iso, links, ms, records
from include.sandbox.hubspot_properties import MODIFIED, PROPERTIES
from include.sandbox.state import SandboxState, VirtualClock
from include.simulator.config import MAX_DAYS
from include.simulator.sales import simulate_sales
from include.simulator.sales_truth import PIPELINES, Pipeline

if TYPE_CHECKING:
    from include.simulator import SimulatedWorld

# Living a world on takes a second, so it is done for a month at a time.
_STRIDE = timedelta(days=31)
_OWNER = ("owner_id", "user_id", "email", "first_name", "last_name", "team", "archived")
_INSERT = """
INSERT OR IGNORE INTO hubspot_object (type, id, properties, history, created_ms, updated_ms, found, found_ms,
                                      found_pipeline)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = "UPDATE hubspot_object SET properties = ?, history = ?, updated_ms = ? WHERE type = ? AND id = ?"
_INDEX_LATER = """
INSERT INTO hubspot_unindexed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET updated_ms = excluded.updated_ms
"""
_INDEX_DUE = """
UPDATE hubspot_object SET found = properties, found_ms = updated_ms,
       found_pipeline = json_extract(properties, '$.pipeline')
WHERE (type, id) IN (SELECT type, id FROM hubspot_unindexed WHERE updated_ms <= ?)
"""


class HubSpotStore:
    """The records, brought up to the sandbox's clock before each use.

    Args:
        world_provider: gives the simulated world that feeds the records, or None while there is none.
        search_lag_s: how far the search index is behind.
    """

    def __init__(
        self,
        state: SandboxState,
        clock: VirtualClock,
        world_provider: Callable[[], SimulatedWorld | None],
        search_lag_s: Callable[[], float],
    ) -> None:
        self.state = state
        self._clock = clock
        self._provider = world_provider
        self._search_lag_s = search_lag_s
        self._turn = threading.Lock()

    def now_ms(self) -> int:
        """The sandbox's time."""
        return int(self._clock.now() * 1000)

    def catch_up(self) -> None:
        """Let everything happen that is due."""
        with self._turn:
            world, now = self._provider(), self.now_ms()
            feed = self.state.row("SELECT * FROM hubspot_feed")
            if feed is None and not self.state.rows("SELECT 1 FROM hubspot_property LIMIT 1"):
                self._furnish()
            if world is not None and _wants_feeding(feed, world, now):
                self._feed(world, now)
            due = self.state.row("SELECT 1 FROM hubspot_pending WHERE at_ms <= ? LIMIT 1", (now,))
            lagging = now - int(1000 * self._search_lag_s())
            unindexed = self.state.row(
                "SELECT 1 FROM hubspot_unindexed WHERE updated_ms <= ? LIMIT 1", (lagging,)
            )
            if due or unindexed:
                with self.state.writing() as db:
                    _apply_pending(db, now)
                    db.execute(_INDEX_DUE, (lagging,))
                    db.execute("DELETE FROM hubspot_unindexed WHERE updated_ms <= ?", (lagging,))

    def change(self, kind: str, id_: int, values: dict[str, str | None], source: str = "CRM_UI") -> bool:
        """Set properties of a record now; whether there is such a record."""
        with self.state.writing() as db:
            return _changed(db, kind, id_, self.now_ms(), values, source)

    def touch(self, kind: str, ids: Iterable[int]) -> int:
        """Stamp records as modified at this one moment, as an edit of a pipeline does; returns how many."""
        now, count = self.now_ms(), 0
        with self.state.writing() as db:
            for id_ in ids:
                count += _changed(db, kind, id_, now, {}, "CRM_UI")
        return count

    def change_many(self, kind: str, values: dict[int, dict[str, str | None]]) -> int:
        """Set properties of several records now, in one transaction; returns how many there were."""
        now = self.now_ms()
        with self.state.writing() as db:
            return sum(_changed(db, kind, id_, now, told, "CRM_UI") for id_, told in values.items())

    def furnish(self, pipelines: Iterable[Pipeline], owners: Iterable[Sequence[Any]]) -> None:
        """Make pipelines with their stages, and owners, where they are not there yet."""
        with self.state.writing() as db:
            _write_pipelines(db, pipelines, self.now_ms())
            db.executemany("INSERT OR IGNORE INTO hubspot_owner VALUES (?, ?, ?, ?, ?, ?, ?)", owners)

    def archive(self, kind: str, ids: Iterable[int]) -> int:
        """Put records into the recycle bin; returns how many."""
        count = 0
        with self.state.writing() as db:
            for id_ in ids:
                count += db.execute(
                    "UPDATE hubspot_object SET archived_ms = ?"
                    " WHERE type = ? AND id = ? AND archived_ms IS NULL",
                    (self.now_ms(), kind, id_),
                ).rowcount
        return count

    def merge(self, kind: str, winner: int, loser: int) -> bool:
        """Merge `loser` into `winner`: it is gone, and the winner remembers its id."""
        with self.state.writing() as db:
            both = [_row(db, kind, id_) for id_ in (winner, loser)]
            if winner == loser or None in both or both[1]["merged_into"] is not None:  # type: ignore[index]
                return False
            merged = json.loads(both[0]["properties"]).get("hs_merged_object_ids")  # type: ignore[index]
            ids = ";".join([*(merged.split(";") if merged else []), str(loser)])
            _changed(db, kind, winner, self.now_ms(), {"hs_merged_object_ids": ids}, "MERGE_OBJECTS")
            db.execute(
                "UPDATE hubspot_object SET merged_into = ? WHERE type = ? AND id = ?", (winner, kind, loser)
            )
        return True

    def add(self, found: Sequence[Record], pairs: Iterable[tuple[str, int, str, int, int]]) -> None:
        """Write records as they are now; their changes to come wait."""
        now = self.now_ms()
        with self.state.writing() as db:
            _write(db, found, now)
            db.executemany("INSERT OR IGNORE INTO hubspot_association VALUES (?, ?, ?, ?, ?)", pairs)

    def _furnish(self) -> None:
        with self.state.writing() as db:
            db.executemany(
                "INSERT OR IGNORE INTO hubspot_property VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (object_type, p.name, p.type, p.field_type, p.name, encoded(p.options))
                    for object_type, kinds in PROPERTIES.items()
                    for p in kinds
                ],
            )

    def _feed(self, world: SimulatedWorld, now: int) -> None:
        feed = self.state.row("SELECT * FROM hubspot_feed")
        last = world.config.start + timedelta(days=MAX_DAYS - 1)
        until = min(last, max(world.config.until, _day(now) + _STRIDE))
        sales = simulate_sales(world.reaching(until))
        fresh = feed is None or feed["world_id"] != world.config.world_id
        with self.state.writing() as db:
            if fresh:
                for table in ("object", "unindexed", "pending", "association", "pipeline", "stage", "owner"):
                    db.execute(f"DELETE FROM hubspot_{table}")  # noqa: S608 - names from the line above
                begin = ms(datetime.combine(world.config.start, datetime.min.time(), UTC))
                _write_pipelines(db, PIPELINES, begin)
                owners = sales.owners[list(_OWNER)].itertuples(index=False, name=None)
                db.executemany("INSERT INTO hubspot_owner VALUES (?, ?, ?, ?, ?, ?, ?)", owners)
            known = {
                row["id"]
                for row in db.execute(
                    "SELECT id FROM hubspot_object WHERE type = 'deals'"
                    " UNION SELECT id FROM hubspot_pending WHERE type = 'deals'"
                )
            }
            _write(db, list(records(sales, known)), now)
            db.executemany(
                "INSERT OR IGNORE INTO hubspot_association VALUES (?, ?, ?, ?, ?)", links(sales, known)
            )
            db.execute("DELETE FROM hubspot_feed")
            db.execute("INSERT INTO hubspot_feed VALUES (?, ?)", (world.config.world_id, until.isoformat()))


def _wants_feeding(feed: sqlite3.Row | None, world: SimulatedWorld, now: int) -> bool:
    if feed is None or feed["world_id"] != world.config.world_id:
        return True
    last = world.config.start + timedelta(days=MAX_DAYS - 1)
    return bool(date.fromisoformat(feed["until"]) < min(last, max(world.config.until, _day(now))))


def _day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def _write_pipelines(db: sqlite3.Connection, pipelines: Iterable[Pipeline], at: int) -> None:
    for number, pipeline in enumerate(pipelines):
        db.execute(
            "INSERT OR IGNORE INTO hubspot_pipeline VALUES (?, ?, ?, ?, ?)",
            (pipeline.pipeline_id, pipeline.label, number, at, at),
        )
        closed = (pipeline.won, pipeline.lost)
        db.executemany(
            "INSERT OR IGNORE INTO hubspot_stage VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    pipeline.pipeline_id, stage.stage_id, stage.label, nth, str(stage.probability),
                    "true" if stage in closed else "false", at, at,
                )
                for nth, stage in enumerate(pipeline.stages)
            ],
        )  # fmt: skip


def _write(db: sqlite3.Connection, found: Iterable[Record], now: int) -> None:
    """Records that exist by now with what happened to them so far; everything later waits."""
    written: list[tuple[Any, ...]] = []
    waiting: list[tuple[Any, ...]] = []
    for record in found:
        if record.created_ms > now:
            begin = encoded({"create": record.values})
            waiting.append((record.created_ms, record.type, record.id, begin))
        else:
            written.append(_as_row(record, now))
        later = [change for change in record.changes if change[0] > now or record.created_ms > now]
        by_moment: dict[int, dict[str, str | None]] = {}
        for at, name, value in later:
            by_moment.setdefault(at, {})[name] = value
        waiting += [(at, record.type, record.id, encoded(values)) for at, values in by_moment.items()]
    db.executemany(_INSERT, written)
    db.executemany("INSERT INTO hubspot_pending VALUES (?, ?, ?, ?)", waiting)


def _as_row(record: Record, now: int) -> tuple[Any, ...]:
    values = dict(record.values)
    history: dict[str, list[list[Any]]] = {}
    updated = record.created_ms
    for at, name, value in record.changes:
        if at <= now:
            values[name] = value
            history.setdefault(name, []).append([at, value, "CRM_UI"])
            updated = max(updated, at)
    values |= _stamps(record.type, record.id, record.created_ms, updated)
    told = encoded(values)
    return (
        record.type, record.id, told, encoded(history), record.created_ms, updated, told, updated,
        values.get("pipeline"),
    )  # fmt: skip


def _stamps(kind: str, id_: int, created_ms: int, updated_ms: int) -> dict[str, str]:
    return {"hs_object_id": str(id_), "createdate": iso(created_ms), MODIFIED[kind]: iso(updated_ms)}


def _apply_pending(db: sqlite3.Connection, now: int) -> None:
    due = db.execute(
        "SELECT rowid, * FROM hubspot_pending WHERE at_ms <= ? ORDER BY at_ms, rowid", (now,)
    ).fetchall()
    for row in due:
        changes = json.loads(row["changes"])
        if "create" in changes:
            record = Record(row["type"], row["id"], row["at_ms"], changes["create"])
            # Not yet known to the index: the row comes without what a search would find.
            db.execute(_INSERT, (*_as_row(record, row["at_ms"])[:6], None, None, None))
            db.execute(_INDEX_LATER, (row["type"], row["id"], row["at_ms"]))
        else:
            _changed(db, row["type"], row["id"], row["at_ms"], changes, "CRM_UI")
    db.execute("DELETE FROM hubspot_pending WHERE at_ms <= ?", (now,))


def _changed(
    db: sqlite3.Connection, kind: str, id_: int, at: int, values: dict[str, str | None], source: str
) -> bool:
    row = _row(db, kind, id_)
    if row is None:
        return False
    properties, history = json.loads(row["properties"]), json.loads(row["history"])
    for name, value in values.items():
        if properties.get(name) != value or name not in history:
            begin = [[row["created_ms"], properties.get(name), "CRM_UI"]] if properties.get(name) else []
            history.setdefault(name, begin).append([at, value, source])
        properties[name] = value
    updated = max(at, row["updated_ms"])
    properties |= _stamps(kind, id_, row["created_ms"], updated)
    db.execute(_UPDATE, (encoded(properties), encoded(history), updated, kind, id_))
    db.execute(_INDEX_LATER, (kind, id_, updated))
    return True


def _row(db: sqlite3.Connection, kind: str, id_: int) -> sqlite3.Row | None:
    found: sqlite3.Row | None = db.execute(
        "SELECT * FROM hubspot_object WHERE type = ? AND id = ?", (kind, id_)
    ).fetchone()
    return found
