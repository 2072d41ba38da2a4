"""What tests ask models with: the real SDKs on the sandbox, and questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, text

from include.config import Thresholds, thresholds
from include.llm.bill import Bill
from include.llm.live import AsyncLiveModels, LiveModels
from include.llm.prices import price_of
from include.llm.questions import Question, question
from include.llm.vendors.anthropic import anthropic_client, async_anthropic_client
from include.llm.vendors.openai import async_openai_client, openai_client

CLAUDE, GPT = "anthropic/claude-haiku-4-5", "openai/gpt-5-mini"


def settings_with(live: dict[str, Any] | None = None, cache: dict[str, Any] | None = None) -> Thresholds:
    """The thresholds with short patience, and changes."""
    known = thresholds()
    quick = {
        "sdk_retries": 0,
        "timeout_s": 10.0,
        "flight_wait_s": 5.0,
        "bill_pause_s": 0.05,
        "close_wait_s": 5.0,
    }
    slow = {"known_seconds": 0.001, "lookup_timeout_ms": 5_000, "store_timeout_ms": 5_000}
    llm = known.llm.model_copy(
        update={
            "live": known.llm.live.model_copy(update={**quick, **(live or {})}),
            "cache": known.llm.cache.model_copy(update={**slow, **(cache or {})}),
        }
    )
    return known.model_copy(update={"llm": llm})


def models_on(
    sandbox: Any, db: Engine, settings: Thresholds, folder: Any, key: str | None = None
) -> LiveModels:
    """Both vendors' models as the sandbox plays them."""
    key = key or sandbox.api_key
    clients = {
        "anthropic": anthropic_client(sandbox.anthropic_url, key, timeout_s=10),
        "openai": openai_client(sandbox.openai_url, key, timeout_s=10),
    }
    return LiveModels(clients, Bill(db, settings, folder), settings)


def async_models_on(sandbox: Any, db: Engine, settings: Thresholds, folder: Any) -> AsyncLiveModels:
    """The same for an event loop."""
    clients = {
        "anthropic": async_anthropic_client(sandbox.anthropic_url, sandbox.api_key, timeout_s=10),
        "openai": async_openai_client(sandbox.openai_url, sandbox.api_key, timeout_s=10),
    }
    return AsyncLiveModels(clients, Bill(db, settings, folder), settings)


def talk(text: str = "Why do hooks wear out?", model: str = CLAUDE, **changes: Any) -> Question:
    """A question in words."""
    values = {"tenant": "a1", "task": "talk", "prompt_version": "v1", "model": model, **changes}
    return question(text, **values)


def calls(sandbox: Any, vendor: str = "anthropic") -> int:
    """Live calls the vendor saw."""
    routes = {
        "anthropic": ("POST /v1/messages",),
        "openai": ("POST /v1/chat/completions", "POST /v1/responses"),
    }
    seen = sandbox.client.get("/control/state").json()["requests"].get(vendor, {})
    return sum(seen.get(route, 0) for route in routes[vendor])


def fault(sandbox: Any, kind: str, vendor: str = "anthropic", route: str = "*", **order: Any) -> None:
    """Put a fault on order."""
    body = {"vendor": vendor, "kind": kind, "route": route, **order}
    sandbox.client.post("/control/faults", json=body).raise_for_status()


def bill_of_vendors(sandbox: Any, settings: Thresholds, day: Any) -> Decimal:
    """Dollars by the vendors' own count of tokens."""
    total = Decimal(0)
    for line in sandbox.client.get("/control/state").json()["bill"]:
        price = price_of(settings.prices, line["vendor"], line["model"], day)
        total += (
            line["input_tokens"] * price.input
            + line["cache_write_tokens"] * price.cache_write
            + line["cache_read_tokens"] * price.cache_read
            + line["output_tokens"] * price.output
        ) / 1_000_000
    return total


def rows(db: Engine, query: str, **values: Any) -> list[dict[str, Any]]:
    """Rows of a query."""
    with db.connect() as conn:
        return [dict(row) for row in conn.execute(text(query), values).mappings()]


@contextmanager
def database_away(db: Engine) -> Iterator[None]:
    """Nobody can connect to this test's database meanwhile, and whoever was connected is not any more."""
    name = db.url.database
    server = db.url.set(database="postgres")
    from include.db import make_engine

    other = make_engine(server.render_as_string(hide_password=False))
    with other.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        conn.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        try:
            yield
        finally:
            conn.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
    other.dispose()
