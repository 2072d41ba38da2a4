"""The cache's own way to the database: warm connections, and no patience.

A live question may wait for the cache only as long as the cache saves time. Each lookup runs on a thread that
keeps a connection, and whoever asked leaves when the time is up, also where the server does not answer at
all. After some failures in a row the cache is left alone for a while (a circuit breaker), so that an outage
costs nothing but hits.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import psycopg
from pgvector.psycopg import register_vector
from sqlalchemy import URL

from include.llm.errors import CacheUnavailable

T = TypeVar("T")
Connection = psycopg.Connection[Any]
Job = tuple["Future[Any]", Callable[[Connection], Any]]


class ImpatientPool:
    """Runs short pieces of work on connections of its own. Any thread may use it.

    Args:
        url: of the database.
        size: connections at most; they are made when needed.
        patience_s: how long `run` takes at the very most.
        failures, pause_s: so many failures in a row, and everything is refused for this long; then one piece
        of
            work may try.
        settings: of the server, for these connections.
    """

    def __init__(
        self,
        url: URL,
        *,
        size: int,
        patience_s: float,
        failures: int,
        pause_s: float,
        settings: dict[str, str],
    ) -> None:
        self._url, self._size, self._patience_s = url, size, patience_s
        self._settings = {"statement_timeout": str(max(1, int(patience_s * 1000))), **settings}
        self._new_breaker = partial(Breaker, failures, pause_s)
        self._breakers: dict[str, Breaker] = {}
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._busy = 0

    def run(self, kind: str, work: Callable[[Connection], T]) -> T:
        """What `work` returns.

        Args:
            kind: of the work; each is given up by itself, so that what still answers is still asked.

        Raises:
            CacheUnavailable: there was no answer in time, or none at all.
        """
        breaker = self._breakers.setdefault(kind, self._new_breaker())
        if not breaker.lets_through():
            raise CacheUnavailable("the cache failed several times in a row and is left alone for a moment")
        future: Future[T] = Future()
        self._hand_over((future, work))
        try:
            answer = future.result(self._patience_s)
        except TimeoutError as error:
            future.cancel()
            breaker.failed()
            raise CacheUnavailable(
                f"the cache did not answer within {self._patience_s * 1000:.0f} ms"
            ) from error
        except psycopg.Error as error:
            breaker.failed()
            said = str(error).strip().partition("\n")[0]
            raise CacheUnavailable(f"the cache's database failed ({said or type(error).__name__})") from error
        breaker.went_well()
        return answer

    def close(self) -> None:
        """Let the connections go. Work that is under way ends first."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)
            self._threads = 0

    def _hand_over(self, job: Job) -> None:
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < self._size:
                self._threads += 1
                # Daemons: one that hangs on a dead server must not keep the program from ending.
                threading.Thread(target=self._work, name="llm-cache", daemon=True).start()
        self._jobs.put(job)

    def _work(self) -> None:
        conn: Connection | None = None
        while (job := self._jobs.get()) is not None:
            future, work = job
            try:
                if not future.set_running_or_notify_cancel():
                    continue
                if conn is None or conn.closed:
                    conn = self._connect()
                future.set_result(work(conn))
            except BaseException as error:
                if conn is not None and conn.broken:
                    conn.close()
                future.set_exception(error)
            finally:
                with self._lock:
                    self._busy -= 1
        if conn is not None:
            conn.close()

    def _connect(self) -> Connection:
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        url = self._url
        query: dict[str, Any] = {name: value for name, value in url.query.items() if name != "options"}
        conn = psycopg.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            dbname=url.database,
            autocommit=True,
            prepare_threshold=0,
            connect_timeout=2,
            application_name="nightshift-cache",
            options=f"-c timezone=UTC {options}",
            **query,
        )
        register_vector(conn)
        return conn


class Breaker:
    """Counts failures in a row, and says when to try again."""

    def __init__(self, failures: int, pause_s: float) -> None:
        self._most, self._pause_s = failures, pause_s
        self._lock = threading.Lock()
        self._failures, self._shut_until = 0, 0.0

    def lets_through(self) -> bool:
        """Whether to try now. After a pause one may, and the others when that one did well."""
        with self._lock:
            if self._failures < self._most:
                return True
            now = time.monotonic()
            if now < self._shut_until:
                return False
            self._shut_until = now + self._pause_s
            return True

    def failed(self) -> None:
        """It failed."""
        with self._lock:
            self._failures += 1
            if self._failures == self._most:
                self._shut_until = time.monotonic() + self._pause_s

    def went_well(self) -> None:
        """It did not."""
        with self._lock:
            self._failures = 0
