"""Accounts, campaigns, creatives, ads and what each ad did on each day.

Revision ID: 0001_ads
Revises:
"""

from alembic import op

revision = "0001_ads"
down_revision = None
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA ads;

CREATE TABLE ads.account (
    account_id   text PRIMARY KEY,
    name         text NOT NULL,
    niche        text,
    currency     text NOT NULL DEFAULT 'USD',
    -- who feeds this account: the sandbox's or Meta's API, or a file that was imported
    source       text NOT NULL CHECK (source IN ('sandbox', 'meta', 'export')),
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ads.campaign (
    account_id   text NOT NULL REFERENCES ads.account ON DELETE CASCADE,
    campaign_id  text NOT NULL,
    name         text NOT NULL,
    status       text NOT NULL DEFAULT 'active',
    daily_budget numeric(14, 2),
    PRIMARY KEY (account_id, campaign_id)
);

CREATE TABLE ads.creative (
    account_id     text NOT NULL REFERENCES ads.account ON DELETE CASCADE,
    creative_id    text NOT NULL,
    hook_type      text,
    hook_text      text,
    persona        text,
    cta            text,
    format         text,
    visual_pattern text,
    visual_tags    text[] NOT NULL DEFAULT '{}',
    duration_s     numeric(8, 2),
    dna            jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (account_id, creative_id)
);

CREATE TABLE ads.ad (
    account_id   text NOT NULL REFERENCES ads.account ON DELETE CASCADE,
    ad_id        text NOT NULL,
    campaign_id  text NOT NULL,
    creative_id  text,
    name         text NOT NULL,
    launched_on  date,
    PRIMARY KEY (account_id, ad_id),
    FOREIGN KEY (account_id, campaign_id) REFERENCES ads.campaign,
    FOREIGN KEY (account_id, creative_id) REFERENCES ads.creative
);
CREATE INDEX ad_by_creative ON ads.ad (account_id, creative_id);

-- One row per ad, day and breakdown cell. `breakdown` is '' for the unbroken total and otherwise the
-- sorted 'column=value;...' of the cell; exports without a date have a null day.
CREATE TABLE ads.performance_metric (
    account_id       text NOT NULL,
    ad_id            text NOT NULL,
    metric_date      date,
    breakdown        text NOT NULL DEFAULT '',
    impressions      bigint NOT NULL CHECK (impressions >= 0),
    clicks           bigint NOT NULL CHECK (clicks >= 0),
    spend            numeric(14, 2) NOT NULL CHECK (spend >= 0),
    conversions      numeric(14, 2) NOT NULL DEFAULT 0,
    conversion_value numeric(14, 2) NOT NULL DEFAULT 0,
    raw_data         jsonb NOT NULL,
    fetched_at       timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (account_id, ad_id) REFERENCES ads.ad ON DELETE CASCADE
);
CREATE UNIQUE INDEX performance_metric_key
    ON ads.performance_metric (account_id, ad_id, metric_date, breakdown) NULLS NOT DISTINCT;
CREATE INDEX performance_metric_by_date ON ads.performance_metric (metric_date, account_id);

-- The worlds the simulator loaded, so that the sandbox's feed goes on serving the same one.
CREATE TABLE ads.simulated_world (
    world_id     text PRIMARY KEY,
    config       jsonb NOT NULL,
    loaded_until date NOT NULL,
    loaded_at    timestamptz NOT NULL DEFAULT now()
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA ads CASCADE")
