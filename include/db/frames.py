"""What a query finds as a polars frame, by PostgreSQL's COPY: for what is too large to read row by row."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from psycopg import sql
from sqlalchemy import Connection

from include.db.merging import driver_cursor

if TYPE_CHECKING:
    import polars as pl


def read_frame(connection: Connection, query: sql.Composed, schema: dict[str, Any]) -> pl.DataFrame:
    """What a query finds.

    Args:
        query: with its values in it.
        schema: name and polars type of each column, in the order of the query.

    Raises:
        psycopg.DataError: a cast in the query failed.
    """
    import polars as pl

    found = BytesIO()
    copied = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)
    with driver_cursor(connection).copy(copied) as copy:
        for piece in copy:
            found.write(piece)
    if not found.tell():
        return pl.DataFrame(schema=schema)
    found.seek(0)
    return pl.read_csv(found, has_header=False, schema=schema, null_values=[""])
