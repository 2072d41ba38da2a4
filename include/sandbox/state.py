"""The one SQLite file behind the sandbox, and its clock.

One process owns the file. Writers take turns on one connection and readers on another, so a large batch being
stored delays other writers, but neither fails them nor holds up readers. Committed state survives `kill -9`.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.errors import PermanentError
from include.sandbox.hubspot_tables import SCHEMA as HUBSPOT_SCHEMA
from include.sandbox.hubspot_tables import TABLES as HUBSPOT_TABLES

SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS served (
    vendor TEXT NOT NULL, route TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (vendor, route)
);
CREATE TABLE IF NOT EXISTS fault (
    id INTEGER PRIMARY KEY AUTOINCREMENT, vendor TEXT NOT NULL, route TEXT NOT NULL, kind TEXT NOT NULL,
    times INTEGER, after INTEGER NOT NULL, args TEXT NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0, fired INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS batch (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    created_at REAL NOT NULL, work_seconds REAL NOT NULL, ends_at REAL NOT NULL, cancelled_at REAL,
    finished_share REAL, counts TEXT, deleted INTEGER NOT NULL DEFAULT 0
);
-- key = batch.seq * 1,000,000 + a random position: reading by key is reading a batch in no useful order.
CREATE TABLE IF NOT EXISTS batch_request (
    key INTEGER PRIMARY KEY, custom_id TEXT NOT NULL, model TEXT, finish REAL NOT NULL, failure TEXT,
    input_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, params TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS openai_file (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, filename TEXT NOT NULL,
    bytes INTEGER NOT NULL, created_at REAL NOT NULL, expires_at REAL, deleted INTEGER NOT NULL DEFAULT 0
);
-- `output_id` and `error_id` are given out when the batch has ended and has such lines.
CREATE TABLE IF NOT EXISTS openai_batch (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, endpoint TEXT NOT NULL,
    file_id TEXT NOT NULL, size INTEGER NOT NULL, model TEXT NOT NULL, metadata TEXT,
    created_at REAL NOT NULL, work_seconds REAL NOT NULL, ends_at REAL NOT NULL, expiring INTEGER NOT NULL,
    errors TEXT, output_seconds REAL NOT NULL, empty_ids INTEGER NOT NULL,
    cancelled_at REAL, finished_share REAL, counts TEXT, usage TEXT, output_id TEXT, error_id TEXT
);
-- key as above; the request itself stays in its file, `length` bytes from `start` on.
CREATE TABLE IF NOT EXISTS openai_request (
    key INTEGER PRIMARY KEY, custom_id TEXT NOT NULL, finish REAL NOT NULL, failure TEXT,
    input_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS prompt_beginning (digest TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bill (
    source TEXT NOT NULL, vendor TEXT NOT NULL, mode TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, booked_at REAL NOT NULL, PRIMARY KEY (source, model)
);
-- A report run over Insights: its question, when it is done, and how it ends.
CREATE TABLE IF NOT EXISTS meta_report (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL,
    question TEXT NOT NULL, created_at REAL NOT NULL, ends_at REAL NOT NULL, ending TEXT NOT NULL
);
-- Calls of the last hour per account, draining evenly.
CREATE TABLE IF NOT EXISTS meta_usage (account_id TEXT PRIMARY KEY, calls REAL NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS channel (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS message (
    channel_id TEXT NOT NULL, ts TEXT NOT NULL, thread_ts TEXT, body TEXT NOT NULL,
    PRIMARY KEY (channel_id, ts)
);
CREATE TABLE IF NOT EXISTS upload (
    id TEXT PRIMARY KEY, ticket TEXT NOT NULL UNIQUE, name TEXT NOT NULL, length INTEGER NOT NULL,
    title TEXT, alt_text TEXT, content BLOB, shared_at REAL
);
"""
TABLES = (
    *HUBSPOT_TABLES,
    "setting", "served", "fault", "batch", "batch_request", "openai_file", "openai_batch", "openai_request",
    "prompt_beginning", "bill", "channel", "message", "upload",
    "meta_report", "meta_usage",
)  # fmt: skip
# Raised whenever a table changes. What an older version left behind is forgotten: it was all pretended.
SCHEMA_VERSION = 3


class StateUnusable(PermanentError):
    """The state file cannot be opened or is not ours."""


class SandboxState:
    """The file, opened twice: for reading, and for writing.

    Args:
        path: the SQLite file; it and its folder are created when absent.

    Raises:
        StateUnusable: it cannot be written, or is no SQLite database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writers_turn = threading.Lock()
        self._readers_turn = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _opened(path)
            _forget_older(self._writer)
            self._writer.executescript(SCHEMA + HUBSPOT_SCHEMA)
            self._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._reader = _opened(path)
        except (OSError, sqlite3.Error) as error:
            raise StateUnusable(
                f"sandbox state {path}: {error}; give another folder with --state, or remove this file"
            ) from error

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query over what is committed."""
        with self._readers_turn:
            return self._reader.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Row | None:
        """The first row of a query over what is committed, or None."""
        return next(iter(self.rows(query, values)), None)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        with self._writers_turn:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk has SQLite roll back by itself.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @property
    def files(self) -> Path:
        """The folder of uploaded files, which are too large for the database."""
        folder = self.path.with_suffix(".files")
        folder.mkdir(exist_ok=True)
        return folder

    def clear(self) -> None:
        """Empty every table and forget the files."""
        with self.writing() as db:
            for table in TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the constant above
        for file in self.files.iterdir():
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        with self._writers_turn, self._readers_turn:
            self._reader.close()
            self._writer.close()


class VirtualClock:
    """Real time plus an offset that only grows, kept in the state so that a restart does not go back."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._offset: float | None = None

    def now(self) -> float:
        """Seconds since the epoch, as the sandbox sees it."""
        return time.time() + self.offset()

    def offset(self) -> float:
        """Seconds the sandbox is ahead of real time."""
        if self._offset is None:
            row = self._state.row("SELECT value FROM setting WHERE name = 'offset'")
            self._offset = float(row["value"]) if row else 0.0
        return self._offset

    def advance(self, seconds: float) -> float:
        """Move on by `seconds` (at least 0); returns the new time.

        Raises:
            ValueError: `seconds` is negative: vendors' clocks do not go back.
        """
        if not seconds >= 0:
            raise ValueError(f"advance_seconds is {seconds}, but the clock only moves forward")
        with self._state.writing() as db:
            db.execute(
                "INSERT INTO setting VALUES ('offset', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = setting.value + excluded.value",
                (seconds,),
            )
        self._offset = None
        return self.now()

    def reset(self) -> None:
        """Forget the offset held in memory, after the state was cleared."""
        self._offset = None


def _forget_older(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if table in TABLES:
            db.execute(f"DROP TABLE {table}")


def _opened(path: Path) -> sqlite3.Connection:
    # Threads take turns on a connection, which is what `check_same_thread` would otherwise demand of us.
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
