"""Which frames go to the network: an explicit choice, part of the key of every result."""

from __future__ import annotations

from enum import StrEnum


class Sampling(StrEnum):
    """The choices: two frames a second (or as set), key frames alone, all frames.

    With key frames nothing else is decoded: four times cheaper per kept frame, but cuts are known only to the
    next key frame, and copies are not recognised, since every encoder puts key frames elsewhere.
    """

    TWO_FPS = "2fps"
    KEYFRAMES = "keyframes"
    ALL = "all"


class Ticks:
    """Says of each frame, in order, whether it is the first at or after a tick of `fps`.

    The first frame always is. Ticks lie half a period in, away from the cuts editors put on whole seconds.

    >>> ticks = Ticks(2.0)
    >>> [t / 10 for t in range(12) if ticks.due(t / 10)]
    [0.0, 0.3, 0.8]
    """

    def __init__(self, fps: float) -> None:
        self._period = 1.0 / fps
        self._next: float | None = None

    def due(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is taken."""
        if self._next is None:
            self._next = self._period / 2 if time_s < self._period / 2 else time_s
            if time_s < self._next:
                return True
        if time_s + 1e-6 < self._next:
            return False
        while self._next <= time_s + 1e-6:
            self._next += self._period
        return True
