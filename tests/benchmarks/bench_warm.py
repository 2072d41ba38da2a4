"""The day after a warmed night, replayed: how much of what is asked the cache answers. `make bench-warm`.

A simulated platform is lived for some days. Each night does what the DAGs do: unscored creatives and the
questions of tomorrow are answered, answers are kept, what is missing is asked, namespaces learn. Each day
people ask, drawn by what creatives spend that day, and all of it goes through `CachedLLM` on a real
PostgreSQL with the real embedder. The last day is measured, and asked once more of a cold cache.

Simulated are the models: a truth that depends on what a hook means, not on its wording, answers for them
(`Truth`). So are the people: `SHARES` says what they ask, with hooks retyped in other words, personas the
night does not know, and hooks nobody has seen among it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from sqlalchemy import Engine

from include.config import Thresholds, thresholds
from include.db import llm_warming as sql
from include.db import make_engine
from include.llm.asking import How, Reply
from include.llm.cache import SemanticCache
from include.llm.cache.embedder import default_embedder
from include.llm.cache.promise.relearn import relearn_all
from include.llm.cached import CachedLLM
from include.llm.flights import Claims
from include.llm.questions import Question, council_question, hook_question, score_question
from include.llm.scoring import queue_unscored_creatives
from include.llm.tasks import same_answer
from include.llm.warming import ask_missing, keep_answered, queue_for_tomorrow
from include.simulator.config import WorldConfig
from include.simulator.loading import load_world
from tests.benchmarks.embedded import embedded_postgres
from tests.benchmarks.reporting import print_table, write_figures
from tests.benchmarks.simulated_people import SHARES, People, Truth, answer_queue

START = date(2026, 1, 1)


def main() -> int:
    """Live, measure, print, keep."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--accounts", type=int, default=100)
    arguments.add_argument("--history", type=int, default=45, help="days the platform ran before")
    arguments.add_argument("--days", type=int, default=8, help="days with the cache before the measured one")
    arguments.add_argument("--questions", type=int, default=2_000, help="asked a day")
    arguments.add_argument("--seed", type=int, default=7)
    given = arguments.parse_args()
    began = time.perf_counter()
    with embedded_postgres() as url:
        engine = make_engine(url)
        config = WorldConfig(
            seed=given.seed, accounts=given.accounts, days=given.history + given.days + 1, start=START
        )
        load_world(engine, config)
        life = Life(engine, patient(thresholds()), given.questions, given.seed)
        first = START + timedelta(days=given.history)
        days = []
        for n in range(given.days + 1):
            day = first + timedelta(days=n)
            life.night(day - timedelta(days=1))
            days.append(life.day(day))
            _say(days[-1].told(f"day {n + 1}"))
        cold = Life(engine, patient(thresholds()), given.questions, given.seed, name="cold").day(day)
        engine.dispose()
    warm = days[-1]
    print_table(("the measured day", *Day.HEAD), [("warmed", *warm.cells), ("cold", *cold.cells)])
    print_table(
        ("asked for", "share", "hits", "exact", "semantic", "wrong"),
        [(kind, *warm.kind_cells(kind)) for kind in SHARES],
    )
    figures = {**warm.figures(), **{f"cold_{name}": value for name, value in cold.figures().items()}}
    figures["warming_usd"] = float(life.warming_usd)
    path = write_figures("warm", figures)
    _say(f"{time.perf_counter() - began:.0f} s; answers simulated; {path}")
    return 0


class Day:
    """What became of one day's questions."""

    HEAD = ("questions", "hits", "exact", "semantic", "false hits", "paid", "saved")

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.how: Counter[tuple[str, How]] = Counter()
        self.wrong: Counter[str] = Counter()
        self.paid = self.saved = Decimal(0)

    def add(self, kind: str, reply: Reply, is_right: bool, live_usd: Decimal) -> None:
        self.kinds[kind] += 1
        self.how[kind, reply.how] += 1
        self.wrong[kind] += not is_right
        self.paid += reply.paid_usd
        # A checked hit saves its asker the wait, but no money.
        self.saved += live_usd if reply.how is not How.MODEL and not reply.checked else Decimal(0)

    def share(self, *hows: How) -> float:
        """Of all questions."""
        return sum(count for (_, how), count in self.how.items() if how in hows) / sum(self.kinds.values())

    @property
    def false_hit_share(self) -> float:
        """Wrong semantic hits per lookup without an exact answer: what the promise is about."""
        reached = sum(count for (_, how), count in self.how.items() if how is not How.EXACT)
        return sum(self.wrong.values()) / max(reached, 1)

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            f"{sum(self.kinds.values()):,}",
            f"{self.share(How.EXACT, How.SEMANTIC):.1%}",
            f"{self.share(How.EXACT):.1%}",
            f"{self.share(How.SEMANTIC):.1%}",
            f"{self.false_hit_share:.2%}",
            f"${self.paid:.3f}",
            f"${self.saved:.3f}",
        )

    def kind_cells(self, kind: str) -> tuple[str, ...]:
        count = max(self.kinds[kind], 1)
        exact, semantic = self.how[kind, How.EXACT] / count, self.how[kind, How.SEMANTIC] / count
        share = self.kinds[kind] / sum(self.kinds.values())
        hits = exact + semantic
        return (f"{share:.1%}", f"{hits:.1%}", f"{exact:.1%}", f"{semantic:.1%}", str(self.wrong[kind]))

    def told(self, name: str) -> str:
        return f"{name}: " + ", ".join(
            f"{what} {cell}" for what, cell in zip(self.HEAD, self.cells, strict=True)
        )

    def figures(self) -> dict[str, float]:
        return {
            "hit_share": round(self.share(How.EXACT, How.SEMANTIC), 5),
            "exact_share": round(self.share(How.EXACT), 5),
            "semantic_share": round(self.share(How.SEMANTIC), 5),
            "false_hit_share": round(self.false_hit_share, 5),
            "saved_usd": float(self.saved),
            "paid_usd": float(self.paid),
        }


class Life:
    """Nights and days on one cache.

    Args:
        name: of the cache's own embedder, which keeps its namespaces apart from another life's.
    """

    def __init__(
        self, engine: Engine, settings: Thresholds, questions: int, seed: int, name: str | None = None
    ) -> None:
        self._engine, self._settings = engine, settings
        self._questions, self._seed = questions, seed
        self._embedder = default_embedder() if name is None else Renamed(name)
        self._truth = Truth(engine, settings)
        self.warming_usd = Decimal(0)

    def night(self, day: date) -> None:
        """What the DAGs do between `day` and the next."""
        queue_unscored_creatives(self._engine, day, self._settings)
        with SemanticCache(self._engine, self._embedder, self._settings.llm.cache) as cache:
            queue_for_tomorrow(self._engine, cache, day, self._settings)
            self.warming_usd += answer_queue(self._engine, self._truth)
            keep_answered(self._engine, cache, self._settings)
            warmed = ask_missing(self._engine, cache, self._truth, day, self._settings)  # type: ignore[arg-type]
            self.warming_usd += warmed.paid_usd
        for learnt in relearn_all(self._engine, self._settings.llm.cache):
            _say(f"  {learnt.told}")

    def day(self, day: date) -> Day:
        """What people ask on a day."""
        cache = SemanticCache(self._engine, self._embedder, self._settings.llm.cache)
        told = Day()
        with CachedLLM(cache, self._truth, Claims(self._engine, self._settings), self._settings) as llm:  # type: ignore[arg-type]
            for kind, question in self._asked(day):
                reply = llm.ask(question)
                told.add(kind, reply, self._is_right(question, reply), self._truth.live_usd(question))
        return told

    def _asked(self, day: date) -> Iterator[tuple[str, Question]]:
        with self._engine.connect() as conn:
            creatives = sql.top_creatives(conn, day, days=1, most=1_000_000)
            hooks = sql.top_hooks(conn, day, days=1, most=1_000_000)
        drawn = np.random.default_rng([self._seed, day.toordinal()])
        people = People(creatives, hooks, self._truth, self._settings, drawn)
        for _ in range(self._questions):
            kind, asked = people.ask()
            yield kind, self._question(kind, asked)

    def _question(self, kind: str, asked: dict[str, Any]) -> Question:
        if kind == "creative score":
            return score_question(asked, asked["account_id"], self._settings)
        if kind.startswith("council"):
            member = asked.pop("member")
            return council_question(asked["creative"], asked["account_id"], member, self._settings)
        return hook_question(asked["hook_text"], asked["account_id"], self._settings)

    def _is_right(self, question: Question, reply: Reply) -> bool:
        if reply.how is not How.SEMANTIC:
            return True
        truth = self._truth.answer(question.task, question.model, question.params, question.endpoint)
        return same_answer(question.task, reply.answer, truth, self._settings.llm.live, lambda a, b: 0.0)


class Renamed:
    """The offline embedder under another name."""

    def __init__(self, name: str) -> None:
        real = default_embedder()
        self.name, self.dimensions, self.embed = f"{real.name}-{name}", real.dimensions, real.embed


def patient(known: Thresholds) -> Thresholds:
    """Nobody waits here, so nothing is given up for being slow on a busy machine."""
    cache = known.llm.cache.model_copy(update={"lookup_timeout_ms": 10_000, "store_timeout_ms": 60_000})
    live = known.llm.live.model_copy(update={"close_wait_s": 120.0})
    return known.model_copy(update={"llm": known.llm.model_copy(update={"cache": cache, "live": live})})


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
