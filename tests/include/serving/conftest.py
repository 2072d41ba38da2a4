"""The service under test: the real app, served over HTTP on loopback, on a database of the test's own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import Engine, text

from include.config import Thresholds, thresholds
from include.serving import ApiKeys, create_app
from include.serving.app import llm_subject

EVERYBODYS = "key-of-the-whole-house"
FIRST, SECOND = "key-of-the-first-account", "key-of-the-second-account"
PATH = "/api/llm/requests"


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The app behind a real server; gives its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 15
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            assert time.monotonic() < deadline, "the service did not start in time"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def make_client(db: Engine) -> Iterator[Callable[..., httpx.Client]]:
    """Makes a client of a service of its own; arguments change `thresholds().serving`."""
    with ExitStack() as stack:

        def make(key: str = EVERYBODYS, engine: Engine = db, **limits: Any) -> httpx.Client:
            settings = changed(**limits)
            keys = ApiKeys({"*": EVERYBODYS, "a1": FIRST, "a2": SECOND})
            url = stack.enter_context(served(create_app(keys, [llm_subject(engine, settings)], settings)))
            return stack.enter_context(httpx.Client(base_url=url, headers={"x-api-key": key}, timeout=30))

        yield make


@pytest.fixture
def client(make_client: Callable[..., httpx.Client]) -> httpx.Client:
    """A client whose key is good for every tenant."""
    return make_client()


def changed(**limits: Any) -> Thresholds:
    known = thresholds()
    return known.model_copy(update={"serving": known.serving.model_copy(update=limits)})


def question(words: str = "Why?", tenant: str = "a1", **changes: Any) -> dict[str, Any]:
    """One request as it is sent."""
    return {
        "endpoint": "/v1/messages",
        "model": "claude-haiku-4-5",
        "purpose": "training_data",
        "tenant": tenant,
        "subject": "s1",
        "text": words,
        "max_tokens": 50,
        **changes,
    }


def embedding(*texts: str, **changes: Any) -> dict[str, Any]:
    """One request for vectors as it is sent."""
    body = {
        "endpoint": "/v1/embeddings",
        "model": "text-embedding-3-small",
        "purpose": "embedding",
        "tenant": "a1",
        "subject": "hooks",
        "texts": list(texts) or ["hello"],
    }
    return {**body, **changes}


def ask(client: httpx.Client, *requests: dict[str, Any], key: str | None = None) -> httpx.Response:
    headers = {"x-api-key": key} if key else {}
    return client.post(PATH, json={"requests": list(requests)}, headers=headers)


def stored(db: Engine) -> int:
    """How many requests the queue holds."""
    with db.connect() as conn:
        return int(conn.execute(text("SELECT count(*) FROM llm.llm_request")).scalar_one())
