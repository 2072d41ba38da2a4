"""Questions for the cache's benchmark: composed sentences, really embedded, and vectors like theirs.

A sentence is a phrasing of an intent (product, audience, aspect), so that it is known which have the same
answer. Embedding 300,000 texts takes many minutes; instead some thousands are embedded, and each further
vector is one of those with noise at a random angle of up to some 25 degrees, as far as MiniLM sees a reworded
question.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from include.llm.cache.promise.relearn import LabelledPair

PRODUCTS = (
    "running shoes", "protein powder", "yoga mats", "a meal plan app", "standing desks",
    "a budgeting app", "noise-cancelling headphones", "a language course", "organic baby food",
    "electric bikes", "skin serum", "project software", "a CRM for plumbers", "solar panels",
    "vegan cheese", "a sleep tracker", "dog insurance", "camping stoves", "a coding bootcamp",
    "hair clippers", "refurbished laptops", "a wine subscription",
)  # fmt: skip
AUDIENCES = (
    "new parents", "students", "founders", "marathon runners", "retired teachers",
    "night-shift nurses", "freelance designers", "gym beginners", "remote teams",
    "first-time buyers", "busy managers", "cat owners", "small shop owners", "people over 50",
    "teenagers", "commuters",
)  # fmt: skip
ASPECTS = (
    "price", "trust", "saving time", "comfort", "side effects", "delivery", "returns", "design",
    "a free trial", "reviews",
)  # fmt: skip
PHRASINGS = (
    "Which hook about {aspect} makes {audience} stop for an ad for {product}?",
    "Write the opening line of an ad for {product} that speaks to {audience} about {aspect}.",
    "How should an ad for {product} address {audience} when the topic is {aspect}?",
    "What do {audience} want to hear about {aspect} before they buy {product}?",
    "An ad sells {product} to {audience}: how does it begin when it is about {aspect}?",
)

Intent = tuple[str, str, str]


def composed(count: int, seed: int = 7) -> tuple[list[str], list[Intent]]:
    """So many different sentences, and what each means."""
    drawn = random.Random(seed)
    combinations = [
        (phrasing, (product, audience, aspect))
        for product in PRODUCTS
        for audience in AUDIENCES
        for aspect in ASPECTS
        for phrasing in PHRASINGS
    ]
    chosen = drawn.sample(combinations, min(count, len(combinations)))
    texts = [
        phrasing.format(product=intent[0], audience=intent[1], aspect=intent[2])
        for phrasing, intent in chosen
    ]
    return texts, [intent for _, intent in chosen]


def labelled(count: int, seed: int = 11) -> list[LabelledPair]:
    """Pairs of sentences: the same intent in other words, or one that differs in one thing."""
    drawn = random.Random(seed)
    pairs = []
    for _ in range(count):
        intent = (drawn.choice(PRODUCTS), drawn.choice(AUDIENCES), drawn.choice(ASPECTS))
        other = list(intent)
        is_same = drawn.random() < 0.5
        if not is_same:
            changed = drawn.randrange(3)
            choices = (PRODUCTS, AUDIENCES, ASPECTS)[changed]
            other[changed] = drawn.choice([each for each in choices if each != intent[changed]])
        first, second = drawn.sample(PHRASINGS, 2)
        # A template that is used again for something else is what fools a cosine most.
        second = first if not is_same and drawn.random() < 0.5 else second
        pairs.append(LabelledPair(_say(first, intent), _say(second, other), is_same))
    return pairs


def like(
    vectors: npt.NDArray[np.float32], count: int, spread: float, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """So many unit vectors, each near one of `vectors`, and which.

    Args:
        spread: length of the noise at most; 0.4 is an angle of some 22 degrees.
    """
    drawn = np.random.default_rng(seed)
    place = drawn.integers(0, len(vectors), count)
    noise = drawn.standard_normal((count, vectors.shape[1]), dtype=np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    made = vectors[place] + noise * drawn.uniform(0.05, spread, (count, 1)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True), place


def _say(phrasing: str, intent: Sequence[str]) -> str:
    return phrasing.format(product=intent[0], audience=intent[1], aspect=intent[2])
