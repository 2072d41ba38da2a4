"""The clients that applications ask: answers from the cache where it knows them, from the model where not.

`CachedLLM` is for threads, `AsyncCachedLLM` for event loops. Both go the same way: the very question first,
then one that means the same as far as the cache's promise allows, then the model; and a question that many
ask at once is asked once. Where the cache does not answer in time, the model is asked without it.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLong
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from sqlalchemy import Engine

from include.config import Thresholds, thresholds
from include.config.connections import connection
from include.db import make_engine
from include.errors import NightshiftError
from include.llm.asking import Desk, How, Reply
from include.llm.cache import Lookup, SemanticCache
from include.llm.cache.embedder import embedder_of
from include.llm.errands import Errands
from include.llm.flights import Claims, Flights, NeverLanded
from include.llm.live import AsyncLiveModels, LiveModels
from include.llm.questions import Question
from include.llm.vendors.openai import openai_client

__all__ = ["AsyncCachedLLM", "CachedLLM", "How", "Reply"]

# Looks for an answer that another process is getting, from the first on at ever longer intervals.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.5
MOST_TO_KEEP = 1_000


@dataclass(frozen=True)
class _Asking:
    """How a question is being asked.

    Attributes:
        flight: what others wait for; None where the caller asks for itself alone.
        claimed: whether other processes wait for it.
    """

    tags: Sequence[str]
    ttl_s: float | None
    flight: Future[Reply] | None = None
    claimed: bool = False


class _Cached:
    """What both clients share: the desk, and what is done behind the caller's back."""

    def __init__(self, cache: SemanticCache, claims: Claims, settings: Thresholds) -> None:
        self.settings, self.cache, self._claims = settings, cache, claims
        self._desk = Desk(cache, claims, settings)
        self._flights: Flights[Reply] = Flights()
        self._kept = Errands("llm-keep", at_once=2, waiting=MOST_TO_KEEP)

    def _finish(
        self, question: Question, lookup: Lookup | None, reply: Reply | None, asking: _Asking
    ) -> None:
        """What follows a call, behind the caller's back; then the question's flight is over."""
        key = self._desk.flight_key(question)

        def work() -> None:
            try:
                self._desk.finish(
                    question, lookup, reply, claimed=asking.claimed, tags=asking.tags, ttl_s=asking.ttl_s
                )
            finally:
                if asking.flight is not None:
                    self._flights.clear(key, asking.flight)

        if not self._kept.run(work):
            work()

    def _checked(self, question: Question, lookup: Lookup, reply: Reply) -> None:
        """The model's own answer to a question that was answered from another's."""
        self._desk.observe(question, lookup, reply)
        self._desk.keep(question, lookup, reply)


class CachedLLM(_Cached):
    """Asks models through the cache. Any thread may use it; close it, as in `with CachedLLM.open() as llm`.

    Args:
        cache, models: closed with it.
    """

    def __init__(
        self, cache: SemanticCache, models: LiveModels, claims: Claims, settings: Thresholds
    ) -> None:
        super().__init__(cache, claims, settings)
        self._models = models
        live = settings.llm.live
        self._checks = Errands("llm-check", at_once=live.checks_at_once, waiting=live.checks_waiting)

    @classmethod
    def open(cls, engine: Engine | None = None, settings: Thresholds | None = None) -> "CachedLLM":
        """A client of the connections `nightshift_db`, `anthropic_default` and `openai_default`.

        Raises:
            ConnectionMissing: there is no database. Vendors may be missing until they are asked.
        """
        known, db = settings or thresholds(), engine or make_engine(connection("nightshift_db").url)
        models = LiveModels.from_connections(db, known)
        return cls(_cache(db, known), models, Claims(db, known), known)

    def ask(self, question: Question, *, tags: Sequence[str] = (), ttl_s: float | None = None) -> Reply:
        """The answer to a question.

        Args:
            tags: names by which the answer can be invalidated, such as `creative:c9`.
            ttl_s: how long it may be given again; `llm.cache.ttl_hours` where it is not given.

        Raises:
            VendorBusy: the model gave no answer; ask later.
            AnswerInvalid: its answer was not in the form that was asked for. It is not kept.
            VendorRefused, PriceUnknown, VendorNotConnected: as `LiveModels.complete`.
        """
        key = self._desk.flight_key(question)
        while True:
            flight, flies = self._flights.board(key)
            if flies:
                try:
                    reply = self._answer(question, _Asking(tags, ttl_s, flight))
                except BaseException as error:
                    self._flights.crash(key, flight, error)
                    raise
                if reply.how is not How.MODEL:
                    self._flights.clear(key, flight)
                flight.set_result(reply)
                return reply
            try:
                return self._desk.shared(question, flight.result(self.settings.llm.live.flight_wait_s))
            except NeverLanded:
                continue
            except TooLong:
                return self._ask_model(question, None, _Asking(tags, ttl_s))

    def close(self) -> None:
        """Finish what is under way, write what happened, and let the connections go."""
        wait_s = self.settings.llm.live.close_wait_s
        self._checks.finish(wait_s)
        self._kept.finish(wait_s)
        self._models.close()
        self._claims.close()
        self.cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answer(self, question: Question, asking: _Asking) -> Reply:
        lookup = self._desk.look_up(question)
        if (reply := self._desk.found(lookup)) is not None:
            if lookup is not None and lookup.check:
                self._start_check(question, lookup)
            return reply
        if lookup is None:
            return self._ask_model(question, None, asking)
        deadline, pause = time.monotonic() + self.settings.llm.live.flight_wait_s, FIRST_LOOK_S
        while (claimed := self._claims.take(self._desk.flight_key(question))) is False:
            if time.monotonic() > deadline:
                break
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_S)
        if claimed and (reply := self._desk.arrived(question)) is not None:
            self._claims.give_back(self._desk.flight_key(question))
            return reply
        return self._ask_model(question, lookup, replace(asking, claimed=bool(claimed)))

    def _ask_model(self, question: Question, lookup: Lookup | None, asking: _Asking) -> Reply:
        reply = None
        try:
            reply = self._desk.read(question, self._models.complete(question))
        finally:
            self._finish(question, lookup, reply, asking)
        return reply

    def _start_check(self, question: Question, lookup: Lookup) -> None:
        if not self._checks.run(partial(self._check, question, lookup)):
            self._desk.unchecked(lookup)

    def _check(self, question: Question, lookup: Lookup) -> None:
        try:
            reply = self._desk.read(question, self._models.complete(question))
        except NightshiftError:
            self._desk.unchecked(lookup)
        else:
            self._checked(question, lookup, reply)


class AsyncCachedLLM(_Cached):
    """Asks models through the cache from an event loop: `async with AsyncCachedLLM.open() as llm`.

    Args:
        cache, models: closed with it.
    """

    def __init__(
        self, cache: SemanticCache, models: AsyncLiveModels, claims: Claims, settings: Thresholds
    ) -> None:
        super().__init__(cache, claims, settings)
        self._models = models
        self._checks: set[asyncio.Task[None]] = set()
        self._checking = asyncio.Semaphore(settings.llm.live.checks_at_once)

    @classmethod
    def open(cls, engine: Engine | None = None, settings: Thresholds | None = None) -> "AsyncCachedLLM":
        """See `CachedLLM.open`."""
        known, db = settings or thresholds(), engine or make_engine(connection("nightshift_db").url)
        models = AsyncLiveModels.from_connections(db, known)
        return cls(_cache(db, known), models, Claims(db, known), known)

    async def ask(self, question: Question, *, tags: Sequence[str] = (), ttl_s: float | None = None) -> Reply:
        """See `CachedLLM.ask`."""
        key = self._desk.flight_key(question)
        while True:
            flight, flies = self._flights.board(key)
            if flies:
                try:
                    reply = await self._answer(question, _Asking(tags, ttl_s, flight))
                except BaseException as error:
                    self._flights.crash(key, flight, error)
                    raise
                if reply.how is not How.MODEL:
                    self._flights.clear(key, flight)
                flight.set_result(reply)
                return reply
            try:
                landed = asyncio.shield(asyncio.wrap_future(flight))
                async with asyncio.timeout(self.settings.llm.live.flight_wait_s):
                    reply = await landed
                return self._desk.shared(question, reply)
            except NeverLanded:
                continue
            except TimeoutError:
                return await self._ask_model(question, None, _Asking(tags, ttl_s))

    async def close(self) -> None:
        """See `CachedLLM.close`."""
        wait_s = self.settings.llm.live.close_wait_s
        if self._checks:
            _, left = await asyncio.wait(self._checks, timeout=wait_s)
            for task in left:
                task.cancel()
        await asyncio.to_thread(self._kept.finish, wait_s)
        await self._models.close()
        self._claims.close()
        await asyncio.to_thread(self.cache.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _answer(self, question: Question, asking: _Asking) -> Reply:
        lookup = await asyncio.to_thread(self._desk.look_up, question)
        if (reply := self._desk.found(lookup)) is not None:
            if lookup is not None and lookup.check:
                self._start_check(question, lookup)
            return reply
        if lookup is None:
            return await self._ask_model(question, None, asking)
        key = self._desk.flight_key(question)
        deadline, pause = time.monotonic() + self.settings.llm.live.flight_wait_s, FIRST_LOOK_S
        while (claimed := await self._take(key)) is False:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_S)
        if claimed and (reply := await asyncio.to_thread(self._desk.arrived, question)) is not None:
            await asyncio.to_thread(self._claims.give_back, key)
            return reply
        return await self._ask_model(question, lookup, replace(asking, claimed=bool(claimed)))

    async def _take(self, key: str) -> bool | None:
        """Take a claim; one that comes after the caller was cancelled is given back."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._claims.take, key))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(
                lambda done: done.result() and self._kept.run(partial(self._claims.give_back, key))
            )
            raise

    async def _ask_model(self, question: Question, lookup: Lookup | None, asking: _Asking) -> Reply:
        reply = None
        try:
            reply = self._desk.read(question, await self._models.complete(question))
        finally:
            self._finish(question, lookup, reply, asking)
        return reply

    def _start_check(self, question: Question, lookup: Lookup) -> None:
        if len(self._checks) >= self.settings.llm.live.checks_waiting:
            self._desk.unchecked(lookup)
            return
        task = asyncio.create_task(self._check(question, lookup))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _check(self, question: Question, lookup: Lookup) -> None:
        async with self._checking:
            try:
                reply = self._desk.read(question, await self._models.complete(question))
            except NightshiftError:
                self._desk.unchecked(lookup)
            else:
                await asyncio.to_thread(self._checked, question, lookup, reply)


def _cache(engine: Engine, settings: Thresholds) -> SemanticCache:
    """The cache with the embedder of the thresholds; OpenAI's through connection `openai_default`."""
    known = settings.llm.cache
    client = None
    if known.embedder == "openai":
        told = connection("openai_default")
        patience_s = known.lookup_timeout_ms / 1000
        client = openai_client(told.host, told.password, timeout_s=patience_s).with_options(max_retries=0)
    return SemanticCache(engine, embedder_of(known, client), known)
