"""SQL of a night's plan: what is overdue, too large or known already, what fits, what waits and why.

Everything happens in one transaction under one lock; each statement works on the whole queue at once, and the
choice is kept in a temporary table until its batches are made.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, text

from include.db.llm import OVERDUE

_OVERDUE = text("""
UPDATE llm.llm_request SET state = 'failed', error = :overdue, finished_at = now()
WHERE state = 'queued' AND not_after < now()
""")

_OVERSIZE = text("""
UPDATE llm.llm_request AS request
SET state = 'failed', finished_at = now(),
    error = CASE
        WHEN request.params_bytes > most.request_bytes
            THEN 'too large: ' || request.params_bytes || ' bytes, but a request takes at most '
                 || most.request_bytes
        ELSE 'too large: ' || request.input_count || ' texts, but a batch takes at most ' || most.inputs END
FROM jsonb_to_recordset(CAST(:limits AS jsonb)) AS most(provider text, request_bytes bigint, inputs bigint)
WHERE request.state = 'queued' AND request.provider = most.provider
  AND (request.params_bytes > most.request_bytes
       OR request.endpoint = '/v1/embeddings' AND request.input_count > most.inputs)
""")

_SENT = text("""
SELECT count(*) AS requests, coalesce(sum(request.estimated_usd), 0) AS estimated_usd
FROM llm.llm_batch AS batch
JOIN llm.llm_batch_item AS item USING (batch_id)
JOIN llm.llm_request AS request USING (request_id)
WHERE batch.run_date = :run_date AND item.outcome IS DISTINCT FROM 'refused'
""")

# Every request that could leave this night, with the first limit it would break. Tenants take turns, each
# with its most important request first; sums run over what is still in, so the first that does not fit keeps
# its tenant's (or everybody's) later ones waiting too, however small they are.
_CHOOSE = text("""
CREATE TEMPORARY TABLE night_choice ON COMMIT DROP AS
WITH eligible AS (
    SELECT request_id, provider, model, endpoint, tenant, priority, params_bytes, input_count,
           estimated_tokens, estimated_usd
    FROM llm.llm_request AS request
    WHERE state = 'queued' AND queued_on <= :run_date
      AND NOT EXISTS (
          SELECT FROM llm.llm_batch_item AS item JOIN llm.llm_batch AS batch USING (batch_id)
          WHERE item.request_id = request.request_id AND batch.run_date = :run_date
            AND item.outcome IS DISTINCT FROM 'refused')
), spent AS (
    SELECT request.tenant, sum(request.estimated_usd) AS usd
    FROM llm.llm_batch AS batch
    JOIN llm.llm_batch_item AS item USING (batch_id)
    JOIN llm.llm_request AS request USING (request_id)
    WHERE batch.run_date = :run_date AND item.outcome IS DISTINCT FROM 'refused'
    GROUP BY request.tenant
), budgets AS (
    SELECT key AS tenant, CAST(value AS numeric) AS usd FROM jsonb_each_text(CAST(:tenant_budgets AS jsonb))
), with_tenant AS (
    SELECT eligible.*, row_number() OVER own AS turn,
           coalesce(spent.usd, 0) + sum(estimated_usd) OVER own
               <= coalesce(budgets.usd, CAST(:tenant_budget AS numeric)) AS tenant_can
    FROM eligible LEFT JOIN spent USING (tenant) LEFT JOIN budgets USING (tenant)
    WINDOW own AS (PARTITION BY tenant ORDER BY priority DESC, request_id)
), with_quota AS (
    SELECT with_tenant.*,
           coalesce(with_vendor.tokens, 0)
               + sum(estimated_tokens) FILTER (WHERE tenant_can) OVER lane <= coalesce(quota.tokens,
                   'infinity')
               AS tokens_can,
           coalesce(at_vendor.requests, 0)
               + count(*) FILTER (WHERE tenant_can) OVER vendor <= coalesce(quota.requests, 'infinity')
               AS queue_can
    FROM with_tenant
    LEFT JOIN (
        SELECT provider, model, sum(estimated_tokens) AS tokens
        FROM llm.llm_batch WHERE state IN ('intent', 'submitted') GROUP BY provider, model
    ) AS with_vendor USING (provider, model)
    LEFT JOIN (
        SELECT provider, sum(request_count) AS requests
        FROM llm.llm_batch WHERE state IN ('intent', 'submitted') GROUP BY provider
    ) AS at_vendor USING (provider)
    LEFT JOIN (
        SELECT provider, tokens, requests
        FROM jsonb_to_recordset(CAST(:quotas AS jsonb)) AS quota(provider text, tokens numeric, requests
            numeric)
    ) AS quota USING (provider)
    WINDOW lane AS (PARTITION BY provider, model ORDER BY turn, priority DESC, request_id),
           vendor AS (PARTITION BY provider ORDER BY turn, priority DESC, request_id)
), with_night AS (
    SELECT with_quota.*,
           sum(estimated_usd) FILTER (WHERE tenant_can AND tokens_can AND queue_can) OVER everybody
               <= CAST(:night_budget AS numeric) AS night_can,
           count(*) FILTER (WHERE tenant_can AND tokens_can AND queue_can) OVER everybody
               <= CAST(:most AS bigint) AS count_can
    FROM with_quota
    WINDOW everybody AS (ORDER BY turn, priority DESC, request_id)
)
SELECT request_id, provider, model, endpoint, tenant, params_bytes, input_count, estimated_tokens,
       estimated_usd,
       CASE WHEN NOT tenant_can THEN 'tenant_budget'
            WHEN NOT tokens_can OR NOT queue_can THEN 'enqueued_tokens'
            WHEN NOT night_can THEN 'night_budget'
            WHEN NOT count_can THEN 'night_requests' END AS waits_for,
       row_number() OVER (PARTITION BY provider, model, endpoint,
                          tenant_can AND tokens_can AND queue_can AND night_can AND count_can
                          ORDER BY turn, priority DESC, request_id) AS place
FROM with_night
""")

_WAITING = text("""
INSERT INTO llm.llm_night_waiting (run_date, reason, tenant, provider, model, requests, estimated_usd)
SELECT :run_date, waits_for, tenant, provider, model, count(*), sum(estimated_usd)
FROM night_choice WHERE waits_for IS NOT NULL GROUP BY waits_for, tenant, provider, model
""")

_CHOSEN = text("""
SELECT provider, model, endpoint, place, params_bytes, input_count, estimated_tokens
FROM night_choice WHERE waits_for IS NULL ORDER BY provider, model, endpoint, place
""")

_OPEN_BATCH = text("""
WITH batch AS (
    INSERT INTO llm.llm_batch
        (provider, model, endpoint, run_date, chunk, request_count, estimated_tokens)
    SELECT :provider, :model, :endpoint, :run_date,
           1 + coalesce((SELECT max(chunk) FROM llm.llm_batch
                         WHERE provider = :provider AND model = :model AND endpoint = :endpoint
                           AND run_date = :run_date), 0),
           CAST(:last AS bigint) - CAST(:first AS bigint) + 1, :estimated_tokens
    RETURNING batch_id
), item AS (
    INSERT INTO llm.llm_batch_item (batch_id, request_id, attempt, custom_id)
    SELECT batch.batch_id, request.request_id, request.attempts + 1,
           'b' || batch.batch_id || '-r' || request.request_id || '-' || left(request.request_key, 16)
    FROM batch, night_choice AS choice JOIN llm.llm_request AS request USING (request_id)
    WHERE choice.provider = :provider AND choice.model = :model AND choice.endpoint = :endpoint
      AND choice.waits_for IS NULL AND choice.place BETWEEN :first AND :last AND request.state = 'queued'
    RETURNING batch_id, request_id, attempt
), moved AS (
    UPDATE llm.llm_request AS request
    SET state = 'batched', batch_id = item.batch_id, attempts = item.attempt
    FROM item
    WHERE request.request_id = item.request_id
    RETURNING request.request_id
)
SELECT (SELECT batch_id FROM batch) AS batch_id, (SELECT count(*) FROM moved) AS moved
""")


class Chosen(NamedTuple):
    """A request that leaves tonight: its lane and place there, and what it takes of a batch's limits."""

    provider: str
    model: str
    endpoint: str
    place: int
    params_bytes: int
    input_count: int
    estimated_tokens: int

    @property
    def lane(self) -> tuple[str, str, str]:
        """What a batch cannot mix."""
        return self.provider, self.model, self.endpoint


def lock_planning(conn: Connection, run_date: date) -> None:
    """Be the only one planning this night until the transaction ends."""
    key = {"key": f"nightshift plan {run_date}"}
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), key)


def fail_overdue(conn: Connection) -> int:
    """Fail queued requests whose answer nobody wants any more; returns how many."""
    return conn.execute(_OVERDUE, {"overdue": OVERDUE}).rowcount


def fail_oversize(conn: Connection, limits: list[dict[str, Any]]) -> int:
    """Fail queued requests that fit into no batch, each alone; returns how many.

    Args:
        limits: per provider `request_bytes` and `inputs` (null: no limit).
    """
    return conn.execute(_OVERSIZE, {"limits": json.dumps(limits)}).rowcount


def already_sent(conn: Connection, run_date: date) -> RowMapping:
    """Requests that batches of this night carry already (refused ones aside), and their estimated dollars."""
    return conn.execute(_SENT, {"run_date": run_date}).mappings().one()


def choose(
    conn: Connection,
    run_date: date,
    *,
    most: int,
    night_budget: Decimal,
    tenant_budget: Decimal,
    tenant_budgets: Mapping[str, Decimal],
    quotas: list[dict[str, Any]],
) -> None:
    """Decide what leaves tonight, and note what waits and why.

    Args:
        most, night_budget: what is left of them.
        tenant_budget: dollars a tenant may spend in all, unless `tenant_budgets` names it.
        quotas: per provider `tokens` (per model) and `requests` that may be with it; null: no limit.
    """
    conn.execute(text("DROP TABLE IF EXISTS night_choice"))
    conn.execute(
        _CHOOSE,
        {
            "run_date": run_date,
            "most": most,
            "night_budget": night_budget,
            "tenant_budget": tenant_budget,
            "tenant_budgets": json.dumps({name: str(usd) for name, usd in tenant_budgets.items()}),
            "quotas": json.dumps(quotas),
        },
    )
    conn.execute(
        text("CREATE INDEX ON night_choice (provider, model, endpoint, place) WHERE waits_for IS NULL")
    )
    conn.execute(text("ANALYZE night_choice"))
    conn.execute(text("DELETE FROM llm.llm_night_waiting WHERE run_date = :day"), {"day": run_date})
    conn.execute(_WAITING, {"run_date": run_date})


def chosen(conn: Connection) -> Iterator[Chosen]:
    """What leaves tonight, lane by lane in the order of sending, from a server-side cursor."""
    options = {"stream_results": True, "max_row_buffer": 2_000}
    for row in conn.execute(_CHOSEN, execution_options=options):
        yield Chosen(*row)


def open_batch(
    conn: Connection, lane: tuple[str, str, str], run_date: date, first: int, last: int, tokens: int
) -> int:
    """Make a batch of the places `first` to `last` of a lane, in state 'intent'; returns its id."""
    provider, model, endpoint = lane
    values = {"provider": provider, "model": model, "endpoint": endpoint, "run_date": run_date}
    row = conn.execute(
        _OPEN_BATCH, {**values, "first": first, "last": last, "estimated_tokens": tokens}
    ).one()
    if row.moved != last - first + 1:
        raise RuntimeError(
            f"batch {row.batch_id} of {run_date}: {last - first + 1} requests chosen, {row.moved} queued"
        )
    return int(row.batch_id)
