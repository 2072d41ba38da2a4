"""What features of creatives do to clicks and conversions, niche by niche.

Revision ID: 0016_creative_effects
Revises: 0015_insight_load
"""

from alembic import op

revision = "0016_creative_effects"
down_revision = "0015_insight_load"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE ml.creative_effect_report (
    report_date date NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('clicks', 'conversions')),
    summary     text NOT NULL,
    numbers     jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (report_date, outcome)
);

-- Niche 'all' stands for all of them together. Sizes are relative changes: 0.1 is 10 % more.
CREATE TABLE ml.creative_effect (
    report_date       date NOT NULL,
    outcome           text NOT NULL,
    niche             text NOT NULL,
    feature           text NOT NULL,
    shape             text NOT NULL CHECK (shape IN ('straight', 'hump', 'level', 'tag')),
    level             text NOT NULL,
    low               double precision,
    middle            double precision,
    high              double precision,
    size              double precision NOT NULL,
    size_low          double precision NOT NULL,
    size_high         double precision NOT NULL,
    alone             double precision NOT NULL,
    p_value           double precision NOT NULL,
    q_value           double precision NOT NULL,
    is_found          boolean NOT NULL,
    creatives         integer NOT NULL,
    accounts          integer NOT NULL,
    accounts_agreeing integer NOT NULL,
    accounts_telling  integer NOT NULL,
    PRIMARY KEY (report_date, outcome, niche, feature, shape, level),
    FOREIGN KEY (report_date, outcome) REFERENCES ml.creative_effect_report ON DELETE CASCADE
);
"""

DOWNGRADE = """
DROP TABLE ml.creative_effect;
DROP TABLE ml.creative_effect_report;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
