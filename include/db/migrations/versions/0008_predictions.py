"""Experiments between champion and challenger, and every prediction that was given.

Revision ID: 0008_predictions
Revises: 0007_promotion
"""

from alembic import op

revision = "0008_predictions"
down_revision = "0007_promotion"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE ml.ab_test (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_name         text NOT NULL,
    champion_version   integer NOT NULL,
    challenger_version integer NOT NULL CHECK (challenger_version <> champion_version),
    unit               text NOT NULL CHECK (unit IN ('account', 'request')),
    -- A salt of its own deals the units anew: who was the challenger's before is nobody's in particular now.
    salt               text NOT NULL UNIQUE,
    settings           jsonb NOT NULL,
    -- what the traffic can show, in words, worked out before the start
    smallest_effect    text NOT NULL,
    started_by         text NOT NULL,
    started_at         timestamptz NOT NULL DEFAULT now(),
    first_day          date NOT NULL,
    state              text NOT NULL DEFAULT 'running'
                       CHECK (state IN ('running', 'promote', 'keep_champion', 'stop_for_harm', 'invalid',
    'stopped')), reason             text NOT NULL DEFAULT '',
    ended_at           timestamptz,
    CHECK ((state = 'running') = (ended_at IS NULL))
);
-- One at a time: two would share the traffic, and neither would know whose effect it sees.
CREATE UNIQUE INDEX ab_test_one_running ON ml.ab_test (model_name) WHERE state = 'running';

-- What was seen on each day. Looking again replaces the day's row.
CREATE TABLE ml.ab_test_look (
    ab_test_id  bigint NOT NULL REFERENCES ml.ab_test ON DELETE CASCADE,
    day         date NOT NULL,
    decision    text NOT NULL,
    paragraph   text NOT NULL,
    numbers     jsonb NOT NULL,
    looked_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ab_test_id, day)
);

-- One row a prediction. The id is the service's, so that a line that is written twice is there once.
CREATE TABLE ml.prediction_log (
    id               uuid PRIMARY KEY,
    predicted_at     timestamptz NOT NULL,
    model_name       text NOT NULL,
    model_version    integer NOT NULL,
    arm              text NOT NULL CHECK (arm IN ('champion', 'challenger')),
    ab_test_id       bigint,
    unit_key         text NOT NULL,
    account_id       text NOT NULL,
    -- what it is about, where the caller said so: only these can be joined to what happened
    ad_id            text,
    about_day        date,
    features_hash    text NOT NULL,
    rate             double precision NOT NULL,
    -- what the other arm's version would have said
    other_version    integer,
    other_rate       double precision,
    source           text NOT NULL CHECK (source IN ('computed', 'precomputed')),
    latency_us       integer NOT NULL
);
CREATE INDEX prediction_log_of_test ON ml.prediction_log (ab_test_id, about_day) WHERE ab_test_id IS NOT NULL;
CREATE INDEX prediction_log_of_account ON ml.prediction_log (model_name, account_id);
CREATE INDEX prediction_log_by_time ON ml.prediction_log (predicted_at);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE ml.prediction_log; DROP TABLE ml.ab_test_look; DROP TABLE ml.ab_test")
