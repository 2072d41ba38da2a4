"""SQL of what the semantic cache remembers of its lookups. Rows are added in bundles and never changed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

_LOOKUPS = text("""
INSERT INTO llm.cache_lookup (looked_at, namespace_id, kind, entry_id, similarity, saved_usd, saved_ms)
SELECT looked_at, namespace_id, kind, entry_id, similarity, saved_usd, saved_ms
FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (
    looked_at timestamptz, namespace_id integer, kind text, entry_id bigint, similarity real,
    saved_usd numeric, saved_ms integer)) WITH ORDINALITY AS row(
    looked_at, namespace_id, kind, entry_id, similarity, saved_usd, saved_ms, n)
JOIN llm.cache_namespace USING (namespace_id)
ORDER BY n
""")

_OBSERVATIONS = text("""
INSERT INTO llm.cache_observation (namespace_id, entry_id, kind, similarity, features, vectors, was_right,
                                   weight, score, version, family)
SELECT namespace_id, entry_id, kind, similarity, features, decode(vectors, 'hex'), was_right, weight, score,
       row.version, family
FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (
    namespace_id integer, entry_id bigint, kind text, similarity double precision, features real[],
    vectors text, was_right boolean, weight real, score double precision, version integer,
    family bigint)) WITH ORDINALITY AS row(
    namespace_id, entry_id, kind, similarity, features, vectors, was_right, weight, score, version, family, n)
JOIN llm.cache_namespace USING (namespace_id)
ORDER BY n
""")

_SLIDE = text("""
WITH moved AS (
    UPDATE llm.cache_entry SET expires_at = now() + slides_s * interval '1 second'
    WHERE entry_id = ANY(:entry_ids) AND slides_s IS NOT NULL AND expires_at > now()
    RETURNING entry_id, expires_at
), short AS (
    UPDATE llm.cache_vector_384 AS vector SET expires_at = moved.expires_at FROM moved
    WHERE vector.entry_id = moved.entry_id
)
UPDATE llm.cache_vector_1536 AS vector SET expires_at = moved.expires_at FROM moved
WHERE vector.entry_id = moved.entry_id
""")


def add_lookups(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note lookups: looked_at, namespace_id, kind, entry_id, similarity, saved_usd, saved_ms.

    Those of a namespace that was removed are left out.
    """
    if rows:
        conn.execute(_LOOKUPS, {"rows": json.dumps(list(rows), default=str)})


def add_observations(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note whether neighbours' answers were right.

    Args:
        rows: namespace_id, entry_id, kind, similarity, features, vectors (in hex), was_right, weight, score,
            version, family.
    """
    if rows:
        conn.execute(_OBSERVATIONS, {"rows": json.dumps(list(rows))})


def slide(conn: Connection, entry_ids: Sequence[int]) -> None:
    """Start the lifetime anew of those entries that were hit and were stored to be prolonged by hits."""
    if entry_ids:
        conn.execute(_SLIDE, {"entry_ids": sorted(set(entry_ids))})
