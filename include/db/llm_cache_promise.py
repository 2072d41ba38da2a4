"""SQL of what was learnt about a namespace: observations in, policies out, and what checks say since."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, text

_OBSERVATIONS = text("""
SELECT entry_id, kind, features, vectors, was_right, weight, family
FROM llm.cache_observation
WHERE namespace_id = :namespace_id ORDER BY observation_id DESC LIMIT :most
""")

_SINCE = text("""
SELECT kind = 'check' AS was_served, was_right, weight, score
FROM llm.cache_observation
WHERE namespace_id = :namespace_id AND version >= :since AND score IS NOT NULL AND kind <> 'label'
ORDER BY observation_id DESC LIMIT :most
""")

_POLICY = text("""
SELECT namespace_id, policy, version, shut_at IS NOT NULL AS is_shut,
       concat(task, ' of ', tenant, ' by ', model, ' (', prompt_version, ')') AS name, task
FROM llm.cache_namespace WHERE namespace_id = :namespace_id FOR UPDATE
""")

_SET_POLICY = text("""
WITH changed AS (
    UPDATE llm.cache_namespace
    SET policy = CAST(:policy AS jsonb), version = version + 1, learnt_at = CASE WHEN :is_learnt THEN now()
            ELSE learnt_at END,
        shut_at = CASE WHEN :shuts THEN now() END, shut_why = CASE WHEN :shuts THEN CAST(:why AS text) END
    WHERE namespace_id = :namespace_id
    RETURNING namespace_id, version
)
INSERT INTO llm.cache_policy (namespace_id, version, why, delta, threshold, observations, hit_share,
    wrong_share,
                              wrong_bound)
SELECT namespace_id, version, :why, :delta, :threshold, :observations, :hit_share, :wrong_share, :wrong_bound
FROM changed
""")

_TO_LEARN = text("""
SELECT namespace_id, tenant, task, prompt_version, model, embedder
FROM llm.cache_namespace AS namespace
WHERE (SELECT count(*) FROM (
           SELECT FROM llm.cache_observation AS seen
           WHERE seen.namespace_id = namespace.namespace_id
             AND seen.seen_at > coalesce(namespace.learnt_at, '-infinity') LIMIT :least) AS newer) >= :least
   OR shut_at IS NOT NULL AND shut_at > coalesce(learnt_at, '-infinity')
ORDER BY namespace_id
""")


def observations(conn: Connection, namespace_id: int, most: int) -> Sequence[RowMapping]:
    """The newest ones of a namespace: entry_id, kind, features, vectors, was_right, weight, family."""
    return conn.execute(_OBSERVATIONS, {"namespace_id": namespace_id, "most": most}).mappings().all()


def observations_since(conn: Connection, namespace_id: int, since: int, most: int) -> Sequence[RowMapping]:
    """What was seen under a policy and its stricter successors: was_served, was_right, weight, score."""
    values = {"namespace_id": namespace_id, "since": since, "most": most}
    return conn.execute(_SINCE, values).mappings().all()


def policy(conn: Connection, namespace_id: int) -> RowMapping | None:
    """namespace_id, policy, version, is_shut, name and task; locked until the transaction ends."""
    return conn.execute(_POLICY, {"namespace_id": namespace_id}).mappings().one_or_none()


def set_policy(
    conn: Connection,
    namespace_id: int,
    policy: Mapping[str, Any] | None,
    *,
    why: str,
    is_learnt: bool,
    shuts: bool,
) -> None:
    """Put a policy in force as the next version, or take it away.

    Args:
        why: for the history.
        is_learnt: it was learnt now, and not only made stricter.
        shuts: exact hits only from now on.
    """
    told = policy or {}
    seen = told.get("calibration") or {}
    conn.execute(
        _SET_POLICY,
        {
            "namespace_id": namespace_id,
            "policy": None if policy is None else json.dumps(dict(policy)),
            "why": why,
            "is_learnt": is_learnt,
            "shuts": shuts,
            "delta": told.get("delta"),
            "threshold": told.get("threshold"),
            "observations": told.get("observations", 0),
            "hit_share": seen.get("hit_share"),
            "wrong_share": seen.get("wrong_share"),
            "wrong_bound": seen.get("wrong_bound"),
        },
    )


def namespaces_to_learn(conn: Connection, least: int) -> Sequence[RowMapping]:
    """Namespaces with at least `least` observations since they were learnt, or shut since then."""
    return conn.execute(_TO_LEARN, {"least": least}).mappings().all()
