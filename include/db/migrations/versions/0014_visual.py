"""Videos: what is to be looked at, what was seen in each, scene by scene.

Revision ID: 0014_visual
Revises: 0013_mined_features
"""

from alembic import op

revision = "0014_visual"
down_revision = "0013_mined_features"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA visual;

-- A file by its content. `duplicate_of` names the video this one is a re-encoded, resized or re-wrapped copy
-- of; what was seen in that one holds for this one. `perceptual_hash` is what copies are recognised by.
CREATE TABLE visual.video (
    content_hash    text PRIMARY KEY CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    bytes           bigint NOT NULL CHECK (bytes >= 0),
    duration_s      double precision,
    fps             double precision,
    width           integer,
    height          integer,
    frames          integer,
    has_audio       boolean,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    reason          text,
    duplicate_of    text REFERENCES visual.video CHECK (duplicate_of <> content_hash),
    perceptual_hash jsonb,
    first_seen_at   timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'failed') = (reason IS NOT NULL))
);
CREATE INDEX video_by_original ON visual.video (duplicate_of) WHERE duplicate_of IS NOT NULL;

-- The catalogue: which creatives have which videos. The hash is known once the file was read.
CREATE TABLE visual.creative_video (
    account_id    text NOT NULL,
    creative_id   text NOT NULL,
    uri           text NOT NULL,
    content_hash  text REFERENCES visual.video,
    bytes         bigint,
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    reason        text,
    added_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, creative_id, uri),
    FOREIGN KEY (account_id, creative_id) REFERENCES ads.creative ON DELETE CASCADE
);
CREATE INDEX creative_video_by_state ON visual.creative_video (state, account_id);
CREATE INDEX creative_video_by_content ON visual.creative_video (content_hash);

-- One look at a video by one recipe: weights, preprocessing, sampling and precision. `recipe` is the
-- digest of these four, `analysis_key` that of the content and the four: never computed twice.
CREATE TABLE visual.analysis (
    analysis_key  text PRIMARY KEY CHECK (analysis_key ~ '^[0-9a-f]{64}$'),
    content_hash  text NOT NULL REFERENCES visual.video ON DELETE CASCADE,
    recipe        text NOT NULL,
    model         text NOT NULL,
    preprocessing text NOT NULL,
    sampling      text NOT NULL,
    precision     text NOT NULL,
    features      jsonb NOT NULL,
    embedding     vector,
    frames        integer NOT NULL,
    forwards      integer NOT NULL,
    decodes       integer NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (content_hash, recipe)
);
CREATE INDEX analysis_by_recipe ON visual.analysis (recipe);

-- `visual_tags` and `emotion_score` are null unless a head that was trained and evaluated on labels gave
-- them.
CREATE TABLE visual.scene (
    analysis_key  text NOT NULL REFERENCES visual.analysis ON DELETE CASCADE,
    scene_number  integer NOT NULL CHECK (scene_number >= 0),
    start_s       double precision NOT NULL,
    end_s         double precision NOT NULL,
    visual_tags   text[],
    emotion_score double precision,
    features      jsonb NOT NULL,
    -- Its length is the model's; neighbours are looked for among scenes of one model.
    embedding     vector,
    PRIMARY KEY (analysis_key, scene_number),
    CHECK (end_s >= start_s)
);
CREATE INDEX scene_nearest_512 ON visual.scene
    USING hnsw ((embedding::vector(512)) vector_cosine_ops) WHERE vector_dims(embedding) = 512;

-- What is known of each creative's video: of a copy, what was seen in the original. Newest look first.
CREATE VIEW visual.creative_analysis AS
SELECT listed.account_id, listed.creative_id, listed.uri, listed.content_hash,
       seen.content_hash AS seen_as, seen.analysis_key, seen.recipe, seen.model, seen.sampling,
       seen.precision, seen.features, seen.embedding, seen.created_at,
       row_number() OVER (PARTITION BY listed.account_id, listed.creative_id, listed.uri
                          ORDER BY seen.created_at DESC, seen.analysis_key) AS newest
FROM visual.creative_video AS listed
JOIN visual.video AS video USING (content_hash)
JOIN visual.analysis AS seen ON seen.content_hash IN (video.content_hash, video.duplicate_of);
"""

DOWNGRADE = """
DROP VIEW visual.creative_analysis;
DROP TABLE visual.scene;
DROP TABLE visual.analysis;
DROP TABLE visual.creative_video;
DROP TABLE visual.video;
DROP SCHEMA visual;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
