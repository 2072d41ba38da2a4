"""State outlives the process, and the program starts only where it is safe."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anthropic
import httpx
import psutil
import pytest
from slack_sdk import WebClient

from include.sandbox.__main__ import main
from include.sandbox.app import SandboxNotSafe, create_app
from include.sandbox.server import SandboxServer
from include.sandbox.state import SandboxState, StateUnusable, VirtualClock
from include.sandbox.world import world_of_database

from .conftest import KEY, advance, order_fault, questions, state


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    with SandboxServer(tmp_path, KEY, batch_seconds=60, world_provider=lambda: None) as sandbox:
        claude = anthropic.Anthropic(base_url=sandbox.anthropic_url, api_key=KEY, max_retries=0)
        batch = claude.messages.batches.create(requests=questions(10))
        WebClient(token=KEY, base_url=sandbox.slack_url).chat_postMessage(channel="#somewhere", text="kept")
        order_fault(sandbox, "meta", "server_error", times=3)
        advance(sandbox, 61)
        before = state(sandbox)
        sandbox.restart()
        after = state(sandbox)
        assert after["clock"]["offset_seconds"] == 61
        for name in ("batches", "bill", "slack", "requests", "faults"):
            assert after[name] == before[name]
        assert len(list(claude.messages.batches.results(batch.id))) == 10


@contextmanager
def _program(folder: Path, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "include.sandbox", "--port", str(port), "--state", str(folder), *more]
    program = subprocess.Popen(
        command,
        env={**os.environ, "NIGHTSHIFT_SANDBOX_KEY": KEY},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield program
    finally:
        program.kill()
        program.wait(10)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_killed_program_continues_where_it_was(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    claude = anthropic.Anthropic(base_url=f"{url}/anthropic", api_key=KEY, max_retries=0)
    with _program(tmp_path, port, "--batch-seconds", "0.5") as program:
        _wait_for(url)
        batch = claude.messages.batches.create(requests=questions(300))
        program.send_signal(signal.SIGKILL)
        program.wait(10)
    time.sleep(0.5)
    with _program(tmp_path, port):
        _wait_for(url)
        assert len(list(claude.messages.batches.results(batch.id))) == 300


@pytest.mark.parametrize(
    ("more", "key", "complaint"),
    [
        ([], "", "NIGHTSHIFT_SANDBOX_KEY"),
        (["--host", "0.0.0.0"], KEY, "--allow-other-hosts"),  # noqa: S104
    ],
)
def test_the_program_refuses_to_start_unsafely(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    key: str,
    complaint: str,
) -> None:
    monkeypatch.setenv("NIGHTSHIFT_SANDBOX_KEY", key)
    assert main(["--port", "1", "--state", str(tmp_path), *more]) == 2
    assert complaint in capsys.readouterr().err


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxNotSafe, match="NIGHTSHIFT_SANDBOX_KEY"):
        create_app(tmp_path, "")


def test_a_file_that_is_no_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look like one " * 20)
    with pytest.raises(StateUnusable, match=r"notes\.txt"):
        SandboxState(tmp_path / "notes.txt")


def test_without_a_database_there_is_no_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIGHTSHIFT_VAR", str(tmp_path))
    monkeypatch.delenv("AIRFLOW_CONN_NIGHTSHIFT_DB", raising=False)
    monkeypatch.delenv("NIGHTSHIFT_WORLD", raising=False)
    provider = world_of_database()
    assert provider() is None
    monkeypatch.setenv(
        "AIRFLOW_CONN_NIGHTSHIFT_DB",
        '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "x"}',
    )
    assert provider() is None


def test_threads_share_the_file_and_leave_nothing_open(tmp_path: Path) -> None:
    kept = SandboxState(tmp_path / "state.sqlite3")
    clock = VirtualClock(kept)
    before = _open_below(tmp_path)
    assert before
    threads = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(20)]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _open_below(tmp_path) == before
    assert VirtualClock(kept).offset() == 200
    kept.close()
    assert _open_below(tmp_path) == []


def _open_below(folder: Path) -> list[str]:
    return sorted(file.path for file in psutil.Process().open_files() if file.path.startswith(str(folder)))
