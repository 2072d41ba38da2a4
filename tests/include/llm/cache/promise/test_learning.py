from __future__ import annotations

import json

import numpy as np
import pytest

from include.llm.cache.promise.learning import Observations, choose, groups_of, learn, wrong_bounds
from include.llm.cache.promise.pairs import NAMES, Pair, vector_features
from include.llm.cache.promise.policy import Policy
from include.llm.cache.promise.trees import Trees


def seen(count: int, seed: int = 0, *, clear: float = 8.0, weights: np.ndarray | None = None) -> Observations:
    """Pairs of which the nearer are likelier right, and a word that matters though no cosine sees it."""
    drawn = np.random.default_rng(seed)
    features = drawn.uniform(0, 1, (count, len(NAMES)))
    features[:, 7] = drawn.random(count) < 0.3
    odds = clear * (features[:, 0] - 0.5) - 4 * features[:, 7]
    vectors = drawn.standard_normal((count, 2, 8)).astype(np.float16)
    return Observations(
        features=features,
        vectors=vector_features(vectors[:, 0], vectors[:, 1]),
        right=drawn.random(count) < 1 / (1 + np.exp(-odds)),
        weights=np.ones(count) if weights is None else weights,
        groups=np.arange(count),
    )


@pytest.fixture(scope="module")
def learnt() -> Policy:
    return learn(seen(4_000), 0.05, confidence=0.95)


def test_wrong_answers_stay_within_the_promise_on_what_was_not_seen(learnt):
    unseen = seen(40_000, seed=1)
    served = learnt.scorer.scores(unseen.features, unseen.vectors) >= learnt.threshold
    wrong = (served & ~unseen.right).mean()
    assert 0.02 < wrong <= 0.05
    assert served.mean() == pytest.approx(learnt.calibration.hit_share, abs=0.03)


def test_it_serves_more_than_the_best_fixed_cosine_that_is_wrong_as_rarely(learnt):
    unseen = seen(40_000, seed=2)
    served = learnt.scorer.scores(unseen.features, unseen.vectors) >= learnt.threshold
    order = np.argsort(-unseen.features[:, 0])
    wrong = np.cumsum(~unseen.right[order])
    best_fixed = np.searchsorted(wrong, (served & ~unseen.right).sum(), side="right")
    assert served.sum() > 1.2 * best_fixed


def test_the_choice_of_the_threshold_breaks_the_promise_no_more_often_than_its_confidence():
    drawn = np.random.default_rng(3)
    broken = 0
    for _ in range(400):
        scores = drawn.uniform(0, 1, 2_000)
        right = drawn.random(2_000) < scores
        threshold, _ = choose(scores, right, np.ones(2_000), 0.02, 0.9)
        # Of all lookups, those above t are wrong with probability (1 - t)^2 / 2.
        broken += (1 - threshold) ** 2 / 2 > 0.02
    assert 0.01 < broken / 400 < 0.13


def test_checks_that_stand_for_many_keep_the_promise_too():
    """Half of the served are seen by a check in twenty, which counts twenty times."""
    drawn = np.random.default_rng(4)
    broken = 0
    for _ in range(300):
        scores = drawn.uniform(0, 1, 4_000)
        right = drawn.random(4_000) < scores
        checked = (scores < 0.6) | (drawn.random(4_000) < 0.05)
        weights = np.where(scores < 0.6, 1.0, 20.0)[checked]
        threshold, _ = choose(scores[checked], right[checked], weights, 0.03, 0.9)
        broken += (1 - min(threshold, 1)) ** 2 / 2 > 0.03
    assert broken / 300 < 0.13


def test_equal_weights_have_the_exact_poisson_bound():
    bounds = wrong_bounds(np.zeros(10, dtype=bool), np.ones(10), 100.0, 0.95)
    assert np.allclose(bounds, 0.029957, rtol=1e-3)


def test_too_few_observations_serve_nothing():
    assert learn(seen(150), 0.01, confidence=0.95).threshold == np.inf


def test_a_namespace_that_was_never_wrong_is_served_by_its_cosine():
    found = seen(1_000)
    found.right[:] = True
    policy = learn(found, 0.01, confidence=0.95)
    assert np.isfinite(policy.threshold)
    assert policy.calibration.hit_share == 1.0


def test_a_namespace_that_was_never_right_serves_nothing():
    found = seen(1_000)
    found.right[:] = False
    assert learn(found, 0.01, confidence=0.95).threshold == np.inf


def test_like_scores_on_both_sides_of_the_cut_are_not_cut():
    scores = np.array([3.0] * 50 + [2.0] * 100 + [1.0] * 50)
    right = np.array([True] * 50 + [True, False] * 50 + [False] * 50)
    threshold, calibration = choose(scores, right, np.ones(200), 0.1, 0.95)
    assert threshold == 3.0
    assert calibration.wrong_share == 0


def test_a_policy_comes_back_from_json_as_it_was(learnt):
    again = Policy.from_json(json.loads(json.dumps(learnt.as_json())))
    for each in seen(50, seed=9).features:
        pair = Pair(each, np.random.default_rng(1).standard_normal((2, 8)).astype(np.float16))
        assert again.score(pair) == pytest.approx(learnt.score(pair), abs=1e-3)
    assert again.threshold == learnt.threshold
    assert again.decide(5.0, 0, 0, check_share=0.1, chances=(0.5, 0.5)) == learnt.decide(
        5.0, 0, 0, check_share=0.1, chances=(0.5, 0.5)
    )


def test_trees_without_lightgbm_say_what_lightgbm_says():
    from lightgbm import LGBMClassifier

    found = seen(2_000)
    booster = (
        LGBMClassifier(n_estimators=30, num_leaves=8, verbose=-1).fit(found.features, found.right).booster_
    )
    expected = booster.predict(found.features, raw_score=True)
    assert np.allclose(Trees.of_lightgbm([booster]).values(found.features), expected, atol=1e-4)


def test_pairs_with_a_question_in_common_are_of_one_group():
    found = groups_of([("a", "b"), ("c", "d"), ("b", "e"), ("f", "d"), ("x", "y")])
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert len(set(found)) == 3
