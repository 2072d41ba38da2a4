"""Rates computed ahead, in Redis: keyed by model, version and the row, so a promotion never serves old ones.

Redis is a convenience: without it, or when it is slow, rates are computed, and it is left alone for a while.
A rate never changes for its key, so those that were found are kept in memory too, the latest asked longest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from include.config.predictions import PredictionThresholds

log = logging.getLogger(__name__)


def features_hash(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    """16 bytes of hash, in hex, of what a model sees of a row: absent, None, empty and NaN are the same.

    >>> features_hash(["a", "n"], {"n": 1, "a": "buy"}) == features_hash(["a", "n"], {"a": "buy", "n": 1.0})
    True
    """
    seen = json.dumps([_seen(row.get(name)) for name in columns], ensure_ascii=False)
    return hashlib.blake2b(seen.encode(), digest_size=16).hexdigest()


def _seen(value: Any) -> float | str | None:
    if value is None or value == "" or value != value:
        return None
    return float(value) if isinstance(value, int | float) else str(value)


def key_of(model_name: str, version: int, hashed: str) -> str:
    """The key of a rate."""
    return f"nightshift:rate:{model_name}:{version}:{hashed}"


class PrecomputedRates:
    """The store as the service reads it.

    Args:
        client: None where there is no Redis.
        limits: how long to wait, and how long to leave it alone after a failure.
    """

    def __init__(self, client: AsyncRedis | None, limits: PredictionThresholds) -> None:
        self._client = client
        self._limits = limits
        self._away_until = 0.0
        self._near: OrderedDict[str, float] = OrderedDict()

    async def get(self, keys: Sequence[str]) -> list[float | None]:
        """A rate for each key, None where there is none or Redis does not answer."""
        known: list[float | None] = [self._near.get(key) for key in keys]
        missing = [key for key, rate in zip(keys, known, strict=True) if rate is None]
        if not missing:
            for key in keys:
                self._near.move_to_end(key)
            return known
        fetched = dict(zip(missing, await self._fetched(missing), strict=True))
        return [fetched[key] if rate is None else rate for key, rate in zip(keys, known, strict=True)]

    async def _fetched(self, keys: Sequence[str]) -> list[float | None]:
        if self._client is None or time.monotonic() < self._away_until:
            return [None] * len(keys)
        try:
            found = await self._client.mget(keys)
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = time.monotonic() + self._limits.redis_pause_s
            log.warning(
                "Redis did not answer (%s); rates are computed for %.0f s",
                type(error).__name__,
                self._limits.redis_pause_s,
            )
            return [None] * len(keys)
        rates = [_rate(value) for value in found]
        self._near.update((key, rate) for key, rate in zip(keys, rates, strict=True) if rate is not None)
        while len(self._near) > self._limits.near_rates:
            self._near.popitem(last=False)
        return rates

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.aclose()


def store_rates(client: Redis, rates: Iterable[tuple[str, float]], limits: PredictionThresholds) -> int:
    """Write rates by key, in pipelines, each with its time to live; returns how many."""
    written, rest = 0, iter(rates)
    while part := list(islice(rest, limits.pipeline_rows)):
        pipe = client.pipeline(transaction=False)
        for key, rate in part:
            pipe.set(key, repr(rate), ex=limits.ttl_hours * 3600)
        pipe.execute()
        written += len(part)
    return written


def _rate(value: Any) -> float | None:
    try:
        rate = float(value)
    except (TypeError, ValueError):
        return None
    # Whoever else writes there: a rate is a rate.
    return rate if 0 < rate < 1 else None
