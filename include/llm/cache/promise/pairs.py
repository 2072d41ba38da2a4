"""What tells two questions apart beyond the cosine of their vectors: words, numbers, negations, and how well
each token of one finds its like in the other.

A sentence's vector barely moves when one name, number or "not" changes; the answer does. Rarity of a word is
read from its rank in MiniLM's vocabulary, which is sorted by frequency, so that nothing has to be counted or
stored. Tokens are compared by what MiniLM makes of them in their sentence, in the manner of BERTScore (Zhang
et al. 2020).
"""

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from include.llm.cache.embedder import Reading, default_embedder, model_folder

WORD = re.compile(r"\w+(?:'\w+)?")
NEGATIONS = frozenset(
    (
        "not", "no", "never", "without", "don't", "doesn't", "didn't", "can't", "cannot",
        "isn't", "aren't", "won't", "wouldn't", "shouldn't", "nothing", "none", "neither", "nor",
        "less", "worst", "avoid", "stop",
    )
)  # fmt: skip
LEXICAL = (
    "cosine", "overlap", "rare_overlap", "rarest_alone_min", "rarest_alone_max", "alone_min", "alone_max",
    "numbers_differ", "negation_differs", "same_beginning", "length_ratio", "same_pairs", "containment",
    "shorter", "same_end", "same_words",
)  # fmt: skip
ALIGNED = (
    "found_rare_min", "found_rare_max", "lost_rare_min", "lost_rare_max", "worst_min", "worst_max",
    "found_min", "found_max",
)  # fmt: skip
EVIDENCE = ("times_right", "times_wrong")
NAMES = LEXICAL + ALIGNED + EVIDENCE
# Where the frequent words of the vocabulary begin, and the rank given to words it does not hold.
FIRST_WORD, UNKNOWN_RANK, COMMON = 1_900, 60_000, 30
# Added to the rarity of tokens, so that none counts for nothing.
LEAST_RARITY = 0.1

Features = npt.NDArray[np.float64]
Halves = npt.NDArray[np.float16]


class Evidence(Protocol):
    """What is known of an entry. See `include.db.llm_cache.Nearest`."""

    @property
    def similarity(self) -> float: ...
    @property
    def times_right(self) -> int: ...
    @property
    def times_wrong(self) -> int: ...


@dataclass(frozen=True)
class Pair:
    """A question and its neighbour, as numbers.

    Attributes:
        features: named by `NAMES`.
        vectors: of both, shape (2, dimensions).
    """

    features: Features
    vectors: Halves

    @classmethod
    def of(cls, question: str, vector: Halves, other: str, other_vector: Halves, known: Evidence) -> "Pair":
        """Put them side by side; their order does not matter."""
        reader = default_embedder()
        features = pair_features(
            question, other, known.similarity, reader.read(question), reader.read(other),
            known.times_right, known.times_wrong,
        )  # fmt: skip
        return cls(features, np.stack([vector, other_vector]).astype(np.float16))

    @property
    def halves(self) -> bytes:
        """The vectors as the database keeps them: little-endian half floats, one after the other."""
        return self.vectors.astype("<f2").tobytes()


def pair_features(
    a: str,
    b: str,
    cosine: float,
    read_a: Reading,
    read_b: Reading,
    times_right: int = 0,
    times_wrong: int = 0,
) -> Features:
    """All features of a pair of questions, named by `NAMES`."""
    evidence = [math.log1p(times_right), math.log1p(times_wrong)]
    return np.concatenate([lexical_features(a, b, cosine), aligned_features(read_a, read_b), evidence])


def lexical_features(a: str, b: str, cosine: float) -> Features:
    """Features of the words, named by `LEXICAL`.

    >>> bool(lexical_features("sell 5 apples", "sell 6 apples", 0.99)[LEXICAL.index("numbers_differ")])
    True
    """
    x, z = WORD.findall(a.lower()), WORD.findall(b.lower())
    sx, sz = set(x), set(z)
    union, common = sx | sz, sx & sz
    only_x, only_z = sx - sz, sz - sx
    rare_x, rare_z = _rarest(only_x), _rarest(only_z)
    sum_x, sum_z = _total(only_x), _total(only_z)
    pairs_x, pairs_z = set(pairwise(x)), set(pairwise(z))
    longest = max(len(x), len(z), 1)
    return np.array(
        [
            cosine,
            len(common) / max(len(union), 1),
            _total(common) / (_total(union) or 1.0),
            min(rare_x, rare_z),
            max(rare_x, rare_z),
            min(sum_x, sum_z),
            max(sum_x, sum_z),
            float(_numbers(sx) != _numbers(sz)),
            float(bool(sx & NEGATIONS) != bool(sz & NEGATIONS)),
            float(x[:1] == z[:1]),
            min(len(x), len(z)) / longest,
            len(pairs_x & pairs_z) / max(len(pairs_x | pairs_z), 1),
            len(common) / max(min(len(sx), len(sz)), 1),
            min(len(x), len(z)),
            float(x[-1:] == z[-1:]),
            float(sx == sz),
        ]
    )


def aligned_features(a: Reading, b: Reading) -> Features:
    """How well the tokens of each find their like in the other, named by `ALIGNED`; zeros without tokens."""
    if not len(a.tokens) or not len(b.tokens):
        return np.zeros(len(ALIGNED))
    likeness = a.states.astype(np.float32) @ b.states.astype(np.float32).T
    found_a, found_b = likeness.max(axis=1), likeness.max(axis=0)
    rare_a, rare_b = _token_rarity(a.tokens), _token_rarity(b.tokens)
    told = (
        (found_a @ rare_a / rare_a.sum(), found_b @ rare_b / rare_b.sum()),
        ((rare_a * (1 - found_a)).max(), (rare_b * (1 - found_b)).max()),
        (found_a.min(), found_b.min()),
        (found_a.mean(), found_b.mean()),
    )
    return np.array([bound for pair in told for bound in (min(pair), max(pair))], dtype=np.float64)


def vector_features(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """How two vectors differ and agree, dimension by dimension: shape (..., 2 x dimensions).

    Scaled so that a dimension weighs the same whatever the length of the vectors.
    """
    x, z = a.astype(np.float32), b.astype(np.float32)
    scale = math.sqrt(x.shape[-1] / 384)
    return np.concatenate([np.abs(x - z) * (10 * scale), x * z * (50 * scale**2)], axis=-1)


def _numbers(words: Iterable[str]) -> set[str]:
    return {word for word in words if any(letter.isdigit() for letter in word)}


def _rarest(words: Iterable[str]) -> float:
    return max(map(_rarity, words), default=0.0)


def _total(words: Iterable[str]) -> float:
    return sum(map(_rarity, words))


def _token_rarity(tokens: npt.NDArray[np.int64]) -> Features:
    return np.log(np.maximum(tokens - FIRST_WORD, COMMON) / COMMON) + LEAST_RARITY


@functools.lru_cache(maxsize=200_000)
def _rarity(word: str) -> float:
    rank = _vocabulary().get(word, UNKNOWN_RANK)
    return math.log(max(rank - FIRST_WORD, COMMON) / COMMON)


@functools.cache
def _vocabulary() -> dict[str, int]:
    with (model_folder() / "vocab.txt").open(encoding="utf-8") as lines:
        return {line.rstrip("\n"): rank for rank, line in enumerate(lines)}
