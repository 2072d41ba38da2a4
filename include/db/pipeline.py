"""Queries about the pipeline: the CRM's histories beside the ads, and the forecasts made from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, text

from include.db.merging import merge_rows

if TYPE_CHECKING:
    import pandas as pd

    from ml.features.pipeline_frames import CrmFrames

# A deal that was archived or merged into another is none any more. One without a pipeline or a history cannot
# be placed in time; `left_out` counts those.
_DEALS = """
    FROM crm.deal d
    WHERE NOT d.archived AND d.merged_into IS NULL AND d.pipeline_id IS NOT NULL AND d.created_at IS NOT NULL
      AND EXISTS (SELECT FROM crm.deal_stage_event e WHERE e.deal_id = d.deal_id)
"""

_QUERIES = {
    # Of several contacts of a deal the one that leads surest to an ad, then the first.
    "deals": f"""
        SELECT d.deal_id, link.contact_id, d.pipeline_id, d.deal_type, d.created_at, d.lost_reason,
               d.won_reason
        FROM (SELECT d.* {_DEALS}) d
        LEFT JOIN LATERAL (
            SELECT c.contact_id FROM crm.association a JOIN crm.contact c ON c.contact_id = a.to_id
            WHERE a.from_type = 'deal' AND a.from_id = d.deal_id AND a.to_type = 'contact'
            ORDER BY c.click_id IS NULL, c.utm_content IS NULL, c.utm_campaign IS NULL, c.created_at,
                     c.contact_id
            LIMIT 1) link ON true
    """,  # noqa: S608 - nothing in it comes from outside
    "stages": """
        SELECT DISTINCT ON (pipeline_id, stage_id) pipeline_id, stage_id, label, display_order,
               probability::float8 AS probability, is_closed, is_won
        FROM crm.stage ORDER BY pipeline_id, stage_id, valid_from DESC
    """,
    "stage_events": "SELECT deal_id, stage_id, entered_at FROM crm.deal_stage_event",
    # An amount without a history counts from when it was last seen: nobody knows since when it stands.
    "amount_events": """
        SELECT deal_id, changed_at, value::float8 AS amount FROM crm.deal_property_event
        WHERE property = 'amount' AND value ~ '^[0-9]+([.][0-9]+)?$'
        UNION ALL
        SELECT deal_id, COALESCE(updated_at, fetched_at), amount::float8 FROM crm.deal d
        WHERE amount >= 0 AND NOT EXISTS (
            SELECT FROM crm.deal_property_event e WHERE e.deal_id = d.deal_id AND e.property = 'amount')
    """,
    "owner_events": """
        SELECT deal_id, changed_at, value AS owner_id FROM crm.deal_property_event
        WHERE property = 'hubspot_owner_id' AND value <> ''
        UNION ALL
        SELECT deal_id, COALESCE(updated_at, fetched_at), owner_id FROM crm.deal d
        WHERE owner_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM crm.deal_property_event e
            WHERE e.deal_id = d.deal_id AND e.property = 'hubspot_owner_id')
    """,
    "owners": "SELECT owner_id, team FROM crm.owner",
    "contacts": """
        SELECT contact_id, click_id, utm_campaign, utm_content, first_source, first_detail FROM crm.contact
    """,
    "conversions": """
        SELECT account_id, ad_id, click_id FROM ads.unified_conversion
        WHERE click_id IS NOT NULL AND ad_id IS NOT NULL
    """,
    "ads": """
        SELECT d.account_id, d.campaign_id, c.name AS campaign_name, d.ad_id, d.creative_id, a.niche,
               k.hook_type, k.format, k.visual_pattern, k.persona
        FROM ads.ad d
        JOIN ads.account a USING (account_id)
        JOIN ads.campaign c USING (account_id, campaign_id)
        LEFT JOIN ads.creative k USING (account_id, creative_id)
        WHERE a.source <> 'export'
    """,
    "spend": """
        SELECT m.account_id, m.ad_id, m.metric_date AS day, sum(m.spend)::float8 AS spend
        FROM ads.performance_metric m JOIN ads.account a USING (account_id)
        WHERE a.source <> 'export' AND m.breakdown = '' AND m.metric_date IS NOT NULL AND m.spend > 0
        GROUP BY m.account_id, m.ad_id, m.metric_date
    """,
}


@dataclass(frozen=True)
class PipelineReport:
    """What a day's forecast says beside its rows; `told` is JSON that `nightshift.forecast_pipeline` made."""

    forecast_day: date
    model_name: str
    model_version: int
    told: dict[str, Any]
    forecast_at: datetime


def read_frames(engine: Engine) -> CrmFrames:
    """Everything the CRM and the ads say, as it is stored.

    Raises:
        CrmInputInvalid: a table holds what cannot be right.
    """
    from ml.features.pipeline_frames import CrmFrames

    return CrmFrames.checked(**read_crm(engine))


def read_crm(engine: Engine) -> dict[str, pd.DataFrame]:
    """The frames that `ml.features.pipeline_frames.CrmFrames.checked` takes; nothing of a person."""
    import pandas as pd

    frames = {}
    with engine.connect() as connection:
        # One moment for all tables: a sync that goes on must not tear a deal from its history.
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        for name, query in _QUERIES.items():
            found = connection.execute(text(query))
            frames[name] = pd.DataFrame(found.fetchall(), columns=list(found.keys()))
    return frames


def left_out(engine: Engine) -> int:
    """Live deals that cannot be placed in time: without a pipeline, a creation date or a history of
    stages.
    """
    query = f"""
        SELECT (SELECT count(*) FROM crm.deal WHERE NOT archived AND merged_into IS NULL)
             - (SELECT count(*) {_DEALS})
    """  # noqa: S608 - nothing in it comes from outside
    with engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def replace_forecast(engine: Engine, report: PipelineReport, rows: Sequence[dict[str, Any]]) -> None:
    """Keep a day's forecast whole; forecasting the day again replaces it."""
    with engine.begin() as connection:
        # Two forecasts of a day at once would mix their rows.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('pipeline_forecast'))"))
        kept = {
            "day": report.forecast_day,
            "keys": [
                f"{row['level']}/{row['account_id']}/{row['campaign_id']}/{row['ad_id']}" for row in rows
            ],
        }
        connection.execute(
            text("""
                DELETE FROM ml.pipeline_forecast WHERE forecast_day = :day
                  AND NOT concat_ws('/', level, account_id, campaign_id, ad_id) = ANY(:keys)
            """),
            kept,
        )
        shared = {
            "forecast_day": report.forecast_day,
            "model_name": report.model_name,
            "model_version": report.model_version,
        }
        merge_rows(
            connection,
            ("ml", "pipeline_forecast"),
            _KEY,
            ({name: row[name] for name in _COLUMNS} | shared for row in rows),
        )
        connection.execute(
            text("""
                INSERT INTO ml.pipeline_report AS stored (forecast_day, model_name, model_version, told)
                VALUES (:forecast_day, :model_name, :model_version, CAST(:told AS jsonb))
                ON CONFLICT (forecast_day) DO UPDATE
                SET model_name = EXCLUDED.model_name, model_version = EXCLUDED.model_version,
                    told = EXCLUDED.told, forecast_at = now()
                WHERE (stored.model_name, stored.model_version, stored.told)
                      IS DISTINCT FROM (EXCLUDED.model_name, EXCLUDED.model_version, EXCLUDED.told)
            """),
            {
                "forecast_day": report.forecast_day,
                "model_name": report.model_name,
                "model_version": report.model_version,
                "told": json.dumps(report.told, allow_nan=False),
            },
        )


def newest_report(engine: Engine, day: date | None = None) -> PipelineReport | None:
    """What the newest forecast says, or that of a day; None where there is none."""
    query = text("""
        SELECT forecast_day, model_name, model_version, told, forecast_at FROM ml.pipeline_report
        WHERE CAST(:day AS date) IS NULL OR forecast_day = :day ORDER BY forecast_day DESC LIMIT 1
    """)
    with engine.connect() as connection:
        row = connection.execute(query, {"day": day}).mappings().first()
        return PipelineReport(**row) if row else None


def forecasts(engine: Engine, day: date, level: str, limit: int) -> list[dict[str, Any]]:
    """A day's rows of one level with names, most spend first, the unattributed deals last."""
    query = text("""
        SELECT f.*, a.name AS account_name, c.name AS campaign_name, d.name AS ad_name
        FROM ml.pipeline_forecast f
        LEFT JOIN ads.account a USING (account_id)
        LEFT JOIN ads.campaign c USING (account_id, campaign_id)
        LEFT JOIN ads.ad d ON (d.account_id, d.ad_id) = (f.account_id, f.ad_id)
        WHERE f.forecast_day = :day AND f.level = :level
        ORDER BY f.account_id = '', f.spend DESC, f.deals DESC, f.account_id, f.campaign_id, f.ad_id
        LIMIT :limit
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"day": day, "level": level, "limit": limit}).mappings()
        return [dict(row) for row in found]


def forecast_totals(engine: Engine, day: date) -> dict[str, float]:
    """A day's sums: deals, of all; open_deals, won_value, expected_value and spend of those that are traced
    to a campaign, their roas (None without spend), and how many campaigns these are."""
    query = text("""
        SELECT COALESCE(sum(deals), 0)::int AS deals,
               count(*) FILTER (WHERE account_id <> '') AS campaigns,
               COALESCE(sum(open_deals) FILTER (WHERE account_id <> ''), 0)::int AS open_deals,
               COALESCE(sum(won_value) FILTER (WHERE account_id <> ''), 0)::float8 AS won_value,
               COALESCE(sum(expected_value) FILTER (WHERE account_id <> ''), 0)::float8 AS expected_value,
               COALESCE(sum(spend), 0)::float8 AS spend,
               (sum(won_value + expected_value) FILTER (WHERE account_id <> '')
                   / NULLIF(sum(spend), 0))::float8 AS roas
        FROM ml.pipeline_forecast WHERE forecast_day = :day AND level = 'campaign'
    """)
    with engine.connect() as connection:
        return dict(connection.execute(query, {"day": day}).mappings().one())


def unattributed(engine: Engine, day: date) -> dict[str, Any] | None:
    """A day's row of the deals that no trace leads from to a campaign; None where there are none."""
    query = text("""
        SELECT * FROM ml.pipeline_forecast
        WHERE forecast_day = :day AND level = 'campaign' AND account_id = ''
    """)
    with engine.connect() as connection:
        row = connection.execute(query, {"day": day}).mappings().first()
        return dict(row) if row else None


_COLUMNS = (
    "level", "account_id", "campaign_id", "ad_id", "deals", "open_deals", "won_deals", "won_value",
    "expected_value", "value_low", "value_high", "crm_value", "spend", "roas", "roas_low", "roas_high",
    "days_to_close",
)  # fmt: skip


_KEY = ("forecast_day", "level", "account_id", "campaign_id", "ad_id")
