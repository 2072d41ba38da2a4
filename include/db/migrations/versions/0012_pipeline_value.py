"""What deals are expected to bring: a forecast per campaign, ad and day of forecast.

Revision ID: 0012_pipeline_value
Revises: 0011_crm
"""

from alembic import op

revision = "0012_pipeline_value"
down_revision = "0011_crm"
branch_labels = None
depends_on = None

UPGRADE = """
-- What a day's forecast says of each campaign and ad; ids are '' for deals that no trace leads from to an ad.
CREATE TABLE ml.pipeline_forecast (
    forecast_day   date NOT NULL,
    level          text NOT NULL CHECK (level IN ('campaign', 'ad')),
    account_id     text NOT NULL,
    campaign_id    text NOT NULL,
    ad_id          text NOT NULL DEFAULT '',
    deals          int NOT NULL CHECK (deals >= 0),
    open_deals     int NOT NULL CHECK (open_deals >= 0),
    won_deals      int NOT NULL CHECK (won_deals >= 0),
    won_value      numeric(18, 2) NOT NULL,
    expected_value numeric(18, 2) NOT NULL,
    value_low      numeric(18, 2) NOT NULL,
    value_high     numeric(18, 2) NOT NULL,
    crm_value      numeric(18, 2) NOT NULL,
    spend          numeric(18, 2) NOT NULL,
    -- null without spend
    roas           double precision,
    roas_low       double precision,
    roas_high      double precision,
    days_to_close  double precision,
    model_name     text NOT NULL,
    model_version  integer NOT NULL,
    PRIMARY KEY (forecast_day, level, account_id, campaign_id, ad_id)
);

-- What else a day's forecast says: ad types, norms of stages, reasons, owners, how deals were matched.
CREATE TABLE ml.pipeline_report (
    forecast_day  date PRIMARY KEY,
    model_name    text NOT NULL,
    model_version integer NOT NULL,
    told          jsonb NOT NULL,
    forecast_at   timestamptz NOT NULL DEFAULT now()
);
"""

DOWNGRADE = """
DROP TABLE ml.pipeline_report;
DROP TABLE ml.pipeline_forecast;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
