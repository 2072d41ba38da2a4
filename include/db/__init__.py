"""The `nightshift` database: engine, migrations, and one module of queries per bounded context."""

from include.db.engine import make_engine

__all__ = ["make_engine"]
