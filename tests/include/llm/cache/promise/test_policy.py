from __future__ import annotations

import numpy as np
import pytest

from include.llm.cache.promise.learning import learn
from include.llm.cache.promise.policy import ENTRY_SHARE, Policy
from include.llm.cache.promise.watch import verdict
from tests.include.llm.cache.promise.test_learning import seen


@pytest.fixture(scope="module")
def policy() -> Policy:
    return learn(seen(4_000), 0.05, confidence=0.95)


def decided(policy: Policy, score: float, right: int = 0, wrong: int = 0, chance: float = 0.5):
    return policy.decide(score, right, wrong, check_share=0.1, chances=(chance, 0.5))


def test_the_threshold_decides_where_an_entry_has_no_evidence(policy):
    assert decided(policy, policy.threshold).serve
    assert not decided(policy, policy.threshold - 1e-6).serve


def test_an_entry_that_was_wrong_for_a_question_like_this_is_not_served(policy):
    assert not decided(policy, policy.threshold + 0.5, wrong=1).serve


def test_one_wrong_answer_among_very_many_right_ones_is_outweighed(policy):
    assert decided(policy, policy.threshold + 3, right=500, wrong=1).serve


def test_an_entry_that_was_always_right_serves_lower_as_rarely_as_the_promise_demands(policy):
    low = policy.threshold - 2
    shares = []
    for times in (0, 10, 1_000):
        served = [
            decided(policy, low, right=times, chance=chance).serve for chance in np.linspace(0, 1, 2_001)
        ]
        shares.append(np.mean(served))
    assert shares[0] == 0
    assert shares[0] < shares[1] < shares[2] <= 1
    # As unlikely as its answer is to be wrong, so many wrong ones are served at most.
    assert shares[1] * (1 - 0.1 ** (1 / 10)) <= ENTRY_SHARE * policy.delta + 1e-3


def test_where_nothing_may_be_served_no_entrys_evidence_changes_that(policy):
    shut = policy.raised_to(float("inf"))
    assert not decided(shut, 100.0, right=10_000, chance=0.0).serve


def test_a_share_of_what_is_served_is_checked_and_stands_for_the_rest(policy):
    found = [
        policy.decide(policy.threshold, 0, 0, check_share=0.1, chances=(0.5, chance))
        for chance in np.linspace(0, 0.999, 1_000)
    ]
    assert sum(each.check for each in found) == pytest.approx(100, abs=2)
    assert {each.weight for each in found} == {10.0}


def test_little_known_is_checked_often(policy):
    assert policy.share_checked(0.05, 10_000) == 0.5
    assert policy.share_checked(0.05, 400) == 0.05


def row(was_right: bool, score: float, *, served: bool = True, weight: float = 20.0):
    return {"was_served": served, "was_right": was_right, "score": score, "weight": weight}


def test_checks_that_come_back_right_change_nothing(policy):
    rows = [row(True, policy.threshold + 1)] * 50
    assert verdict(policy, rows)[0] == policy.threshold


def test_wrong_checks_raise_the_threshold_above_what_was_wrong(policy):
    wrong_at = policy.threshold + 0.2
    rows = [row(True, policy.threshold + 1)] * 150 + [row(False, wrong_at)] * 8
    raised, why = verdict(policy, rows)
    assert raised > policy.threshold
    assert np.isfinite(raised)
    assert why.startswith("8 of 158 checked hits were wrong")


def test_when_checks_alone_break_the_promise_only_exact_hits_are_left(policy):
    rows = [row(False, policy.threshold + 2)] * 12 + [row(True, 0.0, served=False, weight=1.0)] * 100
    threshold, why = verdict(policy, rows)
    assert threshold == float("inf")
    assert "more than the 5.0% of lookups" in why
