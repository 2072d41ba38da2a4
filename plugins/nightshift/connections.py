"""Airflow connections turned into plain values, read when a task runs, never while a DAG file is parsed.

Those of the language-model vendors go through their providers' hooks, so that they are what Airflow's own
pages about connections say they are.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from redis import Redis
    from sqlalchemy import Engine

    from include.alerts import SlackChannel
    from include.llm.cache import SemanticCache
    from include.llm.live import LiveModels
    from include.llm.vendors import BatchVendors
    from include.llm.vendors.base import AsyncBatchVendor

# Connection of each vendor of language models.
VENDORS = {"anthropic": "anthropic_default", "openai": "openai_default"}


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


def redis_client() -> Redis | None:
    """A client of connection `redis_default`, to be closed; None where there is no such connection."""
    from airflow.sdk.exceptions import AirflowNotFoundException
    from redis import Redis

    try:
        found = connection("redis_default")
    except AirflowNotFoundException:
        return None
    return Redis(
        host=found.host or "localhost",
        port=found.port or 6379,
        password=found.password or None,
        db=int(found.extra_dejson.get("db", 0)),
        socket_timeout=30,
        socket_connect_timeout=5,
    )


def batch_vendors() -> BatchVendors:
    """The Batch APIs whose connections are set; close it, as in `with batch_vendors() as vendors`.

    A vendor whose connection is missing or has no key is only an error when something is queued for it.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    from include.config import thresholds
    from include.llm.vendors import BatchVendors
    from include.llm.vendors.anthropic import AnthropicBatches
    from include.llm.vendors.openai import OpenAIBatches

    llm = thresholds().llm
    make = {"anthropic": AnthropicBatches, "openai": OpenAIBatches}
    found, missing = [], {}
    for name, conn_id in VENDORS.items():
        try:
            client = vendor_client(conn_id).with_options(timeout=llm.http_timeout_s)
        except (AirflowNotFoundException, ValueError) as error:
            missing[name] = f"connection {conn_id} is not set" if not str(error) else str(error)
            continue
        found.append(make[name](client, submit_timeout_s=llm.submit_timeout_s))
    return BatchVendors(found, missing)


def semantic_cache(engine: Engine) -> SemanticCache:
    """The semantic cache; close it, as in `with semantic_cache(engine) as cache`.

    A DAG has more patience than a person who waits for an answer.
    """
    from include.config import thresholds
    from include.llm.cache import SemanticCache
    from include.llm.cache.embedder import embedder_of

    known = thresholds().llm.cache
    patient = known.model_copy(update={"lookup_timeout_ms": 30_000, "store_timeout_ms": 60_000})
    client = vendor_client(VENDORS["openai"]) if known.embedder == "openai" else None
    return SemanticCache(engine, embedder_of(known, client), patient)


def live_models(engine: Engine) -> LiveModels:
    """The models of all vendors that are connected; close it, as in `with live_models(engine) as models`."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    from include.config import thresholds
    from include.llm.bill import Bill
    from include.llm.live import LiveModels

    clients = {}
    for name, conn_id in VENDORS.items():
        with suppress(AirflowNotFoundException, ValueError):
            clients[name] = vendor_client(conn_id)
    settings = thresholds()
    return LiveModels(clients, Bill(engine, settings), settings)


def vendor_client(conn_id: str) -> Any:
    """The SDK's client of a vendor's connection, as its provider's hook makes it.

    Raises:
        ValueError: the connection has no password, or one that no header can carry.
        airflow.sdk.exceptions.AirflowNotFoundException: there is no such connection.
    """
    _check_key(connection(conn_id))
    return _hook(conn_id).get_conn()


async def async_batch_vendor(conn_id: str, *, timeout_s: float) -> AsyncBatchVendor:
    """A vendor for the triggerer's event loop, an async context manager. Raises as `vendor_client`."""
    import asyncio
    from importlib import import_module

    from airflow.sdk import Connection

    found = await Connection.async_get(conn_id)
    _check_key(found)
    # Importing the SDKs takes a second or two: not in the event loop that all triggers share.
    if found.conn_type == "openai":
        module = await asyncio.to_thread(import_module, "include.llm.vendors.openai")
        hook = await asyncio.to_thread(_hook, conn_id)
        return module.AsyncOpenAIBatches(await hook.aget_conn(), timeout_s=timeout_s)
    module = await asyncio.to_thread(import_module, "include.llm.vendors.anthropic")
    hook = await asyncio.to_thread(_hook, conn_id)
    return module.AsyncAnthropicBatches(await hook.get_async_conn(), timeout_s=timeout_s)


def poll_seconds(conn_id: str) -> float | None:
    """Extra `poll_seconds` of a vendor's connection: how often to look, where it differs from the thresholds.

    Raises:
        ValueError: it is no positive number.
    """
    found = connection(conn_id)
    told = found.extra_dejson.get("poll_seconds")
    if told is None:
        return None
    try:
        seconds = float(told)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(f"connection {conn_id}: extra poll_seconds is {told!r}, but must be seconds above 0")
    return seconds


def _hook(conn_id: str) -> Any:
    if conn_id.startswith("openai"):
        from airflow.providers.openai.hooks.openai import OpenAIHook

        return OpenAIHook(conn_id=conn_id)
    from airflow.providers.anthropic.hooks.anthropic import AnthropicHook

    return AnthropicHook(conn_id=conn_id)


def _check_key(found: Connection) -> None:
    """Refuse what the SDK would only find out by quoting the key in an error."""
    from include.llm.errors import VendorRefused
    from include.llm.vendors.errors import sendable

    if not found.password:
        raise ValueError(f"connection {found.conn_id} has no password: set it to the API key")
    try:
        sendable(found.password, found.conn_id)
    except VendorRefused as error:
        raise ValueError(str(error)) from None
