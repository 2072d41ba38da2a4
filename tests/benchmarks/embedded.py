"""A PostgreSQL for one benchmark: started, migrated, and gone afterwards."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.db import make_engine
from include.db.migrate import upgrade
from include.stack.postgres import Cluster

PATIENCE_S = 60


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """URL of a migrated database on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as folder:
        # The server runs as another user than root, who has to reach its folder.
        Path(folder).chmod(0o755)
        cluster = Cluster(Path(folder) / "postgres", free_port(), "bench")
        cluster.make_if_absent()
        with (Path(folder) / "postgres.log").open("wb") as log:
            server = subprocess.Popen(
                cluster.command(), user=cluster.system_user, cwd="/", stdout=log, stderr=log
            )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not cluster.accepts_connections():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"PostgreSQL did not start within {PATIENCE_S} s")
                time.sleep(0.1)
            cluster.make_database("bench", vector=True)
            engine = make_engine(cluster.dsn("bench"))
            upgrade(engine)
            engine.dispose()
            yield cluster.dsn("bench")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(PATIENCE_S)


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
