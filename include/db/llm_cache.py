"""SQL of the semantic cache. Reads take one round trip; nothing is ever updated because it was hit."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, text

# The lengths of vector that have a table; see the migration.
DIMENSIONS = (384, 1536)

_NAMESPACE = text("""
WITH known AS (
    SELECT namespace_id, policy, shut_at FROM llm.cache_namespace
    WHERE tenant = :tenant AND task = :task AND prompt_version = :prompt_version AND model = :model
      AND embedder = :embedder
), made AS (
    INSERT INTO llm.cache_namespace (tenant, task, prompt_version, model, embedder)
    SELECT :tenant, :task, :prompt_version, :model, :embedder WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT DO NOTHING
    RETURNING namespace_id, policy, shut_at
)
SELECT * FROM known UNION ALL SELECT * FROM made
""")

_EXACT = text("""
SELECT entry_id, answer, live_usd, latency_ms FROM llm.cache_entry
WHERE namespace_id = :namespace_id AND exact_key = :exact_key AND expires_at > now()
""")

# Strangers to a tenant may not read its answers: its own, and what is everybody's.
_ANSWER_QUEUED = text("""
WITH known AS (
    SELECT DISTINCT ON (request.request_id) request.request_id, entry.answer
    FROM llm.llm_request AS request
    JOIN llm.cache_entry AS entry ON entry.exact_key = request.request_key
    JOIN llm.cache_namespace AS namespace USING (namespace_id)
    WHERE request.state = 'queued' AND entry.expires_at > now() AND namespace.tenant IN (request.tenant, '*')
    ORDER BY request.request_id, entry.stored_at DESC
)
UPDATE llm.llm_request AS request
SET state = 'succeeded', answer = known.answer, answered_from = 'cache', error = NULL, finished_at = now()
FROM known WHERE request.request_id = known.request_id AND request.state = 'queued'
RETURNING request.request_id
""")

_STORE = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(
        n integer, exact_key text, question text, answer jsonb, live_usd numeric, latency_ms integer,
        source text, tags text[], ttl_s double precision)
), entry AS (
    INSERT INTO llm.cache_entry AS known
        (namespace_id, exact_key, question, answer, live_usd, latency_ms, source, tags, expires_at)
    SELECT DISTINCT ON (exact_key) :namespace_id, exact_key, question, answer, live_usd, latency_ms, source,
           tags, now() + ttl_s * interval '1 second'
    FROM given ORDER BY exact_key, n
    ON CONFLICT (namespace_id, exact_key) DO UPDATE
        SET answer = excluded.answer, question = excluded.question, live_usd = excluded.live_usd,
            latency_ms = excluded.latency_ms, source = excluded.source, tags = excluded.tags,
            stored_at = now(), expires_at = excluded.expires_at
    RETURNING entry_id, exact_key, expires_at
), vector AS (
    INSERT INTO llm.cache_vector_{size} AS known (entry_id, namespace_id, expires_at, embedding)
    SELECT DISTINCT ON (entry.entry_id) entry.entry_id, :namespace_id, entry.expires_at,
           CAST((CAST(:vectors AS text[]))[given.n] AS halfvec({size}))
    FROM entry JOIN given USING (exact_key) ORDER BY entry.entry_id, given.n
    ON CONFLICT (entry_id) DO UPDATE
        SET expires_at = excluded.expires_at, embedding = excluded.embedding
)
SELECT entry_id, exact_key FROM entry
"""


class Namespace(NamedTuple):
    """What is known of a namespace: its number, what was learnt, and whether it is shut for semantic hits."""

    namespace_id: int
    policy: dict[str, Any] | None
    is_shut: bool


class Exact(NamedTuple):
    """An entry with the very key."""

    entry_id: int
    answer: dict[str, Any]
    live_usd: Any
    latency_ms: int


class Nearest(NamedTuple):
    """The entry whose question is nearest, and how often its answer proved right and wrong for others."""

    entry_id: int
    question: str
    answer: dict[str, Any]
    live_usd: Any
    latency_ms: int
    similarity: float
    times_right: int
    times_wrong: int


def namespace(conn: Connection, names: Mapping[str, str]) -> Namespace:
    """The namespace of tenant, task, prompt_version, model and embedder, made where it is new."""
    row = conn.execute(_NAMESPACE, dict(names)).one_or_none()
    if row is None:
        # Somebody else made it between the two looks.
        row = conn.execute(_NAMESPACE, dict(names)).one()
    return Namespace(row.namespace_id, row.policy, row.shut_at is not None)


def exact(conn: Connection, namespace_id: int, exact_key: str) -> Exact | None:
    """The entry with this key, unless it has expired."""
    row = conn.execute(_EXACT, {"namespace_id": namespace_id, "exact_key": exact_key}).one_or_none()
    return None if row is None else Exact(*row)


def nearest(
    conn: Connection, namespace_id: int, vector: str, size: int, *, ef_search: int, max_scan_tuples: int
) -> Nearest | None:
    """The nearest entry of a namespace that has not expired.

    The index is walked on past strangers' entries until one of the namespace is found, so that a small
    namespace among large ones loses nothing; the planner may not sort the whole namespace instead.
    """
    conn.execute(
        text(
            "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),"
            " set_config('hnsw.ef_search', :ef, true), set_config('hnsw.max_scan_tuples', :most, true),"
            " set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)"
        ),
        {"ef": str(ef_search), "most": str(max_scan_tuples)},
    )
    row = conn.execute(
        text(f"""
        WITH near AS MATERIALIZED (
            SELECT entry_id, embedding <=> CAST(:vector AS halfvec({size})) AS distance
            FROM llm.cache_vector_{size}
            WHERE namespace_id = :namespace_id AND expires_at > now()
            ORDER BY embedding <=> CAST(:vector AS halfvec({size})) LIMIT 1
        )
        SELECT entry.entry_id, entry.question, entry.answer, entry.live_usd, entry.latency_ms,
               1 - near.distance AS similarity, coalesce(seen.times_right, 0), coalesce(seen.times_wrong, 0)
        FROM near JOIN llm.cache_entry AS entry USING (entry_id)
        LEFT JOIN LATERAL (
            SELECT count(*) FILTER (WHERE was_right) AS times_right,
                   count(*) FILTER (WHERE NOT was_right) AS times_wrong
            FROM llm.cache_observation AS observation WHERE observation.entry_id = entry.entry_id
        ) AS seen ON true"""),  # noqa: S608 - the size is one of DIMENSIONS
        {"namespace_id": namespace_id, "vector": vector},
    ).one_or_none()
    return None if row is None else Nearest(*row)


def answer_queued(conn: Connection) -> list[int]:
    """Answer queued requests whose answer is known; returns their ids."""
    return list(conn.execute(_ANSWER_QUEUED).scalars())


def store(
    conn: Connection, namespace_id: int, rows: Sequence[Mapping[str, Any]], vectors: Sequence[str], size: int
) -> dict[str, int]:
    """Keep answers; one that is there already is replaced. Returns entry ids by key.

    Args:
        rows: exact_key, question, answer, live_usd (as text), latency_ms, source, tags, ttl_s.
        vectors: a vector a row, as pgvector reads it.
    """
    if not rows:
        return {}
    numbered = [{"n": n, **row} for n, row in enumerate(rows, start=1)]
    values = {"rows": json.dumps(numbered), "namespace_id": namespace_id, "vectors": list(vectors)}
    found = conn.execute(text(_STORE.format(size=size)), values)
    return {row.exact_key: row.entry_id for row in found}


def add_lookups(conn: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Note lookups: namespace_id, kind, entry_id, similarity, saved_usd, saved_ms, looked_at."""
    conn.execute(
        text("""
        INSERT INTO llm.cache_lookup (looked_at, namespace_id, kind, entry_id, similarity, saved_usd,
            saved_ms)
        SELECT looked_at, namespace_id, kind, entry_id, similarity, saved_usd, saved_ms
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(
            looked_at timestamptz, namespace_id integer, kind text, entry_id bigint, similarity real,
            saved_usd numeric, saved_ms integer)"""),
        {"rows": json.dumps(list(rows), default=str)},
    )


def add_observations(conn: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Note whether neighbours' answers were right.

    Args:
        rows: namespace_id, entry_id, kind, features, was_right, weight.
    """
    conn.execute(
        text("""
        INSERT INTO llm.cache_observation (namespace_id, entry_id, kind, features, was_right, weight)
        SELECT namespace_id, entry_id, kind, features, was_right, weight
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(
            namespace_id integer, entry_id bigint, kind text, features real[], was_right boolean, weight real)
        """),
        {"rows": json.dumps(list(rows))},
    )


def observations(conn: Connection, namespace_id: int, most: int) -> Sequence[RowMapping]:
    """The newest observations of a namespace: entry_id, kind, features, was_right, weight, seen_at."""
    query = text("""
        SELECT entry_id, kind, features, was_right, weight, seen_at FROM llm.cache_observation
        WHERE namespace_id = :namespace_id ORDER BY observation_id DESC LIMIT :most""")
    return conn.execute(query, {"namespace_id": namespace_id, "most": most}).mappings().all()


def set_policy(conn: Connection, namespace_id: int, policy: Mapping[str, Any] | None) -> None:
    """Keep what was learnt, and open a namespace that was shut; None: exact hits only."""
    query = text("""
        UPDATE llm.cache_namespace
        SET policy = CAST(:policy AS jsonb), learnt_at = now(), shut_at = NULL, shut_why = NULL
        WHERE namespace_id = :namespace_id""")
    told = None if policy is None else json.dumps(dict(policy))
    conn.execute(query, {"namespace_id": namespace_id, "policy": told})


def shut(conn: Connection, namespace_id: int, why: str) -> bool:
    """Answer exact hits only from now on; False where it is shut already."""
    query = text("""
        UPDATE llm.cache_namespace SET shut_at = now(), shut_why = :why
        WHERE namespace_id = :namespace_id AND shut_at IS NULL""")
    return conn.execute(query, {"namespace_id": namespace_id, "why": why}).rowcount == 1


def checks_since_learnt(conn: Connection, namespace_id: int) -> RowMapping:
    """Since the policy was learnt: semantic_hits, misses, checked, wrong."""
    query = text("""
        SELECT count(*) FILTER (WHERE kind = 'semantic') AS semantic_hits,
               count(*) FILTER (WHERE kind = 'miss') AS misses,
               count(*) FILTER (WHERE kind IN ('checked_right', 'checked_wrong')) AS checked,
               count(*) FILTER (WHERE kind = 'checked_wrong') AS wrong
        FROM llm.cache_lookup AS lookup JOIN llm.cache_namespace AS namespace USING (namespace_id)
        WHERE namespace_id = :namespace_id AND looked_at >= namespace.learnt_at""")
    return conn.execute(query, {"namespace_id": namespace_id}).mappings().one()


def forget(
    conn: Connection, *, tags: Sequence[str] = (), namespace_id: int | None = None, most: int = 10_000
) -> int:
    """Remove up to `most` entries with any of the tags, or all of a namespace; returns how many."""
    query = text("""
        DELETE FROM llm.cache_entry WHERE entry_id IN (
            SELECT entry_id FROM llm.cache_entry
            WHERE (cardinality(CAST(:tags AS text[])) = 0 OR tags && CAST(:tags AS text[]))
              AND (CAST(:namespace_id AS integer) IS NULL OR namespace_id = :namespace_id)
            LIMIT :most)""")
    values = {"tags": list(tags), "namespace_id": namespace_id, "most": most}
    return conn.execute(query, values).rowcount


def namespaces(conn: Connection) -> Sequence[RowMapping]:
    """All namespaces with how many entries they have: for pages, and for those who learn."""
    query = text("""
        SELECT namespace.*, (SELECT count(*) FROM llm.cache_entry AS entry
                             WHERE entry.namespace_id = namespace.namespace_id) AS entries,
               (SELECT count(*) FROM llm.cache_observation AS seen
                WHERE seen.namespace_id = namespace.namespace_id) AS observations
        FROM llm.cache_namespace AS namespace ORDER BY task, model, tenant, prompt_version""")
    return conn.execute(query).mappings().all()
