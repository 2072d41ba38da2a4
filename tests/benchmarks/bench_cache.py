"""The semantic cache at 10,000, 100,000 and 300,000 entries in 20 namespaces: `make bench-cache`.

A PostgreSQL of its own is filled by COPY and indexed afterwards, as a restore would; inserts are measured one
bundle after the other into the standing index. Lookups go through `SemanticCache`, one after the other, from
one process. Embedding is measured apart: the vectors of the questions are given. Beside it stand an exact
scan by pgvector and FAISS Flat, the index GPTCache uses, on the same vectors.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb
from sqlalchemy import Engine

from include.config import thresholds
from include.config.cache import CacheThresholds
from include.db import make_engine
from include.llm.cache import Answered, LookupKind, SemanticCache
from include.llm.cache.embedder import MiniLmEmbedder, Vectors, default_embedder
from include.llm.cache.evaluation import evaluate_pairs
from include.llm.cache.evaluation_files import read_pairs
from include.llm.cache.promise.relearn import relearn, teach
from include.stack.settings import REPOSITORY
from tests.benchmarks.cache_questions import composed, labelled, like
from tests.benchmarks.embedded import embedded_postgres
from tests.benchmarks.reporting import print_table, write_figures

SIZES = (10_000, 100_000, 300_000)
NAMESPACES = 20
# The one that is measured; the others share the rest unevenly.
MEASURED_SHARE = 0.05
EMBEDDED = 8_000
SPREAD = 0.45
PAIRS = REPOSITORY.parent / "shared" / "data" / "semantic_pairs" / "question_pairs_dev.csv"

Numbers = npt.NDArray[np.float32]


class GivenVectors:
    """MiniLM for texts whose vectors were made beforehand, so that lookups are timed without embedding."""

    def __init__(self, real: MiniLmEmbedder) -> None:
        self.name, self.dimensions = real.name, real.dimensions
        self.known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self.known[text] for text in texts])


def main() -> int:
    """Measure, print, keep."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", default=",".join(map(str, SIZES)), help="entries, such as 10000,100000")
    arguments.add_argument("--lookups", type=int, default=1_000)
    arguments.add_argument("--without-pairs", action="store_true", help="leave the labelled pairs out")
    given = arguments.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    began = time.perf_counter()
    settings = thresholds().llm.cache
    figures = embedding_figures()
    rows = []
    with database() as engine:
        bench = Bench(engine, settings, given.lookups)
        for size in sizes:
            measured = bench.at(size)
            rows.append((f"{size:,}", *(f"{value:,.3f}" for value in measured.values())))
            suffix = "" if size == SIZES[1] else f"_{size // 1000}k"
            figures |= {f"{name}{suffix}": round(value, 4) for name, value in measured.items()}
        names = list(measured)
        bench.close()
    if not given.without_pairs:
        figures |= pairs_figures(settings)
    print_table(("entries", *names), rows)
    path = write_figures("cache", figures)
    _say(f"embedding one question {figures['embed_p50_ms']} ms; {time.perf_counter() - began:.0f} s; {path}")
    return 0


class Bench:
    """One database that grows from size to size."""

    def __init__(self, engine: Engine, settings: CacheThresholds, lookups: int) -> None:
        self._engine, self._lookups = engine, lookups
        self._real = default_embedder()
        self._embedder = GivenVectors(self._real)
        # Nobody waits here, and a slow lookup is to be measured, not cut off.
        patient = {"lookup_timeout_ms": 10_000, "store_timeout_ms": 60_000, "known_seconds": 600.0}
        self._settings = settings.model_copy(update=patient)
        self._cache = SemanticCache(engine, self._embedder, self._settings)
        self._texts, _ = composed(EMBEDDED)
        self._base = self._real.embed(self._texts)
        self._namespaces = [
            self._cache.namespace(f"tenant{n}", "hook", "v1", "anthropic/claude-haiku-4-5")
            for n in range(NAMESPACES)
        ]
        self._vectors = np.empty((0, self._embedder.dimensions), dtype=np.float32)
        self._of = np.empty(0, dtype=np.int64)
        self._ids = self._make_namespaces()

    def at(self, size: int) -> dict[str, float]:
        """Everything at so many entries."""
        build_s = self._grow_to(size)
        mine = np.flatnonzero(self._of == 0)
        asked, place = like(self._vectors[mine], self._lookups, 0.6, seed=size)
        exact = self._exact(mine)
        times, recall = self._semantic(mine, asked, place)
        figures = {
            "exact_p50_ms": statistics.median(exact),
            "exact_p99_ms": float(np.quantile(exact, 0.99)),
            "semantic_p50_ms": statistics.median(times),
            "semantic_p99_ms": float(np.quantile(times, 0.99)),
            "namespace_recall": recall,
            "scan_p50_ms": statistics.median(self._scan(asked[:50])),
            "flat_p50_ms": statistics.median(self._flat(asked[:200])),
            "build_s": build_s,
        }
        figures["inserts_per_s"] = self._inserts(asked)
        return figures

    def close(self) -> None:
        self._cache.close()

    def _make_namespaces(self) -> list[int]:
        """All of them, the measured one with a policy learnt from labelled pairs; returns their numbers."""
        ids = []
        for namespace in self._namespaces:
            self._embedder.known["first"] = self._base[0]
            self._cache.store(namespace, Answered("first", "first", {"text": "x"}))
            lookup = self._cache.look_up(namespace, "first", "first")
            assert lookup.namespace_id is not None
            ids.append(lookup.namespace_id)
        teach(self._engine, ids[0], labelled(4_000), self._real)
        learnt = relearn(self._engine, ids[0], self._settings)
        _say(learnt.told if learnt else "the measured namespace learnt nothing")
        self._cache.forget_policies()
        return ids

    def _grow_to(self, size: int) -> float:
        """Fill up by COPY, then index; returns the seconds the index took."""
        first = len(self._vectors)
        vectors, place = like(self._base, size - first, SPREAD, seed=first)
        shares = np.random.default_rng(3).dirichlet(np.full(NAMESPACES - 1, 2.0)) * (1 - MEASURED_SHARE)
        of = np.random.default_rng(first).choice(
            NAMESPACES, size - first, p=[MEASURED_SHARE, *(shares / shares.sum() * (1 - MEASURED_SHARE))]
        )
        later = datetime.now(UTC) + timedelta(days=30)
        with psycopg.connect(self._dsn(), autocommit=True) as conn:
            register_vector(conn)
            index = conn.execute(
                "SELECT pg_get_indexdef('llm.cache_vector_384_nearest'::regclass)"
            ).fetchone()
            assert index is not None
            conn.execute("DROP INDEX llm.cache_vector_384_nearest")
            with conn.cursor().copy(
                "COPY llm.cache_entry (entry_id, namespace_id, exact_key, question, answer, live_usd,"
                " latency_ms, source, expires_at) FROM STDIN"
            ) as copy:
                for n in range(len(vectors)):
                    entry = first + n + 1_000
                    words = f"{self._texts[place[n]]} ({entry})"
                    copy.write_row(
                        (entry, self._ids[of[n]], f"k{entry}", words, Jsonb({"text": words}), "0.001", 900,
                         "import", later)
                    )  # fmt: skip
            with conn.cursor().copy(
                "COPY llm.cache_vector_384 (entry_id, namespace_id, expires_at, embedding) FROM STDIN"
                " WITH (FORMAT BINARY)"
            ) as copy:
                copy.set_types(["int8", "int4", "timestamptz", "halfvec"])
                for n, vector in enumerate(vectors):
                    copy.write_row((first + n + 1_000, self._ids[of[n]], later, HalfVector(vector)))
            conn.execute("SET maintenance_work_mem = '2GB'")
            conn.execute("SET max_parallel_maintenance_workers = 2")
            began = time.perf_counter()
            conn.execute(index[0])
            build_s = time.perf_counter() - began
            conn.execute(
                "SELECT setval(pg_get_serial_sequence('llm.cache_entry', 'entry_id'), %s)", [size + 2_000]
            )
            conn.execute("VACUUM ANALYZE llm.cache_vector_384")
            conn.execute("VACUUM ANALYZE llm.cache_entry")
        self._vectors = np.concatenate([self._vectors, vectors])
        self._of = np.concatenate([self._of, of])
        self._cache.forget_policies()
        return build_s

    def _exact(self, mine: npt.NDArray[np.int64]) -> list[float]:
        """Milliseconds of exact hits."""
        places = np.random.default_rng(1).choice(mine, self._lookups)
        times, hits = [], 0
        for place in places:
            entry = int(place) + 1_000
            began = time.perf_counter()
            lookup = self._cache.look_up(self._namespaces[0], "not read", f"k{entry}")
            times.append((time.perf_counter() - began) * 1000)
            hits += lookup.kind is LookupKind.EXACT
        assert hits == len(places), f"{len(places) - hits} exact hits were missed"
        return times

    def _semantic(
        self, mine: npt.NDArray[np.int64], asked: Numbers, place: npt.NDArray[np.int64]
    ) -> tuple[list[float], float]:
        """Milliseconds of lookups that have to look around, and how often the nearest was found."""
        stored = self._vectors[mine].astype(np.float16).astype(np.float32)
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        halves = asked.astype(np.float16).astype(np.float32)
        halves /= np.linalg.norm(halves, axis=1, keepdims=True)
        best = (halves @ stored.T).max(axis=1)
        words = [self._texts[int(mine[at]) % len(self._texts)] for at in place]
        times, found = [], 0
        self._cache.look_up(self._namespaces[0], "first", "none such")
        for n, vector in enumerate(asked):
            question = f"{words[n]} {n}"
            self._embedder.known[question] = vector
            self._real.read(question)
            # Read before, as the neighbours of questions that come often are.
            self._cache.look_up(self._namespaces[0], question, "none such")
            began = time.perf_counter()
            lookup = self._cache.look_up(self._namespaces[0], question, "none such")
            times.append((time.perf_counter() - began) * 1000)
            assert lookup.neighbour is not None
            found += lookup.neighbour.similarity >= best[n] - 1e-3
        return times, found / len(asked)

    def _scan(self, asked: Numbers) -> list[float]:
        """Milliseconds of an exact scan of the same namespace by pgvector."""
        times = []
        with psycopg.connect(self._dsn(), autocommit=True) as conn:
            register_vector(conn)
            for vector in asked:
                began = time.perf_counter()
                conn.execute(
                    "SELECT entry_id FROM llm.cache_vector_384 WHERE namespace_id = %s"
                    " ORDER BY (embedding <=> %b) + 0 LIMIT 1",
                    [self._ids[0], HalfVector(vector)],
                ).fetchone()
                times.append((time.perf_counter() - began) * 1000)
        return times

    def _flat(self, asked: Numbers) -> list[float]:
        """Milliseconds of FAISS Flat over all vectors; it knows no namespaces."""
        index = faiss.IndexFlatIP(self._vectors.shape[1])
        index.add(self._vectors)
        times = []
        for vector in asked:
            began = time.perf_counter()
            index.search(vector[None, :], 1)
            times.append((time.perf_counter() - began) * 1000)
        return times

    def _inserts(self, asked: Numbers, count: int = 1_000) -> float:
        """Entries stored a second, in bundles, into the standing index; removed again."""
        vectors = np.concatenate([asked] * (count // len(asked) + 1))[:count]
        entries = [
            Answered(
                f"new{n}", f"{self._texts[n % len(self._texts)]} new {n}", {"text": "new"}, tags=("new",)
            )
            for n in range(count)
        ]
        began = time.perf_counter()
        self._cache.store_many(self._namespaces[1], entries, vectors)
        seconds = time.perf_counter() - began
        assert self._cache.invalidate(tags=["new"]) == count
        return count / seconds

    def _dsn(self) -> str:
        return self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def embedding_figures(count: int = 300) -> dict[str, float]:
    """Milliseconds to embed one question, and questions embedded a second in batches."""
    embedder = default_embedder()
    texts, _ = composed(count + 1_000, seed=13)
    embedder.embed(texts[:1])
    singles = [_timed(lambda text=text: embedder.embed([text])) * 1000 for text in texts[:count]]
    return {
        "embed_p50_ms": round(statistics.median(singles), 3),
        "embed_p99_ms": round(float(np.quantile(singles, 0.99)), 3),
        "embeds_per_s": round(1_000 / _timed(lambda: embedder.embed(texts[-1_000:])), 1),
    }


def pairs_figures(settings: CacheThresholds) -> dict[str, float]:
    """What the promise of 1 % comes to on real labelled pairs, as shares of lookups on unseen halves."""
    if not PAIRS.is_file():
        _say(f"no figures of labelled pairs: {PAIRS.relative_to(REPOSITORY.parent)} is not there")
        return {}
    found = evaluate_pairs(read_pairs(PAIRS), default_embedder(), [0.01], confidence=settings.confidence)
    halves = found.promised[0.01]
    lookups = sum(half.learnt.lookups for half in halves)
    return {
        "hits_at_delta_1": round(sum(half.learnt.hits for half in halves) / lookups, 5),
        "false_hits_at_delta_1": round(sum(half.learnt.wrong for half in halves) / lookups, 5),
        "best_fixed_hits_at_same_rate": round(
            sum(half.best_at_same_rate.hits for half in halves) / lookups, 5
        ),
        "best_fixed_hits_within_delta_1": round(sum(half.best_at_delta.hits for half in halves) / lookups, 5),
    }


@contextmanager
def database() -> Iterator[Engine]:
    """An engine on a migrated database of a PostgreSQL that is gone afterwards."""
    with embedded_postgres() as url:
        engine = make_engine(url)
        yield engine
        engine.dispose()


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
