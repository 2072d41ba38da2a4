"""Keeping a promise true: what checked hits say since a policy was learnt, and what follows from it.

Each check that comes back wrong is added to what the threshold was chosen from, and the threshold is chosen
again: it can only rise. Where the checks alone show, with confidence, that more is wrong than was promised,
or no threshold is left, the namespace answers exact hits only until it has learnt anew.
"""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from sqlalchemy import Engine, RowMapping

from include.config.cache import CacheThresholds
from include.db import llm_cache_promise as sql
from include.llm.cache.promise.learning import lower_bound, wrong_bounds
from include.llm.cache.promise.policy import ENTRY_SHARE, Policy

LOG = logging.getLogger(__name__)
# Fewer say nothing by themselves.
LEAST_CHECKS = 10


def watch_namespaces(engine: Engine, namespace_ids: Iterable[int], settings: CacheThresholds) -> list[int]:
    """Look at namespaces whose checks came back wrong; returns those that became stricter."""
    return [each for each in sorted(namespace_ids) if watch(engine, each, settings)]


def watch(engine: Engine, namespace_id: int, settings: CacheThresholds) -> bool:
    """Make a namespace stricter if its checks ask for it; whether that was so."""
    with engine.begin() as conn:
        row = sql.policy(conn, namespace_id)
        if row is None or row["policy"] is None or row["is_shut"]:
            return False
        policy = Policy.from_json(row["policy"])
        seen = sql.observations_since(conn, namespace_id, policy.since, settings.learn_most)
        threshold, why = verdict(policy, seen)
        if threshold <= policy.threshold:
            return False
        shuts = not np.isfinite(threshold)
        sql.set_policy(
            conn, namespace_id, policy.raised_to(threshold).as_json(), why=why, is_learnt=False, shuts=shuts
        )
    LOG.warning(
        "the cache's %s %s: %s", row["name"], "answers exact hits only" if shuts else "became stricter", why
    )
    return True


def verdict(policy: Policy, seen: Sequence[RowMapping]) -> tuple[float, str]:
    """The threshold that keeps the promise in view of what was seen since, and why it is that.

    Args:
        seen: rows of was_served, was_right, weight, score.
    """
    if not seen:
        return policy.threshold, "nothing was checked"
    total = float(sum(row["weight"] for row in seen))
    checks = [row for row in seen if row["was_served"]]
    wrong = [row for row in checks if not row["was_right"]]
    told = f"{len(wrong)} of {len(checks)} checked hits were wrong"
    served = sum(row["weight"] for row in checks) / total
    least_wrong = served * lower_bound(len(wrong), len(checks), policy.confidence)
    if len(checks) >= LEAST_CHECKS and least_wrong > policy.delta:
        return float("inf"), f"{told}: more than the {policy.delta:.1%} of lookups that was promised"
    known = policy.calibration
    # A wrong check below the threshold was served for its entry's sake; that has a budget of its own.
    weighing = [row for row in wrong if row["score"] >= policy.threshold]
    scores = np.concatenate([known.wrong_scores, [row["score"] for row in weighing]])
    weights = np.concatenate([known.wrong_weights, [row["weight"] for row in weighing]])
    order = np.argsort(-scores, kind="stable")
    delta = policy.delta * (1 - ENTRY_SHARE)
    bounds = wrong_bounds(
        np.ones(len(order), dtype=bool), weights[order], known.total + total, policy.confidence
    )
    failed = np.flatnonzero(bounds > delta)
    if not len(failed):
        return policy.threshold, told
    # Just above the first wrong answer that is one too many; where that is the very best, nothing is left.
    if failed[0] == 0:
        return float("inf"), f"{told}, and no threshold is strict enough"
    raised = float(np.nextafter(scores[order][failed[0]], np.inf))
    return max(raised, policy.threshold), f"{told}: the threshold rose to keep {policy.delta:.1%}"
