"""Bring the `nightshift` database to a revision of the schema, up or down.

`python -m include.db.migrate` upgrades the database of connection `nightshift_db`.
Two migrations at once are safe: the second waits for the first.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from include.command_line import DatabaseFailure, database_sentence
from include.config.connections import connection
from include.db.engine import make_engine
from include.errors import NightshiftError

MIGRATIONS = Path(__file__).parent / "migrations"

# Any constant will do, as long as nobody else in this database locks on it.
_LOCK = 7_264_531_108


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply every migration up to `revision`.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    _run(engine, command.upgrade, revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take migrations back down to `revision`. What their tables held is gone."""
    _run(engine, command.downgrade, revision)


def current_revision(engine: Engine) -> str | None:
    """The revision the database is at, `None` where nothing was ever applied."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _run(engine: Engine, step: object, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        try:
            config.attributes["connection"] = connection
            step(config, revision)  # type: ignore[operator]
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()


def main() -> int:
    """The command line; returns the exit code: 0 migrated, 1 not."""
    try:
        engine = make_engine(connection("nightshift_db").url)
        upgrade(engine)
    except NightshiftError as error:
        sys.stderr.write(f"migrate: {error}\n")
        return 1
    except DatabaseFailure as error:
        sys.stderr.write(f"migrate: {database_sentence(error)}\n")
        return 1
    sys.stdout.write(f"nightshift database is at {current_revision(engine)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
