"""What a drift report decides is one of four things now; a retrain was what is an update today.

Revision ID: 0010_drift
Revises: 0009_model_update
"""

from alembic import op

revision = "0010_drift"
down_revision = "0009_model_update"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE ml.drift_report DROP CONSTRAINT drift_report_decision_check;
UPDATE ml.drift_report SET decision = 'update' WHERE decision = 'retrain';
ALTER TABLE ml.drift_report ADD CONSTRAINT drift_report_decision_check
    CHECK (decision IN ('no_action', 'alert', 'incremental', 'update'));
-- Every retrain that was asked for: what a day decides is replaced when it is judged again, this is not.
CREATE TABLE ml.retrain_request (
    model_name text NOT NULL,
    scope      text NOT NULL,
    day        date NOT NULL,
    mode       text NOT NULL CHECK (mode IN ('incremental', 'update')),
    asked_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_name, scope, day)
);
-- The page and the incidents read one model's days.
CREATE INDEX drift_report_by_day ON ml.drift_report (report_date DESC);
"""

DOWNGRADE = """
DROP INDEX ml.drift_report_by_day;
DROP TABLE ml.retrain_request;
ALTER TABLE ml.drift_report DROP CONSTRAINT drift_report_decision_check;
UPDATE ml.drift_report SET decision = 'retrain' WHERE decision IN ('incremental', 'update');
ALTER TABLE ml.drift_report ADD CONSTRAINT drift_report_decision_check
    CHECK (decision IN ('no_action', 'alert', 'retrain'));
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
