"""Airflow connections turned into plain values, read when a task runs, never while a DAG file is parsed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from anthropic import Anthropic
    from sqlalchemy import Engine

    from include.alerts import SlackChannel

ANTHROPIC = "anthropic_default"


@dataclass(frozen=True)
class AnthropicConnection:
    """How to reach Anthropic, or what stands in for it.

    Attributes:
        base_url: empty for the vendor's own address.
        api_key: kept out of the representation.
        poll_seconds: extra of that name: how often to look at a batch, where it differs from the thresholds.
    """

    base_url: str
    api_key: str = field(repr=False)
    poll_seconds: float | None


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


def slack_channel(conn_id: str) -> SlackChannel:
    """Channel and token of a Slack connection, such as `slack_alerts`.

    Raises:
        include.alerts.SlackRefused: the connection lacks one of them.
    """
    from include.alerts import SlackChannel

    found = connection(conn_id)
    return SlackChannel.from_connection(conn_id, found.password, found.extra_dejson)


def mlflow_tracking_uri() -> str:
    """Where MLflow answers, from connection `mlflow_default`."""
    return connection("mlflow_default").host or ""


def anthropic_connection(conn_id: str = ANTHROPIC) -> AnthropicConnection:
    """Base URL (host), API key (password) and extras of an Anthropic connection.

    Raises:
        ValueError: it has no password, or its extra `poll_seconds` is no positive number.
    """
    return _anthropic(connection(conn_id))


def anthropic(conn_id: str = ANTHROPIC) -> Anthropic:
    """A client of an Anthropic connection; close it, as in `with anthropic() as client`."""
    from include.config import thresholds
    from include.llm.vendor import anthropic_client

    found = anthropic_connection(conn_id)
    return anthropic_client(found.base_url, found.api_key, timeout_s=thresholds().llm.http_timeout_s)


async def anthropic_connection_async(conn_id: str) -> AnthropicConnection:
    """The same from the triggerer's event loop."""
    from airflow.sdk import Connection

    return _anthropic(await Connection.async_get(conn_id))


def _anthropic(found: Connection) -> AnthropicConnection:
    if not found.password:
        raise ValueError(f"connection {found.conn_id} has no password: set it to the API key")
    return AnthropicConnection(
        base_url=found.host or "",
        api_key=found.password,
        poll_seconds=_seconds(found, found.extra_dejson.get("poll_seconds")),
    )


def _seconds(found: Connection, poll_seconds: Any) -> float | None:
    if poll_seconds is None:
        return None
    try:
        seconds = float(poll_seconds)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(
            f"connection {found.conn_id}: extra poll_seconds is {poll_seconds!r}, but must be seconds above 0"
        )
    return seconds
