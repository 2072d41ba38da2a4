"""A cache to test with: the real embedder once a session, on a fresh database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.config import thresholds
from include.llm.cache import Answered, Namespace, SemanticCache
from include.llm.cache.embedder import MiniLmEmbedder, default_embedder

TASK = {"tenant": "a1", "task": "hook", "prompt_version": "v1", "model": "anthropic/claude-haiku-4-5"}


@pytest.fixture(scope="session")
def embedder() -> MiniLmEmbedder:
    """The offline one, loaded."""
    made = default_embedder()
    made.embed(["warm"])
    return made


@pytest.fixture
def make_cache(db, embedder) -> Iterator[Callable[..., SemanticCache]]:
    """Makes caches on one database; arguments change `thresholds().llm.cache`."""
    made: list[SemanticCache] = []

    def make(**changes: Any) -> SemanticCache:
        patience = {"known_seconds": 0.001, "lookup_timeout_ms": 5_000, "store_timeout_ms": 20_000}
        settings = thresholds().llm.cache.model_copy(update={**patience, **changes})
        made.append(SemanticCache(db, embedder, settings))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def cache(make_cache) -> SemanticCache:
    return make_cache()


@pytest.fixture
def space(cache) -> Namespace:
    return cache.namespace(**TASK)


def answered(key: str, question: str, answer: str = "yes", **more: Any) -> Answered:
    return Answered(key, question, {"text": answer}, **more)
