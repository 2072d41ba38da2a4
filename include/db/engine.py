"""The one way to a database engine.

Queries live in `include/db/<context>.py`, one module per bounded context, and take the engine.
"""

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url


def make_engine(url: str, *, statement_timeout_s: float = 600.0) -> Engine:
    """An engine on PostgreSQL through psycopg 3.

    Args:
        url: `postgresql://user:password@host:port/database`; `postgres://` and driver suffixes are accepted.
        statement_timeout_s: seconds after which the server ends a statement of this engine.

    Raises:
        ValueError: the URL is not one of PostgreSQL.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(
            f"nightshift_db must be a PostgreSQL URL, but its scheme is '{parsed.drivername}'; "
            "set AIRFLOW_CONN_NIGHTSHIFT_DB to postgresql://user:password@host:port/nightshift"
        )
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        # Errors go to logs and alerts; what was written or asked for does not.
        hide_parameters=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": "nightshift",
            "options": f"-c statement_timeout={int(statement_timeout_s * 1000)} -c timezone=UTC",
        },
    )
