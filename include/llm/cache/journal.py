"""What happened at the cache, written down in bundles behind everybody's back.

A lookup only puts a line into a list. A thread writes the list every few seconds, with inserts alone, so that
no row is hot and no question waits; where the database is gone, lines are dropped before they fill the
memory.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from include.db import llm_cache_log as sql

LOG = logging.getLogger(__name__)
# Lines in memory at most, while the database is away.
MOST = 20_000

Line = Mapping[str, Any]


class Journal:
    """Collects lookups and observations, and writes them. Any thread may use it.

    Args:
        every_s, rows: write when the oldest line is so old, or when there are so many.
        watch: called after a bundle with wrong answers in it, with the namespaces they are of.
    """

    def __init__(
        self, engine: Engine, *, every_s: float, rows: int, watch: Callable[[set[int]], None]
    ) -> None:
        self._engine, self._every_s, self._rows, self._watch = engine, every_s, rows, watch
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._lookups: list[Line] = []
        self._observations: list[Line] = []
        self._wanted = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def add(self, lookup: Line | None = None, observation: Line | None = None) -> None:
        """Put down a lookup, an observation, or both."""
        with self._lock:
            if len(self._lookups) + len(self._observations) >= MOST:
                self.dropped += 1
                return
            if lookup is not None:
                self._lookups.append(lookup)
            if observation is not None:
                self._observations.append(observation)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="llm-cache-journal", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            if len(self._lookups) + len(self._observations) >= self._rows:
                self._wanted.set()

    def flush(self) -> None:
        """Write what was put down so far."""
        with self._writing:
            with self._lock:
                lookups, self._lookups = self._lookups, []
                observations, self._observations = self._observations, []
            if not lookups and not observations:
                return
            try:
                with self._engine.begin() as conn:
                    sql.add_lookups(conn, lookups)
                    sql.slide(conn, [line["entry_id"] for line in lookups if line["entry_id"] is not None])
                    sql.add_observations(conn, observations)
            except SQLAlchemyError as error:
                LOG.warning("%d lines of the cache's journal wait (%s)", len(lookups), type(error).__name__)
                self._put_back(lookups, observations)
                return
        wrong = {line["namespace_id"] for line in lookups if line["kind"] == "checked_wrong"}
        if wrong:
            self._watch(wrong)

    def close(self) -> None:
        """Write the rest and stop."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(5)
        self.flush()
        atexit.unregister(self.close)

    def _run(self) -> None:
        while not self._closed:
            self._wanted.wait(self._every_s)
            self._wanted.clear()
            try:
                self.flush()
            except Exception:
                # A journal that stops writing would fill up unseen.
                LOG.exception("the cache's journal was not written")

    def _put_back(self, lookups: list[Line], observations: list[Line]) -> None:
        with self._lock:
            space = max(0, MOST - len(self._lookups) - len(self._observations))
            self.dropped += max(0, len(lookups) + len(observations) - space)
            kept = lookups[:space]
            self._lookups = kept + self._lookups
            self._observations = observations[: space - len(kept)] + self._observations
