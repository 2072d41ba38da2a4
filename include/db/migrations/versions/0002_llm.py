"""The language-model request queue, the batches it leaves in, what they cost, and what they answered.

Revision ID: 0002_llm
Revises: 0001_ads
"""

from alembic import op

revision = "0002_llm"
down_revision = "0001_ads"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA llm;

-- One vendor job. The row is committed as 'intent' before the vendor is called; a batch whose answer was
-- lost is found again from it. (run_date, provider, model, chunk) makes a re-run of the day find its own.
CREATE TABLE llm.llm_batch (
    batch_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider        text NOT NULL,
    model           text NOT NULL,
    run_date        date NOT NULL,
    chunk           integer NOT NULL,
    state           text NOT NULL DEFAULT 'intent'
                    CHECK (state IN ('intent', 'submitted', 'ended', 'collected', 'failed')),
    vendor_batch_id text UNIQUE,
    request_count   integer NOT NULL CHECK (request_count > 0),
    vendor_counts   jsonb NOT NULL DEFAULT '{}',
    error           text,
    intent_at       timestamptz NOT NULL DEFAULT now(),
    submitted_at    timestamptz,
    ended_at        timestamptz,
    collected_at    timestamptz,
    CHECK ((state = 'intent') = (vendor_batch_id IS NULL) OR state = 'failed'),
    UNIQUE (provider, model, run_date, chunk)
);

-- One question to a model. `request_key` is the canonical hash of provider, model, prompt version,
-- parameters and content: the same question is stored once.
CREATE TABLE llm.llm_request (
    request_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_key    text NOT NULL UNIQUE,
    custom_id      text NOT NULL UNIQUE CHECK (custom_id ~ '^[a-zA-Z0-9_-]{1,64}$'),
    purpose        text NOT NULL,
    tenant         text NOT NULL,
    subject        text,
    provider       text NOT NULL,
    model          text NOT NULL,
    prompt_version text NOT NULL,
    params         jsonb NOT NULL,
    state          text NOT NULL DEFAULT 'queued'
                   CHECK (state IN ('queued', 'batched', 'succeeded', 'failed')),
    batch_id       bigint REFERENCES llm.llm_batch,
    attempts       integer NOT NULL DEFAULT 0,
    answer         jsonb,
    usage          jsonb,
    error          text,
    queued_on      date NOT NULL,
    queued_at      timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    CHECK (state <> 'batched' OR batch_id IS NOT NULL)
);
CREATE INDEX llm_request_queue ON llm.llm_request (provider, model, queued_at, request_id) WHERE state = 'queued';
CREATE INDEX llm_request_by_batch ON llm.llm_request (batch_id);

-- Result lines nobody could read, kept as they came.
CREATE TABLE llm.quarantined_line (
    batch_id  bigint NOT NULL REFERENCES llm.llm_batch,
    line_hash text NOT NULL,
    line      text NOT NULL,
    reason    text NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, line_hash)
);

-- The bill: one row per answered request and attempt, in dollars.
CREATE TABLE llm.llm_cost (
    request_id         bigint NOT NULL REFERENCES llm.llm_request,
    attempt            integer NOT NULL,
    batch_id           bigint REFERENCES llm.llm_batch,
    mode               text NOT NULL CHECK (mode IN ('batch', 'live')),
    tenant             text NOT NULL,
    purpose            text NOT NULL,
    provider           text NOT NULL,
    model              text NOT NULL,
    input_tokens       bigint NOT NULL,
    cache_write_tokens bigint NOT NULL DEFAULT 0,
    cache_read_tokens  bigint NOT NULL DEFAULT 0,
    output_tokens      bigint NOT NULL,
    paid_usd           numeric(16, 8) NOT NULL,
    live_usd           numeric(16, 8) NOT NULL,
    booked_on          date NOT NULL,
    booked_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id, attempt)
);
CREATE INDEX llm_cost_by_day ON llm.llm_cost (booked_on, tenant);

CREATE VIEW llm.llm_cost_per_day AS
SELECT booked_on, tenant, purpose, provider, model, mode,
       count(*) AS requests,
       sum(paid_usd) AS paid_usd,
       sum(live_usd) - sum(paid_usd) AS saved_usd
FROM llm.llm_cost
GROUP BY booked_on, tenant, purpose, provider, model, mode;

-- What the scoring said of each creative.
CREATE TABLE llm.creative_score (
    account_id     text NOT NULL,
    creative_id    text NOT NULL,
    prompt_version text NOT NULL,
    model          text NOT NULL,
    score          numeric(5, 2) NOT NULL CHECK (score BETWEEN 0 AND 100),
    critique       text NOT NULL,
    request_id     bigint NOT NULL REFERENCES llm.llm_request,
    scored_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, creative_id, prompt_version, model),
    FOREIGN KEY (account_id, creative_id) REFERENCES ads.creative ON DELETE CASCADE
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA llm CASCADE")
