"""Queries about predictions: the log of those given, what is worth computing ahead, what clicks cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Engine, text


@dataclass(frozen=True)
class LoggedPrediction:
    """One prediction that was given, as `ml.prediction_log` keeps it."""

    id: UUID
    predicted_at: datetime
    model_name: str
    model_version: int
    arm: str
    ab_test_id: int | None
    unit_key: str
    account_id: str
    ad_id: str | None
    about_day: date | None
    features_hash: str
    rate: float
    other_version: int | None
    other_rate: float | None
    source: str
    latency_us: int


_COLUMNS = ", ".join(each.name for each in fields(LoggedPrediction))


def add_predictions(engine: Engine, predictions: Sequence[LoggedPrediction]) -> None:
    """Keep predictions; those that are there already stay as they are."""
    if not predictions:
        return
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)  # noqa: S101 - make_engine makes no other
        with driver.cursor() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE coming ON COMMIT DROP AS TABLE ml.prediction_log WITH NO DATA"
            )
            with cursor.copy(f"COPY coming ({_COLUMNS}) FROM STDIN") as copy:
                for prediction in predictions:
                    copy.write_row(astuple(prediction))
            cursor.execute(
                f"INSERT INTO ml.prediction_log ({_COLUMNS}) SELECT {_COLUMNS} FROM coming "  # noqa: S608
                "ON CONFLICT (id) DO NOTHING"
            )


def delete_predictions(engine: Engine, before: datetime, *, dry_run: bool = False) -> int:
    """Remove predictions older than `before`, except those of experiments that run; returns how many."""
    which = """
        FROM ml.prediction_log WHERE predicted_at < :before
          AND NOT EXISTS (SELECT FROM ml.ab_test t WHERE t.id = ab_test_id AND t.state = 'running')
    """
    statement = f"SELECT count(*) {which}" if dry_run else f"DELETE {which}"
    with engine.begin() as connection:
        result = connection.execute(text(statement), {"before": before})
        return int(result.scalar_one()) if dry_run else result.rowcount


def hook_templates(engine: Engine, since: date, limit: int) -> list[dict[str, Any]]:
    """What the creatives with the most impressions since then are made of, one row each kind, most first."""
    query = text("""
        SELECT a.niche, k.hook_type, k.cta, k.format, k.visual_pattern,
               max(k.duration_s)::float8 AS duration_s, max(cardinality(k.visual_tags))::float8 AS
        visual_tag_count FROM ads.performance_metric m
        JOIN ads.account a USING (account_id)
        JOIN ads.ad d USING (account_id, ad_id)
        JOIN ads.creative k USING (account_id, creative_id)
        WHERE m.metric_date >= :since AND a.source <> 'export' AND k.hook_type IS NOT NULL
        GROUP BY a.niche, k.hook_type, k.cta, k.format, k.visual_pattern
        ORDER BY sum(m.impressions) DESC, a.niche, k.hook_type, k.cta, k.format, k.visual_pattern
        LIMIT :limit
    """)
    return _rows(engine, query, since=since, limit=limit)


def frequent_patterns(engine: Engine, since: date, limit: int) -> list[dict[str, Any]]:
    """The DNA (hook, pattern, format, action, persona, niche) that most creatives share, most first."""
    query = text("""
        SELECT a.niche, k.hook_type, k.persona, k.cta, k.format, k.visual_pattern
        FROM ads.creative k
        JOIN ads.account a USING (account_id)
        JOIN ads.ad d USING (account_id, creative_id)
        WHERE a.source <> 'export' AND k.hook_type IS NOT NULL
          AND EXISTS (SELECT FROM ads.performance_metric m
                      WHERE m.account_id = d.account_id AND m.ad_id = d.ad_id AND m.metric_date >= :since)
        GROUP BY a.niche, k.hook_type, k.persona, k.cta, k.format, k.visual_pattern
        ORDER BY count(*) DESC, a.niche, k.hook_type, k.persona, k.cta, k.format, k.visual_pattern
        LIMIT :limit
    """)
    return _rows(engine, query, since=since, limit=limit)


def past_winners(engine: Engine, since: date, limit: int, least_impressions: int) -> list[dict[str, Any]]:
    """The creatives clicked most often since then among those seen enough, with their account; best first."""
    query = text("""
        SELECT m.account_id, a.niche, k.hook_type, k.persona, k.cta, k.format, k.visual_pattern,
               k.duration_s::float8 AS duration_s, cardinality(k.visual_tags)::float8 AS visual_tag_count
        FROM ads.performance_metric m
        JOIN ads.account a USING (account_id)
        JOIN ads.ad d USING (account_id, ad_id)
        JOIN ads.creative k USING (account_id, creative_id)
        WHERE m.metric_date >= :since AND a.source <> 'export'
        GROUP BY m.account_id, a.niche, k.creative_id, k.hook_type, k.persona, k.cta, k.format,
                 k.visual_pattern, k.duration_s, k.visual_tags
        HAVING sum(m.impressions) >= :least
        ORDER BY sum(m.clicks)::float8 / sum(m.impressions) DESC, m.account_id, k.creative_id
        LIMIT :limit
    """)
    return _rows(engine, query, since=since, limit=limit, least=least_impressions)


def costs_per_mille(engine: Engine, since: date) -> dict[str, float]:
    """Niche -> money for a thousand impressions since then; '' is all niches together."""
    query = text("""
        SELECT COALESCE(a.niche, '') AS niche, sum(m.spend)::float8 * 1000 / sum(m.impressions) AS cpm
        FROM ads.performance_metric m JOIN ads.account a USING (account_id)
        WHERE m.metric_date >= :since AND m.breakdown = '' AND a.source <> 'export'
        GROUP BY GROUPING SETS ((a.niche), ()) HAVING sum(m.impressions) > 0
    """)
    return {row["niche"]: row["cpm"] for row in _rows(engine, query, since=since)}


def account_pasts(engine: Engine) -> list[dict[str, Any]]:
    """Clicks and impressions of each account's newest 28 days, with its niche.

    The days are those of all accounts together, so that an account that pauses is not judged by its last
    ones.
    """
    query = text("""
        SELECT a.account_id, a.niche, COALESCE(sum(m.clicks), 0)::float8 AS clicks,
               COALESCE(sum(m.impressions), 0)::float8 AS impressions
        FROM ads.account a
        LEFT JOIN ads.performance_metric m
          ON m.account_id = a.account_id AND m.breakdown = ''
         AND m.metric_date > (SELECT max(metric_date) - 28 FROM ads.performance_metric)
        WHERE a.source <> 'export'
        GROUP BY a.account_id, a.niche
    """)
    return _rows(engine, query)


def ad_pasts(engine: Engine) -> list[dict[str, Any]]:
    """Clicks and impressions of each ad's newest 7 and 28 days, its last frequency and the day it began."""
    query = text("""
        WITH newest AS (SELECT max(metric_date) AS day FROM ads.performance_metric)
        SELECT m.account_id, m.ad_id, d.launched_on, newest.day AS until,
               sum(m.clicks)::float8 AS clicks28, sum(m.impressions)::float8 AS impressions28,
               COALESCE(sum(m.clicks) FILTER (WHERE m.metric_date > newest.day - 7), 0)::float8 AS clicks7,
               COALESCE(sum(m.impressions) FILTER (WHERE m.metric_date > newest.day - 7), 0)::float8
                   AS impressions7,
               max((m.raw_data ->> 'frequency')::float8) FILTER (WHERE m.metric_date = newest.day)
                   AS frequency
        FROM ads.performance_metric m
        CROSS JOIN newest
        JOIN ads.account a USING (account_id)
        JOIN ads.ad d USING (account_id, ad_id)
        WHERE m.metric_date > newest.day - 28 AND m.breakdown = '' AND a.source <> 'export'
        GROUP BY m.account_id, m.ad_id, d.launched_on, newest.day
    """)
    return _rows(engine, query)


def _rows(engine: Engine, query: Any, **values: Any) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query, values).mappings()]
