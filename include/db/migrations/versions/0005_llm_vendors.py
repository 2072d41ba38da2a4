"""Several vendors and endpoints in one queue, deadlines and budgets, and a ledger that books every call.

Revision ID: 0005_llm_vendors
Revises: 0004_alerts
"""

from alembic import op

revision = "0005_llm_vendors"
down_revision = "0004_alerts"
branch_labels = None
depends_on = None

UPGRADE = """
-- A request says which endpoint of the vendor answers it (/v1/messages, /v1/chat/completions, /v1/responses,
-- /v1/embeddings), until when an answer is of use, and what the plan needs to know without reading it.
-- `input_count` is the number of texts of an embedding request. `answer_schema` is the JSON schema its answer
-- must meet. `answered_from` tells a paid answer from one the cache gave.
ALTER TABLE llm.llm_request
    ADD COLUMN endpoint text NOT NULL DEFAULT '/v1/messages',
    ADD COLUMN not_after timestamptz,
    ADD COLUMN input_count integer NOT NULL DEFAULT 1 CHECK (input_count > 0),
    ADD COLUMN estimated_tokens bigint NOT NULL DEFAULT 0 CHECK (estimated_tokens >= 0),
    ADD COLUMN estimated_usd numeric(16, 8) NOT NULL DEFAULT 0 CHECK (estimated_usd >= 0),
    ADD COLUMN answer_schema jsonb,
    ADD COLUMN answered_from text CHECK (answered_from IN ('batch', 'cache'));
ALTER TABLE llm.llm_request ALTER COLUMN endpoint DROP DEFAULT;
UPDATE llm.llm_request SET answered_from = 'batch' WHERE state = 'succeeded';
DROP INDEX llm.llm_request_queue;
CREATE INDEX llm_request_queue
    ON llm.llm_request (provider, model, endpoint, priority DESC, request_id) WHERE state = 'queued';

-- `intent_key` goes to the vendor as metadata where it takes any, and finds a batch whose answer was lost.
-- A file is uploaded before the batch is created; an upload costs nothing and may be repeated.
ALTER TABLE llm.llm_batch
    ADD COLUMN endpoint text NOT NULL DEFAULT '/v1/messages',
    ADD COLUMN intent_key uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    ADD COLUMN estimated_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN input_file_id text,
    ADD COLUMN output_file_id text,
    ADD COLUMN error_file_id text,
    ADD COLUMN looked_at timestamptz;
ALTER TABLE llm.llm_batch ALTER COLUMN endpoint DROP DEFAULT;
ALTER TABLE llm.llm_batch DROP CONSTRAINT llm_batch_provider_model_run_date_chunk_key;
ALTER TABLE llm.llm_batch ADD UNIQUE (provider, model, endpoint, run_date, chunk);

-- What a night left in the queue, and why: written anew by each plan of that night.
CREATE TABLE llm.llm_night_waiting (
    run_date      date NOT NULL,
    reason        text NOT NULL CHECK (reason IN
                  ('tenant_budget', 'night_budget', 'night_requests', 'enqueued_tokens')),
    tenant        text NOT NULL,
    provider      text NOT NULL,
    model         text NOT NULL,
    requests      integer NOT NULL,
    estimated_usd numeric(16, 8) NOT NULL,
    PRIMARY KEY (run_date, reason, tenant, provider, model)
);

-- The vendors spell it both ways; we say cancelled.
ALTER TABLE llm.llm_batch_item DROP CONSTRAINT llm_batch_item_outcome_check;
UPDATE llm.llm_batch_item SET outcome = 'cancelled' WHERE outcome = 'canceled';
ALTER TABLE llm.llm_batch_item ADD CONSTRAINT llm_batch_item_outcome_check CHECK (outcome IN
    ('succeeded', 'invalid', 'errored', 'expired', 'cancelled', 'missing', 'refused'));

-- The bill: one row per call that the vendor charges, batch or live. `cost_key` names the call, so that
-- booking it twice changes nothing: `r<request>-a<attempt>` in a batch, anything unique otherwise.
-- `input_tokens` are those charged at the full input price; images, video and audio are apart where the
-- vendor counts them apart.
DROP VIEW llm.llm_cost_per_day;
ALTER TABLE llm.llm_cost ADD COLUMN cost_key text;
UPDATE llm.llm_cost SET cost_key = 'r' || request_id || '-a' || attempt;
ALTER TABLE llm.llm_cost DROP CONSTRAINT llm_cost_pkey;
ALTER TABLE llm.llm_cost
    ALTER COLUMN request_id DROP NOT NULL,
    ALTER COLUMN attempt DROP NOT NULL,
    ADD PRIMARY KEY (cost_key),
    ALTER COLUMN paid_usd TYPE numeric(20, 12),
    ALTER COLUMN live_usd TYPE numeric(20, 12),
    ADD COLUMN cache_write_1h_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN image_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN video_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN audio_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN latency_ms integer;
CREATE INDEX llm_cost_by_request ON llm.llm_cost (request_id) WHERE request_id IS NOT NULL;

CREATE VIEW llm.llm_cost_per_day AS
SELECT booked_on, tenant, purpose, provider, model, mode,
       count(*) AS requests,
       sum(paid_usd) AS paid_usd,
       sum(live_usd) AS live_usd,
       sum(live_usd) - sum(paid_usd) AS saved_usd
FROM llm.llm_cost
GROUP BY booked_on, tenant, purpose, provider, model, mode;
"""

DOWNGRADE = """
DROP TABLE llm.llm_night_waiting;
DROP VIEW llm.llm_cost_per_day;
DROP INDEX llm.llm_cost_by_request;
DELETE FROM llm.llm_cost WHERE request_id IS NULL OR attempt IS NULL;
ALTER TABLE llm.llm_cost DROP CONSTRAINT llm_cost_pkey;
ALTER TABLE llm.llm_cost
    DROP COLUMN cost_key, DROP COLUMN cache_write_1h_tokens, DROP COLUMN image_tokens,
    DROP COLUMN video_tokens, DROP COLUMN audio_tokens, DROP COLUMN latency_ms,
    ALTER COLUMN paid_usd TYPE numeric(16, 8), ALTER COLUMN live_usd TYPE numeric(16, 8),
    ADD PRIMARY KEY (request_id, attempt);
CREATE VIEW llm.llm_cost_per_day AS
SELECT booked_on, tenant, purpose, provider, model, mode,
       count(*) AS requests,
       sum(paid_usd) AS paid_usd,
       sum(live_usd) - sum(paid_usd) AS saved_usd
FROM llm.llm_cost
GROUP BY booked_on, tenant, purpose, provider, model, mode;
ALTER TABLE llm.llm_batch_item DROP CONSTRAINT llm_batch_item_outcome_check;
UPDATE llm.llm_batch_item SET outcome = 'canceled' WHERE outcome = 'cancelled';
ALTER TABLE llm.llm_batch_item ADD CONSTRAINT llm_batch_item_outcome_check CHECK (outcome IN
    ('succeeded', 'invalid', 'errored', 'expired', 'canceled', 'missing', 'refused'));
ALTER TABLE llm.llm_batch DROP CONSTRAINT llm_batch_provider_model_endpoint_run_date_chunk_key;
ALTER TABLE llm.llm_batch
    DROP COLUMN endpoint, DROP COLUMN intent_key, DROP COLUMN estimated_tokens, DROP COLUMN input_file_id,
    DROP COLUMN output_file_id, DROP COLUMN error_file_id, DROP COLUMN looked_at,
    ADD UNIQUE (provider, model, run_date, chunk);
DROP INDEX llm.llm_request_queue;
ALTER TABLE llm.llm_request
    DROP COLUMN endpoint, DROP COLUMN not_after, DROP COLUMN input_count, DROP COLUMN estimated_tokens,
    DROP COLUMN estimated_usd, DROP COLUMN answer_schema, DROP COLUMN answered_from;
CREATE INDEX llm_request_queue
    ON llm.llm_request (provider, model, priority DESC, request_id) WHERE state = 'queued';
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
