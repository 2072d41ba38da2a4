"""A job as a process: followed to its end, stopped politely, and never run twice on the same shard."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from include.visual.errors import JobCrashed
from include.visual.process import LocalJob

POLITE = (
    "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(75))\nprint('on', flush=True)\n"
    "time.sleep(60)"
)
DEAF = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)"


def job(code: str, lock: Path, grace_s: float = 5.0) -> LocalJob:
    return LocalJob([sys.executable, "-c", code], lock, grace_s=grace_s)


def stopped(code: str, lock: Path, grace_s: float) -> tuple[int, float]:
    """Exit code of a job that is asked to stop once it runs, and the seconds that took."""
    running, began = threading.Event(), []
    started = job(code, lock, grace_s)

    def stop() -> None:
        running.wait(20)
        began.append(time.monotonic())
        started.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    code_at_end = started.run(lambda _: running.set())
    thread.join()
    return code_at_end, time.monotonic() - began[0]


def test_lines_are_told_and_the_exit_code_is_returned(tmp_path: Path) -> None:
    said: list[str] = []
    code = job("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", tmp_path / "lock").run(
        said.append
    )

    assert code == 3
    assert sorted(said) == ["err", "out"]


def test_a_signal_is_told_as_a_shell_tells_it(tmp_path: Path) -> None:
    assert job("import os; os.kill(os.getpid(), 9)", tmp_path / "lock").run(lambda _: None) == 137


def test_a_job_is_stopped_politely(tmp_path: Path) -> None:
    code, seconds = stopped(POLITE, tmp_path / "lock", grace_s=30)

    assert code == 75
    assert seconds < 10


def test_a_job_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    code, seconds = stopped(DEAF, tmp_path / "lock", grace_s=0.5)

    assert code == 137
    assert 0.4 < seconds < 10


def test_what_a_killed_worker_left_running_is_ended_first(tmp_path: Path) -> None:
    worker = (
        "import sys\nfrom pathlib import Path\nfrom include.visual.process import LocalJob\n"
        f"lock = Path({str(tmp_path / 'lock')!r})\n"
        f"LocalJob([sys.executable, '-c', {POLITE!r}], lock, grace_s=5).run(print)"
    )
    killed = subprocess.Popen([sys.executable, "-u", "-c", worker], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "on\n"
    orphan = int((tmp_path / "lock").read_text())
    killed.kill()
    killed.wait()
    os.kill(orphan, 0)
    said: list[str] = []

    assert job("print('second')", tmp_path / "lock").run(said.append) == 0
    assert said == [f"process {orphan} of an earlier attempt still works on this shard: ending it", "second"]
    # Gone, or dead and not yet buried by whoever adopted it.
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


def test_a_job_gets_no_connections_and_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTSHIFT_DB", "secret")
    monkeypatch.setenv("NIGHTSHIFT_API_KEYS", "secret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    said: list[str] = []
    job("import os; print(*os.environ.items(), sep='\\n')", tmp_path / "lock").run(said.append)

    assert not [line for line in said if "secret" in line]
    assert "('MLFLOW_TRACKING_URI', 'http://mlflow')" in said


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobCrashed, match="no-such-program cannot be started"):
        LocalJob(["no-such-program"], tmp_path / "lock", grace_s=1).run(lambda _: None)
