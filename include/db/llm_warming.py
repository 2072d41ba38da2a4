"""SQL of filling the cache: answers that are not in it yet, and what tomorrow will probably be asked."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, RowMapping, text

# A row per answer and per tenant that may read it; what the cache holds already is left out.
_ANSWERED = text("""
WITH answered AS (
    SELECT DISTINCT request.request_id,
           CASE WHEN request.purpose = ANY(:shared) THEN '*' ELSE asker.tenant END AS tenant
    FROM llm.llm_request AS request JOIN llm.llm_request_asker AS asker USING (request_id)
    WHERE request.state = 'succeeded' AND request.answered_from = 'batch'
      AND request.endpoint <> '/v1/embeddings' AND request.finished_at >= :since
)
SELECT answered.request_id, answered.tenant, request.request_key, request.purpose, request.prompt_version,
       request.provider, request.model, request.endpoint, request.params, request.answer,
       request.finished_at, coalesce(cost.live_usd, 0) AS live_usd
FROM answered JOIN llm.llm_request AS request USING (request_id)
LEFT JOIN LATERAL (
    SELECT live_usd FROM llm.llm_cost WHERE llm_cost.request_id = answered.request_id
    ORDER BY attempt DESC LIMIT 1
) AS cost ON true
WHERE NOT EXISTS (
    SELECT FROM llm.cache_entry AS entry JOIN llm.cache_namespace AS namespace USING (namespace_id)
    WHERE entry.exact_key = request.request_key AND namespace.tenant = answered.tenant
      AND namespace.task = request.purpose AND namespace.embedder = :embedder)
ORDER BY answered.request_id, answered.tenant
""")

_SPENT = """
WITH spent AS (
    SELECT ad.account_id, ad.creative_id, sum(metric.spend) AS spend
    FROM ads.performance_metric AS metric JOIN ads.ad USING (account_id, ad_id)
    WHERE metric.breakdown = '' AND ad.creative_id IS NOT NULL
      AND (metric.metric_date IS NULL
           OR metric.metric_date > CAST(:day AS date) - CAST(:days AS integer) AND metric.metric_date <= :day)
    GROUP BY ad.account_id, ad.creative_id
)
"""

_CREATIVES = text(f"""{_SPENT}
SELECT creative.account_id, creative.creative_id, account.niche, creative.hook_type, creative.hook_text,
       creative.persona, creative.cta, creative.format, creative.visual_pattern, creative.visual_tags,
       creative.duration_s, creative.dna, spent.spend
FROM spent JOIN ads.creative USING (account_id, creative_id) JOIN ads.account USING (account_id)
WHERE coalesce(creative.hook_text, creative.hook_type, creative.visual_pattern) IS NOT NULL
ORDER BY spent.spend DESC, creative.account_id, creative.creative_id
LIMIT :most
""")  # noqa: S608 - one constant in another

# A hook that several creatives use counts once, for the account that spends most on it.
_HOOKS = text(f"""{_SPENT}
SELECT * FROM (
    SELECT DISTINCT ON (creative.hook_text) creative.account_id, creative.creative_id, account.niche,
           creative.hook_text, sum(spent.spend) OVER (PARTITION BY creative.hook_text) AS spend
    FROM spent JOIN ads.creative USING (account_id, creative_id) JOIN ads.account USING (account_id)
    WHERE creative.hook_text <> ''
    ORDER BY creative.hook_text, spent.spend DESC, creative.account_id, creative.creative_id
) AS hooks
ORDER BY spend DESC, hook_text
LIMIT :most
""")  # noqa: S608 - one constant in another


def answered_uncached(
    conn: Connection, since: datetime, *, embedder: str, shared: Sequence[str], rows_at_once: int
) -> Iterator[Sequence[RowMapping]]:
    """Answers of batches since then that the cache does not hold, in pages from a server-side cursor."""
    values = {"since": since, "embedder": embedder, "shared": list(shared)}
    found = conn.execute(_ANSWERED, values, execution_options={"stream_results": True})
    yield from found.mappings().partitions(rows_at_once)


def top_creatives(conn: Connection, day: date, *, days: int, most: int) -> Sequence[RowMapping]:
    """Creatives by what they spent in the `days` up to `day`."""
    return conn.execute(_CREATIVES, {"day": day, "days": days, "most": most}).mappings().all()


def top_hooks(conn: Connection, day: date, *, days: int, most: int) -> Sequence[RowMapping]:
    """Hooks by what creatives that use them spent: account_id, creative_id, niche, hook_text, spend."""
    return conn.execute(_HOOKS, {"day": day, "days": days, "most": most}).mappings().all()


def queued_on(conn: Connection, day: date, keys: Sequence[str]) -> set[str]:
    """Those of the keys whose requests were first queued on that day."""
    query = text(
        "SELECT request_key FROM llm.llm_request WHERE queued_on = :day AND request_key = ANY(:keys)"
    )
    return set(conn.execute(query, {"day": day, "keys": list(keys)}).scalars())


def paid_with_tag(conn: Connection, tag: str) -> Decimal:
    """Dollars that the entries with a tag cost live."""
    query = text("SELECT coalesce(sum(live_usd), 0) FROM llm.cache_entry WHERE tags @> ARRAY[:tag]")
    return Decimal(conn.execute(query, {"tag": tag}).scalar_one())


def lookups_of(conn: Connection, day: date) -> dict[str, int]:
    """How often the cache was asked on a day, by task."""
    query = text("""
        SELECT task, sum(exact_hits + semantic_hits + misses)::bigint AS lookups
        FROM llm.cache_per_day WHERE day = :day GROUP BY task""")
    return {row.task: row.lookups for row in conn.execute(query, {"day": day})}


def usual_latency(conn: Connection) -> dict[tuple[str, str], int]:
    """Milliseconds a live call took in the middle, by provider and model: what a batch's answer saves."""
    query = text("""
        SELECT provider, model, percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS ms
        FROM llm.llm_cost WHERE latency_ms IS NOT NULL AND booked_on > CURRENT_DATE - 30
        GROUP BY provider, model""")
    return {(row.provider, row.model): int(row.ms) for row in conn.execute(query)}
