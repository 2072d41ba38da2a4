"""When another question's answer will do: what a namespace has learnt, and the decision it comes to.

A policy scores a pair of questions and serves the neighbour's answer where the score reaches a threshold. It
was learnt (`learning`) so that wrong semantic hits are at most `delta` of the lookups that had no exact
answer: the error rate of vCache's paper (Schroeder et al., "vCache: Verified Semantic Prompt Caching", 2025)
and of the published evaluations. Where an entry has evidence of its own, that counts beside the threshold, in
the spirit of the same paper: one whose answer proved wrong for a question like this is not served, one that
proved right often enough is served also below it, at random and as rarely as the promise demands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from include.llm.cache.promise.pairs import Pair, vector_features
from include.llm.cache.promise.trees import Trees

Array = npt.NDArray[np.float64]

# What of `delta` the entries with evidence of their own may use up; the threshold has the rest.
ENTRY_SHARE = 0.05
# Pseudo-observations that the score counts for against an entry's own.
PRIOR = 4.0
ENTRY_CONFIDENCE = 0.9
# Checking more than this would save nothing.
MOST_CHECKED = 0.5
CLIP = 4.0
SCALE_PRODUCTS, SCALE_VECTOR = 0.3, 0.12
KNOTS = 7


@dataclass(frozen=True)
class Decision:
    """What to do with the neighbour's answer.

    Attributes:
        serve: give it.
        check: ask the model all the same, and say whether it was right.
        weight: how many lookups like this one an observation of it stands for.
    """

    serve: bool
    check: bool
    weight: float


@dataclass(frozen=True)
class Calibration:
    """What the threshold was chosen from, so that later checks can be added to it.

    Attributes:
        wrong_scores, wrong_weights: of the wrong answers that the threshold lets through.
        total: lookups, by weight.
        hit_share, wrong_share, wrong_bound: of lookups: served, served wrongly, and the upper confidence
        bound
            of the latter.
    """

    wrong_scores: Array
    wrong_weights: Array
    total: float
    hit_share: float
    wrong_share: float
    wrong_bound: float


@dataclass(frozen=True)
class Scorer:
    """How likely one question's answer is right for another: a linear model and trees, in log-odds.

    Attributes:
        mean, spread: of the features.
        knots: per feature, where the score may bend; shape (features, knots).
        weights: of everything `design` makes, and last the constant.
    """

    mean: Array
    spread: Array
    knots: Array
    weights: Array
    trees: Trees

    def scores(self, features: Array, vectors: npt.NDArray[np.float32]) -> Array:
        """Log-odds of many pairs.

        Args:
            features: shape (pairs, features).
            vectors: of `vector_features`, shape (pairs, 2 x dimensions).
        """
        made = design(features, vectors, self.mean, self.spread, self.knots)
        return np.asarray(made @ self.weights[:-1] + self.weights[-1], dtype=np.float64) + self.trees.values(
            features
        )


@dataclass(frozen=True)
class Policy:
    """What a namespace has learnt.

    Attributes:
        delta: the promise: wrong semantic hits per lookup without an exact answer.
        confidence: of the bound that keeps it.
        threshold: score from which a neighbour's answer is served; infinite: never.
        slope, offset: turn a score into the probability of being right.
        observations: what it was learnt from.
        since: the version in which it was learnt; later ones only raised the threshold.
    """

    delta: float
    confidence: float
    threshold: float
    scorer: Scorer
    slope: float
    offset: float
    observations: int
    calibration: Calibration
    since: int = 0

    def score(self, pair: Pair) -> float:
        """The score of one pair."""
        vectors = vector_features(pair.vectors[0], pair.vectors[1])
        return float(self.scorer.scores(pair.features[None, :], vectors[None, :])[0])

    def likely(self, score: float) -> float:
        """Probability that the neighbour's answer is right."""
        return float(1 / (1 + np.exp(-np.clip(self.slope * score + self.offset, -35, 35))))

    def decide(
        self,
        score: float,
        times_right: int,
        times_wrong: int,
        *,
        check_share: float,
        chances: tuple[float, float],
    ) -> Decision:
        """Whether to serve, and whether to check.

        Args:
            times_right: how often the entry's answer proved right for questions no nearer than this one.
            times_wrong: how often it proved wrong for questions no farther.
            check_share: share of served answers that is checked.
            chances: two random numbers from 0 to 1, new for each decision.
        """
        served_for_its_score = score >= self.threshold
        if times_wrong:
            known = (PRIOR * self.likely(score) + times_right) / (PRIOR + times_right + times_wrong)
            serve = served_for_its_score and known >= 1 - self.delta
        else:
            serve = served_for_its_score or chances[0] < self._share_served(times_right)
        check = serve and chances[1] < check_share
        return Decision(serve, check, 1 / check_share if serve else 1.0)

    def share_checked(self, least: float, thorough: int) -> float:
        """Share of served answers to check: many while little is known, `least` in the end.

        Args:
            thorough: so many observations are not enough to check less than all that may be checked.
        """
        return max(least, min(MOST_CHECKED, MOST_CHECKED * thorough / max(self.observations, 1)))

    def _share_served(self, times_right: int) -> float:
        """Of lookups below the threshold, at an entry that was only ever right: the share that may be served.

        With confidence, its answer is right at least this often (Clopper and Pearson); so few lookups are
        served that wrong ones stay within the entries' share of the promise.
        """
        if not times_right or not np.isfinite(self.threshold):
            return 0.0
        least_right = (1 - ENTRY_CONFIDENCE) ** (1 / times_right)
        return min(1.0, ENTRY_SHARE * self.delta / (1 - least_right))

    def raised_to(self, threshold: float) -> "Policy":
        """The same, stricter."""
        return replace(self, threshold=threshold)

    def as_json(self) -> dict[str, Any]:
        """For the namespace's row."""
        seen = self.calibration
        return {
            "delta": self.delta,
            "confidence": self.confidence,
            "threshold": self.threshold if np.isfinite(self.threshold) else None,
            "slope": self.slope,
            "offset": self.offset,
            "observations": self.observations,
            "since": self.since,
            "mean": rounded(self.scorer.mean),
            "spread": rounded(self.scorer.spread),
            "knots": [rounded(row) for row in self.scorer.knots],
            "weights": rounded(self.scorer.weights),
            "trees": self.scorer.trees.as_json(),
            "calibration": {
                "wrong_scores": rounded(seen.wrong_scores),
                "wrong_weights": rounded(seen.wrong_weights),
                "total": seen.total,
                "hit_share": seen.hit_share,
                "wrong_share": seen.wrong_share,
                "wrong_bound": seen.wrong_bound,
            },
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Policy":
        """What `as_json` gave."""
        threshold, seen = told["threshold"], told["calibration"]
        return cls(
            delta=told["delta"],
            confidence=told["confidence"],
            threshold=np.inf if threshold is None else threshold,
            scorer=Scorer(
                mean=np.asarray(told["mean"]),
                spread=np.asarray(told["spread"]),
                knots=np.asarray(told["knots"]),
                weights=np.asarray(told["weights"]),
                trees=Trees.from_json(told["trees"]),
            ),
            slope=told["slope"],
            offset=told["offset"],
            observations=told["observations"],
            calibration=Calibration(
                **{
                    **seen,
                    "wrong_scores": np.asarray(seen["wrong_scores"], dtype=np.float64),
                    "wrong_weights": np.asarray(seen["wrong_weights"], dtype=np.float64),
                }
            ),
            since=told["since"],
        )


def design(
    features: Array, vectors: npt.NDArray[np.float32], mean: Array, spread: Array, knots: Array
) -> npt.NDArray[np.float32]:
    """What the score is linear in: hinges of each feature, products of two, and the vectors' dimensions.

    Returns:
        shape (pairs, columns).
    """
    standard = np.clip((features - mean) / spread, -CLIP, CLIP)
    hinges = np.maximum(features[:, :, None] - knots[None, :, :], 0) / spread[None, :, None]
    rows, columns = np.triu_indices(standard.shape[1])
    products = standard[:, rows] * standard[:, columns]
    return np.concatenate(
        [
            standard,
            np.clip(hinges.reshape(len(features), -1), 0, CLIP),
            products * SCALE_PRODUCTS,
            vectors * SCALE_VECTOR,
        ],
        axis=1,
        dtype=np.float32,
    )


def rounded(values: npt.NDArray[Any]) -> list[float]:
    """As many digits as tell."""
    return [float(f"{value:.7g}") for value in values]
