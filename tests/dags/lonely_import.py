"""Imports DAG files, each in a process of its own, and tells what that process did besides.

Airflow and an empty DAG come first, so that only what the file adds is told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from include.stack.settings import REPOSITORY
from tests.benchmarks.bench_dags import EMPTY_DAG

# Loading one of these costs time or memory on every parse, or is a step towards calling somebody.
HEAVY = {
    "alembic",
    "anthropic",
    "evidently",
    "fastapi",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "numpy",
    "openai",
    "pandas",
    "pgvector",
    "psycopg",
    "psycopg2",
    "redis",
    "requests",
    "scipy",
    "sklearn",
    "slack_sdk",
    "torch",
    "xgboost",
}
# Airflow itself loads SQLAlchemy; an engine of ours would show by its driver.
HEAVY_INSIDE = ("include.", "ml.")
# Nothing but exception classes, by which the retry policy decides.
LIGHT_INSIDE = {"include.errors", "ml.errors"}

_WATCHED_IMPORTS = """
import json, os, runpy, sys
exec(compile(sys.argv[1], "empty.py", "exec"), {})
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "socket.sendto",
           "subprocess.Popen", "os.system", "os.fork", "os.exec", "sqlite3.connect", "urllib.Request")

def writes(event, arguments):
    return event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")

def import_watched(file):
    before, calls, armed = set(sys.modules), [], True
    def watch(event, arguments):
        if armed and (event in WATCHED or writes(event, arguments)):
            calls.append(f"{event} {arguments!r}"[:200])
            raise PermissionError(f"not while a DAG file is imported: {calls[-1]}")
    sys.addaudithook(watch)
    failure = None
    try:
        runpy.run_path(file)
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}"
    armed = False
    return {"modules": sorted(set(sys.modules) - before), "calls": calls, "failure": failure}

for file in sys.argv[2:]:
    child = os.fork()
    if not child:
        print("told", json.dumps([file, import_watched(file)]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@dataclass(frozen=True)
class LonelyImport:
    """What importing a file added.

    Attributes:
        modules: that it loaded beyond those of an empty DAG.
        calls: attempts at network, processes, SQLite or writing files; each was refused.
        failure: why the import failed, `None` where it did not.
    """

    modules: tuple[str, ...]
    calls: tuple[str, ...]
    failure: str | None

    @property
    def heavy(self) -> list[str]:
        """Of the modules, those a DAG file has no business with."""
        packages = {module.partition(".")[0] for module in self.modules} & HEAVY
        ours = {module for module in self.modules if module.startswith(HEAVY_INSIDE)} - LIGHT_INSIDE
        return sorted(packages | ours)


def import_alone(files: Sequence[Path], airflow_home: Path) -> dict[Path, LonelyImport]:
    """Import DAG files, each by itself, refusing it everything but reading.

    The variables of Airflow and Nightshift are not there, so a file that needs a connection fails.
    """
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
    ours = ("AIRFLOW", "NIGHTSHIFT", "MLFLOW")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", _WATCHED_IMPORTS, EMPTY_DAG, *map(str, files)],
        env=bare | {"PYTHONPATH": path, "AIRFLOW_HOME": str(airflow_home)},
        cwd=airflow_home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.removeprefix("told ") for line in done.stdout.splitlines() if line.startswith("told ")]
    told = dict(map(json.loads, lines))
    assert len(told) == len(files), done.stderr[-3000:]
    return {
        file: LonelyImport(
            tuple(told[str(file)]["modules"]), tuple(told[str(file)]["calls"]), told[str(file)]["failure"]
        )
        for file in files
    }
