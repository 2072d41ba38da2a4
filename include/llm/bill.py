"""Puts live calls on the bill behind the back of whoever waits for the answer, and loses none.

A thread writes what has gathered, in one transaction; while the database is away it keeps it and tries again.
What is still unwritten when the program ends goes to a file, which the next program that books anything
writes and removes. The key of each call makes writing it twice harmless.
"""

import atexit
import contextlib
import json
import logging
import os
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from include.config import Thresholds
from include.config.connections import REPOSITORY
from include.llm.costs import book_call
from include.llm.prices import Mode, Usage

LOG = logging.getLogger(__name__)
# In one transaction.
TOGETHER = 200


@dataclass(frozen=True)
class Call:
    """A call that the vendor charges."""

    cost_key: str
    tenant: str
    purpose: str
    provider: str
    model: str
    usage: Usage
    booked_on: date
    latency_ms: int

    def as_line(self) -> str:
        """As a line of the file."""
        return json.dumps({**asdict(self), "booked_on": self.booked_on.isoformat()})

    @classmethod
    def of_line(cls, line: str) -> "Call":
        """What `as_line` wrote."""
        told: dict[str, Any] = json.loads(line)
        usage, day = Usage(**told.pop("usage")), date.fromisoformat(told.pop("booked_on"))
        return cls(usage=usage, booked_on=day, **told)


class Bill:
    """Books calls. Any thread may use it; close it when no more come.

    Args:
        unwritten: folder for what the database did not take.
    """

    def __init__(self, engine: Engine, settings: Thresholds, unwritten: Path | None = None) -> None:
        self._engine, self._settings = engine, settings
        self._folder = unwritten or unwritten_folder()
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._calls: list[Call] = []
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def book(self, call: Call) -> None:
        """Put a call on the bill. Never waits, never fails."""
        with self._lock:
            self._calls.append(call)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="llm-bill", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        self._wanted.set()

    def flush(self) -> bool:
        """Write what was booked so far; whether all of it is written."""
        with self._writing:
            while True:
                with self._lock:
                    part = self._calls[:TOGETHER]
                if not part:
                    return True
                try:
                    self._write(part)
                except SQLAlchemyError as error:
                    LOG.warning("%d calls wait to be put on the bill (%s)", len(part), type(error).__name__)
                    return False
                with self._lock:
                    del self._calls[: len(part)]

    def close(self) -> None:
        """Write the rest, to the database or else to a file."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(self._settings.llm.live.close_wait_s)
            atexit.unregister(self.close)
        # Where the database hangs, the thread holds on to what it writes: that goes to the file too.
        written = self._thread is None or not self._thread.is_alive()
        if not written or not self.flush():
            self._save()

    def _run(self) -> None:
        recovered = self._recover()
        while not self._closed:
            self._wanted.wait()
            self._wanted.clear()
            while not self.flush() and not self._closed:
                time.sleep(self._settings.llm.live.bill_pause_s)
            if not recovered:
                recovered = self._recover()

    def _write(self, calls: list[Call]) -> None:
        with self._engine.begin() as conn:
            for call in calls:
                book_call(
                    conn,
                    cost_key=call.cost_key,
                    tenant=call.tenant,
                    purpose=call.purpose,
                    provider=call.provider,
                    model=call.model,
                    usage=call.usage,
                    mode=Mode.LIVE,
                    booked_on=call.booked_on,
                    prices=self._settings.prices,
                    latency_ms=call.latency_ms,
                )

    def _save(self) -> None:
        with self._lock:
            left, self._calls = self._calls, []
        if not left:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{uuid.uuid4().hex}.jsonl"
        path.with_suffix(".part").write_text("".join(call.as_line() + "\n" for call in left))
        path.with_suffix(".part").rename(path)
        LOG.error(
            "%d calls are not on the bill yet; they are in %s and will be booked from there", len(left), path
        )

    def _recover(self) -> bool:
        """Book what earlier programs left; whether nothing is left."""
        for path in sorted(self._folder.glob("*.jsonl")):
            with contextlib.suppress(FileNotFoundError):
                try:
                    self._write([Call.of_line(line) for line in path.read_text().splitlines()])
                except SQLAlchemyError:
                    return False
                except (ValueError, TypeError, KeyError) as error:
                    LOG.error(
                        "%s holds calls that cannot be read (%s); they are not on the bill", path, error
                    )
                    continue
                path.unlink()
        return True


def unwritten_folder() -> Path:
    """Where calls wait that no database took."""
    return Path(os.environ.get("NIGHTSHIFT_VAR") or REPOSITORY / "var") / "unbooked"
