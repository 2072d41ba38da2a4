"""One call for one question, however many ask it at once: in this process, and in all that share a database.

Within a process whoever asks first flies, the others wait for the landing. Between processes the one that
flies holds a lock in the database; the lock goes with its connection, so nobody waits for the dead. Where the
database does not answer there are no locks, and each process flies for itself.
"""

import threading
import time
from concurrent.futures import Future
from typing import Generic, TypeVar

from sqlalchemy import Engine

from include.config import Thresholds
from include.db import llm_cache as sql
from include.llm.cache.connections import Connection, ImpatientPool
from include.llm.errors import CacheUnavailable

T = TypeVar("T")


class NeverLanded(Exception):
    """Whoever flew was cut off: another has to."""


class Flights(Generic[T]):
    """Questions that are under way in this process. Any thread or event loop may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[T]] = {}

    def board(self, key: str) -> tuple[Future[T], bool]:
        """The flight of a question, and whether the caller has to fly it: to give it its result or error.

        It stays until it is `clear`ed, so that who comes between the answer and its storing shares it too.
        """
        with self._lock:
            if key in self._under_way:
                return self._under_way[key], False
            self._under_way[key] = Future()
            return self._under_way[key], True

    def crash(self, key: str, flight: Future[T], error: BaseException) -> None:
        """Give all who wait the error; whoever was merely cut off leaves the flight to another."""
        self.clear(key, flight)
        flight.set_exception(error if isinstance(error, Exception) else NeverLanded())

    def clear(self, key: str, flight: Future[T]) -> None:
        """Whoever asks from now on starts anew."""
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]


class Claims:
    """Which of several processes asks: locks in the database, all on one connection.

    A pooler between us and PostgreSQL must not hand out connections by transaction: the locks would get lost.
    """

    def __init__(self, engine: Engine, settings: Thresholds) -> None:
        self._patience_s = settings.llm.live.claim_timeout_ms / 1000
        self._pool = ImpatientPool(
            engine.url,
            size=1,
            patience_s=self._patience_s,
            failures=settings.llm.cache.breaker_failures,
            pause_s=settings.llm.cache.breaker_seconds,
            settings={},
        )

    def take(self, key: str) -> bool | None:
        """Whether the caller may ask; None where nobody can say. Give it back with `give_back`."""
        given_up = time.monotonic() + self._patience_s

        def claim(conn: Connection) -> bool:
            taken = sql.take_claim(conn, key)
            if taken and time.monotonic() > given_up:
                # Nobody waits for this any more, so nobody would give it back.
                sql.give_back_claim(conn, key)
            return taken

        try:
            return self._pool.run("claim", claim)
        except CacheUnavailable:
            return None

    def give_back(self, key: str) -> None:
        """Let others ask."""
        try:
            self._pool.run("give back", lambda conn: sql.give_back_claim(conn, key))
        except CacheUnavailable:
            # A lock that is still there goes when its connection does.
            self._pool.close()

    def close(self) -> None:
        """Let the connection go, and with it all locks."""
        self._pool.close()
