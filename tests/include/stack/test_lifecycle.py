"""The whole stack, started, broken and stopped for real, in a folder and on ports of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from include.stack.settings import LOOPBACK, PORTS, REPOSITORY, StackSettings
from include.stack.supervision import Supervisor, leftovers, sweep


@pytest.fixture(scope="module")
def stack_env():
    probes = [socket.socket() for _ in PORTS]
    for probe in probes:
        probe.bind((LOOPBACK, 0))
    ports = {
        variable: str(p.getsockname()[1]) for (variable, _), p in zip(PORTS.values(), probes, strict=True)
    }
    for probe in probes:
        probe.close()
    # Without what the test session's own services put into the environment.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "MLFLOW", "NIGHTSHIFT"))
    }
    # Not below pytest's folder: another run of pytest closes that to the user PostgreSQL runs as.
    with TemporaryDirectory(prefix="nightshift-stack-", ignore_cleanup_errors=True) as folder:
        environment = {**inherited, **ports, "NIGHTSHIFT_VAR": str(Path(folder) / "var")}
        yield environment
        sweep(StackSettings.from_environment(environment))


def run(environment, *command):
    return subprocess.run(
        [sys.executable, "-m", "include.stack", *command],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def wait_for(is_so, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)


def listening_addresses(settings):
    mine = {process.pid for process in leftovers(settings)}
    return {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.pid in mine and connection.status == psutil.CONN_LISTEN
    }


def front_command(environment):
    return subprocess.Popen(
        [sys.executable, "-m", "include.stack", "up"],
        env=environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C, and their children with them.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def read_until(front, words):
    said = ""
    while words not in said:
        line = front.stdout.readline()
        assert line, said
        said += line
    return said


def test_the_stack_starts_survives_deaths_and_leaves_nothing(stack_env, tmp_path):
    settings = StackSettings.from_environment(stack_env)
    supervisor = Supervisor(settings)

    started = run(stack_env, "start")
    assert started.returncode == 0, started.stderr
    secrets = json.loads((settings.var / "secrets.json").read_text())
    assert secrets["airflow_password"] in started.stdout
    assert set(run(stack_env, "status").stdout.split()[1::2]) == {"healthy"}

    # Nothing but loopback is listened on, and no secret is on a command line.
    assert listening_addresses(settings) == {LOOPBACK}
    command_lines = " ".join(" ".join(process.cmdline()) for process in leftovers(settings))
    assert not [name for name, value in secrets.items() if value in command_lines]

    # A night that borrows a stack leaves it up, also when it fails.
    export = tmp_path / "export.csv"
    export.write_text("nothing of use\n1\n")
    night = run(stack_env, "nightly", "--ads-export", str(export))
    assert night.returncode == 1
    assert "export.csv, row 1: no column 'Impressions'" in night.stderr
    assert supervisor.is_running()

    # A program that is killed comes back by itself, though its own child still holds the port; a second start
    # waits for it instead of starting anew.
    others = {p for p in leftovers(settings) if "supervisor.supervisord" in " ".join(p.cmdline())}
    # Not the first that is listed: once process ids have wrapped, that can be MLflow's own child.
    mlflow = next(
        p for p in leftovers(settings) if "mlflow" in " ".join(p.cmdline()) and p.parent() in others
    )
    children = mlflow.children(recursive=True)
    assert children
    mlflow.send_signal(signal.SIGKILL)
    wait_for(lambda: not mlflow.is_running())
    wait_for(lambda: not set(children) & set(leftovers(settings)))
    assert "already up" in run(stack_env, "start").stdout
    assert all(p.is_running() for p in others)
    assert set(run(stack_env, "status").stdout.split()[1::2]) == {"healthy"}

    # The supervisor is killed outright: its programs are orphans now, and the next start deals with them.
    orphans = leftovers(settings)
    next(p for p in orphans if "supervisor.supervisord" in " ".join(p.cmdline())).kill()
    wait_for(lambda: not supervisor.is_running())
    began = time.monotonic()
    again = run(stack_env, "start")
    assert again.returncode == 0, again.stderr
    assert "cleaning up after it" in again.stdout
    assert not [p for p in orphans if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert time.monotonic() - began < 60

    stopped = run(stack_env, "down")
    assert stopped.returncode == 0, stopped.stderr
    assert leftovers(settings) == []
    assert not settings.env_file.exists()


def test_a_start_that_is_killed_or_interrupted_leaves_nothing_in_the_way(stack_env):
    settings = StackSettings.from_environment(stack_env)
    killed = front_command(stack_env)
    read_until(killed, "vendor sandbox")
    wait_for(lambda: len(leftovers(settings)) > 3)
    killed.kill()
    killed.communicate()
    assert len(leftovers(settings)) > 3

    front = front_command(stack_env)
    assert "cleaning up after it" in read_until(front, "vendor sandbox")
    busy = run(stack_env, "start")
    assert busy.returncode == 1
    assert f"process {front.pid} is starting or stopping the stack" in busy.stderr
    front.send_signal(signal.SIGINT)
    # An impatient second Ctrl-C does not cut the stopping short.
    read_until(front, "stopping what was started")
    time.sleep(0.2)
    front.send_signal(signal.SIGINT)
    output, _ = front.communicate(timeout=90)
    assert front.returncode == 130, output
    assert leftovers(settings) == []


def test_a_taken_port_stops_the_start_before_anything_runs(stack_env):
    settings = StackSettings.from_environment(stack_env)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, settings.ports["airflow"]))
        other.listen()
        refused = run(stack_env, "start")
    assert refused.returncode == 1
    assert f"port {settings.ports['airflow']}, which airflow wants" in refused.stderr
    assert "NIGHTSHIFT_AIRFLOW_PORT" in refused.stderr
    assert leftovers(settings) == []
