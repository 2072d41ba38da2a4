"""Every Slack message Nightshift meant to send, so that none is sent twice, and what failed tasks said.

Revision ID: 0004_alerts
Revises: 0003_ml
"""

from alembic import op

revision = "0004_alerts"
down_revision = "0003_ml"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA alerts;

CREATE TABLE alerts.slack_message (
    message_key text PRIMARY KEY,
    channel     text NOT NULL,
    kind        text NOT NULL,
    dag_id      text,
    run_id      text,
    state       text NOT NULL DEFAULT 'intent' CHECK (state IN ('intent', 'sent')),
    slack_ts    text,
    text        text NOT NULL,
    intent_at   timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX slack_message_by_time ON alerts.slack_message (intent_at);

-- What each task instance said when it failed for good. Written by the task itself, because the alert about
-- the run is made elsewhere, when its exceptions are gone. `clear_number` is how often the run was cleared.
CREATE TABLE alerts.task_failure (
    dag_id       text NOT NULL,
    run_id       text NOT NULL,
    clear_number integer NOT NULL,
    task_id      text NOT NULL,
    map_index    integer NOT NULL,
    try_number   integer NOT NULL,
    error        text,
    failed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dag_id, run_id, clear_number, task_id, map_index)
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA alerts CASCADE")
