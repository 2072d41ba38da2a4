"""SQL of the `llm` context: the request queue, the cost ledger, creative scores and what a night did.

The life of a batch is in `include.db.llm_batches`. Every function takes an open connection and leaves the
transaction to its caller; every write can be repeated without changing anything.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, text

# Added to the spend of creatives that were launched lately: more than any creative can have spent.
NEW_CREATIVE_PRIORITY = Decimal(1_000_000_000)

# Why a request failed that nobody asked the model by its deadline; asked again later it is queued again.
OVERDUE = "not asked by its deadline"

_ENQUEUE = text("""
WITH asked AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(
        request_key text, purpose text, tenant text, subject text, provider text, model text,
        endpoint text, prompt_version text, params jsonb, priority numeric, not_after timestamptz,
        input_count integer, estimated_tokens bigint, estimated_usd numeric, answer_schema jsonb)
), kept AS (
    INSERT INTO llm.llm_request AS known
        (request_key, purpose, tenant, provider, model, endpoint, prompt_version, params, priority, not_after,
         input_count, estimated_tokens, estimated_usd, answer_schema, queued_on)
    SELECT DISTINCT ON (request_key)
        request_key, purpose, tenant, provider, model, endpoint, prompt_version, params, priority,
        CASE WHEN bool_or(not_after IS NULL) OVER same THEN NULL ELSE max(not_after) OVER same END,
        input_count, estimated_tokens, estimated_usd, answer_schema, :queued_on
    FROM asked
    WINDOW same AS (PARTITION BY request_key)
    ORDER BY request_key, priority DESC, tenant, subject
    -- Asked again, it waits as long as the most patient asker; one that nobody asked in time is revived.
    ON CONFLICT (request_key) DO UPDATE
        SET priority = CASE WHEN known.state = 'queued' OR known.state = 'failed' AND known.error = :overdue
                            THEN excluded.priority ELSE known.priority END,
            not_after = CASE WHEN known.state = 'queued' AND known.not_after IS NULL THEN NULL
                             WHEN known.state = 'queued' AND excluded.not_after IS NOT NULL
                                 THEN greatest(known.not_after, excluded.not_after)
                             ELSE excluded.not_after END,
            queued_on = CASE WHEN known.state = 'failed' AND known.error = :overdue
                             THEN excluded.queued_on ELSE known.queued_on END,
            finished_at = CASE WHEN known.state = 'failed' AND known.error = :overdue
                               THEN NULL ELSE known.finished_at END,
            state = CASE WHEN known.state = 'failed' AND known.error = :overdue
                         THEN 'queued' ELSE known.state END,
            error = CASE WHEN known.state = 'failed' AND known.error = :overdue
                         THEN NULL ELSE known.error END
    RETURNING request_id, request_key, state, xmax = 0 AS is_new
), askers AS (
    INSERT INTO llm.llm_request_asker (request_id, purpose, tenant, subject)
    SELECT kept.request_id, asked.purpose, asked.tenant, asked.subject
    FROM asked JOIN kept USING (request_key)
    ON CONFLICT DO NOTHING
)
SELECT request_id, request_key, state, is_new FROM kept
""")

_UNSCORED = text("""
WITH launched AS (
    SELECT account_id, creative_id, max(launched_on) AS last_launch
    FROM ads.ad
    WHERE creative_id IS NOT NULL AND launched_on <= :day
    GROUP BY account_id, creative_id
), spent AS (
    SELECT ad.account_id, ad.creative_id, sum(metric.spend) AS spend
    FROM ads.performance_metric AS metric
    JOIN ads.ad USING (account_id, ad_id)
    WHERE metric.breakdown = ''
      AND (metric.metric_date > CAST(:day AS date) - CAST(:spend_window_days AS integer)
           AND metric.metric_date <= :day
           OR metric.metric_date IS NULL)
    GROUP BY ad.account_id, ad.creative_id
)
SELECT creative.account_id, creative.creative_id, account.niche, creative.hook_type, creative.hook_text,
       creative.persona, creative.cta, creative.format, creative.visual_pattern, creative.visual_tags,
       creative.duration_s, creative.dna,
       coalesce(spent.spend, 0)
       + CASE WHEN launched.last_launch > CAST(:day AS date) - CAST(:new_creative_days AS integer)
              THEN CAST(:new_priority AS numeric) ELSE 0 END AS priority
FROM ads.creative
JOIN ads.account USING (account_id)
LEFT JOIN launched USING (account_id, creative_id)
LEFT JOIN spent USING (account_id, creative_id)
WHERE coalesce(creative.hook_text, creative.hook_type, creative.visual_pattern) IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM llm.creative_score AS score
      WHERE score.account_id = creative.account_id AND score.creative_id = creative.creative_id
        AND score.prompt_version = :prompt_version AND score.model = :model)
ORDER BY creative.account_id, creative.creative_id
""")

# A call of the queue takes who it was for from its request, any other brings it along.
_BOOK = text("""
INSERT INTO llm.llm_cost
    (cost_key, request_id, attempt, batch_id, mode, tenant, purpose, provider, model, input_tokens,
     cache_write_tokens, cache_write_1h_tokens, cache_read_tokens, image_tokens, video_tokens, audio_tokens,
     output_tokens, paid_usd, live_usd, latency_ms, booked_on)
SELECT row.cost_key, row.request_id, row.attempt, row.batch_id, row.mode,
       coalesce(row.tenant, request.tenant), coalesce(row.purpose, request.purpose),
       coalesce(row.provider, request.provider), coalesce(row.model, request.model), row.input_tokens,
       row.cache_write_tokens, row.cache_write_1h_tokens, row.cache_read_tokens, row.image_tokens,
       row.video_tokens, row.audio_tokens, row.output_tokens, row.paid_usd, row.live_usd, row.latency_ms,
       row.booked_on
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(
    cost_key text, request_id bigint, attempt integer, batch_id bigint, mode text, tenant text, purpose text,
    provider text, model text, input_tokens bigint, cache_write_tokens bigint, cache_write_1h_tokens bigint,
    cache_read_tokens bigint, image_tokens bigint, video_tokens bigint, audio_tokens bigint,
    output_tokens bigint, paid_usd numeric, live_usd numeric, latency_ms integer, booked_on date)
LEFT JOIN llm.llm_request AS request USING (request_id)
ON CONFLICT (cost_key) DO NOTHING
""")

_SCORES = text("""
INSERT INTO llm.creative_score AS known
    (account_id, creative_id, prompt_version, model, score, critique, request_id)
SELECT DISTINCT ON (asker.tenant, asker.subject, request.prompt_version, request.model)
       asker.tenant, asker.subject, request.prompt_version, request.model,
       CAST(request.answer ->> 'score' AS numeric), request.answer ->> 'critique', request.request_id
FROM llm.llm_request AS request
JOIN llm.llm_request_asker AS asker USING (request_id)
JOIN ads.creative ON creative.account_id = asker.tenant AND creative.creative_id = asker.subject
WHERE request.request_id = ANY(:request_ids) AND request.state = 'succeeded' AND asker.purpose = :purpose
ORDER BY asker.tenant, asker.subject, request.prompt_version, request.model, request.request_id DESC
ON CONFLICT (account_id, creative_id, prompt_version, model) DO UPDATE
    SET score = excluded.score, critique = excluded.critique, request_id = excluded.request_id,
        scored_at = now()
    WHERE known.request_id <> excluded.request_id
""")

_NIGHT = text("""
WITH night AS (
    SELECT batch_id, chunk, state FROM llm.llm_batch WHERE run_date = :run_date
), ends AS (
    SELECT DISTINCT ON (item.request_id) item.request_state
    FROM llm.llm_batch_item AS item JOIN night USING (batch_id)
    ORDER BY item.request_id, night.batch_id DESC
), money AS (
    SELECT coalesce(sum(paid_usd), 0) AS paid_usd, coalesce(sum(live_usd - paid_usd), 0) AS saved_usd
    FROM llm.llm_cost JOIN night USING (batch_id)
)
SELECT (SELECT count(*) FROM ends) AS requests,
       (SELECT count(*) FROM ends WHERE request_state = 'succeeded') AS succeeded,
       (SELECT count(*) FROM ends WHERE request_state = 'failed') AS failed,
       (SELECT count(*) FROM ends WHERE request_state = 'queued') AS queued_again,
       (SELECT count(*) FROM ends WHERE request_state IS NULL) AS unanswered,
       (SELECT count(*) FROM night) AS batches,
       (SELECT count(*) FROM night WHERE state = 'failed') AS refused_batches,
       money.paid_usd, money.saved_usd
FROM money
""")


class Enqueued(NamedTuple):
    """A stored request: whether this call made it, and the state it is in."""

    request_id: int
    request_key: str
    state: str
    is_new: bool


def enqueue(conn: Connection, rows: Sequence[Mapping[str, Any]], queued_on: date) -> list[Enqueued]:
    """Store questions that are not stored yet, and who asked them.

    Args:
        rows: request_key, purpose, tenant, subject, provider, model, endpoint, prompt_version, params,
            priority (a number as text; higher leaves first), not_after, input_count, estimated_tokens,
            estimated_usd, answer_schema. A question still queued takes the new priority.
        queued_on: the day they belong to.
    """
    values = {"rows": json.dumps(list(rows)), "queued_on": queued_on, "overdue": OVERDUE}
    return [Enqueued(*row) for row in conn.execute(_ENQUEUE, values)]


def unscored_creatives(
    conn: Connection,
    day: date,
    *,
    model: str,
    prompt_version: str,
    spend_window_days: int,
    new_creative_days: int,
    rows_at_once: int = 1000,
) -> Iterator[Sequence[RowMapping]]:
    """Creatives without a score from this model and prompt, in groups, read from a server-side cursor.

    Each row is the creative's columns, its account's niche and its `priority`: dollars spent in the window up
    to `day`, and above all of them those launched in the last `new_creative_days`.
    """
    parameters = {
        "day": day,
        "model": model,
        "prompt_version": prompt_version,
        "spend_window_days": spend_window_days,
        "new_creative_days": new_creative_days,
        "new_priority": NEW_CREATIVE_PRIORITY,
    }
    result = conn.execute(_UNSCORED, parameters, execution_options={"stream_results": True})
    yield from result.mappings().partitions(rows_at_once)


def book_costs(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Put attempts on the bill; one that is there already stays as it is. Returns how many were new."""
    return conn.execute(_BOOK, {"rows": json.dumps(list(rows), default=str)}).rowcount if rows else 0


def store_creative_scores(conn: Connection, request_ids: Sequence[int], *, purpose: str) -> int:
    """Give the answers of these requests to every creative they were asked about; returns rows written."""
    if not request_ids:
        return 0
    return conn.execute(_SCORES, {"request_ids": list(request_ids), "purpose": purpose}).rowcount


def night_figures(conn: Connection, run_date: date) -> RowMapping:
    """What became of the requests that the batches of `run_date` carried, and what they cost.

    Columns: requests, succeeded, failed, queued_again, unanswered, batches, refused_batches, paid_usd,
    saved_usd. A request counts once, by its last batch of that date.
    """
    return conn.execute(_NIGHT, {"run_date": run_date}).mappings().one()


def night_waiting(conn: Connection, run_date: date) -> Sequence[RowMapping]:
    """What the plan of a night left in the queue: reason, tenants, requests, estimated_usd; most first."""
    query = text("""
        SELECT reason, array_agg(DISTINCT tenant ORDER BY tenant) AS tenants, sum(requests)::bigint AS
            requests,
               sum(estimated_usd) AS estimated_usd
        FROM llm.llm_night_waiting WHERE run_date = :run_date GROUP BY reason ORDER BY requests DESC,
            reason""")
    return conn.execute(query, {"run_date": run_date}).mappings().all()
