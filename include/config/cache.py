"""The typed form of `llm.cache`: the semantic cache."""

from typing import Literal

from pydantic import Field

from include.config.section import PositiveFloat, PositiveInt, Section, Share


class CacheTask(Section):
    """Where a task differs from the rest. What is null is as everywhere.

    `semantic: false` answers exact hits only, for tasks whose answers hang on every word.
    """

    semantic: bool = True
    false_hit_rate: Share | None = None
    ttl_hours: PositiveFloat | None = None


class CacheThresholds(Section):
    """The semantic cache: its promise, its patience, its size.

    `false_hit_rate` is the promise: most wrong semantic hits per lookup that had no exact answer.
    """

    embedder: Literal["minilm", "openai"]
    openai_model: str
    openai_dimensions: Literal[384, 1536]
    embed_threads: PositiveInt
    false_hit_rate: Share
    confidence: Share
    check_share: Share
    tasks: dict[str, CacheTask]
    ttl_hours: PositiveFloat
    lookup_timeout_ms: PositiveInt
    store_timeout_ms: PositiveInt
    connections: PositiveInt
    breaker_failures: PositiveInt
    breaker_seconds: PositiveFloat
    known_seconds: PositiveFloat
    journal_seconds: PositiveFloat
    journal_rows: PositiveInt
    ef_search: int = Field(ge=10, le=1000)
    max_scan_tuples: PositiveInt
    scanned_rows: PositiveInt
    learn_from: PositiveInt
    learn_thoroughly: PositiveInt
    learn_most: PositiveInt
    keep_lookup_days: PositiveInt
    keep_observations: PositiveInt
    namespace_megabytes: PositiveInt
    total_megabytes: PositiveInt
    page_rows: PositiveInt

    def false_hit_rate_of(self, task: str) -> float:
        """The promise made to a task."""
        special = self.tasks.get(task)
        return self.false_hit_rate if special is None else special.false_hit_rate or self.false_hit_rate

    def ttl_hours_of(self, task: str) -> float:
        """How long a task's answers live."""
        special = self.tasks.get(task)
        return self.ttl_hours if special is None else special.ttl_hours or self.ttl_hours

    def is_semantic(self, task: str) -> bool:
        """Whether a task may be answered from another question."""
        special = self.tasks.get(task)
        return special is None or special.semantic
