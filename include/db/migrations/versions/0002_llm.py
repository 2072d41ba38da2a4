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
-- lost is found again from it. (provider, model, run_date, chunk) makes a re-run of the day find its own.
--
--   intent --posted or adopted--> submitted --vendor is done--> ended --results stored--> collected
--      +--refused by the vendor--> failed
--
-- `post_started_at` is set before every post: an intent that has it may have reached the vendor and is looked
-- for first. `adopted` marks a vendor batch found by looking, until its results prove it ours; `not_ours`
-- names those that proved to be someone else's. The key on vendor_batch_id is deferrable so that one
-- statement can swap two.
CREATE TABLE llm.llm_batch (
    batch_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider        text NOT NULL,
    model           text NOT NULL,
    run_date        date NOT NULL,
    chunk           integer NOT NULL,
    state           text NOT NULL DEFAULT 'intent'
                    CHECK (state IN ('intent', 'submitted', 'ended', 'collected', 'failed')),
    vendor_batch_id text UNIQUE DEFERRABLE INITIALLY IMMEDIATE,
    request_count   integer NOT NULL CHECK (request_count > 0),
    vendor_counts   jsonb NOT NULL DEFAULT '{}',
    adopted         boolean NOT NULL DEFAULT false,
    not_ours        text[] NOT NULL DEFAULT '{}',
    error           text,
    intent_at       timestamptz NOT NULL DEFAULT now(),
    post_started_at timestamptz,
    submitted_at    timestamptz,
    ended_at        timestamptz,
    collected_at    timestamptz,
    CHECK ((state = 'intent') = (vendor_batch_id IS NULL) OR state = 'failed'),
    UNIQUE (provider, model, run_date, chunk)
);
CREATE INDEX llm_batch_open ON llm.llm_batch (run_date) WHERE state IN ('intent', 'submitted', 'ended');

-- One question to a model. `request_key` is the canonical hash of provider, model, prompt version,
-- parameters and content: the same question is stored once, and `tenant` (the first to ask) pays for it.
--
--   queued --planned--> batched --answered well--> succeeded
--     ^                    +--answered badly, failed for good, or failed too often--> failed
--     +--failed in passing-----+
CREATE TABLE llm.llm_request (
    request_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_key    text NOT NULL UNIQUE,
    purpose        text NOT NULL,
    tenant         text NOT NULL,
    provider       text NOT NULL,
    model          text NOT NULL,
    prompt_version text NOT NULL,
    params         jsonb NOT NULL,
    params_bytes   integer NOT NULL GENERATED ALWAYS AS (octet_length(params::text)) STORED,
    priority       numeric(16, 2) NOT NULL DEFAULT 0,
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
CREATE INDEX llm_request_queue
    ON llm.llm_request (provider, model, priority DESC, request_id) WHERE state = 'queued';
CREATE INDEX llm_request_by_batch ON llm.llm_request (batch_id);

-- Everyone who asked a question, and about what. All of them get its answer.
CREATE TABLE llm.llm_request_asker (
    request_id bigint NOT NULL REFERENCES llm.llm_request,
    purpose    text NOT NULL,
    tenant     text NOT NULL,
    subject    text NOT NULL,
    PRIMARY KEY (request_id, purpose, tenant, subject)
);

-- One attempt at a request: its place in a batch, and how that ended. `outcome` is what the vendor (or our
-- check of the answer) said, `request_state` what the request became by it; both are written once, so what a
-- night reports does not change when a later night succeeds. `custom_id` carries both identities.
CREATE TABLE llm.llm_batch_item (
    batch_id      bigint NOT NULL REFERENCES llm.llm_batch,
    request_id    bigint NOT NULL REFERENCES llm.llm_request,
    attempt       integer NOT NULL,
    custom_id     text NOT NULL UNIQUE CHECK (custom_id ~ '^[a-zA-Z0-9_-]{1,64}$'),
    outcome       text CHECK (outcome IN
                  ('succeeded', 'invalid', 'errored', 'expired', 'canceled', 'missing', 'refused')),
    request_state text CHECK (request_state IN ('succeeded', 'failed', 'queued')),
    error         text,
    PRIMARY KEY (batch_id, request_id),
    CHECK ((outcome IS NULL) = (request_state IS NULL))
);
CREATE INDEX llm_batch_item_by_request ON llm.llm_batch_item (request_id);
CREATE INDEX llm_batch_item_unfinished ON llm.llm_batch_item (batch_id) WHERE outcome IS NULL;

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
CREATE INDEX llm_cost_by_batch ON llm.llm_cost (batch_id);
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
