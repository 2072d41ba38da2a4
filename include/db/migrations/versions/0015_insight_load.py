"""What each load of Meta's Insights did, an account and window a row; an interrupted run goes on by it.

Revision ID: 0015_insight_load
Revises: 0014_visual
"""

from alembic import op

revision = "0015_insight_load"
down_revision = "0014_visual"
branch_labels = None
depends_on = None

UPGRADE = """
-- The newest load of a window. `open`: by a task that has not succeeded yet and would otherwise do it again.
CREATE TABLE ads.insight_load (
    account_id text NOT NULL REFERENCES ads.account ON DELETE CASCADE,
    since date NOT NULL,
    until date NOT NULL,
    run_key text NOT NULL,
    open boolean NOT NULL DEFAULT true,
    rows integer NOT NULL,
    inserted integer NOT NULL,
    changed integer NOT NULL,
    spend numeric NOT NULL,
    unallocated jsonb NOT NULL,
    mismatches integer NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, since, until)
);
COMMENT ON COLUMN ads.insight_load.unallocated IS 'spend that stands in no cell, per breakdown';
CREATE INDEX insight_load_run ON ads.insight_load (run_key);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE ads.insight_load")
