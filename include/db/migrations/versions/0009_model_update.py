"""What trying updates of a champion led to.

Revision ID: 0009_model_update
Revises: 0008_predictions
"""

from alembic import op

revision = "0009_model_update"
down_revision = "0008_predictions"
branch_labels = None
depends_on = None

UPGRADE = """
-- One tournament of updates. Holding it again replaces the row.
CREATE TABLE ml.model_update (
    model_name     text NOT NULL,
    day            date NOT NULL,
    parent_version integer NOT NULL,
    mode           text NOT NULL CHECK (mode IN ('incremental', 'update')),
    reason         text NOT NULL DEFAULT '',
    -- of the drift report that asked, and the incident it belongs to; null where a person asked
    severity       text,
    incident       text,
    candidates     jsonb NOT NULL,
    -- a strategy, or keep
    winner         text NOT NULL,
    version        integer,
    -- normalised entropy on the rows that judged: of the parent, and of the winner or the parent again
    ne_before      double precision,
    ne_after       double precision,
    judged_rows    bigint NOT NULL CHECK (judged_rows > 0),
    judged_since   date NOT NULL,
    judged_until   date NOT NULL CHECK (judged_until >= judged_since),
    outcome        text NOT NULL,
    decided_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_name, day, parent_version, mode),
    CHECK ((winner = 'keep') = (version IS NULL))
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE ml.model_update")
