"""Every Slack message Nightshift meant to send, so that a re-run does not send it twice.

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
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA alerts CASCADE")
