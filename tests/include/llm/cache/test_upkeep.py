from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.llm.cache import Answered
from include.llm.cache.upkeep import (
    evict,
    invalidate,
    remove_expired,
    sum_up_lookups,
    tend,
    trim_observations,
)
from include.llm.errors import RequestInvalid
from tests.include.llm.cache.conftest import TASK, answered


def one(db, query: str):
    with db.connect() as conn:
        return conn.execute(text(query)).scalar_one()


def test_expired_entries_are_removed_in_pages_with_their_vectors(make_cache, db):
    cache = make_cache(page_rows=2)
    space = cache.namespace(**TASK)
    cache.store_many(space, [answered(f"old{n}", f"Old {n}", ttl_s=0.001) for n in range(5)])
    cache.store(space, answered("new", "New"))
    assert remove_expired(db, cache.settings) == 5
    assert one(db, "SELECT string_agg(exact_key, ',') FROM llm.cache_entry") == "new"
    assert one(db, "SELECT count(*) FROM llm.cache_vector_384") == 1


def test_what_saves_least_for_its_size_goes_first(make_cache, db):
    cache = make_cache()
    space = cache.namespace(**TASK)
    big = "x" * 200_000
    cache.store_many(
        space,
        [
            Answered("dear", "Dear", {"text": "small"}, live_usd=Decimal("0.01")),
            Answered("hit", "Hit", {"text": "small"}, live_usd=Decimal("0.001")),
            Answered("idle", "Idle", {"text": "small"}, live_usd=Decimal("0.001")),
            # As random as it needs to be, to be as large in the database as in the request.
            Answered("bulky", "Bulky", {"text": random_text(len(big))}, live_usd=Decimal("0.01")),
        ],
    )
    for _ in range(5):
        cache.look_up(space, "not read", "hit")
    cache.flush()
    with db.connect() as conn:
        order = conn.execute(text("SELECT exact_key FROM llm.cache_entry ORDER BY entry_id")).scalars().all()
    assert len(order) == 4
    assert evict(db, cache.settings) == 0
    tight = cache.settings.model_copy(update={"namespace_megabytes": 0.0035})
    assert evict(db, tight) == 1
    assert not cache.look_up(space, "not read", "bulky").is_hit
    assert evict(db, cache.settings.model_copy(update={"total_megabytes": 0.0025})) == 1
    assert not cache.look_up(space, "not read", "idle").is_hit
    assert cache.look_up(space, "not read", "hit").is_hit
    assert one(db, "SELECT count(*) FROM llm.cache_vector_384") == 2


def random_text(length: int) -> str:
    import random

    drawn = random.Random(1)
    return "".join(chr(drawn.randrange(0x4E00, 0x9FFF)) for _ in range(length // 3))


def test_old_lookups_become_daily_sums_and_the_view_stays_the_same(cache, space, db):
    cache.store(space, answered("k1", "Why?", live_usd=Decimal("0.25"), latency_ms=100))
    cache.look_up(space, "not read", "k1")
    cache.look_up(space, "Something else", "k2")
    cache.flush()
    with db.begin() as conn:
        conn.execute(text("UPDATE llm.cache_lookup SET looked_at = looked_at - interval '40 days'"))
        conn.execute(
            text("""
            INSERT INTO llm.cache_lookup (looked_at, namespace_id, kind)
            SELECT looked_at - interval '2 days', namespace_id, 'miss' FROM llm.cache_lookup""")
        )
    cache.look_up(space, "not read", "k1")
    cache.flush()
    view = "SELECT string_agg(told::text, ';' ORDER BY day) FROM llm.cache_per_day AS told"
    before = one(db, view)
    assert sum_up_lookups(db, cache.settings) == 4
    assert one(db, "SELECT count(*) FROM llm.cache_lookup") == 1
    assert one(db, "SELECT count(*) FROM llm.cache_day") == 2
    assert one(db, view) == before
    assert sum_up_lookups(db, cache.settings, datetime.now(UTC) + timedelta(days=60)) == 1


def test_the_newest_observations_are_kept(make_cache, db):
    cache = make_cache(keep_observations=3, page_rows=2)
    space = cache.namespace(**TASK)
    cache.store(space, answered("k1", "Why?"))
    for n in range(8):
        cache.observe(cache.look_up(space, f"Question {n}", "none"), was_right=n >= 5)
    cache.flush()
    assert trim_observations(db, cache.settings) == 5
    assert one(db, "SELECT bool_and(was_right) FROM llm.cache_observation")


def test_all_of_it_in_one_sentence(cache, space, db):
    cache.store(space, answered("k1", "Why?", ttl_s=0.001))
    told = tend(db, cache.settings)
    assert told.expired == 1
    assert told.told.startswith("1 answers had expired, 0 saved too little")


def test_a_new_prompt_version_can_clear_the_old_ones(cache, db):
    for version in ("v1", "v2"):
        cache.store(cache.namespace(**{**TASK, "prompt_version": version}), answered("k", "Why?"))
    assert invalidate(db, cache.settings, task="hook", prompt_version="v1") == 1
    assert one(db, "SELECT count(*) FROM llm.cache_entry") == 1
    with pytest.raises(RequestInvalid):
        invalidate(db, cache.settings, tags=[])
