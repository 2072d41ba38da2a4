"""A process that decodes one video after the other, and how to talk to it.

Decoders are large, old C programs fed with strangers' files: they crash, hang, and take all memory. Here that
costs one video: the process has a limit on memory, can be killed when it takes too long, and is then started
anew. It serves many videos, so its start (0.3 s) is paid once. Frames come back through a pipe, a tenth of
a millisecond each.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from ml.visual.decoding import Question, watch
from ml.visual.errors import VideoNotFinished, VideoUnusable
from ml.visual.sampling import Sampling
from ml.visual.settings import Limits, Measuring

_HEAD = struct.Struct("<IQ")
_PIPE_BYTES = 1 << 20
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class DecoderProcess:
    """A process that decodes; started when first asked, and again after it had to be killed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def watch(
        self, question: Question
    ) -> Generator[tuple[list[float], np.ndarray] | dict[str, Any], None, None]:
        """Decode a video: batches of (times, frames), and at the end what `ml.visual.decoding.watch` tells.

        The process may be waited for as long as the limits of the question say, all together: their base at
        first, and more once the video has said how long it plays.

        Raises:
            VideoUnusable: it cannot be decoded, or the process died of it.
            VideoNotFinished: it took too long.
        """
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - opened with a pipe
        limits = question.limits
        left = allowed = limits.base_s
        try:
            process.stdin.write(json.dumps(asdict(question)).encode() + b"\n")
            process.stdin.flush()
            while True:
                began = time.monotonic()
                told, frames = self._receive(process, began + left)
                left -= time.monotonic() - began
                if "plays_s" in told:
                    more = limits.per_second_s * min(float(told["plays_s"]), limits.longest_s)
                    left, allowed = left + more, allowed + more
                    continue
                if "failed" in told:
                    raise VideoUnusable(str(told["failed"]))
                if "shape" not in told:
                    yield told
                    return
                yield told["times"], np.frombuffer(frames, np.uint8).reshape(told["shape"])
        except (EOFError, BrokenPipeError) as error:
            code = process.wait()
            self.close()
            if code == -signal.SIGKILL:
                # Its own limits end otherwise: somebody, such as a node without memory, killed it.
                raise VideoNotFinished(
                    "its decoder was killed from outside; it is tried again next time"
                ) from error
            why = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise VideoUnusable(
                f"the decoder died of it ({why}): it is damaged or made to do harm"
            ) from error
        except VideoNotFinished:
            self.close()
            raise VideoNotFinished(
                f"decoding took longer than {allowed:.0f} s and was given up; it is tried again next time"
            ) from None
        except GeneratorExit:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        self.close()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ml.visual.decoder_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # There is a process for each core: threads of its libraries would only spin.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        return self.process

    def _receive(self, process: subprocess.Popen[bytes], deadline: float) -> tuple[dict[str, Any], bytearray]:
        head, size = _HEAD.unpack(self._exactly(process, _HEAD.size, deadline))
        told = json.loads(self._exactly(process, head, deadline))
        return told, self._exactly(process, size, deadline)

    @staticmethod
    def _exactly(process: subprocess.Popen[bytes], count: int, deadline: float) -> bytearray:
        assert process.stdout is not None  # noqa: S101 - opened with a pipe
        pipe = process.stdout.fileno()
        found, filled = bytearray(count), 0
        while filled < count:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise VideoNotFinished("the decoder is silent")
            piece = os.readv(pipe, [memoryview(found)[filled : filled + _PIPE_BYTES]])
            if not piece:
                raise EOFError
            filled += piece
        return found


def main() -> None:
    """Answer questions from standard input until it ends."""
    # Whoever stops the job stops this process through the pipe; a signal to the whole group must not look
    # like a video that kills decoders.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    _die_with_parent()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    import cv2

    cv2.setNumThreads(1)
    for line in sys.stdin.buffer:
        _answer(_question(json.loads(line)), answers)


def _answer(question: Question, answers: IO[bytes]) -> None:
    _limit_memory(question.limits)

    def send(times: list[float], frames: np.ndarray) -> None:
        _tell(
            answers,
            {"times": times, "shape": frames.shape},
            memoryview(np.ascontiguousarray(frames).data).cast("B"),
        )

    try:
        told = watch(question, send, lambda plays_s: _tell(answers, {"plays_s": plays_s}))
    except VideoUnusable as error:
        told = {"failed": str(error)}
    except MemoryError:
        told = {"failed": f"decoding it takes more than {question.limits.memory_mb:,} MB of memory"}
    _tell(answers, told)


def _question(values: dict[str, Any]) -> Question:
    limits, measuring = Limits(**values.pop("limits")), Measuring(**values.pop("measuring"))
    return Question(
        **{**values, "sampling": Sampling(values["sampling"])}, limits=limits, measuring=measuring
    )


def _tell(answers: IO[bytes], told: dict[str, Any], body: memoryview | None = None) -> None:
    head = json.dumps(told).encode()
    try:
        for part in (_HEAD.pack(len(head), len(body) if body is not None else 0), head, body):
            view = memoryview(part) if part is not None else memoryview(b"")
            while len(view):
                view = view[answers.write(view) :]
    except BrokenPipeError:
        sys.exit(0)


def _limit_memory(limits: Limits) -> None:
    if sys.platform == "linux":
        import resource

        most = limits.memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _die_with_parent() -> None:
    """A decoder caught in a loop would not notice that nobody reads any more."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    main()
