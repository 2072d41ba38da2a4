"""What was computed ahead is found, is what would be computed, and is never an older version's."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
import redis
import redis.asyncio

from include.promotion import promote
from include.serving.predictions.ahead import VersionToWarm, compute_ahead, probable_rows
from include.serving.predictions.precomputed import PrecomputedRates, features_hash, key_of
from ml.ctr.bundle_runtime import Bundle
from ml.registry import fetch_bundle
from tests.include.serving.predictions.conftest import ACCOUNT, DAY, quick, told


@pytest.fixture
def store(redis_server):
    client = redis.Redis(port=redis_server.port, password=redis_server.password)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def versions(registered, mlflow_uri, model_name):
    return [
        VersionToWarm(model_name, number, Bundle(fetch_bundle(mlflow_uri, f"models:/{model_name}/{number}")))
        for number in (1, 2)
    ]


def template(platform):
    """A probable row of an account, as a caller would send it."""
    row = next(row for row in probable_rows(platform, DAY, quick()) if row["account_id"] == ACCOUNT)
    return {
        name: row[name]
        for name in (
            "hook_type",
            "persona",
            "cta",
            "format",
            "visual_pattern",
            "duration_s",
            "visual_tag_count",
        )
    }


def test_probable_rows_are_answered_from_the_store_with_the_same_rate(service, platform, store, versions):
    row = template(platform)
    computed = told(service.predict(features=row))
    assert computed["source"] == "computed"
    warmed = compute_ahead(platform, store, versions, DAY, quick())
    assert warmed.written == 2 * warmed.rows > 500
    found = told(service.predict(features=row))
    assert found["source"] == "precomputed"
    assert found["ctr"] == pytest.approx(computed["ctr"], abs=1e-7)
    assert told(service.predict(features=row, daily_budget_usd=20))["source"] == "precomputed"


def test_entries_go_after_a_day_and_computing_again_renews_them(platform, store, versions):
    compute_ahead(platform, store, versions[:1], DAY, quick())
    key = next(iter(store.scan_iter("nightshift:rate:*")))
    assert 86_000 < store.ttl(key) <= 86_400
    store.expire(key, 10)
    again = compute_ahead(platform, store, versions[:1], DAY, quick())
    assert store.ttl(key) > 86_000
    assert store.dbsize() == again.rows


def test_after_a_promotion_no_old_rate_is_answered(service, platform, store, versions, registered):
    row = template(platform)
    compute_ahead(platform, store, versions[:1], DAY, quick())
    old = told(service.predict(features=row))
    assert (old["source"], old["version"]) == ("precomputed", 1)
    promote(
        platform, registered, service.model, 2, expected_champion=1, who="a test", why="better", evidence={}
    )
    new = service.wait_for(lambda: (answer := told(service.predict(features=row)))["version"] == 2 and answer)
    assert new["source"] == "computed"
    assert new["ctr"] != old["ctr"]


def test_what_was_found_once_is_known_without_the_store_and_memory_is_bounded(redis_server, store):
    limits = quick(near_rates=10).predictions
    for number in range(30):
        store.set(f"rate:{number}", "0.01")

    async def ask():
        client = redis.asyncio.Redis(port=redis_server.port, password=redis_server.password)
        rates = PrecomputedRates(client, limits)
        first = await rates.get(["rate:0", "nothing"])
        for number in range(1, 30):
            await rates.get([f"rate:{number}"])
        store.flushall()
        last, forgotten = await rates.get(["rate:29"]), await rates.get(["rate:0"])
        await rates.close()
        return first, last, forgotten

    assert asyncio.run(ask()) == ([0.01, None], [0.01], [None])


def test_what_is_no_rate_in_the_store_is_computed(service, platform, store, versions):
    row = template(platform)
    compute_ahead(platform, store, versions[:1], DAY, quick())
    for key in list(store.scan_iter("nightshift:rate:*")):
        store.set(key, "not a rate")
    assert told(service.predict(features=row))["source"] == "computed"


def test_a_platform_without_a_past_has_nothing_probable(platform):
    assert list(probable_rows(platform, DAY + timedelta(days=400), quick())) == []


def test_the_hash_sees_what_the_model_sees():
    columns = ("cta", "duration_s")
    assert features_hash(columns, {"cta": "", "other": 1}) == features_hash(columns, {"duration_s": None})
    assert features_hash(columns, {"duration_s": 0}) != features_hash(columns, {})
    assert features_hash(columns, {"duration_s": 15}) == features_hash(columns, {"duration_s": 15.0})
    assert key_of("ctr", 3, "ab") != key_of("ctr", 2, "ab")


def test_without_redis_and_with_one_that_went_away_everything_is_computed(make_service, redis_server):
    assert told(make_service(redis=None).predict())["source"] == "computed"
    gone = redis_server.__class__("redis", "127.0.0.1", 1)
    service = make_service(redis=gone, redis_pause_s=60)
    began = time.perf_counter()
    for _ in range(20):
        assert told(service.predict())["source"] == "computed"
    assert time.perf_counter() - began < 5
