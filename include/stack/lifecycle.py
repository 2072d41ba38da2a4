"""Start everything in order, see that it is well, stop everything: behind `make up` and `make down`."""

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from include.db.engine import make_engine
from include.db.migrate import upgrade
from include.errors import PermanentError, TransientError
from include.stack import environment as env
from include.stack.programs import SCRIPTS, Program, cluster, programs, write_redis_config
from include.stack.secrets import load_or_make_secrets
from include.stack.settings import REPOSITORY, StackSettings, require_free_ports
from include.stack.supervision import WATCH, Supervisor, leftovers

Say = Callable[[str], None]

# The pool visual_analysis_gpu runs in. A task that is deferred while its pod runs holds its GPU all the same.
GPU_POOL = ("pools", "set", "gpu", "1", "GPUs that jobs may hold at once", "--include-deferred")

# States of a program that the supervisor keeps up, and how long one that died may need to be back.
_KEPT_UP = {"RUNNING", "STARTING", "BACKOFF", "EXITED"}
_RECOVERY_S = 60.0


class ProgramNotReady(TransientError):
    """A program did not become healthy in time, or keeps dying; its log is named."""


class StackBusy(PermanentError):
    """Another command is starting or stopping this stack right now."""


@dataclass(frozen=True)
class Stack:
    """One local stack: its settings, its secrets and the programs made of them."""

    settings: StackSettings
    secrets: dict[str, str]

    @classmethod
    def from_environment(cls) -> "Stack":
        """The stack that the environment's variables describe. Makes the secrets on first use."""
        settings = StackSettings.from_environment()
        return cls(settings, load_or_make_secrets(settings.var / "secrets.json"))

    @property
    def environment(self) -> dict[str, str]:
        """Variables of every program of the stack."""
        return env.stack_environment(self.settings, self.secrets)

    @property
    def programs(self) -> list[Program]:
        """The programs in starting order."""
        return programs(self.settings, self.secrets)

    @property
    def supervisor(self) -> Supervisor:
        """The stack's supervisord."""
        return Supervisor(self.settings)


def start(stack: Stack, say: Say) -> bool:
    """Bring every program up and healthy. A stack that is already up is left as it is.

    A run that was killed before is cleaned up first. On failure, everything started is stopped again.

    Returns:
        Whether it was this call that started it.

    Raises:
        StackBusy, PortUnusable, ProgramNotReady, ClusterNotMade: each says what to do.
    """
    with _exclusive(stack.settings):
        if _is_up(stack):
            say("already up")
            return False
        if leftovers(stack.settings):
            say("a previous run was not stopped properly: cleaning up after it")
            _stop(stack)
        require_free_ports(stack.settings)
        try:
            _start(stack, say)
        except BaseException:
            say("stopping what was started")
            _stop(stack)
            raise
    return True


def stop(stack: Stack) -> None:
    """Stop everything in order. Nothing of the stack is running afterwards."""
    with _exclusive(stack.settings):
        _stop(stack)


def status(stack: Stack) -> dict[str, str]:
    """Per program: `healthy`, `not answering`, or the state supervisord gives it."""
    states = stack.supervisor.states()
    answer = {}
    for program in stack.programs:
        state = states.get(program.name, "STOPPED")
        answer[program.name] = (
            ("healthy" if program.is_healthy() else "not answering") if state == "RUNNING" else state.lower()
        )
    return answer


def _is_up(stack: Stack) -> bool:
    """Whether everything runs and is well. What the supervisor is just restarting is waited for."""
    deadline = time.monotonic() + _RECOVERY_S
    while (states := set(stack.supervisor.states().values())) and states <= _KEPT_UP:
        if all(program.is_healthy() for program in stack.programs):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return False


def _stop(stack: Stack) -> None:
    with _uninterrupted():
        stack.supervisor.stop()
    stack.settings.env_file.unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Deaf to a second Ctrl-C, a `kill`, a closed terminal: half a stop leaves half of it running."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)


def _start(stack: Stack, say: Say) -> None:
    by_name = {program.name: program for program in stack.programs}
    supervisor, airflow = stack.supervisor, stack.settings.var / "airflow"
    airflow.mkdir(parents=True, exist_ok=True)
    (stack.settings.var / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)
    _write_private(
        airflow / "simple_auth_manager_passwords.json",
        json.dumps({"admin": stack.secrets["airflow_password"]}),
    )

    write_redis_config(stack.settings, stack.secrets)
    postgres = cluster(stack.settings, stack.secrets)
    if (postgres.data / "PG_VERSION").exists():
        say("PostgreSQL")
    else:
        say("PostgreSQL (making its data folder)")
        _migration_mark(stack).unlink(missing_ok=True)
    postgres.make_if_absent()
    supervisor.start(stack.programs, stack.environment)
    supervisor.start_program("postgres")
    _wait_for(supervisor, by_name["postgres"], stack.settings)
    for database in env.DATABASES:
        postgres.make_database(database, vector=database == "nightshift")
    say("schema of the nightshift database")
    upgrade(make_engine(postgres.dsn("nightshift")))
    # Command-line programs find their connections here; written once the database they name exists.
    _write_private(
        stack.settings.env_file,
        "".join(
            f"{name}={value}\n"
            for name, value in {
                **env.connections(stack.settings, stack.secrets),
                "MLFLOW_TRACKING_URI": stack.settings.url("mlflow"),
                "NIGHTSHIFT_SANDBOX_URL": stack.settings.url("sandbox"),
                "NIGHTSHIFT_SANDBOX_KEY": stack.secrets["sandbox_key"],
            }.items()
        ),
    )

    say("Redis, vendor sandbox, MLflow, HTTP service and the schema of Airflow's database")
    for name in ("redis", "sandbox", "mlflow", "serving"):
        supervisor.start_program(name)
    _migrate_airflow(stack)
    say("Airflow")
    for name in by_name:
        if name.startswith("airflow-"):
            supervisor.start_program(name)
    with ThreadPoolExecutor(len(by_name)) as pool:
        list(pool.map(lambda program: _wait_for(supervisor, program, stack.settings), by_name.values()))
    supervisor.start_program(WATCH)
    say("up")


def _migrate_airflow(stack: Stack) -> None:
    """Airflow's tables and pools, skipped where this Airflow version has already made them."""
    done = _migration_mark(stack)
    if done.exists():
        return
    log = stack.settings.logs / "airflow-db-migrate.log"
    for arguments in (("db", "migrate"), GPU_POOL):
        with log.open("ab") as out:
            result = subprocess.run(
                [str(SCRIPTS / "airflow"), *arguments],
                env={**os.environ, **stack.environment},
                cwd=REPOSITORY,
                stdout=out,
                stderr=out,
                check=False,
            )
        if result.returncode:
            raise ProgramNotReady(f"Airflow could not prepare its database: see {log}")
    done.touch()


def _migration_mark(stack: Stack) -> Path:
    return stack.settings.run / f"airflow-{version('apache-airflow')}-with-pools.migrated"


def _wait_for(supervisor: Supervisor, program: Program, settings: StackSettings) -> None:
    deadline = time.monotonic() + program.ready_within_s
    while not program.is_healthy():
        log = settings.logs / f"{program.name}.log"
        if supervisor.states().get(program.name) in {"FATAL", "EXITED"}:
            raise ProgramNotReady(f"{program.name} does not stay up: see {log}{_last_words(log)}")
        if time.monotonic() > deadline:
            raise ProgramNotReady(
                f"{program.name} did not become healthy within {program.ready_within_s:.0f} seconds: "
                f"see {log}{_last_words(log)}"
            )
        time.sleep(0.25)


def _last_words(log: Path) -> str:
    if not log.exists():
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f" (last line: {lines[-1][:200]})" if lines else ""


def _write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, all at once."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


@contextmanager
def _exclusive(settings: StackSettings) -> Iterator[None]:
    """Hold the stack's lock. The kernel frees it when its holder dies, so it is never stale."""
    settings.run.mkdir(parents=True, exist_ok=True)
    with (settings.run / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise StackBusy(
                f"process {file.read().strip() or '?'} is starting or stopping the stack in {settings.var}: "
                "wait for it, or end it"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
