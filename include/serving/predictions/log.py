"""Writes every prediction down, behind the caller's back and without losing one.

Lines wait in memory, bounded, and go to the database in bundles. While the database is away, or when more
wait than memory is given, they go to a file, from which they are brought in later, by this process or the
next. A line has an id of its own, so bringing it in twice is bringing it in once.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from include.config.predictions import PredictionThresholds
from include.db.predictions import LoggedPrediction, add_predictions

log = logging.getLogger(__name__)

# The database does not answer. COPY is the driver's own, and so are its errors.
_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


class PredictionLog:
    """The log as the service writes it.

    Args:
        engine: the `nightshift` database.
        folder: where lines wait while it is away.
        limits: size and age of a bundle, and how many lines may wait.
    """

    def __init__(self, engine: Engine, folder: Path, limits: PredictionThresholds) -> None:
        self._engine, self._folder, self._limits = engine, folder, limits
        self._lines: list[LoggedPrediction] = []
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._wanted, self._closed = threading.Event(), False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Lines in memory."""
        return len(self._lines)

    @property
    def spooled(self) -> int:
        """Files that wait to be brought in."""
        return len(list(self._folder.glob("*.jsonl")))

    def start(self) -> None:
        """Begin to write."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def add(self, lines: Sequence[LoggedPrediction]) -> None:
        """Take lines; returns at once, unless more wait than memory is given, which then go to a file."""
        with self._lock:
            self._lines += lines
            full, over = len(self._lines) >= self._limits.log_rows, None
            if len(self._lines) > self._limits.log_waiting:
                over, self._lines = self._lines, []
        if over:
            self._spool(over)
        if full:
            self._wanted.set()

    def flush(self) -> None:
        """Write what waits, to the database or, where that is away, to a file."""
        with self._writing:
            with self._lock:
                lines, self._lines = self._lines, []
            try:
                for begin in range(0, len(lines), self._limits.log_rows * 10):
                    add_predictions(self._engine, lines[begin : begin + self._limits.log_rows * 10])
            except Exception as error:  # whatever it was, what was taken is not lost
                log.warning("%d predictions wait in a file (%s)", len(lines), type(error).__name__)
                self._spool(lines)
                return
            self._bring_in()

    def close(self) -> None:
        """Write the rest and stop; nothing that was taken is lost."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(10)
        self.flush()

    def _run(self) -> None:
        while not self._closed:
            self._wanted.wait(self._limits.log_seconds)
            self._wanted.clear()
            try:
                self.flush()
            except Exception:
                # A log that stops writing would fill up unseen.
                log.exception("predictions were not written")

    def _spool(self, lines: Sequence[LoggedPrediction]) -> None:
        """Into a file; where the disk will not have it, back into memory, however full that is."""
        if not lines:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{lines[0].id}.jsonl"
            part = path.with_suffix(".part")
            part.write_text("".join(json.dumps(asdict(line), default=str) + "\n" for line in lines))
            part.replace(path)
        except OSError as error:
            log.error("%d predictions cannot be put into a file (%s)", len(lines), error.strerror)
            with self._lock:
                self._lines = [*lines, *self._lines]

    def _bring_in(self) -> None:
        """What files hold into the database; a line that cannot be read is told and left."""
        for path in sorted(self._folder.glob("*.jsonl")):
            lines, broken = [], 0
            for text in path.read_text().splitlines():
                try:
                    lines.append(_line(text))
                except (ValueError, KeyError, TypeError):
                    broken += 1
            try:
                add_predictions(self._engine, lines)
            except _AWAY as error:
                log.warning("files of predictions wait on (%s)", type(error).__name__)
                return
            except Exception as error:
                # One file that the database will not have must not hold up those after it.
                log.error("%s is refused (%s); it is kept as .broken", path.name, type(error).__name__)
                broken += len(lines)
            if broken:
                log.error("%s holds %d lines that did not come in; it is kept", path.name, broken)
                path.replace(path.with_suffix(".broken"))
            else:
                path.unlink()


def _line(text: str) -> LoggedPrediction:
    values = json.loads(text)
    return LoggedPrediction(
        **{
            **values,
            "id": UUID(values["id"]),
            "predicted_at": datetime.fromisoformat(values["predicted_at"]),
            "about_day": date.fromisoformat(values["about_day"]) if values["about_day"] else None,
        }
    )
