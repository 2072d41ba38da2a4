"""What happens to a question around the call itself, the same for threads and for event loops.

The steps are methods of `Desk` that wait for nobody but the database, and for that only as long as the
cache's own patience lasts. Each question is counted once, by how it was answered in the end.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from include.config import Thresholds
from include.errors import NightshiftError
from include.llm.cache import Answered, Lookup, LookupKind, SemanticCache
from include.llm.errors import CacheUnavailable
from include.llm.flights import Claims
from include.llm.live import Completion
from include.llm.questions import Question
from include.llm.tasks import read_answer, same_answer

LOG = logging.getLogger(__name__)


class How(StrEnum):
    """Where an answer came from."""

    EXACT = "exact"
    SEMANTIC = "semantic"
    MODEL = "model"


@dataclass(frozen=True)
class Reply:
    """An answer, and how it was come by.

    Attributes:
        answer: as the task stores it: of plain text, `{"text": ...}`.
        similarity: of the question it was the answer to, where that was another one.
        checked: the model is asked all the same, behind the caller's back, whether the answer is right.
        paid_usd, saved_usd: what the vendor charges for it, and would have charged.
        latency_ms: of the model's call; 0 where there was none.
    """

    answer: dict[str, Any] = field(repr=False)
    how: How
    similarity: float | None = None
    checked: bool = False
    paid_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    latency_ms: int = 0

    @property
    def text(self) -> str:
        """The answer to a question in plain text."""
        return str(self.answer["text"])

    def shared(self) -> "Reply":
        """What those get who asked the same while it was being answered."""
        if self.how is not How.MODEL:
            return replace(self, checked=False)
        return replace(self, how=How.EXACT, paid_usd=Decimal(0), saved_usd=self.paid_usd)


class Desk:
    """The steps around a call."""

    def __init__(self, cache: SemanticCache, claims: Claims, settings: Thresholds) -> None:
        self.cache, self.claims, self.settings = cache, claims, settings

    def flight_key(self, question: Question) -> str:
        """What makes two questions one: also who may read the answer."""
        return f"{question.namespace('').tenant} {question.task} {question.key}"

    def look_up(self, question: Question) -> Lookup | None:
        """What the cache knows, not counted yet; None where it cannot say."""
        namespace = question.namespace(self.cache.embedder.name)
        try:
            return self.cache.look_up(namespace, question.words, question.key, counts=False)
        except CacheUnavailable as error:
            LOG.warning("%s goes to the model without the cache: %s", question.task, error)
            return None

    def found(self, lookup: Lookup | None) -> Reply | None:
        """The reply that a lookup is; counted, unless it is to be checked."""
        if lookup is None or lookup.answer is None:
            return None
        self.cache.record(lookup)
        return Reply(
            dict(lookup.answer),
            How.EXACT if lookup.kind is LookupKind.EXACT else How.SEMANTIC,
            similarity=lookup.similarity,
            checked=lookup.check,
            saved_usd=Decimal(0) if lookup.check else lookup.live_usd,
        )

    def arrived(self, question: Question) -> Reply | None:
        """The reply, where another process has answered the very question meanwhile."""
        namespace = question.namespace(self.cache.embedder.name)
        try:
            lookup = self.cache.look_up(namespace, "", question.key, counts=False)
        except CacheUnavailable:
            return None
        return self.found(lookup)

    def shared(self, question: Question, reply: Reply) -> Reply:
        """The reply to one who waited for what somebody else asked; counted as a hit."""
        mine = reply.shared()
        lookup = self.cache.known_as(question.namespace(self.cache.embedder.name), question.key)
        if lookup is not None:
            lookup = replace(lookup, kind=LookupKind(mine.how), similarity=mine.similarity)
            self.cache.record(replace(lookup, live_usd=mine.saved_usd, latency_ms=mine.latency_ms))
        return mine

    def read(self, question: Question, completion: Completion) -> Reply:
        """The reply that a model gave.

        Raises:
            AnswerInvalid: it is not in the form that was asked for.
        """
        answer = read_answer(question.task, completion.text, question.answer_schema)
        return Reply(answer, How.MODEL, paid_usd=completion.cost.paid_usd, latency_ms=completion.latency_ms)

    def finish(
        self,
        question: Question,
        lookup: Lookup | None,
        reply: Reply | None,
        *,
        claimed: bool,
        tags: Sequence[str],
        ttl_s: float | None,
    ) -> None:
        """After the model was asked: count, keep the answer, learn from it, and let others ask.

        Args:
            reply: None where there was no answer of use.
        """
        try:
            if lookup is not None:
                self.cache.record(lookup)
            if reply is not None:
                self.keep(question, lookup, reply, tags=tags, ttl_s=ttl_s)
        finally:
            if claimed:
                self.claims.give_back(self.flight_key(question))
        if lookup is not None and reply is not None:
            self.observe(question, lookup, reply)

    def keep(
        self,
        question: Question,
        lookup: Lookup | None,
        reply: Reply,
        *,
        tags: Sequence[str] = (),
        ttl_s: float | None = None,
    ) -> None:
        """Put an answer into the cache; failing at it is no error."""
        answered = Answered(
            key=question.key,
            question=question.words,
            answer=reply.answer,
            live_usd=reply.paid_usd,
            latency_ms=reply.latency_ms,
            tags=tuple(tags),
            ttl_s=ttl_s,
        )
        namespace = question.namespace(self.cache.embedder.name)
        try:
            self.cache.store(namespace, answered, None if lookup is None else lookup.vector)
        except NightshiftError as error:
            LOG.warning("an answer for %s was not kept: %s", question.task, error)

    def observe(self, question: Question, lookup: Lookup, reply: Reply) -> None:
        """Note whether the neighbour's answer would have done, now that the model's own is there."""
        if lookup.neighbour is None:
            return
        live = self.settings.llm.live
        right = same_answer(question.task, lookup.neighbour.answer, reply.answer, live, self._likeness)
        self.cache.observe(lookup, was_right=right)

    def unchecked(self, lookup: Lookup) -> None:
        """Count a hit that was to be checked and was not."""
        self.cache.record(replace(lookup, check=False))

    def _likeness(self, one: str, other: str) -> float:
        vectors = self.cache.embedder.embed([one, other])
        return float(vectors[0] @ vectors[1])
