"""The sandbox in a thread of this process, on a loopback port: what tests use."""

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import uvicorn

from include.errors import TransientError
from include.sandbox.app import DEFAULT_BATCH_SECONDS, create_app
from include.sandbox.world import WorldProvider

LOOPBACK = "127.0.0.1"
START_SECONDS = 15.0


class SandboxNotStarted(TransientError):
    """The server did not come up in time."""


def server_config(app: object, host: str, port: int, *, log_level: str) -> uvicorn.Config:
    """How the sandbox is served, in a thread or as a program."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=port,
        log_level=log_level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


class SandboxServer:
    """A running sandbox, as a context manager.

    Args:
        state_path: the SQLite file, or the folder to keep it in; an existing one is continued.
        api_key: the key it accepts.
        port: a loopback port; 0 for any free one, which is kept over restarts.
        batch_seconds: virtual seconds after which a message batch has ended.
        world_provider: see `create_app`.

    Attributes:
        client: an `httpx.Client` on it that carries the key.
    """

    def __init__(
        self,
        state_path: Path,
        api_key: str,
        *,
        port: int = 0,
        batch_seconds: float = DEFAULT_BATCH_SECONDS,
        world_provider: WorldProvider | None = None,
    ) -> None:
        self.api_key = api_key
        self.port = port
        self._state_path = state_path
        self._batch_seconds = batch_seconds
        self._world_provider = world_provider
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.client = httpx.Client(headers={"authorization": f"Bearer {api_key}"}, timeout=30)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def anthropic_url(self) -> str:
        """The base URL for Anthropic's SDK."""
        return f"{self.url}/anthropic"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's SDK."""
        return f"{self.url}/openai/v1"

    @property
    def slack_url(self) -> str:
        """The base URL for Slack's SDK."""
        return f"{self.url}/slack/api/"

    @property
    def hubspot_url(self) -> str:
        """Base URL of the HubSpot part."""
        return f"{self.url}/hubspot"

    @property
    def meta_url(self) -> str:
        """The base URL for a client of Meta's Graph API, version excluded."""
        return f"{self.url}/meta"

    def webhook_url(self, channel: str) -> str:
        """The address of an incoming webhook to `channel` (no `#`)."""
        return f"{self.url}/slack/services/T0NIGHTSFT/{channel}/{self.api_key}"

    def start(self) -> None:
        """Start serving and wait until it answers.

        Raises:
            SandboxNotStarted: it did not within some seconds.
            OSError: the port is taken.
        """
        app = create_app(self._state_path, self.api_key, self._world_provider, self._batch_seconds)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, self.port))
        self.port = listener.getsockname()[1]
        self._server = uvicorn.Server(server_config(app, LOOPBACK, self.port, log_level="critical"))
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="sandbox", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise SandboxNotStarted(f"the sandbox did not start on {self.url} in {START_SECONDS:.0f} s")
            time.sleep(0.005)
        self.client.base_url = httpx.URL(self.url)

    def stop(self) -> None:
        """Stop serving; the state stays."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=10)
            self._server = self._thread = None

    def restart(self) -> None:
        """Stop, and start again on the same state and port."""
        self.stop()
        self.start()

    def reset(self) -> None:
        """Forget all state and faults."""
        self.client.post("/control/reset").raise_for_status()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.client.close()
