from __future__ import annotations

import asyncio
import threading
import time
from decimal import Decimal

import numpy as np
import pytest
from sqlalchemy import text

from include.llm.cache import Answered, LookupKind, SemanticCache, exact_key
from include.llm.cache.embedder import OpenAIEmbedder
from include.llm.errors import CacheUnavailable, RequestInvalid
from include.llm.requests import request_key
from tests.include.llm.cache.conftest import TASK, answered


def rows(db, query: str, **values):
    with db.connect() as conn:
        return [tuple(row) for row in conn.execute(text(query), values)]


def test_a_question_asked_again_is_an_exact_hit_that_tells_what_it_saves(cache, space):
    entry = cache.store(space, answered("k1", "Why stop?", live_usd=Decimal("0.0123"), latency_ms=900))
    found = cache.look_up(space, "Why stop?", "k1")
    assert (found.kind, found.answer, found.entry_id) == (LookupKind.EXACT, {"text": "yes"}, entry)
    assert (found.live_usd, found.latency_ms) == (Decimal("0.0123"), 900)
    assert found.is_hit


def test_its_key_is_the_request_queues(cache, space):
    params = {"model": "m", "max_tokens": 5, "messages": []}
    assert exact_key("anthropic", "m", "/v1/messages", "v1", params) == request_key(
        "anthropic", "m", "v1", params
    )


def test_a_namespace_nobody_stored_in_is_a_miss_without_a_neighbour(cache, space):
    found = cache.look_up(space, "Anything?", "k")
    assert found.kind is LookupKind.MISS
    assert found.neighbour is None


@pytest.mark.parametrize("part", ["tenant", "task", "prompt_version", "model"])
def test_answers_of_another_namespace_are_never_given(cache, space, part):
    cache.store(space, answered("k1", "Why stop?"))
    stranger = cache.namespace(**{**TASK, part: "another"})
    cache.store(stranger, answered("k2", "Something else"))
    found = cache.look_up(stranger, "Why stop?", "k1")
    assert found.kind is LookupKind.MISS
    assert found.neighbour is not None
    assert found.neighbour.question == "Something else"


def test_several_models_keep_their_own_answer_to_one_question(cache):
    models = ("anthropic/a", "openai/b", "openai/c")
    spaces = [cache.namespace(**{**TASK, "model": model}) for model in models]
    for space in spaces:
        cache.store(space, answered("same", "Score this", space.model))
    told = [cache.look_up(space, "Score this", "same").answer for space in spaces]
    assert told == [{"text": model} for model in models]


def test_with_no_evidence_only_exact_hits_are_answered(cache, space):
    cache.store(space, answered("k1", "How do I sell shoes?"))
    found = cache.look_up(space, "How do I sell shoes", "k2")
    assert found.kind is LookupKind.MISS
    assert found.neighbour is not None
    assert found.neighbour.similarity > 0.95
    assert found.neighbour.score is None
    assert found.vector is not None


def test_a_misss_vector_is_stored_without_embedding_again(cache, space):
    cache.store(space, answered("k1", "How do I sell shoes?"))
    found = cache.look_up(space, "Where do whales sleep?", "k2")
    cache.store(space, answered("k2", "Where do whales sleep?"), found.vector)
    again = cache.look_up(space, "Where do whales sleep?", "k3")
    assert again.neighbour is not None
    assert again.neighbour.similarity == pytest.approx(1, abs=1e-3)


def test_an_expired_entry_answers_nobody_also_before_it_is_removed(cache, space, db):
    cache.store(space, answered("k1", "Why stop?", ttl_s=0.05))
    time.sleep(0.1)
    found = cache.look_up(space, "Why stop?", "k1")
    assert found.kind is LookupKind.MISS
    assert found.neighbour is None
    assert cache.look_up_exact(space, ["k1"]) == {}
    assert rows(db, "SELECT count(*) FROM llm.cache_entry") == [(1,)]


def test_a_hit_does_not_prolong_a_life_unless_asked(cache, space, db):
    cache.store(space, answered("fixed", "One", ttl_s=100))
    cache.store(space, answered("slides", "Two", ttl_s=100, slides=True))
    ends = "SELECT exact_key, expires_at FROM llm.cache_entry ORDER BY 1"
    before = dict(rows(db, ends))
    time.sleep(0.05)
    for key in ("fixed", "slides"):
        assert cache.look_up(space, "not read", key).is_hit
    cache.flush()
    after = dict(rows(db, ends))
    assert after["fixed"] == before["fixed"]
    assert after["slides"] > before["slides"]
    vectors = rows(
        db,
        "SELECT exact_key, v.expires_at FROM llm.cache_vector_384 AS v JOIN llm.cache_entry USING (entry_id)",
    )
    assert dict(vectors) == after


def test_storing_again_refreshes_answer_and_life(cache, space):
    first = cache.store(space, answered("k1", "Why?", "old", ttl_s=0.2, tags=("a",)))
    second = cache.store(space, answered("k1", "Why?", "new", ttl_s=100))
    time.sleep(0.25)
    found = cache.look_up(space, "Why?", "k1")
    assert first == second
    assert found.answer == {"text": "new"}


def test_many_are_stored_in_order_and_the_last_of_a_key_counts(cache, space):
    given = [answered(f"k{n % 1100}", f"Question {n % 1100}", str(n)) for n in range(1200)]
    ids = cache.store_many(space, given)
    assert len(ids) == 1200
    assert ids[0] == ids[1100]
    found = cache.look_up_exact(space, ["k0", "k5", "k1099", "none"])
    assert found == {"k0": {"text": "1100"}, "k5": {"text": "1105"}, "k1099": {"text": "1099"}}


def test_what_no_text_may_hold_is_stored_without_it_in_questions_and_refused_in_answers(cache, space):
    cache.store(space, answered("k1", "a\x00b \ud800 🚀"))
    assert cache.look_up(space, "a\x00b \ud800 🚀", "k1").is_hit
    with pytest.raises(RequestInvalid, match="cannot be kept"):
        cache.store(space, answered("k2", "fine", "a\x00b"))
    assert cache.look_up(space, "fine", "k2").kind is LookupKind.MISS


def test_invalidating_by_tag_or_namespace_removes_just_that(cache, space, db):
    other = cache.namespace(**{**TASK, "tenant": "a2"})
    cache.store(space, answered("k1", "One", tags=("creative:1", "hook")))
    cache.store(space, answered("k2", "Two", tags=("creative:2",)))
    cache.store(other, answered("k3", "Three", tags=("creative:1",)))
    assert cache.invalidate(tags=["creative:1"], namespace=space) == 1
    assert cache.invalidate(tags=["creative:1", "nothing"]) == 1
    assert not cache.look_up(space, "One", "k1").is_hit
    assert cache.look_up(space, "Two", "k2").is_hit
    assert cache.invalidate(namespace=space) == 1
    assert rows(db, "SELECT count(*) FROM llm.cache_vector_384") == [(0,)]
    with pytest.raises(RequestInvalid, match="everything is too much"):
        cache.invalidate()


def test_hits_and_misses_are_counted_with_what_they_saved(cache, space, db):
    cache.store(space, answered("k1", "Why stop?", live_usd=Decimal("0.5"), latency_ms=1500))
    for _ in range(3):
        cache.look_up(space, "Why stop?", "k1")
    cache.look_up(space, "Something new", "k2")
    cache.flush()
    (told,) = rows(
        db,
        "SELECT tenant, task, model, exact_hits, semantic_hits, misses, saved_usd, saved_seconds"
        " FROM llm.cache_per_day",
    )
    assert told == ("a1", "hook", TASK["model"], 3, 0, 1, Decimal("1.5"), Decimal("4.5"))


def test_a_lookup_changes_no_row(cache, space, db):
    cache.store(space, answered("k1", "Why stop?"))
    version = "SELECT xmin::text FROM llm.cache_entry UNION ALL SELECT xmin::text FROM llm.cache_namespace"
    before = rows(db, version)
    cache.look_up(space, "Why stop?", "k1")
    cache.flush()
    assert rows(db, version) == before


def test_a_task_that_hangs_on_every_word_is_not_looked_around_for(make_cache):
    from include.config.cache import CacheTask

    cache = make_cache(tasks={"hook": CacheTask(semantic=False)})
    space = cache.namespace(**TASK)
    cache.store(space, answered("k1", "Why stop?"))
    assert cache.look_up(space, "Why stop", "k2").neighbour is None
    assert cache.look_up(space, "Why stop?", "k1").is_hit


def test_a_slow_cache_is_given_up_in_time(make_cache, db):
    cache = make_cache()
    space = cache.namespace(**TASK)
    cache.store(space, answered("k1", "Why stop?"))
    hasty = make_cache(lookup_timeout_ms=150, breaker_failures=2, breaker_seconds=0.4)
    assert hasty.look_up(space, "Why stop?", "k1").is_hit
    with db.begin() as conn:
        conn.execute(text("LOCK TABLE llm.cache_entry IN ACCESS EXCLUSIVE MODE"))
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(CacheUnavailable):
                hasty.look_up(space, "Why stop?", "k1")
            assert time.monotonic() - began < 1
        began = time.monotonic()
        with pytest.raises(CacheUnavailable, match="left alone"):
            hasty.look_up(space, "Why stop?", "k1")
        assert time.monotonic() - began < 0.05
    time.sleep(0.5)
    assert hasty.look_up(space, "Why stop?", "k1").is_hit


def test_an_embedder_that_fails_makes_the_cache_unavailable(db, sandbox, make_cache):
    from include.llm.vendors.openai import openai_client

    settings = make_cache().settings
    with (
        openai_client(sandbox.openai_url, "wrong", timeout_s=5) as client,
        SemanticCache(db, OpenAIEmbedder(client, "text-embedding-3-small", 384), settings) as cache,
    ):
        space = cache.namespace(**TASK)
        with pytest.raises(CacheUnavailable, match="cannot be embedded"):
            cache.store(space, answered("k1", "Why stop?"))


def test_vectors_of_a_length_without_a_table_are_refused(db, make_cache):
    embedder = OpenAIEmbedder(None, "text-embedding-3-large", 3072)
    with pytest.raises(RequestInvalid, match="384 and 1536"):
        SemanticCache(db, embedder, make_cache().settings)


def test_threads_that_store_one_question_leave_one_entry(cache, space, db):
    threads = [
        threading.Thread(target=lambda n=n: cache.store(space, answered("same", "Why stop?", str(n))))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(db, "SELECT count(*) FROM llm.cache_entry") == [(1,)]
    assert rows(db, "SELECT count(*) FROM llm.cache_namespace") == [(1,)]


def test_coroutines_look_up_and_store_side_by_side(cache, space):
    async def ask() -> list[bool]:
        await cache.store_async(space, answered("k1", "Why stop?"))
        found = await asyncio.gather(*(cache.look_up_async(space, "Why stop?", "k1") for _ in range(12)))
        return [each.is_hit for each in found]

    assert asyncio.run(ask()) == [True] * 12


def test_the_index_finds_the_nearest_of_a_small_namespace_among_large_ones(make_cache, db):
    """The filter is applied after the index scan, which has to walk on: without, most would be missed."""
    cache = make_cache(scanned_rows=1)
    drawn = np.random.default_rng(5)
    vectors = drawn.standard_normal((4_000, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    large, small = (cache.namespace(**{**TASK, "tenant": tenant}) for tenant in ("large", "small"))
    parts = ((large, vectors[:3_800]), (small, vectors[3_800:]))
    for space, part in parts:
        cache.store_many(space, [Answered(f"k{n}", f"q{n}", {}) for n in range(len(part))], part)
    known = {f"q{n}": vector for n, vector in enumerate(vectors[3_800:])}
    asked = [(name, vector + drawn.standard_normal(384) * 0.02) for name, vector in known.items()]
    found = 0
    for name, vector in asked:
        cache.embedder = GivenVector(cache.embedder, vector / np.linalg.norm(vector))
        lookup = cache.look_up(small, "asked", "none such")
        assert lookup.neighbour is not None
        found += lookup.neighbour.question == name
    assert found / len(asked) >= 0.98


class GivenVector:
    """An embedder for one question whose vector is given."""

    def __init__(self, like, vector) -> None:
        self.name, self.dimensions, self._vector = like.name, like.dimensions, vector.astype(np.float32)

    def embed(self, texts):
        return np.stack([self._vector for _ in texts])
