"""Queries about what creatives do: what they are and did, to learn from, and what was found.

What is learnt from is copied out as text, which for a quarter of a year of thousands of ads takes a
second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from psycopg import sql
from sqlalchemy import Engine, text

from include.db.frames import read_frame
from include.db.merging import driver_cursor
from ml.features.creative_effects import CreativeEffect

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class CreativeEffectReport:
    """One day's report on one outcome, without its effects.

    Attributes:
        numbers: creatives, accounts, niches, too_few, analysed, unexplained_sd, tested, found, left_out,
            since, until.
    """

    report_date: date
    outcome: str
    summary: str
    numbers: dict[str, Any]


def read_creatives(engine: Engine, scope: str, since: date, until: date) -> list[dict[str, Any]]:
    """Creatives shown in a window, as `ml.features.creative_frame.describe_creatives` takes them.

    Returns:
        account_id, creative_id, hook_type, visual_pattern, format, persona, cta, duration_s, visual_tags,
        dna, and measured: the features of the newest analysis of its first video that has one. In the order
        of keys.
    """
    query = text("""
        WITH shown AS (
            SELECT DISTINCT d.account_id, d.creative_id
            FROM ads.performance_metric m
            JOIN ads.account a USING (account_id)
            JOIN ads.ad d USING (account_id, ad_id)
            WHERE m.breakdown = '' AND m.impressions > 0 AND m.metric_date BETWEEN :since AND :until
              AND d.creative_id IS NOT NULL
              AND ((:scope = 'all' AND a.source <> 'export') OR m.account_id = :scope)
        ), analysed AS (
            SELECT DISTINCT ON (account_id, creative_id) account_id, creative_id, features
            FROM visual.creative_analysis JOIN shown USING (account_id, creative_id)
            WHERE newest = 1 ORDER BY account_id, creative_id, uri
        )
        SELECT k.account_id, k.creative_id, k.hook_type, k.visual_pattern, k.format, k.persona, k.cta,
               k.duration_s::float8 AS duration_s, k.visual_tags, k.dna, v.features AS measured
        FROM shown
        JOIN ads.creative k USING (account_id, creative_id)
        LEFT JOIN analysed v USING (account_id, creative_id)
        ORDER BY k.account_id, k.creative_id
    """)
    with engine.connect() as connection:
        rows = connection.execute(query, {"scope": scope, "since": since, "until": until}).mappings()
        return [dict(row) for row in rows]


def read_ad_days(engine: Engine, scope: str, since: date, until: date) -> pl.DataFrame:
    """What ads with a creative did day by day, as `ml.features.creative_days` takes it.

    Args:
        scope: `all` for every account an API feeds, or one account's id.
        since, until: first and last day.
    """
    import polars as pl

    query = sql.SQL("""
        SELECT m.account_id, a.niche, d.creative_id, m.ad_id, m.metric_date, d.launched_on,
               m.impressions, m.clicks, m.conversions, m.spend, (m.raw_data ->> 'reach')::float8
        FROM ads.performance_metric m
        JOIN ads.account a USING (account_id)
        JOIN ads.ad d USING (account_id, ad_id)
        WHERE m.breakdown = '' AND d.creative_id IS NOT NULL AND m.metric_date BETWEEN {since} AND {until}
          AND (({scope} = 'all' AND a.source <> 'export') OR m.account_id = {scope})
    """).format(scope=sql.Literal(scope), since=sql.Literal(since), until=sql.Literal(until))
    numbers = dict.fromkeys(("impressions", "clicks", "conversions", "spend", "reach"), pl.Float64)
    words = {"account_id": pl.String, "niche": pl.String, "creative_id": pl.String, "ad_id": pl.String}
    with engine.connect() as connection:
        return read_frame(connection, query, {**words, "day": pl.Date, "launched_on": pl.Date, **numbers})


def read_placement_shares(engine: Engine, scope: str, since: date, until: date) -> pl.DataFrame:
    """Where creatives were shown: account_id, creative_id, placement (`instagram, feed`), share.

    Shares are of the impressions that stand in some cell of the breakdown by placement; creatives
    without such a breakdown have no rows.
    """
    import polars as pl

    query = sql.SQL("""
        WITH shown AS (
            SELECT m.account_id, d.creative_id,
                   concat_ws(', ', cell ->> 'publisher_platform', cell ->> 'platform_position') AS
                   placement, sum((cell ->> 'impressions')::float8) AS impressions
            FROM ads.performance_metric m
            JOIN ads.account a USING (account_id)
            JOIN ads.ad d USING (account_id, ad_id)
            CROSS JOIN LATERAL jsonb_array_elements(
                CASE jsonb_typeof(m.raw_data #> '{{breakdowns,"publisher_platform,platform_position"}}')
                WHEN 'array' THEN m.raw_data #> '{{breakdowns,"publisher_platform,platform_position"}}'
                ELSE '[]' END) AS cell
            WHERE m.breakdown = '' AND d.creative_id IS NOT NULL AND m.metric_date BETWEEN {since} AND {until}
              AND (({scope} = 'all' AND a.source <> 'export') OR m.account_id = {scope})
            GROUP BY 1, 2, 3
        )
        SELECT account_id, creative_id, placement,
               impressions / sum(impressions) OVER (PARTITION BY account_id, creative_id)
        FROM shown WHERE impressions > 0
    """).format(scope=sql.Literal(scope), since=sql.Literal(since), until=sql.Literal(until))
    schema = {
        "account_id": pl.String,
        "creative_id": pl.String,
        "placement": pl.String,
        "share": pl.Float64,
    }
    with engine.connect() as connection:
        return read_frame(connection, query, schema)


def store_report(engine: Engine, report: CreativeEffectReport, effects: Sequence[CreativeEffect]) -> None:
    """Keep a report with its effects; one of the same day and outcome is replaced, whole or not."""
    key = {"day": report.report_date, "outcome": report.outcome}
    columns = list(EFFECT_COLUMNS)
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO ml.creative_effect_report AS stored (report_date, outcome, summary, numbers)
                VALUES (:day, :outcome, :summary, CAST(:numbers AS jsonb)) ON CONFLICT (report_date,
                outcome) DO UPDATE SET summary = EXCLUDED.summary, numbers = EXCLUDED.numbers, created_at
                = now() WHERE (stored.summary, stored.numbers) IS DISTINCT FROM (EXCLUDED.summary,
                EXCLUDED.numbers)
            """),
            {**key, "summary": report.summary, "numbers": json.dumps(report.numbers)},
        )
        connection.execute(
            text("DELETE FROM ml.creative_effect WHERE report_date = :day AND outcome = :outcome"), key
        )
        copy_in = sql.SQL("COPY ml.creative_effect (report_date, {}) FROM STDIN").format(
            sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with driver_cursor(connection).copy(copy_in) as copy:
            for effect in effects:
                copy.write_row([report.report_date, *(getattr(effect, column) for column in columns)])


def newest_reports(engine: Engine) -> list[CreativeEffectReport]:
    """The newest report of each outcome, clicks first."""
    query = text("""
        SELECT DISTINCT ON (outcome) report_date, outcome, summary, numbers
        FROM ml.creative_effect_report ORDER BY outcome, report_date DESC
    """)
    with engine.connect() as connection:
        return [CreativeEffectReport(**row) for row in connection.execute(query).mappings()]


def effects_of_report(engine: Engine, report: CreativeEffectReport) -> list[CreativeEffect]:
    """All effects of a report, by niche, feature and level."""
    query = text(f"""
        SELECT {", ".join(EFFECT_COLUMNS)} FROM ml.creative_effect
        WHERE report_date = :day AND outcome = :outcome ORDER BY niche, feature, shape, level
    """)  # noqa: S608 - names of our own columns
    values = {"day": report.report_date, "outcome": report.outcome}
    with engine.connect() as connection:
        return [CreativeEffect(**row) for row in connection.execute(query, values).mappings()]


def forget_reports(engine: Engine, keep: int) -> int:
    """Remove all but the newest `keep` reports of each outcome; returns how many went."""
    query = text("""
        DELETE FROM ml.creative_effect_report WHERE (report_date, outcome) IN (
            SELECT report_date, outcome FROM (
                SELECT report_date, outcome,
                       row_number() OVER (PARTITION BY outcome ORDER BY report_date DESC) AS nth
                FROM ml.creative_effect_report) AS numbered
            WHERE nth > :keep)
    """)
    with engine.begin() as connection:
        return connection.execute(query, {"keep": keep}).rowcount


EFFECT_COLUMNS = tuple(CreativeEffect.__dataclass_fields__)
