"""Fetching, hashing and decoding, ahead of the device: a few threads, each with a process that decodes.

Videos are begun in order, and each has a queue of its own, of bounded length, that the analysis empties
in the same order. So nothing depends on which thread was faster, memory stays bounded, and one slow
video holds up the device only until its time is over.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.visual.decoder_process import DecoderProcess
from ml.visual.decoding import Question
from ml.visual.errors import VideoNotFinished, VideoUnusable
from ml.visual.manifest import ListedVideo, local_file
from ml.visual.model import file_digest
from ml.visual.sampling import Sampling
from ml.visual.settings import JobSettings

_MOST_DECODERS = 8
_POLL_S = 0.1


@dataclass(frozen=True)
class Content:
    """What is in the file. `is_known`: nothing more follows. `same_as`: an earlier or later video has it
    too."""

    content_hash: str
    bytes: int
    is_known: bool
    same_as: int | None


@dataclass(frozen=True)
class Frames:
    """A batch for the network."""

    times: list[float]
    frames: np.ndarray


@dataclass(frozen=True)
class Told:
    """The end: what was measured."""

    values: dict[str, Any]


Item = Content | Frames | Told | VideoUnusable | VideoNotFinished


@dataclass
class Pace:
    """Seconds that the threads spent, and videos begun to decode."""

    fetch_s: float = 0.0
    decode_s: float = 0.0
    decodes: int = 0


class Feeds:
    """The videos of a shard, each as a queue of what is found in it.

    Args:
        size, batch: of the network's input; a size of 0 means no frames are wanted.
        is_known: says of a content hash that nothing needs to be done.
        stop: ends the threads.
    """

    def __init__(
        self,
        videos: Sequence[ListedVideo],
        settings: JobSettings,
        sampling: Sampling,
        size: int,
        batch: int,
        is_known: Callable[[str], bool],
        stop: threading.Event,
    ) -> None:
        self._videos, self._settings, self._sampling = videos, settings, sampling
        self._size, self._batch, self._is_known, self._stop = size, batch, is_known, stop
        self._queues: list[queue.Queue[Item]] = [queue.Queue(settings.queue_batches) for _ in videos]
        self._turn = threading.Lock()
        self._next = 0
        self._first: dict[str, int] = {}
        self.pace = Pace()
        count = settings.decoders or min(os.cpu_count() or 1, _MOST_DECODERS)
        self._threads = [
            threading.Thread(target=self._work, name=f"decoder-{n}", daemon=True)
            for n in range(min(count, max(1, len(videos))))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the threads to end; they do after the last video, and when told to stop."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def is_ready(self, number: int) -> bool:
        """Whether the next of a video is there already."""
        return not self._queues[number].empty()

    def get(self, number: int) -> Item | None:
        """The next of a video, waiting for it; None where the work is to stop."""
        while not self._stop.is_set():
            try:
                return self._queues[number].get(timeout=_POLL_S)
            except queue.Empty:
                continue
        return None

    def _work(self) -> None:
        decoder = DecoderProcess()
        try:
            while not self._stop.is_set():
                with self._turn:
                    number, self._next = self._next, self._next + 1
                if number >= len(self._videos):
                    return
                self._feed(number, decoder)
        finally:
            decoder.close()

    def _feed(self, number: int, decoder: DecoderProcess) -> None:
        video = self._videos[number]
        try:
            if video.sha256 is not None and self._is_known(video.sha256):
                self._put(number, Content(video.sha256, 0, is_known=True, same_as=None))
                return
            began = time.perf_counter()
            with local_file(video, self._settings.limits.most_bytes) as path:
                digest = file_digest(path)
                self._spent(fetch_s=time.perf_counter() - began)
                if video.sha256 not in (None, digest):
                    raise VideoNotFinished(
                        "its file has changed since the manifest was written: have it listed again"
                    )
                known = self._is_known(digest)
                with self._turn:
                    same = self._first.setdefault(digest, number)
                content = Content(digest, path.stat().st_size, known, None if same == number else same)
                self._put(number, content)
                if not known and content.same_as is None:
                    self._decode(number, str(path), decoder)
        except (VideoUnusable, VideoNotFinished) as error:
            self._put(number, error)
        except Exception as error:  # A video nobody foresaw must not end the shard.
            self._put(number, VideoNotFinished(f"it could not be read ({type(error).__name__})"))

    def _decode(self, number: int, path: str, decoder: DecoderProcess) -> None:
        settings = self._settings
        question = Question(
            path, self._sampling, self._size, self._batch, settings.limits, settings.measuring
        )
        self._spent(decodes=1)
        answers = decoder.watch(question)
        try:
            while True:
                began = time.perf_counter()
                answer = next(answers, None)
                self._spent(decode_s=time.perf_counter() - began)
                if answer is None:
                    return
                item = Told(answer) if isinstance(answer, dict) else Frames(*answer)
                if not self._put(number, item):
                    return
        finally:
            answers.close()

    def _put(self, number: int, item: Item) -> bool:
        while not self._stop.is_set():
            try:
                self._queues[number].put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def _spent(self, *, fetch_s: float = 0.0, decode_s: float = 0.0, decodes: int = 0) -> None:
        with self._turn:
            self.pace.fetch_s += fetch_s
            self.pace.decode_s += decode_s
            self.pace.decodes += decodes
