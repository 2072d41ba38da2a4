"""GPTCache's own benchmark: sentences are stored, then each is asked in other words.

A hit is right when it is the sentence that was paraphrased, or one with the same words.
"""

from collections.abc import Sequence

import numpy as np

from include.config.cache import CacheThresholds
from include.llm.cache.embedder import Embedder
from include.llm.cache.evaluation import FIXED, SEED, Outcome, observations_of_pairs
from include.llm.cache.promise.learning import learn
from include.llm.cache.promise.relearn import LabelledPair


def evaluate_paraphrases(
    told: Sequence[tuple[str, str]], embedder: Embedder, settings: CacheThresholds, delta: float
) -> list[Outcome]:
    """By fixed thresholds, and by what is learnt on one half of the questions for the other, both ways."""
    origins, asked = [origin for origin, _ in told], [similar for _, similar in told]
    likeness = embedder.embed(asked) @ embedder.embed(origins).T
    nearest = likeness.argmax(axis=1)
    pairs = [
        LabelledPair(question, origins[at], origins[at] == origins[n])
        for n, (question, at) in enumerate(zip(asked, nearest, strict=True))
    ]
    right = np.array([pair.is_same for pair in pairs])
    cosines = likeness.max(axis=1)
    outcomes = [
        Outcome(f"{cut:.2f}", len(pairs), int((cosines >= cut).sum()), int((~right[cosines >= cut]).sum()))
        for cut in FIXED
    ]
    seen = observations_of_pairs(pairs, embedder)
    half = np.random.default_rng(SEED).permutation(len(pairs)) < len(pairs) / 2
    served = np.zeros(len(pairs), dtype=bool)
    for learns in (half, ~half):
        policy = learn(seen.rows(learns), delta, confidence=settings.confidence)
        unseen = seen.rows(~learns)
        served[~learns] = policy.scorer.scores(unseen.features, unseen.vectors) >= policy.threshold
    outcomes.append(Outcome("learnt", len(pairs), int(served.sum()), int((served & ~right).sum())))
    return outcomes
