"""SQL of what people look at: the queue, batches on their way, money and hits per day. Read only."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, RowMapping, text

_QUEUE = text("""
SELECT purpose, provider, model, endpoint,
       count(*) FILTER (WHERE state = 'queued') AS queued,
       count(*) FILTER (WHERE state = 'batched') AS with_vendor,
       count(DISTINCT tenant) AS tenants,
       min(queued_at) FILTER (WHERE state = 'queued') AS oldest,
       min(not_after) FILTER (WHERE state = 'queued') AS next_deadline,
       coalesce(sum(estimated_usd) FILTER (WHERE state = 'queued'), 0) AS estimated_usd
FROM llm.llm_request
WHERE state IN ('queued', 'batched')
GROUP BY purpose, provider, model, endpoint
ORDER BY queued DESC, purpose, provider, model
""")

_BATCHES = text("""
WITH shown AS (
    SELECT * FROM llm.llm_batch
    WHERE run_date = :day OR (state IN ('intent', 'submitted', 'ended') AND run_date < :day)
), ends AS (
    SELECT item.batch_id, count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded,
           count(*) FILTER (WHERE outcome NOT IN ('succeeded', 'refused')) AS not_succeeded,
           count(*) FILTER (WHERE request_state = 'queued' AND outcome <> 'refused') AS asked_again
    FROM llm.llm_batch_item AS item JOIN shown USING (batch_id)
    WHERE outcome IS NOT NULL GROUP BY item.batch_id
), money AS (
    SELECT cost.batch_id, sum(paid_usd) AS paid_usd, sum(live_usd - paid_usd) AS saved_usd
    FROM llm.llm_cost AS cost JOIN shown USING (batch_id) GROUP BY cost.batch_id
)
SELECT shown.batch_id, shown.provider, shown.model, shown.endpoint, shown.run_date, shown.chunk, shown.state,
       shown.request_count, shown.vendor_batch_id, shown.vendor_counts, shown.error,
       shown.submitted_at, shown.ended_at, shown.collected_at,
       coalesce(ends.succeeded, 0) AS succeeded, coalesce(ends.not_succeeded, 0) AS not_succeeded,
       coalesce(ends.asked_again, 0) AS asked_again,
       coalesce(money.paid_usd, 0) AS paid_usd, coalesce(money.saved_usd, 0) AS saved_usd
FROM shown LEFT JOIN ends USING (batch_id) LEFT JOIN money USING (batch_id)
ORDER BY shown.run_date DESC, shown.batch_id
""")

_MONEY = text("""
WITH booked AS (
    SELECT booked_on AS day, sum(requests) AS calls, sum(paid_usd) AS paid_usd,
           coalesce(sum(saved_usd) FILTER (WHERE mode = 'batch'), 0) AS saved_by_batch_usd
    FROM llm.llm_cost_per_day
    WHERE booked_on BETWEEN :since AND :until GROUP BY booked_on
), cached AS (
    SELECT day, sum(exact_hits) AS exact_hits, sum(semantic_hits) AS semantic_hits, sum(misses) AS misses,
           sum(checked) AS checked, sum(wrong) AS wrong,
           sum(avg_similarity * semantic_hits) / nullif(sum(semantic_hits), 0) AS avg_similarity,
           sum(saved_usd) AS saved_usd, sum(saved_seconds) AS saved_seconds
    FROM llm.cache_per_day
    WHERE day BETWEEN :since AND :until GROUP BY day
)
SELECT day, coalesce(calls, 0) AS calls, coalesce(paid_usd, 0) AS paid_usd,
       coalesce(saved_by_batch_usd, 0) AS saved_by_batch_usd,
       coalesce(cached.saved_usd, 0) AS saved_by_cache_usd,
       coalesce(exact_hits, 0) AS exact_hits, coalesce(semantic_hits, 0) AS semantic_hits,
       coalesce(misses, 0) AS misses, coalesce(checked, 0) AS checked, coalesce(wrong, 0) AS wrong,
       avg_similarity, coalesce(saved_seconds, 0) AS saved_seconds
FROM booked FULL JOIN cached USING (day)
ORDER BY day DESC
""")

_SPENDERS = text("""
SELECT tenant, sum(requests) AS calls, sum(paid_usd) AS paid_usd, sum(saved_usd) AS saved_usd
FROM llm.llm_cost_per_day
WHERE booked_on BETWEEN :since AND :until
GROUP BY tenant ORDER BY paid_usd DESC, tenant LIMIT :most
""")

# Those with most lookups in the days first.
_NAMESPACES = text("""
WITH seen AS (
    SELECT namespace_id, sum(exact_hits)::bigint AS exact_hits, sum(semantic_hits)::bigint AS semantic_hits,
           sum(misses)::bigint AS misses, sum(checked)::bigint AS checked, sum(wrong)::bigint AS wrong
    FROM (SELECT * FROM llm.cache_day UNION ALL SELECT * FROM llm.cache_lookup_day) AS told
    WHERE day BETWEEN :since AND :until GROUP BY namespace_id
), held AS (
    SELECT namespace_id, count(*) AS entries FROM llm.cache_entry WHERE expires_at > now()
    GROUP BY namespace_id
)
SELECT namespace.tenant, namespace.task, namespace.prompt_version, namespace.model,
       coalesce(held.entries, 0) AS entries, policy.delta, policy.hit_share, policy.wrong_bound,
       policy.observations, namespace.shut_at IS NOT NULL AS is_shut, namespace.shut_why,
       coalesce(seen.exact_hits, 0) AS exact_hits, coalesce(seen.semantic_hits, 0) AS semantic_hits,
       coalesce(seen.misses, 0) AS misses, coalesce(seen.checked, 0) AS checked,
       coalesce(seen.wrong, 0) AS wrong
FROM llm.cache_namespace AS namespace
LEFT JOIN held USING (namespace_id) LEFT JOIN seen USING (namespace_id)
LEFT JOIN llm.cache_policy AS policy
    ON policy.namespace_id = namespace.namespace_id AND policy.version = namespace.version
ORDER BY coalesce(seen.exact_hits + seen.semantic_hits + seen.misses, 0) DESC, entries DESC,
         namespace.task, namespace.model, namespace.tenant, namespace.prompt_version
LIMIT :most
""")


def namespace_lines(conn: Connection, since: date, until: date, most: int) -> Sequence[RowMapping]:
    """The cache's namespaces: size, what their policy promises by what evidence, and hits in the days."""
    return conn.execute(_NAMESPACES, {"since": since, "until": until, "most": most}).mappings().all()


def queue_lines(conn: Connection) -> Sequence[RowMapping]:
    """What waits and what is with a vendor, per purpose, model and endpoint."""
    return conn.execute(_QUEUE).mappings().all()


def batch_lines(conn: Connection, day: date) -> Sequence[RowMapping]:
    """The batches of the night of `day`, and older ones that are still open."""
    return conn.execute(_BATCHES, {"day": day}).mappings().all()


def money_lines(conn: Connection, since: date, until: date) -> Sequence[RowMapping]:
    """Per day, newest first: calls, dollars paid and saved, hits of the cache."""
    return conn.execute(_MONEY, {"since": since, "until": until}).mappings().all()


def spenders(conn: Connection, since: date, until: date, most: int) -> Sequence[RowMapping]:
    """Tenants by what they paid."""
    values: dict[str, Any] = {"since": since, "until": until, "most": most}
    return conn.execute(_SPENDERS, values).mappings().all()
