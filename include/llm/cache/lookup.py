"""What goes into the semantic cache and what comes out of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from include.llm.requests import request_key

# The tenant whose answers everybody may read.
EVERYBODY = "*"


@dataclass(frozen=True)
class Namespace:
    """What keeps answers apart: nobody sees those of another tenant, task, prompt, model or embedder.

    Attributes:
        tenant: the account; `*` is everybody.
        task: what the answers are for, such as `creative_score`.
        model: with its provider, such as `anthropic/claude-haiku-4-5`.
        embedder: name of what turned the questions into vectors.
    """

    tenant: str
    task: str
    prompt_version: str
    model: str
    embedder: str

    def as_row(self) -> dict[str, str]:
        """Its names, as the database calls them."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.task} of {self.tenant} by {self.model} ({self.prompt_version})"


class LookupKind(StrEnum):
    """How a question was answered."""

    EXACT = "exact"
    SEMANTIC = "semantic"
    MISS = "miss"


class Source(StrEnum):
    """Where an entry came from."""

    LIVE = "live"
    BATCH = "batch"
    WARM = "warm"
    IMPORT = "import"


@dataclass(frozen=True)
class Answered:
    """One answered question, to be kept.

    Attributes:
        key: of `exact_key`.
        question: the words that another question is compared by.
        answer: JSON object.
        live_usd, latency_ms: what a live call for it costs and takes: what each hit saves.
        tags: names by which it can be invalidated.
        ttl_s: seconds it lives; the task's lifetime where it is not given.
        slides: each hit starts the lifetime anew.
    """

    key: str
    question: str = field(repr=False)
    answer: Mapping[str, Any] = field(repr=False)
    live_usd: Decimal = Decimal(0)
    latency_ms: int = 0
    source: Source = Source.LIVE
    tags: tuple[str, ...] = ()
    ttl_s: float | None = None
    slides: bool = False


@dataclass(frozen=True)
class Neighbour:
    """The entry whose question is nearest to the one asked.

    Attributes:
        answer: what it would be answered with.
        similarity: cosine of the two questions.
        score: the higher the likelier its answer is right; None where nothing was learnt yet.
        features, vectors: what the two questions look like side by side; for learning.
    """

    entry_id: int
    question: str = field(repr=False)
    answer: dict[str, Any] = field(repr=False)
    similarity: float
    score: float | None
    features: npt.NDArray[np.float64] = field(repr=False)
    vectors: bytes = field(repr=False)


@dataclass(frozen=True)
class Lookup:
    """What the cache says to one question.

    Attributes:
        answer: of a hit; None on a miss.
        entry_id: whose answer it is.
        similarity: of a semantic hit.
        check: on a semantic hit: ask the model all the same, and tell `SemanticCache.observe` whether the
            cached answer was right. It is not counted as a hit.
        neighbour: of a semantic hit or a miss, if the namespace has any entry: also on a miss `observe` wants
            to know whether its answer would have been right.
        vector: of the question, so that storing its answer need not embed it again.
        weight: how many lookups like this one an observation of it stands for.
        version: of the policy that decided.
        live_usd, latency_ms: what the hit saves.
    """

    kind: LookupKind
    namespace: Namespace
    key: str
    question: str = field(repr=False)
    namespace_id: int | None = None
    answer: dict[str, Any] | None = field(default=None, repr=False)
    entry_id: int | None = None
    similarity: float | None = None
    check: bool = False
    neighbour: Neighbour | None = None
    vector: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    weight: float = 1.0
    version: int = 0
    live_usd: Decimal = Decimal(0)
    latency_ms: int = 0

    @property
    def is_hit(self) -> bool:
        """Whether it costs no call of the model; one that is checked is answered, but costs one."""
        return self.kind is not LookupKind.MISS and not self.check

    @property
    def score(self) -> float | None:
        """Of the pair of questions, where there is one."""
        return None if self.neighbour is None else self.neighbour.score


def exact_key(
    provider: str, model: str, endpoint: str, prompt_version: str, params: Mapping[str, Any]
) -> str:
    """The name of a question, the same as in the request queue: a batch's answer serves the live question.

    Raises:
        RequestInvalid: `params` cannot be stored.
    """
    return request_key(provider, model, prompt_version, params, endpoint)
