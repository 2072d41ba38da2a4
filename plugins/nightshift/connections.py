"""Airflow connections turned into plain values, read when a task runs, never while a DAG file is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy import Engine


def connection(conn_id: str) -> Connection:
    """The connection called `conn_id`, wherever Airflow keeps it.

    Raises:
        airflow.sdk.exceptions.AirflowNotFoundException: there is none of that name.
    """
    from airflow.sdk import Connection

    return Connection.get(conn_id)


def nightshift_engine() -> Engine:
    """An engine on the `nightshift` database, from connection `nightshift_db`."""
    from include.db import make_engine

    return make_engine(connection("nightshift_db").get_uri())


def mlflow_tracking_uri() -> str:
    """Where MLflow answers, from connection `mlflow_default`."""
    return connection("mlflow_default").host or ""
