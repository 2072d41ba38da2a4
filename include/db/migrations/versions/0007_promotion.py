"""Which version is champion as we believe it, every move of an alias, and every request for a promotion.

Revision ID: 0007_promotion
Revises: 0006_llm_cache
"""

from alembic import op

revision = "0007_promotion"
down_revision = "0006_llm_cache"
branch_labels = None
depends_on = None

UPGRADE = """
-- What we believe each alias to be. MLflow's aliases have no history, no compare-and-swap, and vanish with a
-- deleted version; what MLflow says is compared with this.
CREATE TABLE ml.model_alias (
    model_name text NOT NULL,
    alias      text NOT NULL CHECK (alias IN ('champion', 'challenger', 'previous_champion')),
    version    integer NOT NULL,
    moved_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_name, alias)
);

-- Every move of an alias: of the champion, but for `challenge` and `retire`, which are of the challenger.
-- A row is `intended`, and committed, before MLflow hears of it; so a move that was cut off is known, and is
-- driven on or abandoned by whoever comes next. `move_key` is the caller's name for it, by which a retry
-- recognises its own move.
CREATE TABLE ml.alias_move (
    move_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_name       text NOT NULL,
    action           text NOT NULL CHECK (action IN ('promote', 'roll_back', 'adopt', 'by_hand', 'repair',
                                                     'challenge', 'retire')),
    from_version     integer,
    to_version       integer,
    -- what previous_champion is to be afterwards; null: nothing
    previous_version integer,
    who              text NOT NULL,
    why              text NOT NULL,
    evidence         jsonb NOT NULL DEFAULT '{}',
    move_key         text,
    state            text NOT NULL CHECK (state IN ('intended', 'done', 'abandoned')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    CHECK ((state = 'intended') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX alias_move_one_at_a_time ON ml.alias_move (model_name) WHERE state = 'intended';
CREATE INDEX alias_move_by_model ON ml.alias_move (model_name, move_id DESC);
CREATE INDEX alias_move_by_time ON ml.alias_move (created_at);

-- A candidate that somebody, or the configuration, decides about. `champion_version` is the champion the
-- evidence compares it with: the promotion is refused where that is no longer the champion.
CREATE TABLE ml.promotion (
    promotion_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_name        text NOT NULL,
    candidate_version integer NOT NULL,
    champion_version  integer,
    evidence          jsonb NOT NULL,
    state             text NOT NULL DEFAULT 'open'
                      CHECK (state IN ('open', 'promoted', 'rejected', 'timed_out', 'refused')),
    decided_by        text,
    reason            text,
    dag_run_id        text NOT NULL UNIQUE,
    created_at        timestamptz NOT NULL DEFAULT now(),
    decided_at        timestamptz,
    CHECK ((state = 'open') = (decided_at IS NULL))
);
CREATE INDEX promotion_by_model ON ml.promotion (model_name, created_at DESC);
CREATE INDEX promotion_open ON ml.promotion (created_at) WHERE state = 'open';
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE ml.promotion, ml.alias_move, ml.model_alias")
