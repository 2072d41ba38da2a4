"""Queries of the `ads` context: accounts, campaigns, creatives, ads, and what each ad did on each day.

Writers take a `Connection` and leave the transaction to the caller, so that a file or a window is stored
whole or not at all. They copy rows into a temporary table and merge it in one statement; a row that is
already there as it comes is not touched, which is why writing twice changes nothing, not even a time stamp.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, bindparam, text

from include.db.merging import Merged, Rows, merge_rows

if TYPE_CHECKING:
    import pandas as pd

# 'all' is every account an API feeds; anything else is one account's id.
SCOPE_ALL = "all"

_KEYS = {
    "unified_conversion": ("account_id", "conversion_id"),
    "account": ("account_id",),
    "campaign": ("account_id", "campaign_id"),
    "creative": ("account_id", "creative_id"),
    "ad": ("account_id", "ad_id"),
    "performance_metric": ("account_id", "ad_id", "metric_date", "breakdown"),
}


@dataclass(frozen=True)
class Account:
    """One ad account and who feeds it."""

    account_id: str
    name: str
    niche: str | None
    currency: str
    source: str


@dataclass(frozen=True)
class AccountTotals:
    """Sums over an account's stored rows; `first_day` is None where rows have no date."""

    account_id: str
    rows: int
    impressions: int
    clicks: int
    spend: Decimal
    conversions: Decimal
    first_day: date | None
    last_day: date | None


def upsert_accounts(connection: Connection, rows: Rows) -> Merged:
    """Merge account_id, name, niche, currency, source."""
    return _merge(connection, "account", rows)


def upsert_campaigns(connection: Connection, rows: Rows) -> Merged:
    """Merge account_id, campaign_id, name, status, daily_budget (dollars)."""
    return _merge(connection, "campaign", rows)


def upsert_creatives(connection: Connection, rows: Rows) -> Merged:
    """Merge account_id, creative_id and any columns of `ads.creative`; what the rows do not name stays."""
    return _merge(connection, "creative", rows)


def upsert_ads(connection: Connection, rows: Rows) -> Merged:
    """Merge account_id, ad_id, campaign_id, creative_id, name, launched_on."""
    return _merge(connection, "ad", rows)


def upsert_performance(connection: Connection, rows: Rows) -> Merged:
    """Merge account_id, ad_id, metric_date, breakdown, impressions, clicks, spend, conversions,
    conversion_value, raw_data (a JSON-ready dict). A changed row gets a new `fetched_at`.

    Raises:
        psycopg.errors.CardinalityViolation: two rows have the same key.
    """
    return _merge(connection, "performance_metric", rows, touch="fetched_at")


def upsert_conversions(connection: Connection, rows: Rows) -> Merged:
    """Merge account_id, conversion_id, ad_id, click_id, converted_at, value (dollars)."""
    return _merge(connection, "unified_conversion", rows)


def delete_accounts(connection: Connection, source: str) -> int:
    """Remove all accounts of one source with everything that hangs on them; returns how many."""
    return connection.execute(
        text("DELETE FROM ads.account WHERE source = :source"), {"source": source}
    ).rowcount


def accounts(engine: Engine, sources: Sequence[str] = ("sandbox", "meta")) -> list[Account]:
    """Accounts of the given sources in the order of their ids; by default those an API feeds."""
    query = text("""
        SELECT account_id, name, niche, currency, source FROM ads.account
        WHERE source IN :sources ORDER BY account_id
    """).bindparams(bindparam("sources", expanding=True))
    with engine.connect() as connection:
        return [Account(**row) for row in connection.execute(query, {"sources": list(sources)}).mappings()]


def accounts_in_shares(engine: Engine, size: int) -> list[list[str]]:
    """Ids of the accounts an API feeds, in shares of at most `size`; none where there are none."""
    ids = [account.account_id for account in accounts(engine)]
    return [ids[begin : begin + size] for begin in range(0, len(ids), size)]


def account_by_name_or_id(connection: Connection, name: str, account_id: str) -> list[Account]:
    """Accounts that have this name, whatever its case, or this id."""
    query = text("""
        SELECT account_id, name, niche, currency, source FROM ads.account
        WHERE lower(name) = lower(:name) OR account_id = :account_id ORDER BY account_id
    """)
    found = connection.execute(query, {"name": name, "account_id": account_id}).mappings()
    return [Account(**row) for row in found]


def breakdown_columns(connection: Connection, account_id: str) -> set[tuple[str, ...]]:
    """The sets of columns by which an account's rows are broken down; `()` stands for unbroken totals."""
    query = text("SELECT DISTINCT breakdown FROM ads.performance_metric WHERE account_id = :account_id")
    stored = connection.execute(query, {"account_id": account_id}).scalars()
    return {tuple(cell.split("=")[0] for cell in breakdown.split(";") if cell) for breakdown in stored}


def exported_columns(connection: Connection, account_id: str) -> tuple[str, ...]:
    """Titles of the columns of the export that an account's rows came from; none where it has no rows."""
    query = text("""
        SELECT ARRAY(SELECT jsonb_object_keys(raw_data -> 'columns')) FROM ads.performance_metric
        WHERE account_id = :id LIMIT 1
    """)
    return tuple(connection.execute(query, {"id": account_id}).scalar_one_or_none() or ())


def row_count(connection: Connection, account_id: str) -> int:
    """How many rows of performance an account has."""
    query = text("SELECT count(*) FROM ads.performance_metric WHERE account_id = :id")
    return int(connection.execute(query, {"id": account_id}).scalar_one())


def has_days(connection: Connection, account_id: str) -> bool | None:
    """Whether an account's rows have days; `None` where it has no rows."""
    query = text("SELECT bool_or(metric_date IS NOT NULL) FROM ads.performance_metric WHERE account_id = :id")
    return connection.execute(query, {"id": account_id}).scalar_one()


def account_totals(engine: Engine, scope: str = SCOPE_ALL) -> list[AccountTotals]:
    """Sums per account in `scope`, in the order of account ids; accounts without rows are left out."""
    query = text("""
        SELECT account_id, count(*) AS rows, sum(impressions)::bigint AS impressions,
               sum(clicks)::bigint AS clicks, sum(spend) AS spend, sum(conversions) AS conversions,
               min(metric_date) AS first_day, max(metric_date) AS last_day
        FROM ads.performance_metric JOIN ads.account USING (account_id)
        WHERE (:scope = 'all' AND source <> 'export') OR account_id = :scope
        GROUP BY account_id ORDER BY account_id
    """)
    with engine.connect() as connection:
        return [AccountTotals(**row) for row in connection.execute(query, {"scope": scope}).mappings()]


def latest_day(engine: Engine, scope: str = SCOPE_ALL) -> date | None:
    """The newest day with rows in `scope`; `None` where there are none or they have no date."""
    query = text("""
        SELECT max(metric_date) FROM ads.performance_metric JOIN ads.account USING (account_id)
        WHERE (:scope = 'all' AND source <> 'export') OR account_id = :scope
    """)
    with engine.connect() as connection:
        return connection.execute(query, {"scope": scope}).scalar_one()


def read_performance(
    engine: Engine, scope: str = SCOPE_ALL, since: date | None = None, until: date | None = None
) -> pd.DataFrame:
    """What ads did, one row per ad, day and breakdown cell, with what is known of ad and creative.

    Args:
        engine: the `nightshift` database.
        scope: 'all' for every account an API feeds, or one account's id.
        since, until: first and last day, inclusive; `None` is open. Rows without a date are always in.

    Returns:
        account_id, account_name, niche, source, campaign_id, campaign_name, ad_id, ad_name, launched_on,
        creative_id, hook_type, hook_text, persona, cta, format, visual_pattern, visual_tags (lists),
        duration_s, metric_date (datetime64, NaT where there is none), breakdown, impressions, clicks,
        spend, conversions, conversion_value (floats in account currency), and from `raw_data`: frequency,
        reach (floats, NaN where unknown), age, gender, interest (text or None). Sorted by day, account, ad
        and breakdown. Empty, with these columns, where nothing is stored.
    """
    import pandas as pd

    query = text("""
        SELECT m.account_id, a.name AS account_name, a.niche, a.source,
               d.campaign_id, c.name AS campaign_name, m.ad_id, d.name AS ad_name, d.launched_on,
               d.creative_id, k.hook_type, k.hook_text, k.persona, k.cta, k.format, k.visual_pattern,
               k.visual_tags, k.duration_s::float8 AS duration_s,
               m.metric_date, m.breakdown, m.impressions, m.clicks, m.spend::float8 AS spend,
               m.conversions::float8 AS conversions, m.conversion_value::float8 AS conversion_value,
               (m.raw_data ->> 'frequency')::float8 AS frequency, (m.raw_data ->> 'reach')::float8 AS reach,
               m.raw_data ->> 'age' AS age, m.raw_data ->> 'gender' AS gender,
               m.raw_data ->> 'interest' AS interest
        FROM ads.performance_metric m
        JOIN ads.account a USING (account_id)
        JOIN ads.ad d USING (account_id, ad_id)
        JOIN ads.campaign c USING (account_id, campaign_id)
        LEFT JOIN ads.creative k USING (account_id, creative_id)
        WHERE ((:scope = 'all' AND a.source <> 'export') OR m.account_id = :scope)
          AND (m.metric_date IS NULL OR m.metric_date BETWEEN COALESCE(:since, '-infinity'::date)
                                                          AND COALESCE(:until, 'infinity'::date))
        ORDER BY m.metric_date, m.account_id, m.ad_id, m.breakdown
    """)
    with engine.connect() as connection:
        result = connection.execute(query, {"scope": scope, "since": since, "until": until})
        frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
    for column in ("metric_date", "launched_on"):
        frame[column] = pd.to_datetime(frame[column]).astype("datetime64[s]")
    for column in ("frequency", "reach", "duration_s"):
        frame[column] = frame[column].astype(float)
    return frame


def read_placements(engine: Engine, scope: str, since: date, until: date) -> pd.DataFrame:
    """What ads did by placement, from the breakdown in `raw_data`.

    Returns:
        account_id, ad_id, metric_date, placement (`instagram, reels`), impressions, clicks; empty where rows
        have no such breakdown.
    """
    import pandas as pd

    query = text("""
        SELECT m.account_id, m.ad_id, m.metric_date,
               concat_ws(', ', cell ->> 'publisher_platform', cell ->> 'platform_position') AS placement,
               COALESCE((cell ->> 'impressions')::bigint, 0) AS impressions,
               COALESCE((cell ->> 'clicks')::bigint, 0) AS clicks
        FROM ads.performance_metric m
        JOIN ads.account a USING (account_id)
        CROSS JOIN LATERAL jsonb_array_elements(
            m.raw_data #> '{breakdowns,"publisher_platform,platform_position"}') AS cell
        WHERE ((:scope = 'all' AND a.source <> 'export') OR m.account_id = :scope)
          AND m.metric_date BETWEEN :since AND :until
          AND jsonb_typeof(m.raw_data #> '{breakdowns,"publisher_platform,platform_position"}') = 'array'
    """)
    with engine.connect() as connection:
        result = connection.execute(query, {"scope": scope, "since": since, "until": until})
        return pd.DataFrame(result.fetchall(), columns=list(result.keys()))


def simulated_world(engine: Engine) -> dict[str, Any] | None:
    """The configuration of the simulated world this database holds; `None` where it holds none.

    `loaded_until` (a date) comes with it.
    """
    query = text("SELECT config, loaded_until FROM ads.simulated_world ORDER BY loaded_at DESC LIMIT 1")
    with engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    return {**row["config"], "loaded_until": row["loaded_until"]} if row else None


def record_simulated_world(
    connection: Connection, world_id: str, config: dict[str, Any], loaded_until: date
) -> None:
    """Remember which world was loaded and how far. A database holds one: any other is forgotten."""
    connection.execute(text("DELETE FROM ads.simulated_world WHERE world_id <> :id"), {"id": world_id})
    connection.execute(
        text("""
            INSERT INTO ads.simulated_world AS stored (world_id, config, loaded_until)
            VALUES (:id, CAST(:config AS jsonb), :until)
            ON CONFLICT (world_id) DO UPDATE
            SET config = EXCLUDED.config, loaded_until = EXCLUDED.loaded_until, loaded_at = now()
            WHERE (stored.config, stored.loaded_until)
                  IS DISTINCT FROM (EXCLUDED.config, EXCLUDED.loaded_until)
        """),
        {"id": world_id, "config": json.dumps(config), "until": loaded_until},
    )


def _merge(connection: Connection, table: str, rows: Rows, touch: str | None = None) -> Merged:
    return merge_rows(connection, ("ads", table), _KEYS[table], rows, touch=touch)
