"""Writing rows that are perhaps there already: copied into a temporary table and merged by their natural key.

The caller has the transaction, so that what belongs together is stored whole or not at all. A row that is
there as it comes is not touched, which is why writing twice changes nothing, not even a time stamp.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Merged:
    """What a write did: rows that were new, that differed, and that were there already."""

    inserted: int
    changed: int
    unchanged: int

    @property
    def rows(self) -> int:
        """All rows that came."""
        return self.inserted + self.changed + self.unchanged


def merge_rows(
    connection: Connection,
    table: tuple[str, str],
    key: Sequence[str],
    rows: Rows,
    *,
    touch: str | None = None,
) -> Merged:
    """Merge `rows` into a table.

    Args:
        table: schema and name.
        key: the columns of its natural key, which a unique index has.
        rows: all with the columns of the first; dicts become JSON. Columns they do not name stay.
        touch: a time stamp that a changed row gets anew.

    Raises:
        psycopg.errors.CardinalityViolation: two rows have the same key.
    """
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        return Merged(0, 0, 0)
    columns = list(first)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    incoming, target = sql.Identifier(f"incoming_{table[1]}"), sql.Identifier(*table)
    values = [column for column in columns if column not in key]
    assignments = [sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in values]
    if touch:
        assignments.append(sql.SQL("{} = now()").format(sql.Identifier(touch)))
    merge = sql.SQL("""
        WITH merged AS (
            INSERT INTO {target} AS stored ({names}) SELECT {names} FROM {incoming}
            ON CONFLICT ({key}) DO UPDATE SET {assignments}
            WHERE ({stored}) IS DISTINCT FROM ({excluded})
            RETURNING xmax = 0 AS is_new
        )
        SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new),
               (SELECT count(*) FROM {incoming}) FROM merged
    """).format(
        target=target,
        names=names,
        incoming=incoming,
        key=sql.SQL(", ").join(map(sql.Identifier, key)),
        assignments=sql.SQL(", ").join(assignments),
        stored=sql.SQL(", ").join(sql.Identifier("stored", column) for column in values),
        excluded=sql.SQL(", ").join(sql.Identifier("excluded", column) for column in values),
    )
    with driver_cursor(connection) as cursor:
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(incoming))
        cursor.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                incoming, names, target
            )
        )
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(incoming, names)) as copy:
            copy.write_row(_plain(first, columns))
            for row in iterator:
                copy.write_row(_plain(row, columns))
        inserted, changed, came = cursor.execute(merge).fetchone() or (0, 0, 0)
    return Merged(inserted, changed, came - inserted - changed)


def _plain(row: Mapping[str, Any], columns: list[str]) -> list[Any]:
    return [
        json.dumps(value, ensure_ascii=False) if isinstance(value := row[column], dict) else value
        for column in columns
    ]


def driver_cursor(connection: Connection) -> psycopg.Cursor[Any]:
    """A cursor of the driver, in the connection's transaction: for COPY."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("rows are copied through psycopg 3: make the engine with make_engine")
    return driver.cursor()
