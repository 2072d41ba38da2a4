"""A container of the stand-in cluster: the base container is a process of this machine, a sidecar is none.

There are no images and no mounts here. The image is a folder to run in and an environment, given to the
cluster; each volume is a folder, and wherever command, arguments or environment name a mount's path, they are
made to name that folder. The process has a group of its own, so that a signal reaches what it started too.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.sandbox.kubernetes_objects import timestamp

# A line longer than this is cut, as the kubelet does, though later.
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Image:
    """What stands in for a container's image.

    Attributes:
        folder: its working directory.
        environment: its variables; nothing of this process's own environment reaches a container.
    """

    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True)
class LogLine:
    """A line a container wrote."""

    at: datetime
    text: str


class Container:
    """One container of a pod, from waiting over running to terminated.

    Args:
        spec: as in the pod.
        image: what it runs in.
        mounts: folder of each mount path.
        idle: it runs no process and waits to be signalled, as the sidecar that hands out the XCom does.
    """

    def __init__(self, spec: dict[str, Any], image: Image, mounts: Mapping[str, Path], *, idle: bool) -> None:
        self.name: str = spec["name"]
        self.mounts = mounts
        self.lines: list[LogLine] = []
        self.exit_code: int | None = None
        self.started_at: datetime | None = None
        self.grown = asyncio.Event()
        self._spec, self._image, self._idle = spec, image, idle
        self._waiting: dict[str, Any] = {"reason": "ContainerCreating"}
        self._process: asyncio.subprocess.Process | None = None
        self._signalled = asyncio.Event()
        self._terminated: dict[str, Any] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has started and not ended."""
        return self.started_at is not None and self._terminated is None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._terminated is not None

    def status(self) -> dict[str, Any]:
        """Its entry in the pod's `containerStatuses`."""
        if self._terminated is not None:
            state: dict[str, Any] = {"terminated": self._terminated}
        elif self.started_at is not None:
            state = {"running": {"startedAt": timestamp(self.started_at)}}
        else:
            state = {"waiting": self._waiting}
        return {
            "name": self.name,
            "image": self._spec.get("image") or "",
            "imageID": "",
            "ready": self.is_running,
            "started": self.is_running,
            "restartCount": 0,
            "state": state,
            "lastState": {},
        }

    def wait_because(self, reason: str, message: str) -> None:
        """Say why it does not start."""
        self._waiting = {"reason": reason, "message": message}

    async def run(self) -> None:
        """Run to the end; the status tells how it went."""
        self.started_at = datetime.now(UTC)
        if self._idle:
            await self._signalled.wait()
            code = 0
        else:
            code = await self._run_process()
        self.exit_code = code if code >= 0 else 128 - code
        reason = "Completed" if code == 0 else "Error"
        self._terminated = {
            "exitCode": self.exit_code,
            "reason": reason,
            "startedAt": timestamp(self.started_at),
            "finishedAt": timestamp(),
        }
        if code and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            self._terminated["message"] = "\n".join(line.text for line in self.lines[-10:])[-2048:]
        self._wake()

    def signal(self, number: int) -> None:
        """Send a signal to the process and what it started; the idle sidecar just ends."""
        self._signalled.set()
        if self._process is not None:
            # Also after its own end: what it started may live on.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def in_here(self, text: str) -> str:
        """The text with mount paths replaced by the folders that stand in for them."""
        for mount in sorted(self.mounts, key=len, reverse=True):
            text = re.sub(rf"(?<![\w./-]){re.escape(mount)}(?=/|$|[\s;'\"])", str(self.mounts[mount]), text)
        return text

    async def _run_process(self) -> int:
        command = [*(self._spec.get("command") or []), *(self._spec.get("args") or [])]
        environment = dict(self._image.environment)
        for variable in self._spec.get("env") or []:
            environment[variable["name"]] = self.in_here(str(variable.get("value") or ""))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(self.in_here(str(part)) for part in command),
                cwd=self._image.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                limit=_LONGEST_LINE,
            )
        except OSError as error:
            self._write(f"exec: {command[0] if command else '(nothing)'}: {error.strerror}")
            return 127
        reading = asyncio.create_task(self._read(self._process))
        code = await self._process.wait()
        self.signal(signal.SIGKILL)
        await reading
        return code

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:
                self._write("(a line too long to keep)")
                continue
            if not line:
                return
            self._write(line.decode(errors="replace").rstrip("\n"))

    def _write(self, text: str) -> None:
        self.lines.append(LogLine(datetime.now(UTC), text))
        self._wake()

    def _wake(self) -> None:
        self.grown.set()
        self.grown = asyncio.Event()
