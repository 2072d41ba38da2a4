"""The semantic cache itself: exact answers first, then the nearest question of the same namespace.

A question is answered from another one's answer only as far as the namespace's policy (`promise`) allows;
where nothing was learnt, only from its own. Whatever goes wrong here is `CacheUnavailable`, within the time
that `thresholds.yaml` allows: then the question goes to the model. What happened is kept by a `Journal`.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from pgvector import HalfVector
from psycopg import errors as refusals
from sqlalchemy import Engine

from include.config.cache import CacheThresholds
from include.db import llm_cache as sql
from include.errors import NightshiftError
from include.llm.cache.connections import Connection, ImpatientPool
from include.llm.cache.embedder import Embedder, Vectors, readable
from include.llm.cache.journal import Journal
from include.llm.cache.lookup import Answered, Lookup, LookupKind, Namespace, Neighbour
from include.llm.cache.promise.pairs import Pair
from include.llm.cache.promise.policy import Policy
from include.llm.cache.promise.relearn import family_of
from include.llm.cache.promise.watch import watch_namespaces
from include.llm.cache.upkeep import invalidate
from include.llm.errors import CacheUnavailable, RequestInvalid

STORED_AT_ONCE = 500


@dataclass(frozen=True)
class _Known:
    """A namespace as this process last saw it."""

    namespace_id: int
    policy: Policy | None
    version: int
    reads_all: bool
    until: float


class SemanticCache:
    """Looks up, stores and observes. Any thread may use it; close it, as in `with SemanticCache(...) as
    cache`.

    Args:
        engine: on the `nightshift` database.
        embedder: turns questions into vectors; its name is part of every namespace.
        settings: `llm.cache` of the thresholds.
    """

    def __init__(self, engine: Engine, embedder: Embedder, settings: CacheThresholds) -> None:
        if embedder.dimensions not in sql.DIMENSIONS:
            raise RequestInvalid(
                f"embedder {embedder.name} makes vectors of {embedder.dimensions} numbers; "
                f"there are tables for {' and '.join(map(str, sql.DIMENSIONS))}"
            )
        self.embedder, self.settings = embedder, settings
        self._engine, self._size = engine, embedder.dimensions
        self._known: dict[Namespace, _Known] = {}
        pool = partial(
            ImpatientPool, engine.url, failures=settings.breaker_failures, pause_s=settings.breaker_seconds
        )
        walks_on = {
            "hnsw.iterative_scan": "strict_order",
            "hnsw.ef_search": str(settings.ef_search),
            "hnsw.max_scan_tuples": str(settings.max_scan_tuples),
            # The index is walked, never sorted around; and a plan is made once a connection.
            "enable_seqscan": "off",
            "enable_sort": "off",
            "plan_cache_mode": "force_generic_plan",
        }
        self._reads = pool(
            size=settings.connections, patience_s=settings.lookup_timeout_ms / 1000, settings=walks_on
        )
        self._writes = pool(size=2, patience_s=settings.store_timeout_ms / 1000, settings={})
        self._journal = Journal(
            engine,
            every_s=settings.journal_seconds,
            rows=settings.journal_rows,
            watch=self._watch,
        )

    def namespace(self, tenant: str, task: str, prompt_version: str, model: str) -> Namespace:
        """The namespace of these for this cache's embedder."""
        return Namespace(tenant, task, prompt_version, model, self.embedder.name)

    def look_up(self, namespace: Namespace, question: str, key: str, *, counts: bool = True) -> Lookup:
        """What is known of a question.

        Args:
            question: its words; empty where only the very same question may answer it.
            counts: whether this is how the question is answered; otherwise say it later by `record`.

        Raises:
            CacheUnavailable: the cache or its embedder cannot say in time. Ask the model.
        """
        known = self._namespace(namespace)
        lookup = Lookup(LookupKind.MISS, namespace, key, question)
        if known is not None:
            lookup = replace(lookup, namespace_id=known.namespace_id, version=known.version)
            found = self._reads.run("exact", lambda conn: sql.exact(conn, known.namespace_id, [key]))
            if found:
                lookup = replace(lookup, kind=LookupKind.EXACT, **_hit(found[0]))
            elif question and self.settings.is_semantic(namespace.task):
                lookup = self._look_around(lookup, known)
        if counts:
            self.record(lookup)
        return lookup

    def known_as(self, namespace: Namespace, key: str) -> Lookup | None:
        """An exact hit to be counted whose answer came past the cache; None where the namespace is new."""
        known = self._known.get(namespace)
        if known is None:
            return None
        return Lookup(LookupKind.EXACT, namespace, key, "", known.namespace_id, version=known.version)

    def record(self, lookup: Lookup) -> None:
        """Count a lookup. A hit that is checked is counted when the model's answer is there."""
        if lookup.namespace_id is not None and not lookup.check:
            self._journal.add(lookup=_line(lookup, str(lookup.kind)))

    def look_up_exact(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The answers of these very questions, by key. Not counted as hits.

        Raises:
            CacheUnavailable: the cache cannot say in time.
        """
        known = self._namespace(namespace)
        if known is None or not keys:
            return {}
        found = self._writes.run("exact", lambda conn: sql.exact(conn, known.namespace_id, keys))
        return {each.exact_key: each.answer for each in found}

    def store(self, namespace: Namespace, answered: Answered, vector: Vectors | None = None) -> int:
        """Keep an answer. One that is there already is replaced and lives anew. Returns the entry's id.

        Args:
            vector: of the question, as `Lookup.vector` has it.

        Raises:
            CacheUnavailable: it was not kept.
            RequestInvalid: the answer holds what PostgreSQL cannot store.
        """
        vectors = None if vector is None else np.asarray(vector)[None, :]
        return self.store_many(namespace, [answered], vectors)[0]

    def store_many(
        self, namespace: Namespace, answered: Sequence[Answered], vectors: Vectors | None = None
    ) -> list[int]:
        """Keep many answers of one namespace; returns their entries' ids in order. See `store`."""
        if not answered:
            return []
        if vectors is None:
            vectors = self._embed([each.question for each in answered])
        ids: list[int] = []
        for first in range(0, len(answered), STORED_AT_ONCE):
            part = slice(first, first + STORED_AT_ONCE)
            rows = [self._row(namespace, each) for each in answered[part]]
            halves = [HalfVector(vector) for vector in vectors[part]]
            ids += self._writes.run(
                "store", partial(self._store, namespace=namespace, rows=rows, halves=halves)
            )
        return ids

    def observe(self, lookup: Lookup, *, was_right: bool) -> None:
        """Say whether the neighbour's answer was, or would have been, right, now that the model was asked.

        To be called for every lookup with a neighbour whose question went to the model: misses, and hits that
        were to be checked. It never fails; it is written behind.
        """
        near = lookup.neighbour
        if near is None or lookup.namespace_id is None:
            return
        checked = lookup.kind is LookupKind.SEMANTIC
        self._journal.add(
            lookup=_line(lookup, "checked_right" if was_right else "checked_wrong") if checked else None,
            observation={
                "namespace_id": lookup.namespace_id,
                "entry_id": near.entry_id,
                "kind": "check" if checked else "miss",
                "similarity": near.similarity,
                "features": [round(float(value), 6) for value in near.features],
                "vectors": near.vectors.hex(),
                "was_right": was_right,
                "weight": lookup.weight,
                "score": near.score,
                "version": lookup.version,
                "family": family_of(near.question),
            },
        )

    def invalidate(self, *, tags: Sequence[str] | None = None, namespace: Namespace | None = None) -> int:
        """Remove every entry with any of these tags, in this namespace or in all; returns how many.

        Raises:
            RequestInvalid: neither was named.
        """
        names = {} if namespace is None else namespace.as_row()
        return invalidate(self._engine, self.settings, tags=tags, **names)

    def flush(self) -> None:
        """Write what happened so far; it is written by itself within seconds."""
        self._journal.flush()

    def forget_policies(self) -> None:
        """Look at the namespaces anew with the next lookup, in this process."""
        self._known.clear()

    def close(self) -> None:
        """Write what happened, and let the connections go."""
        self._journal.close()
        self._reads.close()
        self._writes.close()

    def __enter__(self) -> "SemanticCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def look_up_async(self, namespace: Namespace, question: str, key: str) -> Lookup:
        """`look_up` for coroutines."""
        return await asyncio.to_thread(self.look_up, namespace, question, key)

    async def store_async(
        self, namespace: Namespace, answered: Answered, vector: Vectors | None = None
    ) -> int:
        """`store` for coroutines."""
        return await asyncio.to_thread(self.store, namespace, answered, vector)

    def _look_around(self, lookup: Lookup, known: _Known) -> Lookup:
        """The lookup with its nearest neighbour, and the decision about it."""
        vector = self._embed([lookup.question])[0]
        half = HalfVector(vector)
        near = self._reads.run(
            "nearest",
            lambda conn: sql.nearest(conn, known.namespace_id, half, self._size, reads_all=known.reads_all),
        )
        lookup = replace(lookup, vector=vector)
        if near is None:
            return lookup
        # Both as the database has them, so that learning sees what deciding saw.
        pair = Pair.of(lookup.question, half.to_numpy(), near.question, near.embedding.to_numpy(), near)
        policy = known.policy
        score = None if policy is None else policy.score(pair)
        neighbour = Neighbour(
            near.entry_id, near.question, near.answer, near.similarity, score, pair.features, pair.halves
        )
        lookup = replace(lookup, neighbour=neighbour)
        if policy is None or score is None:
            return lookup
        share = policy.share_checked(self.settings.check_share, self.settings.learn_thoroughly)
        decision = policy.decide(
            score,
            near.times_right,
            near.times_wrong,
            check_share=share,
            chances=(random.random(), random.random()),
        )
        if not decision.serve:
            return lookup
        return replace(
            lookup, kind=LookupKind.SEMANTIC, similarity=near.similarity, check=decision.check,
            weight=decision.weight, **_hit(near),
        )  # fmt: skip

    def _embed(self, questions: Sequence[str]) -> Vectors:
        try:
            return self.embedder.embed(questions)
        except NightshiftError as error:
            raise CacheUnavailable(f"questions cannot be embedded: {error}") from error

    def _namespace(self, namespace: Namespace) -> _Known | None:
        """What is known of it, read again when that is old."""
        known = self._known.get(namespace)
        now = time.monotonic()
        if known is not None and known.until > now:
            return known
        most = self.settings.scanned_rows
        version = -1 if known is None else known.version
        row = self._reads.run(
            "namespace",
            lambda conn: sql.namespace(conn, namespace.as_row(), self._size, most=most + 1, version=version),
        )
        if row is None:
            return None
        if known is not None and known.version == row.version:
            policy = known.policy
        else:
            policy = None if row.is_shut or row.policy is None else Policy.from_json(row.policy)
        found = _Known(
            row.namespace_id, policy, row.version, row.vectors <= most, now + self.settings.known_seconds
        )
        self._known[namespace] = found
        return found

    def _store(
        self,
        conn: Connection,
        namespace: Namespace,
        rows: Sequence[Mapping[str, Any]],
        halves: Sequence[HalfVector],
    ) -> list[int]:
        known = sql.namespace(conn, namespace.as_row(), self._size)
        if known is None:
            sql.make_namespace(conn, namespace.as_row())
            known = sql.namespace(conn, namespace.as_row(), self._size)
        if known is None:
            raise CacheUnavailable(f"the cache's namespace {namespace} was removed while it was written to")
        try:
            ids = sql.store(conn, known.namespace_id, rows, halves, self._size)
        except (refusals.DataError, refusals.UntranslatableCharacter) as error:
            raise RequestInvalid(
                f"an answer for {namespace} cannot be kept: {str(error).partition(chr(10))[0]}"
            ) from error
        return [ids[row["exact_key"]] for row in rows]

    def _row(self, namespace: Namespace, answered: Answered) -> dict[str, Any]:
        ttl_s = answered.ttl_s
        return {
            "exact_key": answered.key,
            "question": readable(answered.question),
            "answer": dict(answered.answer),
            "live_usd": answered.live_usd,
            "latency_ms": answered.latency_ms,
            "source": str(answered.source),
            "tags": answered.tags,
            "ttl_s": self.settings.ttl_hours_of(namespace.task) * 3600 if ttl_s is None else ttl_s,
            "slides": answered.slides,
        }

    def _watch(self, namespace_ids: set[int]) -> None:
        if watch_namespaces(self._engine, namespace_ids, self.settings):
            self.forget_policies()


def _hit(entry: sql.Exact | sql.Nearest) -> dict[str, Any]:
    return {
        "entry_id": entry.entry_id,
        "answer": entry.answer,
        "live_usd": entry.live_usd,
        "latency_ms": entry.latency_ms,
    }


def _line(lookup: Lookup, kind: str) -> dict[str, Any]:
    return {
        "looked_at": datetime.now(UTC).isoformat(),
        "namespace_id": lookup.namespace_id,
        "kind": kind,
        "entry_id": lookup.entry_id,
        "similarity": lookup.similarity,
        "saved_usd": str(lookup.live_usd) if lookup.is_hit else "0",
        "saved_ms": lookup.latency_ms if lookup.is_hit else 0,
    }
