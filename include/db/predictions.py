"""Queries about predictions: the log of those given, what is worth computing ahead, what clicks cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from include.db.merging import driver_cursor
from include.db.pages import in_pages


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
    with engine.begin() as connection, driver_cursor(connection) as cursor:
        cursor.execute("CREATE TEMPORARY TABLE coming ON COMMIT DROP AS TABLE ml.prediction_log WITH NO DATA")
        with cursor.copy(f"COPY coming ({_COLUMNS}) FROM STDIN") as copy:
            for prediction in predictions:
                copy.write_row(astuple(prediction))
        cursor.execute(
            f"INSERT INTO ml.prediction_log ({_COLUMNS}) SELECT {_COLUMNS} FROM coming "  # noqa: S608
            "ON CONFLICT (id) DO NOTHING"
        )


def delete_predictions(engine: Engine, before: datetime, *, page: int, dry_run: bool = False) -> int:
    """Remove predictions older than `before`, a page at a time, except those of experiments that run.

    Returns:
        How many were, or with `dry_run` would be, removed.
    """
    which = """
        SELECT id FROM ml.prediction_log WHERE predicted_at < :before
          AND NOT EXISTS (SELECT FROM ml.ab_test t WHERE t.id = ab_test_id AND t.state = 'running')
        LIMIT :page
    """
    remove = text(f"DELETE FROM ml.prediction_log WHERE id IN ({which})")  # noqa: S608 - a constant

    def one_page(connection: Connection) -> int:
        return connection.execute(remove, {"before": before, "page": page}).rowcount

    return in_pages(engine, one_page, dry_run=dry_run)


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
    """Niche -> dollars for a thousand impressions since then, of dollar accounts; '' is all niches."""
    query = text("""
        SELECT COALESCE(a.niche, '') AS niche, sum(m.spend)::float8 * 1000 / sum(m.impressions) AS cpm
        FROM ads.performance_metric m JOIN ads.account a USING (account_id)
        WHERE m.metric_date >= :since AND m.breakdown = '' AND a.source <> 'export' AND a.currency = 'USD'
        GROUP BY GROUPING SETS ((a.niche), ())
        HAVING sum(m.impressions) > 0 AND (GROUPING(a.niche) = 1 OR a.niche IS NOT NULL)
    """)
    return {row["niche"]: row["cpm"] for row in _rows(engine, query, since=since)}


_NEWEST = """
    SELECT max(metric_date) AS day FROM ads.performance_metric JOIN ads.account USING (account_id)
    WHERE source <> 'export'
"""


def account_pasts(engine: Engine) -> list[dict[str, Any]]:
    """Clicks and impressions of each account's newest 28 days, with its niche.

    The days are those of all accounts that an API feeds together, so that one that pauses is not judged by
    its last ones.
    """
    query = text(f"""
        WITH newest AS ({_NEWEST})
        SELECT a.account_id, a.niche, COALESCE(sum(m.clicks), 0)::float8 AS clicks,
               COALESCE(sum(m.impressions), 0)::float8 AS impressions
        FROM ads.account a
        CROSS JOIN newest
        LEFT JOIN ads.performance_metric m
          ON m.account_id = a.account_id AND m.breakdown = '' AND m.metric_date > newest.day - 28
        WHERE a.source <> 'export'
        GROUP BY a.account_id, a.niche
    """)  # noqa: S608 - a constant
    return _rows(engine, query)


def ad_pasts(engine: Engine) -> list[dict[str, Any]]:
    """What is known of each ad: its creative, the day it began, clicks and impressions of the newest 7 and 28
    days (0 where it paused), and the last frequency.
    """
    query = text(f"""
        WITH newest AS ({_NEWEST}), past AS (
            SELECT m.account_id, m.ad_id,
                   sum(m.clicks)::float8 AS clicks28, sum(m.impressions)::float8 AS impressions28,
                   sum(m.clicks) FILTER (WHERE m.metric_date > newest.day - 7)::float8 AS clicks7,
                   sum(m.impressions) FILTER (WHERE m.metric_date > newest.day - 7)::float8 AS impressions7,
                   max((m.raw_data ->> 'frequency')::float8) FILTER (WHERE m.metric_date = newest.day)
                       AS frequency
            FROM ads.performance_metric m CROSS JOIN newest
            WHERE m.metric_date > newest.day - 28 AND m.breakdown = ''
            GROUP BY m.account_id, m.ad_id
        )
        SELECT d.account_id, d.ad_id, d.launched_on, newest.day AS until,
               k.hook_type, k.persona, k.cta, k.format, k.visual_pattern,
               k.duration_s::float8 AS duration_s, cardinality(k.visual_tags)::float8 AS visual_tag_count,
               COALESCE(p.clicks28, 0) AS clicks28, COALESCE(p.impressions28, 0) AS impressions28,
               COALESCE(p.clicks7, 0) AS clicks7, COALESCE(p.impressions7, 0) AS impressions7,
               NULLIF(p.frequency, 0) AS frequency
        FROM ads.ad d
        CROSS JOIN newest
        JOIN ads.account a USING (account_id)
        LEFT JOIN ads.creative k USING (account_id, creative_id)
        LEFT JOIN past p USING (account_id, ad_id)
        WHERE a.source <> 'export'
    """)  # noqa: S608 - a constant
    return _rows(engine, query)


def _rows(engine: Engine, query: Any, **values: Any) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query, values).mappings()]
