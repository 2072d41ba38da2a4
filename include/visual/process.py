"""A job run as a process of this machine, where there is no cluster: followed, stopped politely, never
twice.

An attempt whose worker was killed may leave its process behind. A lock that the process itself holds
tells the next attempt of it, which ends the old process before it starts its own: two would write the
same results.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from include.visual.errors import JobCrashed

# What a job has no business with: connections, keys, Airflow's settings.
_KEPT_FROM_JOBS = ("AIRFLOW", "NIGHTSHIFT", "MLFLOW_FLASK", "MLFLOW_WEBHOOK", "MLFLOW_BACKEND")
_LOCK_POLL_S = 0.1


class LocalJob:
    """One job, from its start to its end.

    Args:
        command: the program and its arguments.
        lock: a file that exists while and after the job runs.
        grace_s: between signal 15 and 9.
        variables: of the environment, besides those of this process that are a job's business.
    """

    def __init__(
        self,
        command: Sequence[str],
        lock: Path,
        *,
        grace_s: float,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._variables = dict(variables or {})
        self._lock = lock
        self._grace_s = grace_s
        self._process: subprocess.Popen[str] | None = None

    def run(self, say: Callable[[str], None]) -> int:
        """Run to the end, ending first what an earlier attempt left behind.

        Args:
            say: gets every line that the job writes.

        Returns:
            its exit code, 128 + n where signal n ended it.

        Raises:
            JobCrashed: the program cannot be started, or the old process does not end.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as held:
            self._take(held.fileno(), say)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the command is the configuration's
                    self._command,
                    env=_environment() | self._variables,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                    # The process holds the lock from now on, until it ends, however it ends.
                    pass_fds=(held.fileno(),),
                )
            except OSError as error:
                raise JobCrashed(
                    f"the job's program {self._command[0]} cannot be started: {error}"
                ) from error
            held.truncate(0)
            held.write(str(self._process.pid))
        try:
            assert self._process.stdout is not None  # noqa: S101 - it was asked for above
            for line in self._process.stdout:
                say(line.rstrip("\n"))
            code = self._process.wait()
        finally:
            self.stop()
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """Ask the job to stop, and kill it with all it started when it does not in time."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            _signal(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._grace_s)
        # Also when it has ended: what it started may live on.
        _signal(process.pid, signal.SIGKILL)
        process.wait()

    def _take(self, lock: int, say: Callable[[str], None]) -> None:
        if _locked(lock):
            return
        pid = int(self._lock.read_text() or 0)
        say(f"process {pid} of an earlier attempt still works on this shard: ending it")
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal(pid, number)
            deadline = time.monotonic() + self._grace_s
            while time.monotonic() < deadline:
                if _locked(lock):
                    return
                time.sleep(_LOCK_POLL_S)
        raise JobCrashed(f"process {pid} of an earlier attempt works on this shard and does not end: end it")


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _signal(group: int, number: int) -> None:
    if group > 1:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_FROM_JOBS)}
