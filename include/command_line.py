"""What the command lines of the rooms share: days as arguments, and a database that fails, in a sentence."""

from __future__ import annotations

import argparse
import re
from datetime import date

import psycopg
from sqlalchemy.exc import DBAPIError

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# What SQLAlchemy raises for a statement of its own, and psycopg for one that bypasses it.
DatabaseFailure = (DBAPIError, psycopg.Error)


def day_argument(text: str) -> date:
    """A day of the calendar, for `argparse`'s `type`.

    Raises:
        argparse.ArgumentTypeError: it is none.

    >>> day_argument("2026-01-31")
    datetime.date(2026, 1, 31)
    """
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"'{text}' is not a day of the calendar, written like 2026-01-31")


def database_sentence(error: Exception) -> str:
    """What is wrong with the nightshift database and what to do, from one of `DatabaseFailure`."""
    cause = getattr(error, "orig", None) or error
    said = str(cause).strip().partition("\n")[0]
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return "the nightshift database lacks a table: run `python -m include.db.migrate` first"
    if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:
        return f"the nightshift database does not answer ({said})"
    return f"the nightshift database refused ({said})"
