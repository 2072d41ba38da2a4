"""Filling the cache before the day: with what the nights answered, and with what tomorrow will be asked.

Tomorrow's questions are those of today's money: a score for every creative that spends, the type of every
hook that is in use, and what the council says of the strongest hooks for each persona. They go through the
night's batches at half the price; what is still missing in the morning is asked live, dearest and likeliest
first, within the budget.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, RowMapping

from include.config import Thresholds
from include.db import llm as llm_sql
from include.db import llm_cache
from include.db import llm_warming as sql
from include.errors import NightshiftError
from include.llm import hooks, rubric, scoring
from include.llm.bodies import Endpoint
from include.llm.cache import Answered, Namespace, SemanticCache
from include.llm.cache.lookup import Source
from include.llm.errors import CacheUnavailable, RequestInvalid
from include.llm.estimates import Estimate, estimate
from include.llm.live import LiveModels
from include.llm.prices import price_of
from include.llm.questions import Question, council_question, hook_question, score_question
from include.llm.requests import enqueue
from include.llm.tasks import TASKS, read_answer, words_of

TAG = "warm"


def tag_of(day: date) -> str:
    """What the answers that one night's warming paid for are tagged with, beside `warm`."""
    return f"{TAG}:{day}"


@dataclass(frozen=True)
class Kept:
    """Answers of the nights that went into the cache, and those that were too old for it."""

    kept: int
    too_old: int


@dataclass(frozen=True)
class Wanted:
    """A question that tomorrow will probably be asked.

    Attributes:
        subject: what it is about, such as a creative's id.
        lookups: how often it is expected.
        most: tokens and dollars it takes at most.
    """

    question: Question
    subject: str
    lookups: float
    most: Estimate

    @property
    def live_usd(self) -> Decimal:
        """What it costs live at most."""
        return self.most.live_usd

    @property
    def worth(self) -> float:
        """Expected savings per token: what is asked for first."""
        return self.lookups * float(self.live_usd) / max(self.most.prompt_tokens, 1)


@dataclass(frozen=True)
class QueuedForTomorrow:
    """Questions of tomorrow that the night is to answer: all, new in the queue, left out by the budget."""

    wanted: int
    queued: int
    beyond_budget: int


@dataclass(frozen=True)
class Warmed:
    """What a warming asked.

    Attributes:
        wanted, known: tomorrow's questions, and those the cache can answer by now.
        asked, failed: asked live, and of them without an answer of use.
        beyond_budget: left out.
        queue_answered: requests in the queue that need not wait for the night any more.
        paid_usd: for what was asked.
    """

    wanted: int
    known: int
    asked: int
    failed: int
    beyond_budget: int
    queue_answered: int
    paid_usd: Decimal

    @property
    def summary(self) -> str:
        """One sentence for people."""
        share = f"{self.known / self.wanted:.0%}" if self.wanted else "none"
        parts = [
            f"{self.known:,} of {self.wanted:,} expected questions can be answered ({share})",
            f"{self.asked:,} asked live for ${self.paid_usd:.4f}",
        ]
        if self.failed:
            parts.append(f"{self.failed:,} got no answer")
        if self.beyond_budget:
            parts.append(f"{self.beyond_budget:,} left out by the budget")
        if self.queue_answered:
            parts.append(f"{self.queue_answered:,} waiting requests answered by it")
        return "; ".join(parts)

    def as_counts(self) -> dict[str, Any]:
        """What the DAG passes on: numbers, and the sentence."""
        return {**asdict(self), "paid_usd": float(self.paid_usd), "summary": self.summary}


def keep_answered(engine: Engine, cache: SemanticCache, settings: Thresholds) -> Kept:
    """Put what batches answered into the cache; what is there already stays as it is.

    Raises:
        CacheUnavailable: the cache cannot be written to; run it again.
    """
    now = datetime.now(UTC)
    since = now - timedelta(days=settings.llm.warm.history_days)
    kept = too_old = 0
    with engine.connect() as reading:
        latencies = sql.usual_latency(reading)
        pages = sql.answered_uncached(
            reading,
            since,
            embedder=cache.embedder.name,
            shared=[name for name, task in TASKS.items() if task.is_shared],
            rows_at_once=settings.llm.warm.page_rows,
        )
        page: Sequence[RowMapping]
        for page in pages:
            groups: dict[Namespace, list[Answered]] = defaultdict(list)
            for row in page:
                answered = _answered(row, latencies, now, settings)
                if answered is None:
                    too_old += 1
                    continue
                groups[_namespace(row, cache)].append(answered)
            for namespace, answers in groups.items():
                kept += len(cache.store_many(namespace, answers))
    return Kept(kept, too_old)


def tomorrows_questions(engine: Engine, day: date, settings: Thresholds) -> list[Wanted]:
    """What the day after `day` will probably be asked, most worth first.

    How often a task is asked is taken from the day's own lookups; which of its questions, from the money
    behind them: the one in place n is expected in proportion to 1/n (Zipf).
    """
    warm, days = settings.llm.warm, settings.llm.spend_window_days
    with engine.connect() as conn:
        creatives = sql.top_creatives(conn, day, days=days, most=warm.top_creatives)
        in_use = sql.top_hooks(conn, day, days=days, most=warm.hooks_in_use)
        seen = sql.lookups_of(conn, day)
    asked: dict[str, list[tuple[Question, str]]] = defaultdict(list)
    for row in creatives:
        asked[scoring.PURPOSE].append(
            (score_question(dict(row), row["account_id"], settings), row["creative_id"])
        )
    for row in in_use:
        asked[hooks.PURPOSE] += _of_hook(row, settings)
    for row in in_use[: warm.top_hooks]:
        for persona in warm.personas:
            asked[rubric.PURPOSE] += _of_council(row, persona, settings)
    wanted = []
    for task, questions in asked.items():
        ranks = sum(1 / place for place in range(1, len(questions) + 1))
        lookups = seen.get(task) or warm.lookups_expected
        for place, (question, subject) in enumerate(questions, start=1):
            price = price_of(settings.prices, question.provider, question.model, day)
            wanted.append(
                Wanted(question, subject, lookups / place / ranks, estimate(question.params, price))
            )
    return sorted(wanted, key=lambda each: (-each.worth, each.question.key))


def queue_for_tomorrow(
    engine: Engine, cache: SemanticCache, day: date, settings: Thresholds
) -> QueuedForTomorrow:
    """Queue for the night of `day` what tomorrow will be asked and nobody has answered yet.

    They leave after everything that somebody asked for, and are of no use after tomorrow. The budget is one
    night's: what was queued for it before counts.
    """
    wanted = tomorrows_questions(engine, day, settings)
    with engine.connect() as conn:
        before = sql.queued_on(conn, day, [each.question.key for each in wanted])
    spent = sum((each.most.batch_usd for each in wanted if each.question.key in before), Decimal(0))
    missing = [each for each in _missing(cache, wanted) if each.question.key not in before]
    left = settings.llm.warm.budget_usd - spent
    chosen = _within_budget(missing, left, lambda each: each.most.batch_usd)
    end = datetime.combine(day + timedelta(days=2), time(), UTC)
    not_after = end if end > datetime.now(UTC) else None
    requests = [
        each.question.as_request(each.subject, priority=Decimal(-place), not_after=not_after)
        for place, each in enumerate(chosen, start=1)
    ]
    with engine.begin() as conn:
        found = enqueue(conn, requests, day, settings)
    return QueuedForTomorrow(len(wanted), found.new, len(missing) - len(chosen))


def ask_missing(
    engine: Engine, cache: SemanticCache, models: LiveModels, day: date, settings: Thresholds
) -> Warmed:
    """Ask the models live what the coming day will probably ask and the cache cannot answer yet.

    The budget is one night's: what its warming paid before counts. Requests that wait in the queue for an
    answer the cache has by now get it.

    Raises:
        CacheUnavailable: the cache cannot be read or written; run it again.
    """
    wanted = tomorrows_questions(engine, day, settings)
    missing = _missing(cache, wanted)
    with engine.connect() as conn:
        left = settings.llm.warm.budget_usd - sql.paid_with_tag(conn, tag_of(day))
    chosen = _within_budget(missing, left, lambda each: each.live_usd)
    with ThreadPoolExecutor(settings.llm.warm.live_at_once, thread_name_prefix="llm-warm") as workers:
        paid = list(workers.map(lambda each: _ask(cache, models, each.question, tag_of(day)), chosen))
    with engine.begin() as conn:
        known = llm_cache.answer_queued(conn)
        llm_sql.store_creative_scores(conn, known, purpose=scoring.PURPOSE)
    answered = [usd for usd in paid if usd is not None]
    return Warmed(
        wanted=len(wanted),
        known=len(wanted) - len(missing) + len(answered),
        asked=len(chosen),
        failed=len(chosen) - len(answered),
        beyond_budget=len(missing) - len(chosen),
        queue_answered=len(known),
        paid_usd=sum(answered, Decimal(0)),
    )


def _of_hook(row: RowMapping, settings: Thresholds) -> list[tuple[Question, str]]:
    try:
        return [(hook_question(row["hook_text"], row["account_id"], settings), row["creative_id"])]
    except RequestInvalid:
        # Too long to be a hook: nobody can ask it either.
        return []


def _of_council(row: RowMapping, persona: str, settings: Thresholds) -> list[tuple[Question, str]]:
    creative: dict[str, Any] = {
        "hook_text": row["hook_text"],
        "persona": persona,
        "niche": row["niche"],
    }
    return [
        (council_question(creative, row["account_id"], member, settings), row["creative_id"])
        for member in settings.llm.council.members
    ]


def _missing(cache: SemanticCache, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Those that the cache does not know."""
    groups: dict[Namespace, list[str]] = defaultdict(list)
    for each in wanted:
        groups[each.question.namespace(cache.embedder.name)].append(each.question.key)
    known: set[tuple[Namespace, str]] = set()
    for namespace, keys in groups.items():
        known |= {(namespace, key) for key in cache.look_up_exact(namespace, keys)}
    return [
        each
        for each in wanted
        if (each.question.namespace(cache.embedder.name), each.question.key) not in known
    ]


def _within_budget(
    missing: Sequence[Wanted], left: Decimal, costs: Callable[[Wanted], Decimal]
) -> list[Wanted]:
    """The first of them that what is left of the budget allows, by estimate."""
    chosen = []
    for each in missing:
        if costs(each) <= left:
            left -= costs(each)
            chosen.append(each)
    return chosen


def _ask(cache: SemanticCache, models: LiveModels, question: Question, night: str) -> Decimal | None:
    """Ask one question and keep its answer; what it cost, or None where there is no answer of use."""
    try:
        completion = models.complete(question)
        answer = read_answer(question.task, completion.text, question.answer_schema)
    except CacheUnavailable:
        raise
    except NightshiftError:
        return None
    cache.store(
        question.namespace(cache.embedder.name),
        Answered(
            key=question.key,
            question=question.words,
            answer=answer,
            live_usd=completion.cost.live_usd,
            latency_ms=completion.latency_ms,
            source=Source.WARM,
            tags=(TAG, night),
        ),
    )
    return completion.cost.paid_usd


def _answered(
    row: RowMapping, latencies: dict[tuple[str, str], int], now: datetime, settings: Thresholds
) -> Answered | None:
    lives = timedelta(hours=settings.llm.cache.ttl_hours_of(row["purpose"])) - (now - row["finished_at"])
    if lives <= timedelta(0):
        return None
    return Answered(
        key=row["request_key"],
        question=words_of(row["params"], Endpoint(row["endpoint"])),
        answer=row["answer"],
        live_usd=row["live_usd"],
        latency_ms=latencies.get((row["provider"], row["model"]), 0),
        source=Source.BATCH,
        tags=(f"night:{row['finished_at'].date()}",),
        ttl_s=lives.total_seconds(),
    )


def _namespace(row: RowMapping, cache: SemanticCache) -> Namespace:
    model = f"{row['provider']}/{row['model']}"
    return Namespace(row["tenant"], row["purpose"], row["prompt_version"], model, cache.embedder.name)
