"""Rows of a table or view that somebody's model is watched by, as the configuration names its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Date,
    Engine,
    Select,
    TableClause,
    Text,
    cast,
    column,
    distinct,
    func,
    literal_column,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import ProgrammingError

from include.errors import PermanentError

if TYPE_CHECKING:
    from pandas import DataFrame

# Name of the day in what is read, whatever the table calls it.
DAY = "watched_day"


class WatchedTableInvalid(PermanentError):
    """The configured table or a column of it does not exist, or may not be read; the message names it."""


@dataclass(frozen=True)
class WatchedTable:
    """Which columns of which table. Names are plain SQL names; the configuration allows no others.

    Attributes:
        table: with its schema.
        day: date or time of a row.
        columns: values that are wanted, as they are.
        names: what else is wanted, as text and under another name: a number and the same number beside a null
            must not be two names.
        scope: column of the account; None where the table has none.
        key: columns that name a row; of rows with the same key the newest counts, and none without a key.
    """

    table: str
    day: str
    columns: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    scope: str | None = None
    key: Sequence[str] = ()


def read_watched(
    engine: Engine, watched: WatchedTable, *, since: date, until: date, scope: str, piece_rows: int
) -> Iterator[DataFrame]:
    """All rows of the days `since` to `until` in pieces, with their day as `DAY`; memory holds one piece.

    Args:
        scope: an account, or `all`.
        piece_rows: of a piece.

    Raises:
        WatchedTableInvalid: see there.
    """
    with engine.connect().execution_options(stream_results=True, yield_per=piece_rows) as connection:
        found = _run(connection, watched, _rows(watched, since, until, scope))
        for rows in found.partitions():
            yield _frame(rows, watched)


def sample_watched(
    engine: Engine, watched: WatchedTable, *, since: date, until: date, scope: str, rows: int
) -> DataFrame:
    """At most so many of these rows, drawn evenly by a hash of the row: the same ones each time.

    Raises:
        WatchedTableInvalid: see there.
    """
    told = _rows(watched, since, until, scope).subquery("told")
    by_hash: ColumnElement[int] = literal_column("hashtextextended(CAST(told AS text), 7)")
    with engine.connect() as connection:
        drawn = _run(connection, watched, select(told).order_by(by_hash).limit(rows))
        return _frame(drawn.fetchall(), watched)


def repeated_rows(engine: Engine, watched: WatchedTable, *, since: date, until: date, scope: str) -> int:
    """How many rows of a period are there again under the same key; 0 where the table has no key.

    Raises:
        WatchedTableInvalid: see there.
    """
    if not watched.key:
        return 0
    stored = _stored(watched)
    once = func.count(distinct(tuple_(*[stored.c[name] for name in watched.key])))
    query = select(func.count() - once).where(*_period(watched, stored, since, until, scope))
    with engine.connect() as connection:
        return int(_run(connection, watched, query).scalar_one())


def _stored(watched: WatchedTable) -> TableClause:
    schema, _, name = watched.table.rpartition(".")
    others = [*watched.names.values(), *watched.key, *filter(None, [watched.scope])]
    names = dict.fromkeys([watched.day, *watched.columns, *others])
    return table(name, *[column(each) for each in names], schema=schema or None)


def _period(
    watched: WatchedTable, stored: TableClause, since: date, until: date, scope: str
) -> list[ColumnElement[bool]]:
    day = stored.c[watched.day]
    wanted = [day >= since, day < until + timedelta(days=1)]
    return [*wanted, stored.c[watched.scope] == scope] if watched.scope and scope != "all" else wanted


def _rows(watched: WatchedTable, since: date, until: date, scope: str) -> Select:
    stored = _stored(watched)
    wanted = [stored.c[name] for name in dict.fromkeys(watched.columns)]
    named = [cast(stored.c[column], Text).label(name) for name, column in watched.names.items()]
    query = select(cast(stored.c[watched.day], Date).label(DAY), *wanted, *named)
    query = query.where(*_period(watched, stored, since, until, scope))
    key = [stored.c[name] for name in watched.key]
    if not key:
        return query
    # The newest of the rows with the same key; rows without one cannot be told apart and all count out.
    named_by_key = query.where(*[each.is_not(None) for each in key])
    return named_by_key.ext(distinct_on(*key)).order_by(*key, stored.c[watched.day].desc())


def _run(connection: Connection, watched: WatchedTable, query: Select) -> CursorResult:
    try:
        return connection.execute(query)
    except ProgrammingError as error:
        raise WatchedTableInvalid(
            f"the watched table {watched.table} cannot be read: {str(error.orig).splitlines()[0]}; correct "
            "drift.models in thresholds.yaml"
        ) from error


def _frame(rows: Sequence, watched: WatchedTable) -> DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=[DAY, *dict.fromkeys(watched.columns), *watched.names])
