"""What was trained and how far the data has moved since.

Revision ID: 0003_ml
Revises: 0002_llm
"""

from alembic import op

revision = "0003_ml"
down_revision = "0002_llm"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA ml;

-- One trained version. `training_key` is the hash of data, features and settings: training the same
-- thing again finds this row instead of making another version.
CREATE TABLE ml.training_run (
    training_key  text PRIMARY KEY,
    model_name    text NOT NULL,
    model_version integer NOT NULL,
    scope         text NOT NULL,
    mlflow_run_id text NOT NULL,
    trained_for   date NOT NULL,
    trigger       text NOT NULL,
    reason        text NOT NULL DEFAULT '',
    rows          bigint NOT NULL,
    window_start  date,
    window_end    date,
    metrics       jsonb NOT NULL,
    alias         text,
    trained_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model_name, model_version)
);
CREATE INDEX training_run_by_scope ON ml.training_run (scope, trained_at DESC);

CREATE TABLE ml.drift_report (
    model_name    text NOT NULL,
    scope         text NOT NULL,
    report_date   date NOT NULL,
    -- null where there was no champion to compare with
    model_version integer,
    reference     text NOT NULL,
    current       text NOT NULL,
    severity      text NOT NULL
                  CHECK (severity IN ('cannot_tell', 'none', 'low', 'medium', 'high', 'critical')),
    decision      text NOT NULL CHECK (decision IN ('no_action', 'alert', 'retrain')),
    summary       text NOT NULL,
    numbers       jsonb NOT NULL,
    html_uri      text,
    assessed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_name, scope, report_date)
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA ml CASCADE")
