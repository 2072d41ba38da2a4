"""supervisord, kept on a short lead: one configuration file, one Unix socket, no network port.

It restarts what dies. `include.stack.watch`, itself one of its programs, restarts what lives but no longer
answers. Everything it starts carries the marker variable, so that what a killed run left behind can be found.
"""

import configparser
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from include.errors import TransientError
from include.stack.environment import MARKER
from include.stack.programs import Program
from include.stack.settings import REPOSITORY, StackSettings

WATCH = "watch"
_TOGETHER = "stack"
_SOCKET_PATH_LIMIT = 100
_STOP_WITHIN_S = 45.0


class SupervisorUnreachable(TransientError):
    """supervisord did not come up, or does not answer."""


class Supervisor:
    """The supervisord of one stack, running or not."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self.config = settings.run / "supervisord.conf"
        self.socket = _socket_path(settings)

    def start(self, programs: list[Program], environment: Mapping[str, str]) -> None:
        """Run supervisord in a session of its own with no program started yet.

        Raises:
            SupervisorUnreachable: it ended, or did not answer within ten seconds; its log is named.
        """
        self._settings.run.mkdir(parents=True, exist_ok=True)
        self._settings.logs.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self._write_config(programs)
        log = self._settings.logs / "supervisord.out"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **environment},
                cwd=REPOSITORY,
                # Ctrl-C reaches the command in front, which then stops everything in order.
                start_new_session=True,
            )
        _remember_session(self._settings, process.pid)
        deadline = time.monotonic() + 10
        while not self.is_running():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SupervisorUnreachable(f"supervisord did not start: see {log}")
            time.sleep(0.1)

    def is_running(self) -> bool:
        """Whether supervisord answers on its socket."""
        try:
            state = self._rpc().supervisor.getState()
        except (OSError, xmlrpc.client.Error):
            return False
        return bool(state["statename"] == "RUNNING")

    def states(self) -> dict[str, str]:
        """State per program in supervisord's words (`RUNNING`, `FATAL`, ...); empty when it is down."""
        try:
            return {str(row["name"]): str(row["statename"]) for row in self._call("getAllProcessInfo")}
        except SupervisorUnreachable:
            return {}

    def start_program(self, name: str) -> None:
        """Start one program without waiting for it; one that already runs is left alone."""
        if self.states().get(name) not in {"RUNNING", "STARTING"}:
            self._call("startProcess", self._full_name(name), False)

    def restart_program(self, name: str) -> None:
        """Stop one program, waiting for its end, and start it again."""
        if self.states().get(name) in {"RUNNING", "STARTING"}:
            self._call("stopProcess", self._full_name(name), True)
        self._call("startProcess", self._full_name(name), False)

    def stop(self) -> None:
        """End every program, the one that others need last, then supervisord, then what has the marker."""
        # It may be ending already, or die meanwhile; the sweep ends what it leaves.
        with contextlib.suppress(SupervisorUnreachable, psutil.NoSuchProcess):
            process = psutil.Process(int(self._call("getPID")))
            self._call("shutdown")
            try:
                process.wait(timeout=_STOP_WITHIN_S)
            except psutil.TimeoutExpired:
                process.kill()
        sweep(self._settings)
        self.socket.unlink(missing_ok=True)

    def _full_name(self, name: str) -> str:
        """With its group, as supervisord wants it."""
        groups = {row["name"]: row["group"] for row in self._call("getAllProcessInfo")}
        return f"{groups.get(name, name)}:{name}"

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._rpc().supervisor, method)(*arguments)
        except (OSError, xmlrpc.client.Error) as error:
            raise SupervisorUnreachable(f"supervisord did not carry out {method}: {error}") from error

    def _rpc(self) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self.socket}")
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport)

    def _write_config(self, programs: list[Program]) -> None:
        logs, run = self._settings.logs, self._settings.run
        config = configparser.RawConfigParser()
        config["unix_http_server"] = {"file": str(self.socket), "chmod": "0700"}
        config["supervisord"] = {
            "logfile": str(logs / "supervisord.log"),
            "logfile_maxbytes": "5MB",
            "logfile_backups": "1",
            "pidfile": str(run / "supervisord.pid"),
            "loglevel": "info",
            # Said aloud because supervisord warns when root leaves it out.
            **({"user": "root"} if os.geteuid() == 0 else {}),
        }
        config["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        everything = [*programs, watch_program()]
        # Groups are stopped one after the other, highest priority first; the programs of a group together.
        config[f"group:{_TOGETHER}"] = {
            "programs": ",".join(program.name for program in everything if not program.stops_last),
            "priority": "2",
        }
        for program in everything:
            config[f"program:{program.name}"] = {
                "command": " ".join(_quoted(word) for word in program.command),
                "directory": str(program.directory),
                "priority": "1",
                "autostart": "false",
                "autorestart": "true",
                "startsecs": "2",
                "startretries": "5",
                "stopsignal": program.stop_signal,
                "stopwaitsecs": "20",
                "stopasgroup": str(program.stop_group).lower(),
                "killasgroup": str(program.stop_group).lower(),
                "redirect_stderr": "true",
                "stdout_logfile": str(logs / f"{program.name}.log"),
                "stdout_logfile_maxbytes": "20MB",
                "stdout_logfile_backups": "2",
                **({"user": program.user} if program.user else {}),
            }
        with self.config.open("w") as file:
            config.write(file)


def watch_program() -> Program:
    """The program that restarts what no longer answers."""
    return Program(WATCH, [sys.executable, "-m", "include.stack", "watch"], lambda: True)


def leftovers(settings: StackSettings) -> list[psutil.Process]:
    """Processes of this stack that are alive, whoever their parent is; the caller is never among them."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    session = _remembered_session(settings)
    found = []
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        try:
            if process.status() != psutil.STATUS_ZOMBIE and (
                os.getsid(process.pid) == session or process.environ().get(MARKER) == str(settings.var)
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_orphaned_servers(settings: StackSettings) -> list[int]:
    """End what a killed program left listening, which keeps the port from the one that replaces it.

    Returns:
        The ports that are free again.
    """
    freed = []
    for process in leftovers(settings):
        try:
            # supervisord makes each program the leader of its group; a group without one is an orphan.
            if psutil.pid_exists(os.getpgid(process.pid)):
                continue
            listening = {
                c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN
            }
            if ours := listening & set(settings.ports.values()):
                process.kill()
                freed += sorted(ours)
        except (psutil.Error, OSError):
            continue
    return freed


def _remember_session(settings: StackSettings, leader: int) -> None:
    (settings.run / "session").write_text(f"{leader} {psutil.Process(leader).create_time()}")


def _remembered_session(settings: StackSettings) -> int | None:
    """Session of the last supervisord: a program that rewrites its title loses the marker, not this."""
    try:
        leader, born = (settings.run / "session").read_text().split()
        alive = psutil.Process(int(leader))
    except psutil.NoSuchProcess:
        # Since the machine was started anew, the number may mean anybody's session.
        return int(leader) if float(born) > psutil.boot_time() else None
    except (OSError, ValueError):
        return None
    # The number may have gone to somebody else's session since.
    return int(leader) if alive.create_time() == float(born) else None


def sweep(settings: StackSettings, *, patience_s: float = 10.0) -> int:
    """End all processes of this stack that are still alive, kindly first. Returns how many there were."""
    processes = leftovers(settings)
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=patience_s)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
    return len(processes)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _quoted(word: str) -> str:
    # supervisord splits with shlex and expands %(...)s.
    escaped = word.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _socket_path(settings: StackSettings) -> Path:
    """Beside the rest, unless that path is longer than the kernel allows for a socket."""
    path = settings.run / "supervisor.sock"
    # supervisord binds under a longer temporary name first.
    if len(str(path)) + 10 <= _SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(str(settings.var).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"nightshift-{digest}.sock"
