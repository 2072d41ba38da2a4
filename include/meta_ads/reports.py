"""Asks a set of questions of Insights and has the answers, whatever happens to the reports on the way.

A part of a question is `waiting`, then `running` as a report run, then answered:

    waiting --answered at once--------------------------------> answered
    waiting --too much to answer at once--> waiting (as a report)
    waiting --report started--> running --completed, paged----> answered
    running --failed, skipped, or stuck--> waiting (made again) --and again--> two halves, waiting
    waiting --too much even for a report---------------------------------> two halves, waiting

A question is answered when all its parts are. Several reports run at once; while they do, whatever can be
answered at once is. An account whose question fails is given up as a whole, the others go on.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from typing import Any, Self

from include.config.ads import ReportThresholds
from include.errors import PermanentError, TransientError
from include.meta_ads.client import MetaClient, ReportStatus
from include.meta_ads.errors import (
    MetaRequestRefused,
    MetaThrottled,
    MetaTokenRefused,
    MetaTooMuchData,
    ReportUnfinished,
)
from include.meta_ads.queries import Query

_SLOWER = 1.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What became of a question: its rows, or why there are none."""

    query: Query
    rows: list[dict[str, Any]]
    error: Exception | None = None


@dataclass(frozen=True)
class StartedReport:
    """A report run that Meta works on.

    Attributes:
        attempts: how often it was made so far.
        stuck: it has been waited for long enough.
        halved: there is none any more, its window is asked for in halves.
    """

    query: Query
    report_run_id: str
    attempts: int = 1
    stuck: bool = False
    halved: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        days = {"since": self.query.since.isoformat(), "until": self.query.until.isoformat()}
        return {**asdict(self), "query": {**asdict(self.query), **days}}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        query = told["query"]
        days = {end: date.fromisoformat(query[end]) for end in ("since", "until")}
        return cls(**{**told, "query": Query(**{**query, **days})})


@dataclass
class _Part:
    """A part of a question, for a while all of it; `origin` is the question."""

    query: Query
    origin: Query
    at_once: bool
    attempts: int = 0


@dataclass
class _Running:
    part: _Part
    report_run_id: str
    moved_at: float
    look_at: float
    gap: float
    percent: int = -1


@dataclass
class _Open:
    """A question that is not answered yet."""

    parts: int = 1
    rows: list[dict[str, Any]] = field(default_factory=list)


class InsightReader:
    """Asks questions in the order in which they were wanted.

    Args:
        client: an open client.
        settings: how patient to be.
        hold_s: after so long with nothing to do but wait, `answers` ends though it `waits` for reports;
            None to wait for them.
        adopted: reports that were started before and are still wanted; they are not started again.
        pause, now: wait so many seconds, and a clock that does not go back; a test may hand in its own.
    """

    def __init__(
        self,
        client: MetaClient,
        settings: ReportThresholds,
        *,
        hold_s: float | None = None,
        adopted: Iterable[StartedReport] = (),
        pause: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._settings = settings
        self._hold_s = hold_s
        self._adopted = {started.query: started for started in adopted}
        self._pause = pause
        self._now = now
        self._waiting: deque[_Part] = deque()
        self._running: list[_Running] = []
        self._open: dict[Query, _Open] = {}
        self._held_s = 0.0
        self._started: dict[Query, StartedReport] = {}

    @property
    def waits(self) -> bool:
        """Whether Meta is still working on reports."""
        return bool(self._running)

    def under_way(self, account_ids: Collection[str]) -> list[StartedReport]:
        """All reports of accounts that are not complete; finished ones, too, need not be made again."""
        known = self._adopted | self._started
        return [started for query, started in known.items() if query.account_id in account_ids]

    def want(self, query: Query, *, at_once: bool, first: bool = False) -> None:
        """Add a question.

        Args:
            query: not wanted already.
            at_once: it is small; should Meta find it too large, a report is made all the same.
            first: before those that wait already.
        """
        self._open[query] = _Open()
        add = self._waiting.appendleft if first else self._waiting.append
        add(_Part(query, query, at_once))

    def answers(self) -> Iterator[Answer]:
        """Answers as they come, one for each question; more may be wanted meanwhile.

        Raises:
            MetaTokenRefused: at once.
            MetaThrottled: at once, where it holds for every account.
        """
        while self._waiting or self._running:
            part = self._next()
            if part is not None:
                yield from self._guarded(part, self._ask)
                continue
            due = [each for each in self._running if each.look_at <= self._now()]
            for running in due:
                if running in self._running:
                    yield from self._guarded(running.part, partial(self._look, running))
            if not due and not self._wait():
                return

    def _next(self) -> _Part | None:
        """The first part that may be asked now, taken from those that wait."""
        free = len(self._running) < self._settings.in_flight
        for part in self._waiting:
            if part.at_once or free:
                self._waiting.remove(part)
                return part
        return None

    def _wait(self) -> bool:
        """Wait until the next look is due; False where there is no more time to."""
        wait = max(0.0, min(each.look_at for each in self._running) - self._now())
        if self._hold_s is not None and self._held_s + wait > self._hold_s:
            return False
        self._pause(wait)
        self._held_s += wait
        return True

    def _guarded(self, part: _Part, work: Callable[[_Part], list[Answer]]) -> list[Answer]:
        try:
            return work(part)
        except MetaTokenRefused:
            raise
        except (TransientError, PermanentError) as error:
            if isinstance(error, MetaThrottled) and error.everywhere:
                raise
            self._give_up(part.origin.account_id)
            return [Answer(part.origin, [], error)]

    def _ask(self, part: _Part) -> list[Answer]:
        try:
            if part.at_once:
                return self._answered(part, self._client.insights(part.query))
            adopted = self._adopted.pop(part.query, None)
            if adopted is not None:
                self._adopt(part, adopted)
                return []
            report_run_id = self._client.start_report(part.query)
        except MetaTooMuchData as error:
            if part.at_once:
                _log.info("%s is too much to be answered at once: a report is made", part.query)
                part.at_once = False
                self._waiting.appendleft(part)
            else:
                self._halve(part, str(error))
            return []
        part.attempts += 1
        self._started[part.query] = StartedReport(part.query, report_run_id, part.attempts)
        now, gap = self._now(), self._settings.poll_s
        self._running.append(_Running(part, report_run_id, now, now + gap, gap))
        return []

    def _adopt(self, part: _Part, started: StartedReport) -> None:
        part.attempts = started.attempts
        self._started[part.query] = started
        if started.halved:
            self._halve(part, "halved before")
        elif started.stuck:
            self._make_again(part, "stuck")
        else:
            now = self._now()
            self._running.append(_Running(part, started.report_run_id, now, now, self._settings.poll_s))

    def _look(self, running: _Running, part: _Part) -> list[Answer]:
        try:
            state = self._client.look_at_report(part.origin.account_id, running.report_run_id)
        except MetaRequestRefused as error:
            self._running.remove(running)
            self._make_again(part, str(error))
            return []
        if state.status is ReportStatus.COMPLETED:
            rows = self._client.report_rows(part.origin.account_id, running.report_run_id)
            self._running.remove(running)
            return self._answered(part, rows)
        now = self._now()
        if state.percent > running.percent:
            running.percent, running.moved_at = state.percent, now
        stuck = now - running.moved_at > self._settings.stuck_s
        if state.status is ReportStatus.FAILED or stuck:
            self._running.remove(running)
            self._make_again(part, "stuck" if stuck else state.told)
            return []
        running.gap = min(running.gap * _SLOWER, self._settings.longest_poll_s)
        running.look_at = now + running.gap
        return []

    def _make_again(self, part: _Part, told: str) -> None:
        if part.attempts < self._settings.attempts:
            _log.warning("report for %s: %s; it is made again", part.query, told)
            self._waiting.appendleft(part)
        else:
            self._halve(part, told)

    def _halve(self, part: _Part, told: str) -> None:
        halves = part.query.halves()
        if halves is None:
            if part.attempts:
                raise ReportUnfinished(f"report for {part.query}: {told}, {part.attempts} times in a row")
            raise MetaRequestRefused(f"{part.query}: {told}; one day cannot be asked for in parts")
        _log.warning("report for %s: %s; it is asked for in halves", part.query, told)
        self._started[part.query] = StartedReport(part.query, "", part.attempts, halved=True)
        self._open[part.origin].parts += 1
        for half in reversed(halves):
            self._waiting.appendleft(_Part(half, part.origin, at_once=False))

    def _answered(self, part: _Part, rows: list[dict[str, Any]]) -> list[Answer]:
        question = self._open[part.origin]
        question.rows += rows
        question.parts -= 1
        if question.parts:
            return []
        del self._open[part.origin]
        return [Answer(part.origin, question.rows)]

    def _give_up(self, account_id: str) -> None:
        self._waiting = deque(each for each in self._waiting if each.origin.account_id != account_id)
        self._running = [each for each in self._running if each.part.origin.account_id != account_id]
        self._open = {q: o for q, o in self._open.items() if q.account_id != account_id}
