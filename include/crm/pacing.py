"""Keeps calls within HubSpot's limits, so that being refused is the exception.

HubSpot counts over a rolling window, and tells its limit in the headers of every answer but those of the
search, which has a limit of its own. A share of the limit is left to the portal's other applications.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping


class Pace:
    """At most `calls` in any `seconds`.

    Args:
        pause: waits that many seconds.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        calls: int,
        seconds: float,
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = max(1, calls)
        self._seconds = seconds
        self._pause = pause
        self._clock = clock
        self._recent: deque[float] = deque()

    def wait(self) -> None:
        """Take one call, after a pause where the window is full."""
        now = self._clock()
        while self._recent and self._recent[0] <= now - self._seconds:
            self._recent.popleft()
        if len(self._recent) >= self._calls:
            self._pause(self._recent[len(self._recent) - self._calls] + self._seconds - now)
            now = self._clock()
        self._recent.append(now)

    def allow(self, calls: int, seconds: float) -> None:
        """From now on, this many."""
        self._calls, self._seconds = max(1, calls), seconds


class Pacing:
    """The two limits of a portal.

    Args:
        calls_per_ten_seconds: assumed until an answer tells.
        searches_per_second: the search's limit, which no answer tells.
        share: of a limit that is ours.
    """

    def __init__(
        self,
        calls_per_ten_seconds: int,
        searches_per_second: int,
        share: float,
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._pause = pause
        self._calls = Pace(int(calls_per_ten_seconds * share), 10.0, pause, clock)
        self._searches = Pace(searches_per_second, 1.0, pause, clock)
        self._crowded_s = 0.0

    def wait(self, *, search: bool) -> None:
        """Take one call of the kind."""
        if search:
            self._searches.wait()
        if self._crowded_s:
            self._pause(self._crowded_s)
            self._crowded_s = 0.0
        self._calls.wait()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over the limit an answer tells; where others have used it up, wait a little next time."""
        try:
            most = int(headers["X-HubSpot-RateLimit-Max"])
            left = int(headers["X-HubSpot-RateLimit-Remaining"])
            seconds = int(headers["X-HubSpot-RateLimit-Interval-Milliseconds"]) / 1000
        except (KeyError, ValueError):
            return
        if most < 1 or seconds <= 0:
            return
        self._calls.allow(int(most * self._share), seconds)
        if left <= most * (1 - self._share) / 2:
            self._crowded_s = seconds / 10
