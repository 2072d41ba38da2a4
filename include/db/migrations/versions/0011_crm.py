"""Deals and what belongs to them: pipelines and stages as they were, owners, contacts, histories, links.

Revision ID: 0011_crm
Revises: 0010_drift
"""

from alembic import op

revision = "0011_crm"
down_revision = "0010_drift"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA crm;

-- `source` is who told us: 'hubspot', or 'import' for rows of a file, which HubSpot knows nothing of.

-- HubSpot deletes pipelines and stages for good, so each state of one is a row; the current has no end.
CREATE TABLE crm.pipeline (
    pipeline_id   text NOT NULL,
    label         text NOT NULL,
    display_order int NOT NULL DEFAULT 0,
    source        text NOT NULL DEFAULT 'hubspot',
    valid_from    timestamptz NOT NULL,
    valid_to      timestamptz,
    deleted       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pipeline_id, valid_from),
    CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
CREATE UNIQUE INDEX pipeline_current ON crm.pipeline (pipeline_id) WHERE valid_to IS NULL;

CREATE TABLE crm.stage (
    pipeline_id   text NOT NULL,
    stage_id      text NOT NULL,
    label         text NOT NULL,
    display_order int NOT NULL DEFAULT 0,
    probability   numeric(5, 4),
    is_closed     boolean NOT NULL,
    is_won        boolean NOT NULL,
    source        text NOT NULL DEFAULT 'hubspot',
    valid_from    timestamptz NOT NULL,
    valid_to      timestamptz,
    deleted       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pipeline_id, stage_id, valid_from),
    CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
CREATE UNIQUE INDEX stage_current ON crm.stage (pipeline_id, stage_id) WHERE valid_to IS NULL;

CREATE TABLE crm.owner (
    owner_id   text PRIMARY KEY,
    user_id    text,
    team       text,
    archived   boolean NOT NULL DEFAULT false,
    source     text NOT NULL DEFAULT 'hubspot'
);

-- People and companies by id and join key only; an e-mail, a phone or a domain is a keyed HMAC.
CREATE TABLE crm.contact (
    contact_id   text PRIMARY KEY,
    email_hmac   text,
    phone_hmac   text,
    click_id     text,
    utm_source   text,
    utm_campaign text,
    utm_content  text,
    first_source text,
    first_detail text,
    created_at   timestamptz,
    updated_at   timestamptz,
    archived     boolean NOT NULL DEFAULT false,
    source       text NOT NULL DEFAULT 'hubspot'
);
CREATE INDEX contact_by_click ON crm.contact (click_id) WHERE click_id IS NOT NULL;

CREATE TABLE crm.company (
    company_id  text PRIMARY KEY,
    domain_hmac text,
    created_at  timestamptz,
    updated_at  timestamptz,
    archived    boolean NOT NULL DEFAULT false,
    source      text NOT NULL DEFAULT 'hubspot'
);

CREATE TABLE crm.deal (
    deal_id      text PRIMARY KEY,
    pipeline_id  text,
    stage_id     text,
    owner_id     text,
    amount       numeric(18, 2),
    currency     text,
    deal_type    text,
    created_at   timestamptz,
    closed_at    timestamptz,
    is_closed    boolean NOT NULL DEFAULT false,
    is_won       boolean NOT NULL DEFAULT false,
    lost_reason  text,
    won_reason   text,
    properties   jsonb NOT NULL DEFAULT '{}',
    archived     boolean NOT NULL DEFAULT false,
    merged_into  text,
    updated_at   timestamptz,
    source       text NOT NULL DEFAULT 'hubspot',
    fetched_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deal_by_pipeline ON crm.deal (pipeline_id, stage_id);
CREATE INDEX deal_by_creation ON crm.deal (created_at);

CREATE TABLE crm.deal_stage_event (
    deal_id     text NOT NULL REFERENCES crm.deal ON DELETE CASCADE,
    entered_at  timestamptz NOT NULL,
    stage_id    text NOT NULL,
    source_type text,
    PRIMARY KEY (deal_id, entered_at, stage_id)
);

-- What else changes over a deal's life and is learnt from: amount and hubspot_owner_id.
CREATE TABLE crm.deal_property_event (
    deal_id    text NOT NULL REFERENCES crm.deal ON DELETE CASCADE,
    property   text NOT NULL,
    changed_at timestamptz NOT NULL,
    value      text,
    PRIMARY KEY (deal_id, property, changed_at)
);

CREATE TABLE crm.association (
    from_type text NOT NULL,
    from_id   text NOT NULL,
    to_type   text NOT NULL,
    to_id     text NOT NULL,
    type_id   text NOT NULL DEFAULT '',
    PRIMARY KEY (from_type, from_id, to_type, to_id, type_id)
);
CREATE INDEX association_by_target ON crm.association (to_type, to_id);

-- How far each stream has been read. `cursor_at`: all changes up to then are stored. `progress`: the walk
-- that is under way, written in the transaction of its rows: a stopped run goes on where it stopped.
CREATE TABLE crm.sync_state (
    stream     text PRIMARY KEY,
    cursor_at  timestamptz,
    progress   jsonb,
    facts      jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What a walk over everything has met so far; what it has not met at its end is gone from HubSpot.
CREATE TABLE crm.sync_seen (
    stream    text NOT NULL,
    object_id text NOT NULL,
    PRIMARY KEY (stream, object_id)
);

CREATE TABLE crm.sync_run (
    run_id      text NOT NULL,
    stream      text NOT NULL,
    mode        text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    counts      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, stream)
);

-- Properties HubSpot has and had, to tell when one appears, vanishes or changes its type.
CREATE TABLE crm.property (
    object_type   text NOT NULL,
    name          text NOT NULL,
    type          text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    vanished_at   timestamptz,
    PRIMARY KEY (object_type, name)
);

-- Values that could not be read; the rest of the deal is stored. `value` only where it cannot be personal.
CREATE TABLE crm.quarantine (
    deal_id  text NOT NULL,
    property text NOT NULL,
    reason   text NOT NULL,
    value    text,
    source   text NOT NULL DEFAULT 'hubspot',
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (deal_id, property)
);

-- Where a click led to: what joins a contact's click id to the ad. Written by the platform we serve (and
-- here by the simulator).
CREATE TABLE ads.unified_conversion (
    account_id    text NOT NULL,
    conversion_id text NOT NULL,
    ad_id         text,
    click_id      text,
    converted_at  timestamptz NOT NULL,
    value         numeric(14, 2),
    touchpoints   jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (account_id, conversion_id),
    FOREIGN KEY (account_id, ad_id) REFERENCES ads.ad ON DELETE CASCADE
);
CREATE INDEX unified_conversion_by_click ON ads.unified_conversion (click_id) WHERE click_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE ads.unified_conversion; DROP SCHEMA crm CASCADE")
