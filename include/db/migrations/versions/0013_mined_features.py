"""Features mined from Meta's raw data, a row per ad and day, and which of them earn their place.

Revision ID: 0013_mined_features
Revises: 0012_pipeline_value
"""

from alembic import op

revision = "0013_mined_features"
down_revision = "0012_pipeline_value"
branch_labels = None
depends_on = None

UPGRADE = """
-- A column per feature, so that people and whatever watches tables can name them. Null: unknown.
CREATE TABLE ads.mined_feature (
    account_id text NOT NULL,
    ad_id text NOT NULL,
    metric_date date NOT NULL,
    feed_share real,
    stories_share real,
    reels_share real,
    instagram_share real,
    placement_entropy real,
    feed_ctr_lift real,
    stories_ctr_lift real,
    reels_ctr_lift real,
    reels_cpm_lift real,
    feed_cpm_lift real,
    unallocated_share real,
    audience_hhi real,
    top_segment_share real,
    age_18_24_share real,
    age_25_34_share real,
    age_35_54_share real,
    age_55_up_share real,
    female_share real,
    gender_ctr_gap real,
    ios_share real,
    ios_android_ctr_gap real,
    desktop_ctr_lift real,
    hour_hhi real,
    night_share real,
    evening_ctr_lift real,
    frequency real,
    frequency_slope real,
    ctr_decline real,
    days_since_peak real,
    quality_rank real,
    engagement_rank real,
    conversion_rank real,
    spend_pacing real,
    link_click_share real,
    cost_per_unique_click real,
    purchases_per_click real,
    value_per_purchase real,
    reels_conversion_lift real,
    feed_conversion_lift real,
    reels_cpa_lift real,
    view_through_share real,
    hook_rate real,
    quarter_retention real,
    half_retention real,
    three_quarter_retention real,
    full_retention real,
    thruplay_rate real,
    watch_share real,
    mined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, ad_id, metric_date),
    FOREIGN KEY (account_id, ad_id) REFERENCES ads.ad ON DELETE CASCADE
);
-- Training and drift read the days of all accounts.
CREATE INDEX mined_feature_by_date ON ads.mined_feature (metric_date, account_id);

-- Up to when an account's rows have been mined, and by which recipe.
CREATE TABLE ads.mined_account (
    account_id text PRIMARY KEY REFERENCES ads.account ON DELETE CASCADE,
    recipe     text NOT NULL,
    seen_until timestamptz NOT NULL
);
-- What changed since then.
CREATE INDEX performance_metric_by_fetch ON ads.performance_metric (account_id, fetched_at);

-- Which features earn their place, by the day judged on and what is predicted.
CREATE TABLE ml.feature_report (
    report_date date NOT NULL,
    target      text NOT NULL CHECK (target IN ('ctr', 'conversion')),
    summary     text NOT NULL,
    numbers     jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (report_date, target)
);
"""

DOWNGRADE = """
DROP TABLE ml.feature_report;
DROP INDEX ads.performance_metric_by_fetch;
DROP TABLE ads.mined_account;
DROP TABLE ads.mined_feature;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
