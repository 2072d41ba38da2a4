"""Learning a namespace's policy from observations, with a bound on how often it will be wrong.

Each observation says whether a neighbour's answer was right. They are cut into folds by question; on each
fold scores come from a model that saw only the others, so the threshold is chosen on pairs no model has seen.
The threshold is the lowest for which the upper confidence bound of wrong answers per lookup stays within the
promise; thresholds are tried from the strictest on and the search ends at the first that fails
(fixed-sequence testing, as in Angelopoulos et al., "Learn then Test", 2021), so choosing costs no confidence.
The bound is the one of Fay and Feuer (1997) for weighted counts, since a checked hit stands for many; for
equal weights it is the exact Poisson bound. The policy in force is the mean of the folds' models.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, gamma

from include.llm.cache.promise.policy import (
    ENTRY_SHARE,
    KNOTS,
    Array,
    Calibration,
    Policy,
    Scorer,
    design,
)
from include.llm.cache.promise.trees import Trees

FOLDS = 5
# Inverse of the penalty on the linear weights; chosen once on question pairs, the same for all namespaces.
SOFTNESS = 0.1
STEPS = 150
LEAST_SPREAD = 1e-6
# Fewer observations than this of either kind, and the cosine alone is the score.
LEAST_OF_A_KIND = 20
TREES: dict[str, Any] = {
    "n_estimators": 150, "learning_rate": 0.05, "num_leaves": 8, "min_child_samples": 40,
    "colsample_bytree": 0.5, "subsample": 0.7, "subsample_freq": 1, "reg_lambda": 5.0, "random_state": 7,
    "n_jobs": 2, "verbose": -1, "deterministic": True, "force_row_wise": True,
}  # fmt: skip


@dataclass(frozen=True)
class Observations:
    """What was seen, a row each.

    Attributes:
        features: of the pairs, shape (n, features); the first is the cosine.
        vectors: of `vector_features`, shape (n, 2 x dimensions).
        right: whether the neighbour's answer was right, shape (n,).
        weights: how many lookups a row stands for, shape (n,).
        groups: rows of one group never stand in two folds, shape (n,).
    """

    features: Array
    vectors: npt.NDArray[np.float32]
    right: npt.NDArray[np.bool_]
    weights: Array
    groups: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.right)

    def rows(self, which: npt.NDArray[Any]) -> "Observations":
        """Some of them."""
        return Observations(
            self.features[which],
            self.vectors[which],
            self.right[which],
            self.weights[which],
            self.groups[which],
        )


def learn(seen: Observations, delta: float, *, confidence: float) -> Policy:
    """The policy that keeps the promise. Where the evidence is too thin, its threshold is infinite.

    Args:
        delta: most wrong semantic hits per lookup without an exact answer.
        confidence: of the bound on them.
    """
    return learn_for(seen, [delta], confidence=confidence)[0]


def learn_for(seen: Observations, deltas: Sequence[float], *, confidence: float) -> list[Policy]:
    """Policies for several promises, from the same models."""
    mean = seen.features.mean(axis=0)
    # What never differed tells nothing; divided by one it stays near zero.
    spread = seen.features.std(axis=0)
    spread = np.where(spread > LEAST_SPREAD, spread, 1.0)
    knots = np.quantile(seen.features, np.linspace(0, 1, KNOTS + 2)[1:-1], axis=0).T
    scores, scorer = _cross_fitted(seen, mean, spread, knots)
    slope, offset = _odds(scores, seen)
    policies = []
    for delta in deltas:
        threshold, calibration = choose(
            scores,
            seen.right,
            seen.weights,
            delta * (1 - ENTRY_SHARE),
            confidence,
            least=_even_odds(slope, offset),
        )
        policies.append(
            Policy(
                delta=delta,
                confidence=confidence,
                threshold=threshold,
                scorer=scorer,
                slope=slope,
                offset=offset,
                observations=len(seen),
                calibration=calibration,
            )
        )
    return policies


def choose(
    scores: Array,
    right: npt.NDArray[np.bool_],
    weights: Array,
    delta: float,
    confidence: float,
    *,
    least: float = -np.inf,
) -> tuple[float, Calibration]:
    """The lowest threshold that keeps wrong answers within `delta` of all lookups (infinite: none does).

    Args:
        least: score below which nothing is served even if the promise would allow it.

    >>> scores, right = np.arange(1000.0), np.arange(1000) >= 300
    >>> 270 < choose(scores, right, np.ones(1000), 0.05, 0.99)[0] < 300
    True
    """
    order = np.argsort(-scores, kind="stable")
    ranked, wrong, weight = scores[order], ~right[order], weights[order]
    total = float(weights.sum())
    bounds = wrong_bounds(wrong, weight, total, confidence)
    failed = np.flatnonzero((bounds > delta) | (ranked < least))
    last = int(failed[0]) if len(failed) else len(order)
    # A score that comes on both sides of the cut cannot be cut.
    while 0 < last < len(order) and ranked[last - 1] == ranked[last]:
        last -= 1
    served = slice(0, last)
    calibration = Calibration(
        wrong_scores=ranked[served][wrong[served]],
        wrong_weights=weight[served][wrong[served]],
        total=total,
        hit_share=float(weight[served].sum()) / max(total, 1e-9),
        wrong_share=float(weight[served][wrong[served]].sum()) / max(total, 1e-9),
        wrong_bound=float(bounds[last - 1]) if last else 0.0,
    )
    return (float(ranked[last - 1]) if last else float("inf")), calibration


def wrong_bounds(wrong: npt.NDArray[np.bool_], weights: Array, total: float, confidence: float) -> Array:
    """Upper confidence bounds of wrong answers per lookup, for serving the first row, the first two, and so
    on.

    Args:
        total: weight of all lookups, served or not.
    """
    counted = np.where(wrong, weights, 0.0)
    heaviest = np.maximum.accumulate(weights) if len(weights) else weights
    mean = np.cumsum(counted) + heaviest
    variance = np.cumsum(np.square(counted)) + np.square(heaviest)
    return np.asarray(gamma.ppf(confidence, mean**2 / variance, scale=variance / mean) / total)


def upper_bound(wrong: float, of: float, confidence: float) -> float:
    """Upper confidence bound of a share (Clopper and Pearson 1934).

    >>> round(upper_bound(0, 100, 0.95), 3)
    0.03
    """
    return 1.0 if wrong >= of else float(beta.ppf(confidence, wrong + 1, of - wrong))


def lower_bound(wrong: float, of: float, confidence: float) -> float:
    """Lower confidence bound of a share.

    >>> round(lower_bound(5, 10, 0.95), 2)
    0.22
    """
    return 0.0 if wrong <= 0 else float(beta.ppf(1 - confidence, wrong, of - wrong + 1))


def groups_of(pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.int64]:
    """A number per pair such that pairs with a question in common, directly or over others, share it."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    for a, b in pairs:
        parent[root(a)] = root(b)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(root(a), len(numbers)) for a, _ in pairs], dtype=np.int64)


def _cross_fitted(seen: Observations, mean: Array, spread: Array, knots: Array) -> tuple[Array, Scorer]:
    """Scores of all rows by models that did not see them, and the mean of those models."""
    few = min(int(seen.right.sum()), int((~seen.right).sum())) < LEAST_OF_A_KIND
    folds = _folds(seen.groups)
    if few or any(len(np.unique(seen.right[folds != fold])) < 2 for fold in range(FOLDS)):
        weights = np.zeros(design(seen.features[:1], seen.vectors[:1], mean, spread, knots).shape[1] + 1)
        weights[0] = 1.0
        alone = Scorer(mean, spread, knots, weights, Trees.none())
        return alone.scores(seen.features, seen.vectors), alone
    made = design(seen.features, seen.vectors, mean, spread, knots)
    scores = np.zeros(len(seen))
    linear, boosters = [], []
    for fold in range(FOLDS):
        held = folds == fold
        weights = _linear(made[~held], seen.right[~held], seen.weights[~held])
        booster = _boosted(seen.features[~held], seen.right[~held], seen.weights[~held])
        linear.append(weights)
        boosters.append(booster)
        trees = Trees.of_lightgbm([booster])
        scores[held] = made[held] @ weights[:-1] + weights[-1] + trees.values(seen.features[held])
    return scores, Scorer(mean, spread, knots, np.mean(linear, axis=0), Trees.of_lightgbm(boosters))


def _folds(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A fold per row, the same for a group, near equal in size and always the same."""
    known, place = np.unique(groups, return_inverse=True)
    shuffled = np.random.default_rng(len(known)).permutation(len(known))
    return np.asarray(shuffled[place] % FOLDS)


def _linear(made: npt.NDArray[np.float32], right: npt.NDArray[np.bool_], weights: Array) -> Array:
    """Logistic regression with a ridge penalty on all but the constant, which comes last."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # More steps change nothing that the threshold, chosen on what comes out, would notice.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=SOFTNESS, max_iter=STEPS)
        model.fit(made, right, sample_weight=_tamed(weights))
    return np.append(model.coef_[0], model.intercept_[0]).astype(np.float64)


def _boosted(features: Array, right: npt.NDArray[np.bool_], weights: Array) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(**TREES).fit(features, right, sample_weight=_tamed(weights)).booster_


def _tamed(weights: Array) -> Array:
    """For fitting only: a few heavy checks must not be learnt by heart."""
    return np.sqrt(weights / weights.mean())


def _even_odds(slope: float, offset: float) -> float:
    """The score from which an answer is likelier right than wrong; what is not is never served."""
    if slope <= 0:
        return -np.inf if offset > 0 else np.inf
    return -offset / slope


def _odds(scores: Array, seen: Observations) -> tuple[float, float]:
    """Slope and offset that turn a score into log-odds (Platt 1999)."""
    from sklearn.linear_model import LogisticRegression

    if seen.right.all() or not seen.right.any():
        return 0.0, 5.0 if seen.right.all() else -5.0
    model = LogisticRegression(C=1e4).fit(scores[:, None], seen.right, sample_weight=seen.weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])
