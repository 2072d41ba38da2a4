"""The sandbox under test: batches take an hour of its own clock, which tests move, and there is no world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from slack_sdk import WebClient

from include.sandbox.server import SandboxServer

KEY = "a-key-for-these-tests-only"
BATCH_SECONDS = 3600.0


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with SandboxServer(
        tmp_path_factory.mktemp("sandbox"), KEY, batch_seconds=BATCH_SECONDS, world_provider=lambda: None
    ) as server:
        yield server


@pytest.fixture
def sandbox(_server: SandboxServer) -> SandboxServer:
    """Empty and without faults."""
    _server.reset()
    return _server


@pytest.fixture
def claude(sandbox: SandboxServer) -> Iterator[anthropic.Anthropic]:
    """The vendor's own client, which tries everything once."""
    with anthropic.Anthropic(base_url=sandbox.anthropic_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def slack(sandbox: SandboxServer) -> WebClient:
    """Slack's own client."""
    return WebClient(token=KEY, base_url=sandbox.slack_url)


def question(text: str = "Hello", **more: Any) -> dict[str, Any]:
    """Parameters of one message."""
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


def questions(count: int) -> list[Any]:
    """Requests of a batch, named r0, r1, ..."""
    return [{"custom_id": f"r{n}", "params": question(f"Question {n}")} for n in range(count)]


def advance(sandbox: SandboxServer, seconds: float) -> None:
    """Let the sandbox's clock run on."""
    sandbox.client.post("/control/clock", json={"advance_seconds": seconds}).raise_for_status()


def order_fault(sandbox: SandboxServer, vendor: str, kind: str, route: str = "*", **more: Any) -> None:
    """Put a fault on order."""
    order = {"vendor": vendor, "kind": kind, "route": route, **more}
    sandbox.client.post("/control/faults", json=order).raise_for_status()


def state(sandbox: SandboxServer) -> Any:
    """What the sandbox says happened so far."""
    return sandbox.client.get("/control/state").raise_for_status().json()
