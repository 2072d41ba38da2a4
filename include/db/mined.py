"""Queries about features mined from `raw_data`: what to mine, the raw data as columns, and what was mined.

The database takes the breakdowns apart: exploded there and copied out as text, they arrive sooner than
`raw_data` parsed in Python (`make bench-features` measures both). Both copies number the ad-days in the same
order on the same snapshot, so a cell carries a number instead of three keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from include.db.frames import read_frame
from include.db.merging import driver_cursor
from include.errors import PermanentError
from ml.features.mined_definitions import MINED_NAMES

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class RawDataUnreadable(PermanentError):
    """A figure inside `raw_data` is no number; the message has what PostgreSQL says of it."""


@dataclass(frozen=True)
class AccountToMine:
    """An account with rows that came or changed since it was mined.

    Attributes:
        since: the first day that did.
    """

    account_id: str
    since: date


@dataclass(frozen=True)
class RawShare:
    """The raw data of some accounts: see `ml.features.mined.mine` for the columns."""

    ad_days: pl.DataFrame
    cells: pl.DataFrame


def now_seen(engine: Engine) -> datetime:
    """The moment before which nothing can appear any more that is not visible to whoever looks now.

    Rows carry the time at which the transaction that wrote them began, and one that began earlier may still
    commit later. So the oldest transaction under way in this database sets the limit.
    """
    query = text("""
        SELECT LEAST(now(), (SELECT min(xact_start) FROM pg_stat_activity
                             WHERE datname = current_database() AND pid <> pg_backend_pid()))
    """)
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()


def accounts_to_mine(engine: Engine, recipe: str) -> list[AccountToMine]:
    """Accounts an API feeds, and the first day of each that is to be mined, in the order of their ids.

    Args:
        recipe: what is mined by another one is mined anew from its first day.
    """
    query = text("""
        SELECT m.account_id, min(m.metric_date) AS since
        FROM ads.performance_metric m
        JOIN ads.account a USING (account_id)
        LEFT JOIN ads.mined_account done ON done.account_id = m.account_id AND done.recipe = :recipe
        WHERE m.breakdown = '' AND m.metric_date IS NOT NULL AND a.source <> 'export'
          AND m.fetched_at >= COALESCE(done.seen_until, '-infinity')
        GROUP BY m.account_id ORDER BY m.account_id
    """)
    with engine.connect() as connection:
        return [AccountToMine(**row) for row in connection.execute(query, {"recipe": recipe}).mappings()]


def read_raw(
    engine: Engine,
    accounts: Sequence[str],
    *,
    since: date,
    cells_since: date,
    breakdowns: Sequence[str],
    purchase_types: Sequence[str],
) -> RawShare:
    """The raw data of some accounts' ad-days, as columns.

    Args:
        since: first ad-day.
        cells_since: first day whose breakdowns are read.
        breakdowns: their names; a cell carries the position of its own.
        purchase_types: the first of these that an ad's day has counts, for its cells too.

    Raises:
        RawDataUnreadable: a figure is no number.
    """
    values = {
        "cells_since": sql.Literal(cells_since),
        "types": sql.Literal(list(purchase_types)),
        "breakdowns": sql.Literal(list(breakdowns)),
        "ad_day": sql.SQL(_AD_DAY).format(accounts=sql.Literal(list(accounts)), since=sql.Literal(since)),
    }
    # A cell has only its own breakdown's columns, which are joined in the breakdown's order.
    labels = [column for name in breakdowns for column in name.split(",")]
    for key, form in (("labels", "cell.{}"), ("label_columns", "{} text")):
        values[key] = sql.SQL(", ").join(sql.SQL(form).format(sql.Identifier(label)) for label in labels)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        ad_days = _table(connection, sql.SQL(_AD_DAYS).format(**values), _ad_day_schema())
        cells = _table(connection, sql.SQL(_CELLS).format(**values), _cell_schema())
    return RawShare(ad_days, cells)


def store_mined(
    engine: Engine, mined: pl.DataFrame, accounts: Sequence[str], recipe: str, seen_until: datetime
) -> int:
    """Merge mined rows and remember how far their accounts are mined; returns how many were new or differ.

    Args:
        mined: account_id, ad_id, metric_date and a column per feature.
        accounts: all accounts that were mined, also those without a row.
        recipe, seen_until: what `accounts_to_mine` goes by the next time.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, MINED_NAMES))
    keys = sql.SQL("account_id, ad_id, metric_date")
    stored, excluded = (
        sql.SQL(", ").join(sql.Identifier(table, name) for name in MINED_NAMES)
        for table in ("stored", "excluded")
    )
    merge = sql.SQL("""
        INSERT INTO ads.mined_feature AS stored ({keys}, {names})
        SELECT {keys}, {names} FROM incoming_mined JOIN ads.ad USING (account_id, ad_id)
        ON CONFLICT (account_id, ad_id, metric_date) DO UPDATE
        SET ({names}, mined_at) = ROW ({excluded}, now())
        WHERE ({stored}) IS DISTINCT FROM ({excluded})
    """).format(keys=keys, names=names, stored=stored, excluded=excluded)
    with engine.begin() as connection:
        cursor = driver_cursor(connection)
        cursor.execute("DROP TABLE IF EXISTS incoming_mined")
        cursor.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE incoming_mined ON COMMIT DROP AS "
                "SELECT {}, {} FROM ads.mined_feature WITH NO DATA"
            ).format(keys, names)
        )
        copy_in = sql.SQL("COPY incoming_mined ({}, {}) FROM STDIN (FORMAT csv)").format(keys, names)
        with cursor.copy(copy_in) as copy:
            copy.write(
                mined.select("account_id", "ad_id", "metric_date", *MINED_NAMES).write_csv(
                    include_header=False
                )
            )
        changed = cursor.execute(merge).rowcount
        connection.execute(
            text("""
                INSERT INTO ads.mined_account AS stored (account_id, recipe, seen_until)
                SELECT account_id, :recipe, :seen_until FROM ads.account WHERE account_id = ANY(:accounts)
                ON CONFLICT (account_id) DO UPDATE
                SET recipe = EXCLUDED.recipe, seen_until = EXCLUDED.seen_until
                WHERE stored.recipe <> EXCLUDED.recipe OR stored.seen_until < EXCLUDED.seen_until
            """),
            {"recipe": recipe, "seen_until": seen_until, "accounts": list(accounts)},
        )
    return int(changed)


def read_mined(engine: Engine, names: Sequence[str], scope: str, since: date, until: date) -> pd.DataFrame:
    """Mined features of ads and days.

    Args:
        names: which features; names of `MINED_NAMES` only.
        scope: `all`, or an account.
        since, until: first and last day.

    Returns:
        account_id, ad_id, metric_date (datetime64) and a float column per name, NaN where unknown.
    """
    import pandas as pd
    import polars as pl

    query = sql.SQL("""
        SELECT account_id, ad_id, metric_date, {names} FROM ads.mined_feature
        WHERE ({scope} = 'all' OR account_id = {scope}) AND metric_date BETWEEN {since} AND {until}
        ORDER BY account_id, ad_id, metric_date
    """).format(
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        scope=sql.Literal(scope),
        since=sql.Literal(since),
        until=sql.Literal(until),
    )
    schema = {"account_id": pl.String, "ad_id": pl.String, "metric_date": pl.Date}
    schema |= dict.fromkeys(names, pl.Float64)
    with engine.connect() as connection:
        frame = _table(connection, query, schema)
    columns: dict[str, object] = {name: frame[name].to_list() for name in ("account_id", "ad_id")}
    columns["metric_date"] = pd.to_datetime(frame["metric_date"].to_numpy()).astype("datetime64[s]")
    columns |= {name: frame[name].to_numpy() for name in names}
    return pd.DataFrame(columns)


def newest_mined(
    engine: Engine, names: Sequence[str], since: date, until: date
) -> dict[tuple[str, str], dict[str, float | None]]:
    """By account and ad, the features of its newest mined day between `since` and `until`, None if unknown.

    Args:
        names: which features; names of `MINED_NAMES` only.
    """
    query = sql.SQL("""
        SELECT DISTINCT ON (account_id, ad_id) account_id, ad_id, {names} FROM ads.mined_feature
        WHERE metric_date BETWEEN {since} AND {until}
        ORDER BY account_id, ad_id, metric_date DESC
    """).format(
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        since=sql.Literal(since),
        until=sql.Literal(until),
    )
    with engine.connect() as connection:
        return {
            (account_id, ad_id): dict(zip(names, values, strict=True))
            for account_id, ad_id, *values in driver_cursor(connection).execute(query)
        }


def coverage(engine: Engine, until: date, days: int) -> tuple[int, dict[str, float]]:
    """How many mined ad-days there are in the `days` up to `until`, and the share that has each feature."""
    counts = sql.SQL(", ").join(sql.SQL("count({})").format(sql.Identifier(name)) for name in MINED_NAMES)
    query = sql.SQL(
        "SELECT count(*), {} FROM ads.mined_feature WHERE metric_date > {}::date - {} AND metric_date <= {}"
    ).format(counts, sql.Literal(until), sql.Literal(days), sql.Literal(until))
    with engine.connect() as connection:
        rows, *known = driver_cursor(connection).execute(query).fetchone() or (0,)
    return int(rows), {
        name: (count / rows if rows else 0.0) for name, count in zip(MINED_NAMES, known, strict=True)
    }


def newest_mined_day(engine: Engine) -> date | None:
    """The last day with mined features; None without any."""
    with engine.connect() as connection:
        return connection.execute(text("SELECT max(metric_date) FROM ads.mined_feature")).scalar_one()


def _table(connection: Connection, query: sql.Composed, schema: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    """What a query finds, its columns in the order of the schema."""
    try:
        return read_frame(connection, query, schema)
    except psycopg.DataError as error:
        raise RawDataUnreadable(
            f"raw_data of ads.performance_metric holds a figure that is no number: PostgreSQL says "
            f"'{error.diag.message_primary}'; run meta_insights_etl for the day again"
        ) from error


def _ad_day_schema() -> dict[str, type[pl.DataType]]:
    import polars as pl

    from ml.features.mined import NUMBERS, RANKINGS

    return {
        "account_id": pl.String, "ad_id": pl.String, "metric_date": pl.Date,
        **dict.fromkeys(NUMBERS, pl.Float64), **dict.fromkeys(RANKINGS, pl.String),
    }  # fmt: skip


def _cell_schema() -> dict[str, type[pl.DataType]]:
    import polars as pl

    return {
        "row": pl.Int64, "breakdown": pl.Int64, "cell": pl.String,
        "impressions": pl.Float64, "clicks": pl.Float64, "spend": pl.Float64, "purchases": pl.Float64,
    }  # fmt: skip


_AD_DAY = """
    SELECT row_number() OVER (ORDER BY account_id, ad_id, metric_date) - 1 AS number, m.*
    FROM ads.performance_metric m
    WHERE account_id = ANY({accounts}) AND breakdown = '' AND metric_date >= {since}
"""

# `raw_data` is large and compressed: it is taken apart once a row, not once a figure.
_AD_DAYS = """
    SELECT d.account_id, d.ad_id, d.metric_date, d.impressions, d.clicks, d.spend,
           r.reach, r.frequency, r.unique_clicks, r.inline_link_clicks,
           d.conversions, d.conversion_value, bought.of_click, bought.of_view,
           (r.video_play_actions #>> '{{0,value}}')::float8,
           (r.video_p25_watched_actions #>> '{{0,value}}')::float8,
           (r.video_p50_watched_actions #>> '{{0,value}}')::float8,
           (r.video_p75_watched_actions #>> '{{0,value}}')::float8,
           (r.video_p100_watched_actions #>> '{{0,value}}')::float8,
           (r.video_thruplay_watched_actions #>> '{{0,value}}')::float8,
           (r.video_avg_time_watched_actions #>> '{{0,value}}')::float8,
           k.duration_s, r.quality_ranking, r.engagement_rate_ranking, r.conversion_rate_ranking
    FROM ({ad_day}) d
    CROSS JOIN LATERAL jsonb_to_record(d.raw_data) AS r(
        reach float8, frequency float8, unique_clicks float8, inline_link_clicks float8, actions jsonb,
        video_play_actions jsonb, video_p25_watched_actions jsonb, video_p50_watched_actions jsonb,
        video_p75_watched_actions jsonb, video_p100_watched_actions jsonb,
        video_thruplay_watched_actions jsonb, video_avg_time_watched_actions jsonb,
        quality_ranking text, engagement_rate_ranking text, conversion_rate_ranking text
    )
    JOIN ads.ad a USING (account_id, ad_id)
    LEFT JOIN ads.creative k USING (account_id, creative_id)
    LEFT JOIN LATERAL (
        SELECT act."7d_click" AS of_click, act."1d_view" AS of_view
        FROM jsonb_to_recordset(
            CASE jsonb_typeof(r.actions) WHEN 'array' THEN r.actions ELSE '[]' END
        ) AS act(action_type text, "7d_click" float8, "1d_view" float8)
        WHERE act.action_type = ANY({types}) ORDER BY array_position({types}::text[], act.action_type) LIMIT 1
    ) bought ON true
    ORDER BY d.number
"""

# By one action type the purchases of an ad's day and of its cells are told: `include.meta_ads.rows` has the
# rule. It is picked once an ad-day, which OFFSET 0 sees to, and not once a cell.
_CELLS = """
    SELECT d.number, b.place - 1, concat_ws(',', {labels}),
           COALESCE(cell.impressions, 0), COALESCE(cell.clicks, 0), COALESCE(cell.spend, 0), bought.value
    FROM (
        SELECT d.number, r.breakdowns, picked.action_type
        FROM ({ad_day}) d
        CROSS JOIN LATERAL jsonb_to_record(d.raw_data)
            AS r(breakdowns jsonb, actions jsonb, action_values jsonb)
        LEFT JOIN LATERAL (
            SELECT told.action_type
            FROM (VALUES (1, r.actions), (2, r.action_values)) AS field(place, entries)
            CROSS JOIN LATERAL jsonb_to_recordset(
                CASE jsonb_typeof(field.entries) WHEN 'array' THEN field.entries ELSE '[]' END
            ) AS told(action_type text)
            WHERE told.action_type = ANY({types})
            ORDER BY field.place, array_position({types}::text[], told.action_type) LIMIT 1
        ) picked ON true
        WHERE d.metric_date >= {cells_since}
        OFFSET 0
    ) d
    CROSS JOIN LATERAL unnest({breakdowns}::text[]) WITH ORDINALITY AS b(name, place)
    CROSS JOIN LATERAL jsonb_to_recordset(
        CASE jsonb_typeof(d.breakdowns -> b.name) WHEN 'array' THEN d.breakdowns -> b.name ELSE '[]' END
    ) AS cell({label_columns}, impressions float8, clicks float8, spend float8, actions jsonb)
    LEFT JOIN LATERAL (
        SELECT act.value FROM jsonb_to_recordset(
            CASE jsonb_typeof(cell.actions) WHEN 'array' THEN cell.actions ELSE '[]' END
        ) AS act(action_type text, value float8)
        WHERE act.action_type = d.action_type LIMIT 1
    ) bought ON true
"""
