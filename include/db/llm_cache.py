"""SQL of the semantic cache on the way of a live question: one round trip each, prepared, vectors in binary.

These run on psycopg itself, on connections that `include.llm.cache.connections` sets up: in autocommit, with
index scans that walk on past strangers' entries. Nothing is updated because it was hit.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text

# The lengths of vector that have a table; see the migration.
DIMENSIONS = (384, 1536)

# The policy, which is large, comes only when it is another than the one that is known.
_NAMESPACE = """
SELECT namespace_id, CASE WHEN version <> %(version)s THEN policy END AS policy, version,
       shut_at IS NOT NULL AS is_shut,
       (SELECT count(*) FROM (
            SELECT FROM llm.cache_vector_{size} AS vector
            WHERE vector.namespace_id = known.namespace_id LIMIT %(most)s) AS counted) AS vectors
FROM llm.cache_namespace AS known
WHERE tenant = %(tenant)s AND task = %(task)s AND prompt_version = %(prompt_version)s AND model = %(model)s
  AND embedder = %(embedder)s
"""

_MAKE_NAMESPACE = """
INSERT INTO llm.cache_namespace (tenant, task, prompt_version, model, embedder)
VALUES (%(tenant)s, %(task)s, %(prompt_version)s, %(model)s, %(embedder)s) ON CONFLICT DO NOTHING
"""

_EXACT = """
SELECT entry_id, exact_key, answer, live_usd, latency_ms FROM llm.cache_entry
WHERE namespace_id = %(namespace_id)s AND exact_key = ANY(%(keys)s) AND expires_at > now()
"""

# Right for questions no nearer than this one, wrong for questions no farther: what counts as evidence.
_NEAREST = """
WITH near AS MATERIALIZED (
    SELECT entry_id, embedding, embedding <=> %(vector)b AS distance
    FROM llm.cache_vector_{size}
    WHERE namespace_id = %(namespace_id)s AND expires_at > now()
    ORDER BY {order} LIMIT 1
)
SELECT entry.entry_id, entry.question, entry.answer, entry.live_usd, entry.latency_ms,
       1 - near.distance AS similarity, near.embedding,
       (SELECT count(*) FROM llm.cache_observation AS seen
        WHERE seen.entry_id = near.entry_id AND seen.was_right
          AND seen.similarity <= 1 - near.distance) AS times_right,
       (SELECT count(*) FROM llm.cache_observation AS seen
        WHERE seen.entry_id = near.entry_id AND NOT seen.was_right
          AND seen.similarity >= 1 - near.distance) AS times_wrong
FROM near JOIN llm.cache_entry AS entry USING (entry_id)
"""
_BY_INDEX = "embedding <=> %(vector)b"
# No index is sorted like this, so the whole namespace is read.
_BY_READING = "(embedding <=> %(vector)b) + 0"

_STORE = """
WITH given AS (
    SELECT * FROM unnest(%(keys)s::text[], %(questions)s::text[], %(answers)s::jsonb[],
                         %(live_usd)s::numeric[], %(latency_ms)s::integer[], %(sources)s::text[],
                         %(ttl_s)s::double precision[], %(slides)s::boolean[], %(vectors)b::halfvec[])
         WITH ORDINALITY AS row(exact_key, question, answer, live_usd, latency_ms, source, ttl_s, slides,
                                embedding, n)
    JOIN unnest(%(tags)s::jsonb[]) WITH ORDINALITY AS tag(tags, n) USING (n)
), last AS (
    SELECT DISTINCT ON (exact_key) * FROM given ORDER BY exact_key, n DESC
), entry AS (
    INSERT INTO llm.cache_entry AS known (namespace_id, exact_key, question, answer, live_usd, latency_ms,
                                          source, tags, expires_at, slides_s)
    SELECT %(namespace_id)s, exact_key, question, answer, live_usd, latency_ms, source,
           ARRAY(SELECT jsonb_array_elements_text(tags)), now() + ttl_s * interval '1 second',
           CASE WHEN slides THEN ttl_s END
    FROM last ORDER BY exact_key
    ON CONFLICT (namespace_id, exact_key) DO UPDATE
        SET answer = excluded.answer, question = excluded.question, live_usd = excluded.live_usd,
            latency_ms = excluded.latency_ms, source = excluded.source, tags = excluded.tags,
            stored_at = now(), expires_at = excluded.expires_at, slides_s = excluded.slides_s
    RETURNING entry_id, exact_key, expires_at
), vector AS (
    INSERT INTO llm.cache_vector_{size} AS known (entry_id, namespace_id, expires_at, embedding)
    SELECT entry.entry_id, %(namespace_id)s, entry.expires_at, last.embedding
    FROM entry JOIN last USING (exact_key) WHERE last.question <> '' ORDER BY entry.entry_id
    ON CONFLICT (entry_id) DO UPDATE
        SET expires_at = excluded.expires_at, embedding = excluded.embedding
)
SELECT entry_id, exact_key FROM entry
"""

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


class KnownNamespace(NamedTuple):
    """What is known of a namespace: its number, what was learnt, and whether it is shut for semantic hits.

    `vectors` counts them, up to the `most` that was asked.
    """

    namespace_id: int
    policy: dict[str, Any] | None
    version: int
    is_shut: bool
    vectors: int


class Exact(NamedTuple):
    """An entry with the very key."""

    entry_id: int
    exact_key: str
    answer: dict[str, Any]
    live_usd: Decimal
    latency_ms: int


class Nearest(NamedTuple):
    """The entry whose question is nearest.

    `times_right` counts questions no nearer than this one for which its answer proved right, `times_wrong`
    questions no farther for which it proved wrong.
    """

    entry_id: int
    question: str
    answer: dict[str, Any]
    live_usd: Decimal
    latency_ms: int
    similarity: float
    embedding: Any
    times_right: int
    times_wrong: int


def namespace(
    conn: psycopg.Connection[Any], names: Mapping[str, str], size: int, *, most: int = 0, version: int = -1
) -> KnownNamespace | None:
    """The namespace of tenant, task, prompt_version, model and embedder, if there is one.

    Args:
        most: its vectors are counted up to here.
        version: of the policy that is known already, and is left out.
    """
    values = {**names, "most": most, "version": version}
    row = _cursor(conn).execute(_NAMESPACE.format(size=size), values).fetchone()
    return None if row is None else KnownNamespace(*row)


def make_namespace(conn: psycopg.Connection[Any], names: Mapping[str, str]) -> None:
    """Make it, unless it is there."""
    conn.execute(_MAKE_NAMESPACE, dict(names))


def exact(conn: psycopg.Connection[Any], namespace_id: int, keys: Sequence[str]) -> list[Exact]:
    """The entries with these keys that have not expired."""
    found = _cursor(conn).execute(_EXACT, {"namespace_id": namespace_id, "keys": list(keys)})
    return [Exact(*row) for row in found]


def nearest(
    conn: psycopg.Connection[Any], namespace_id: int, vector: Any, size: int, *, reads_all: bool
) -> Nearest | None:
    """The nearest entry of a namespace that has not expired.

    Args:
        vector: `pgvector.HalfVector`.
        reads_all: compare with every entry of the namespace instead of walking the index.
    """
    query = _NEAREST.format(size=size, order=_BY_READING if reads_all else _BY_INDEX)
    row = _cursor(conn).execute(query, {"namespace_id": namespace_id, "vector": vector}).fetchone()
    return None if row is None else Nearest(*row)


def store(
    conn: psycopg.Connection[Any],
    namespace_id: int,
    rows: Sequence[Mapping[str, Any]],
    vectors: Sequence[Any],
    size: int,
) -> dict[str, int]:
    """Keep answers; one that is there already is replaced, and lives anew. Returns entry ids by key.

    Args:
        rows: exact_key, question (empty: nothing else is ever compared with it), answer, live_usd,
            latency_ms, source, tags, ttl_s, slides.
        vectors: a `pgvector.HalfVector` a row.
    """
    if not rows:
        return {}
    values = {
        "namespace_id": namespace_id,
        "keys": [row["exact_key"] for row in rows],
        "questions": [row["question"] for row in rows],
        "answers": [Jsonb(row["answer"]) for row in rows],
        "live_usd": [row["live_usd"] for row in rows],
        "latency_ms": [row["latency_ms"] for row in rows],
        "sources": [row["source"] for row in rows],
        "tags": [Jsonb(list(row["tags"])) for row in rows],
        "ttl_s": [float(row["ttl_s"]) for row in rows],
        "slides": [row["slides"] for row in rows],
        "vectors": list(vectors),
    }
    found = conn.execute(_STORE.format(size=size).encode(), values)
    return {key: entry_id for entry_id, key in found}


def answer_queued(conn: Connection) -> list[int]:
    """Answer queued requests whose answer is known; returns their ids."""
    return list(conn.execute(_ANSWER_QUEUED).scalars())


def _cursor(conn: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    return conn.cursor(binary=True, row_factory=namedtuple_row)


def take_claim(conn: psycopg.Connection[Any], key: str) -> bool:
    """Take the lock of a question on this connection; False where another connection has it."""
    found = conn.execute("SELECT pg_try_advisory_lock(hashtextextended('nightshift llm ' || %s, 0))", [key])
    row = found.fetchone()
    return bool(row and row[0])


def give_back_claim(conn: psycopg.Connection[Any], key: str) -> None:
    """Let go of the lock of a question."""
    conn.execute("SELECT pg_advisory_unlock(hashtextextended('nightshift llm ' || %s, 0))", [key])
