"""The one SQLite file behind the sandbox, and its clock.

One process owns the file. Every thread has its own connection; writers take turns, so a large batch being
stored delays other writers but never fails them. Committed state survives `kill -9` of the process.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.errors import PermanentError

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
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, params TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS bill (
    source TEXT NOT NULL, mode TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, booked_at REAL NOT NULL,
    PRIMARY KEY (source, model)
);
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
TABLES = ("setting", "served", "fault", "batch", "batch_request", "bill", "channel", "message", "upload")


class StateUnusable(PermanentError):
    """The state file cannot be opened or is not ours."""


class SandboxState:
    """The file, opened.

    Args:
        path: the SQLite file; it and its folder are created when absent.

    Raises:
        StateUnusable: it cannot be written, or is no SQLite database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._turn = threading.Lock()
        self._opened: list[sqlite3.Connection] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.reading().executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StateUnusable(
                f"sandbox state {path}: {error}; give another folder with --state, or remove this file"
            ) from error

    def reading(self) -> sqlite3.Connection:
        """This thread's connection, for reading."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
            self._opened.append(connection)
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        connection = self.reading()
        with self._turn:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def clear(self) -> None:
        """Empty every table."""
        with self.writing() as db:
            for table in TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the constant above

    def close(self) -> None:
        """Close all connections; the object is of no use afterwards."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._local = threading.local()


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
            row = self._state.reading().execute("SELECT value FROM setting WHERE name = 'offset'").fetchone()
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
