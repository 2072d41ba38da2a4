"""SQL that keeps the semantic cache small: expiry, eviction, invalidation, sums instead of old lookups.

Removing an entry removes its vector. Everything is removed in pages, so that no lookup waits behind it.
"""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, text

_EXPIRED = text("""
DELETE FROM llm.cache_entry WHERE entry_id IN (
    SELECT entry_id FROM llm.cache_entry WHERE expires_at <= now()
    ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED)
""")

# Worth: what the hits of the remembered days saved, for each byte and each day they took. A new entry counts
# as hit once, so that it has a chance. The best that fit stay.
_LEAST_WORTH = text("""
WITH hits AS (
    SELECT entry_id, count(*) AS times FROM llm.cache_lookup
    WHERE kind IN ('exact', 'semantic') AND entry_id IS NOT NULL GROUP BY entry_id
), sized AS (
    SELECT entry.entry_id, entry.namespace_id, size.bytes,
           (entry.live_usd + 1e-9) * (1 + coalesce(hits.times, 0)) / size.bytes
               / greatest(extract(epoch FROM now() - entry.stored_at) / 86400, 1) AS worth
    FROM llm.cache_entry AS entry
    JOIN llm.cache_namespace AS namespace USING (namespace_id)
    LEFT JOIN hits USING (entry_id)
    CROSS JOIN LATERAL (
        SELECT 200 + pg_column_size(entry.question) + pg_column_size(entry.answer)
               + coalesce((SELECT pg_column_size(embedding) FROM llm.cache_vector_384
                           WHERE entry_id = entry.entry_id),
                          (SELECT pg_column_size(embedding) FROM llm.cache_vector_1536
                           WHERE entry_id = entry.entry_id), 0) AS bytes) AS size
), ranked AS (
    SELECT entry_id, worth,
           sum(bytes) OVER (PARTITION BY namespace_id ORDER BY worth DESC, entry_id DESC) AS in_namespace,
           sum(bytes) OVER (ORDER BY worth DESC, entry_id DESC) AS in_all
    FROM sized
)
SELECT entry_id FROM ranked WHERE in_namespace > :namespace_bytes OR in_all > :total_bytes ORDER BY worth
""")

_REMOVE = text("DELETE FROM llm.cache_entry WHERE entry_id = ANY(:entry_ids)")

_FORGET = text("""
DELETE FROM llm.cache_entry WHERE entry_id IN (
    SELECT entry_id FROM llm.cache_entry JOIN llm.cache_namespace AS namespace USING (namespace_id)
    WHERE (CAST(:tags AS text[]) IS NULL OR tags && CAST(:tags AS text[]))
      AND (CAST(:tenant AS text) IS NULL OR namespace.tenant = :tenant)
      AND (CAST(:task AS text) IS NULL OR namespace.task = :task)
      AND (CAST(:prompt_version AS text) IS NULL OR namespace.prompt_version = :prompt_version)
      AND (CAST(:model AS text) IS NULL OR namespace.model = :model)
      AND (CAST(:embedder AS text) IS NULL OR namespace.embedder = :embedder)
    LIMIT :most)
""")

_ROLL_UP = text("""
WITH gone AS (
    DELETE FROM llm.cache_lookup
    WHERE looked_at < (SELECT date_trunc('day', min(looked_at) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
                              + interval '1 day' FROM llm.cache_lookup)
      AND looked_at < CAST(CAST(:before AS date) AS timestamp) AT TIME ZONE 'UTC'
    RETURNING looked_at, namespace_id, kind, similarity, saved_usd, saved_ms
), summed AS (
    INSERT INTO llm.cache_day AS known (day, namespace_id, exact_hits, semantic_hits, misses, checked, wrong,
                                        similarity_sum, saved_usd, saved_ms)
    SELECT CAST(looked_at AT TIME ZONE 'UTC' AS date), namespace_id,
           count(*) FILTER (WHERE kind = 'exact'),
           count(*) FILTER (WHERE kind = 'semantic' OR kind LIKE 'checked%'),
           count(*) FILTER (WHERE kind = 'miss'), count(*) FILTER (WHERE kind LIKE 'checked%'),
           count(*) FILTER (WHERE kind = 'checked_wrong'),
           coalesce(sum(similarity) FILTER (WHERE kind NOT IN ('exact', 'miss')), 0),
           sum(saved_usd), sum(saved_ms)
    FROM gone GROUP BY 1, 2
    ON CONFLICT (day, namespace_id) DO UPDATE
        SET exact_hits = known.exact_hits + excluded.exact_hits,
            semantic_hits = known.semantic_hits + excluded.semantic_hits,
            misses = known.misses + excluded.misses, checked = known.checked + excluded.checked,
            wrong = known.wrong + excluded.wrong,
            similarity_sum = known.similarity_sum + excluded.similarity_sum,
            saved_usd = known.saved_usd + excluded.saved_usd, saved_ms = known.saved_ms + excluded.saved_ms
)
SELECT count(*) FROM gone
""")

_TRIM = text("""
DELETE FROM llm.cache_observation WHERE observation_id IN (
    SELECT seen.observation_id FROM llm.cache_namespace AS namespace
    JOIN LATERAL (
        SELECT observation_id FROM llm.cache_observation AS seen
        WHERE seen.namespace_id = namespace.namespace_id
        ORDER BY observation_id DESC OFFSET :keep LIMIT :most) AS seen ON true
    LIMIT :most)
""")


def remove_expired(conn: Connection, most: int) -> int:
    """Remove up to `most` entries whose time is over; returns how many."""
    return conn.execute(_EXPIRED, {"most": most}).rowcount


def least_worth(conn: Connection, namespace_bytes: int, total_bytes: int) -> list[int]:
    """The entries that do not fit, by what they save for their size: the least worth first."""
    values = {"namespace_bytes": namespace_bytes, "total_bytes": total_bytes}
    return list(conn.execute(_LEAST_WORTH, values).scalars())


def remove(conn: Connection, entry_ids: Sequence[int]) -> int:
    """Remove entries; returns how many were there."""
    return conn.execute(_REMOVE, {"entry_ids": list(entry_ids)}).rowcount


def forget(
    conn: Connection,
    *,
    tags: Sequence[str] | None,
    names: dict[str, str | None],
    most: int,
) -> int:
    """Remove up to `most` entries; returns how many.

    Args:
        tags: those with any of these; None: whatever their tags.
        names: tenant, task, prompt_version, model, embedder of their namespace; None: any.
    """
    values = {**names, "tags": None if tags is None else list(tags), "most": most}
    return conn.execute(_FORGET, values).rowcount


def roll_up(conn: Connection, before: date) -> int:
    """Sum the oldest day of lookups before `before`, and remove them; returns how many there were."""
    return int(conn.execute(_ROLL_UP, {"before": before}).scalar_one())


def trim_observations(conn: Connection, keep: int, most: int) -> int:
    """Remove up to `most` observations beyond the newest `keep` of their namespace; returns how many."""
    return conn.execute(_TRIM, {"keep": keep, "most": most}).rowcount
