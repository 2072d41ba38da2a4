"""How well the promise is kept, measured on labelled pairs that it has not seen.

Each pair stands for a lookup: a question, and the nearest that was asked before. Pairs are cut into halves
that share no question; what is learnt on one half decides on the other, by the code that decides in
production. Against it stand fixed cosine thresholds: those that people use, and the best there is in
hindsight.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from include.llm.cache.embedder import Embedder
from include.llm.cache.promise.learning import Observations, groups_of, learn_for
from include.llm.cache.promise.pairs import vector_features
from include.llm.cache.promise.policy import Array
from include.llm.cache.promise.relearn import PAIRS_AT_ONCE, LabelledPair, compare

FIXED = (0.80, 0.85, 0.90, 0.92, 0.95, 0.97, 0.99)
SEED = 7

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """What one way of deciding did.

    Attributes:
        lookups: without an exact answer.
        hits, wrong: answered from another question, and of them wrongly.
        exact: answered from the same question; not among the lookups.
    """

    name: str
    lookups: int
    hits: int
    wrong: int
    exact: int = 0

    @property
    def hit_rate(self) -> float:
        """Of lookups."""
        return self.hits / max(self.lookups, 1)

    @property
    def wrong_rate(self) -> float:
        """Wrong hits per lookup: what the promise is about."""
        return self.wrong / max(self.lookups, 1)

    @property
    def wrong_of_hits(self) -> float:
        """Wrong hits per hit."""
        return self.wrong / max(self.hits, 1)


@dataclass(frozen=True)
class Promised:
    """One promise on one unseen half.

    Attributes:
        learnt: by the policy.
        best_at_delta: by the fixed threshold with most hits of those that keep `delta` on that very half.
        best_at_same_rate: likewise, of those that are wrong no more often than the policy was.
    """

    delta: float
    learnt: Outcome
    best_at_delta: Outcome
    best_at_same_rate: Outcome


@dataclass(frozen=True)
class PairsEvaluation:
    """All halves of all splits.

    Attributes:
        fixed: of all pairs, per threshold of `FIXED`.
        promised: per delta, one for each unseen half.
        compare_ms: to embed and compare one pair; decide_us: to decide on it.
    """

    pairs: int
    duplicates: int
    fixed: tuple[Outcome, ...]
    promised: dict[float, tuple[Promised, ...]]
    compare_ms: float
    decide_us: float


def evaluate_pairs(
    pairs: Sequence[LabelledPair],
    embedder: Embedder,
    deltas: Sequence[float],
    *,
    confidence: float,
    splits: int = 1,
) -> PairsEvaluation:
    """Learn on each half of each split, and measure on the other."""
    began = time.perf_counter()
    seen = observations_of_pairs(pairs, embedder)
    compare_ms = (time.perf_counter() - began) * 1000 / len(pairs)
    cosines = seen.features[:, 0]
    promised: dict[float, list[Promised]] = {delta: [] for delta in deltas}
    decide_s, decided = 0.0, 0
    for split in range(splits):
        half = in_first_half(seen.groups, SEED + split)
        for learns in (half, ~half):
            policies = learn_for(seen.rows(learns), deltas, confidence=confidence)
            unseen = seen.rows(~learns)
            began = time.perf_counter()
            scores = policies[0].scorer.scores(unseen.features, unseen.vectors)
            decide_s, decided = decide_s + time.perf_counter() - began, decided + len(unseen)
            for policy in policies:
                learnt = _outcome("learnt", scores >= policy.threshold, unseen.right)
                fixed = _best_fixed(cosines[~learns], unseen.right, policy.delta)
                same = _best_fixed(cosines[~learns], unseen.right, learnt.wrong_rate)
                promised[policy.delta].append(Promised(policy.delta, learnt, fixed, same))
    return PairsEvaluation(
        pairs=len(pairs),
        duplicates=int(seen.right.sum()),
        fixed=tuple(_outcome(f"{cut:.2f}", cosines >= cut, seen.right) for cut in FIXED),
        promised={delta: tuple(found) for delta, found in promised.items()},
        compare_ms=compare_ms,
        decide_us=decide_s * 1e6 / max(decided, 1),
    )


def observations_of_pairs(pairs: Sequence[LabelledPair], embedder: Embedder) -> Observations:
    """Labelled pairs as something to learn from."""
    parts = [
        compare(pairs[first : first + PAIRS_AT_ONCE], embedder)
        for first in range(0, len(pairs), PAIRS_AT_ONCE)
    ]
    vectors = np.concatenate([each[1] for each in parts])
    return Observations(
        features=np.concatenate([each[0] for each in parts]),
        vectors=vector_features(vectors[:, 0], vectors[:, 1]),
        right=np.array([pair.is_same for pair in pairs], dtype=bool),
        weights=np.ones(len(pairs)),
        groups=groups_of([(pair.a, pair.b) for pair in pairs]),
    )


def in_first_half(groups: npt.NDArray[np.int64], seed: int) -> Flags:
    """Which rows are in the first of two halves of like size, such that no group is in both."""
    names, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    first = np.empty(len(names), dtype=bool)
    first[order] = np.cumsum(sizes[order]) <= len(groups) / 2
    return np.asarray(first[place])


def _outcome(name: str, served: Flags, right: Flags) -> Outcome:
    return Outcome(name, len(right), int(served.sum()), int((served & ~right).sum()))


def _best_fixed(cosines: Array, right: Flags, rate: float) -> Outcome:
    """By the lowest fixed threshold that is wrong at most that often on these pairs: hindsight nobody has."""
    order = np.argsort(-cosines, kind="stable")
    wrong = np.cumsum(~right[order])
    kept = np.flatnonzero(wrong <= rate * len(right) + 1e-9)
    hits = int(kept[-1]) + 1 if len(kept) else 0
    cut = f"{cosines[order][hits - 1]:.4f}" if hits else "none"
    return Outcome(cut, len(right), hits, int(wrong[hits - 1]) if hits else 0)
