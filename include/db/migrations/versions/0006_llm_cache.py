"""The semantic cache: entries, their vectors, what was learnt about them, and what it saved.

Revision ID: 0006_llm_cache
Revises: 0005_llm_vendors
"""

from alembic import op

revision = "0006_llm_cache"
down_revision = "0005_llm_vendors"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE EXTENSION IF NOT EXISTS vector;

-- Answers are kept apart by who asks (`*` is everybody), what for, with which prompt and model, and by what
-- the questions were embedded with. `policy` is what was learnt about when another question's answer will do;
-- where it is null only exact hits are answered. `version` counts its changes. `shut_at` is set when checks
-- showed more wrong answers than promised: exact hits only, until the policy is learnt anew.
CREATE TABLE llm.cache_namespace (
    namespace_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant         text NOT NULL,
    task           text NOT NULL,
    prompt_version text NOT NULL,
    model          text NOT NULL,
    embedder       text NOT NULL,
    policy         jsonb,
    version        integer NOT NULL DEFAULT 0,
    learnt_at      timestamptz,
    shut_at        timestamptz,
    shut_why       text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, task, prompt_version, model, embedder)
);

-- What became of each version of a policy: how strict it was, what it promised by what evidence, and why it
-- went. The policies themselves are kept only while they are in force.
CREATE TABLE llm.cache_policy (
    namespace_id integer NOT NULL REFERENCES llm.cache_namespace ON DELETE CASCADE,
    version      integer NOT NULL,
    made_at      timestamptz NOT NULL DEFAULT now(),
    why          text NOT NULL,
    delta        double precision,
    threshold    double precision,
    observations integer NOT NULL DEFAULT 0,
    hit_share    double precision,
    wrong_share  double precision,
    wrong_bound  double precision,
    PRIMARY KEY (namespace_id, version)
);

-- One answered question. `exact_key` is the request key of the queue. `live_usd` and `latency_ms` are what
-- the call that answered it cost: what each hit saves. No column changes when an entry is hit, but for
-- entries with `slides_s`: bundles of hits move their end that far into the future.
CREATE TABLE llm.cache_entry (
    entry_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace_id integer NOT NULL REFERENCES llm.cache_namespace ON DELETE CASCADE,
    exact_key    text NOT NULL,
    question     text NOT NULL,
    answer       jsonb NOT NULL,
    live_usd     numeric(20, 12) NOT NULL DEFAULT 0,
    latency_ms   integer NOT NULL DEFAULT 0,
    source       text NOT NULL CHECK (source IN ('live', 'batch', 'warm', 'import')),
    tags         text[] NOT NULL DEFAULT '{}',
    stored_at    timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    slides_s     double precision CHECK (slides_s > 0),
    UNIQUE (namespace_id, exact_key)
);
CREATE INDEX cache_entry_by_key ON llm.cache_entry (exact_key);
CREATE INDEX cache_entry_by_expiry ON llm.cache_entry (expires_at);
CREATE INDEX cache_entry_by_tag ON llm.cache_entry USING gin (tags);

-- The vectors in narrow tables of their own, one a length, so that they lie in the row and not beside it.
-- The index is wider than pgvector's default, with which near-duplicates crowd each other out: of 300,000
-- vectors it then missed one nearest in twenty (`make bench-cache`).
CREATE TABLE llm.cache_vector_384 (
    entry_id     bigint PRIMARY KEY REFERENCES llm.cache_entry ON DELETE CASCADE,
    namespace_id integer NOT NULL,
    expires_at   timestamptz NOT NULL,
    embedding    halfvec(384) NOT NULL
);
ALTER TABLE llm.cache_vector_384 ALTER COLUMN embedding SET STORAGE PLAIN;
CREATE INDEX cache_vector_384_nearest ON llm.cache_vector_384 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 24, ef_construction = 200);
CREATE INDEX cache_vector_384_by_namespace ON llm.cache_vector_384 (namespace_id);
CREATE TABLE llm.cache_vector_1536 (
    entry_id     bigint PRIMARY KEY REFERENCES llm.cache_entry ON DELETE CASCADE,
    namespace_id integer NOT NULL,
    expires_at   timestamptz NOT NULL,
    embedding    halfvec(1536) NOT NULL
);
ALTER TABLE llm.cache_vector_1536 ALTER COLUMN embedding SET STORAGE PLAIN;
CREATE INDEX cache_vector_1536_nearest ON llm.cache_vector_1536 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 24, ef_construction = 200);
CREATE INDEX cache_vector_1536_by_namespace ON llm.cache_vector_1536 (namespace_id);

-- Whether a neighbour's answer would have been right, seen when the model was asked anyway: on every miss
-- that had a neighbour, and on the hits that were checked. `vectors` are both questions as little-endian half
-- floats, one after the other; `weight` is how many lookups one observation stands for; `score` is what the
-- policy of that `version` gave the pair; observations of one `family` share questions and are never learnt
-- from and tested on at once.
CREATE TABLE llm.cache_observation (
    observation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace_id   integer NOT NULL REFERENCES llm.cache_namespace ON DELETE CASCADE,
    entry_id       bigint,
    kind           text NOT NULL CHECK (kind IN ('miss', 'check', 'label')),
    similarity     double precision NOT NULL,
    features       real[] NOT NULL,
    vectors        bytea NOT NULL,
    was_right      boolean NOT NULL,
    weight         real NOT NULL DEFAULT 1,
    score          double precision,
    version        integer NOT NULL DEFAULT 0,
    family         bigint NOT NULL DEFAULT 0,
    seen_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cache_observation_by_namespace ON llm.cache_observation (namespace_id, observation_id);
CREATE INDEX cache_observation_by_entry ON llm.cache_observation (entry_id, similarity) INCLUDE (was_right)
    WHERE entry_id IS NOT NULL;

-- A checked hit is a semantic hit whose question went to the model all the same, to see whether it was right.
-- What was looked up, written in bundles and only ever added to; whole days are summed into `cache_day` and
-- removed in one statement.
CREATE TABLE llm.cache_lookup (
    lookup_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    looked_at    timestamptz NOT NULL DEFAULT now(),
    namespace_id integer NOT NULL REFERENCES llm.cache_namespace ON DELETE CASCADE,
    kind         text NOT NULL CHECK (kind IN ('exact', 'semantic', 'miss', 'checked_right',
        'checked_wrong')),
    entry_id     bigint,
    similarity   real,
    saved_usd    numeric(20, 12) NOT NULL DEFAULT 0,
    saved_ms     integer NOT NULL DEFAULT 0
);
CREATE INDEX cache_lookup_by_time ON llm.cache_lookup (looked_at);
CREATE INDEX cache_lookup_by_namespace ON llm.cache_lookup (namespace_id, looked_at);
CREATE INDEX cache_lookup_by_entry ON llm.cache_lookup (entry_id) WHERE entry_id IS NOT NULL;

CREATE TABLE llm.cache_day (
    day            date NOT NULL,
    namespace_id   integer NOT NULL REFERENCES llm.cache_namespace ON DELETE CASCADE,
    exact_hits     bigint NOT NULL,
    semantic_hits  bigint NOT NULL,
    misses         bigint NOT NULL,
    checked        bigint NOT NULL,
    wrong          bigint NOT NULL,
    similarity_sum double precision NOT NULL,
    saved_usd      numeric(20, 12) NOT NULL,
    saved_ms       bigint NOT NULL,
    PRIMARY KEY (day, namespace_id)
);

CREATE VIEW llm.cache_lookup_day AS
SELECT CAST(looked_at AT TIME ZONE 'UTC' AS date) AS day, namespace_id,
       count(*) FILTER (WHERE kind = 'exact') AS exact_hits,
       count(*) FILTER (WHERE kind IN ('semantic', 'checked_right', 'checked_wrong')) AS semantic_hits,
       count(*) FILTER (WHERE kind = 'miss') AS misses,
       count(*) FILTER (WHERE kind IN ('checked_right', 'checked_wrong')) AS checked,
       count(*) FILTER (WHERE kind = 'checked_wrong') AS wrong,
       coalesce(sum(similarity) FILTER (WHERE kind NOT IN ('exact', 'miss')), 0) AS similarity_sum,
       sum(saved_usd) AS saved_usd, sum(saved_ms) AS saved_ms
FROM llm.cache_lookup
GROUP BY 1, 2;

CREATE VIEW llm.cache_per_day AS
SELECT day, namespace.tenant, namespace.task, namespace.prompt_version, namespace.model,
       sum(exact_hits)::bigint AS exact_hits, sum(semantic_hits)::bigint AS semantic_hits,
       sum(misses)::bigint AS misses, sum(checked)::bigint AS checked, sum(wrong)::bigint AS wrong,
       sum(similarity_sum) / nullif(sum(semantic_hits), 0) AS avg_similarity,
       sum(saved_usd) AS saved_usd, sum(saved_ms) / 1000.0 AS saved_seconds
FROM (SELECT * FROM llm.cache_day UNION ALL SELECT * FROM llm.cache_lookup_day) AS told
JOIN llm.cache_namespace AS namespace USING (namespace_id)
GROUP BY day, namespace.tenant, namespace.task, namespace.prompt_version, namespace.model;
"""

DOWNGRADE = """
DROP VIEW llm.cache_per_day;
DROP VIEW llm.cache_lookup_day;
DROP TABLE llm.cache_day, llm.cache_lookup, llm.cache_observation, llm.cache_policy, llm.cache_vector_1536,
    llm.cache_vector_384, llm.cache_entry, llm.cache_namespace;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
