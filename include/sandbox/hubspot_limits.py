"""How often HubSpot lets itself be asked: in ten seconds, in a day, and, for searches, in a second.

Windows follow the sandbox's clock. A test may set other limits; they are kept in the state, as are the calls
of the day.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from include.sandbox.state import SandboxState, VirtualClock

# Of a private app on a professional account; searches are counted apart and for all apps together.
USUAL = {
    "ten_seconds": 190.0,
    "daily": 650_000.0,
    "search_per_second": 5.0,
    "search_lag_s": 5.0,
    # HubSpot does not always say for how long to wait.
    "retry_after": 0.0,
}
INTERVAL_S = 10.0


@dataclass(frozen=True)
class Admission:
    """Whether a call is let through.

    Attributes:
        headers: what the answer tells of the limits; nothing for a search.
        policy: the limit that refuses the call, None where it is let through.
        retry_after_s: how long to wait, where HubSpot says so.
    """

    headers: dict[str, str]
    policy: str | None = None
    retry_after_s: float | None = None


class HubSpotLimits:
    """Counts calls and refuses those beyond the limits."""

    def __init__(self, state: SandboxState, clock: VirtualClock) -> None:
        self._state = state
        self._clock = clock
        self._calls: deque[float] = deque()
        self._searches: deque[float] = deque()
        self._turn = threading.Lock()

    def limit(self, name: str) -> float:
        """One of `USUAL`, or what a test has set."""
        row = self._state.row("SELECT value FROM hubspot_limit WHERE name = ?", (name,))
        return float(row["value"]) if row else USUAL[name]

    def set(self, values: dict[str, float]) -> dict[str, float]:
        """Set limits by name; returns all."""
        with self._state.writing() as db:
            db.executemany(
                "INSERT INTO hubspot_limit VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                values.items(),
            )
        return {name: self.limit(name) for name in USUAL}

    def admit(self, *, search: bool) -> Admission:
        """Count one call."""
        now = self._clock.now()
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        with self._turn:
            row = self._state.row("SELECT calls FROM hubspot_day WHERE day = ?", (day,))
            today, daily = (row["calls"] if row else 0), self.limit("daily")
            if today >= daily:
                return Admission(self._told(search, daily, 0, 0), "DAILY")
            calls, window, most, policy = (
                (self._searches, 1.0, self.limit("search_per_second"), "SECONDLY")
                if search
                else (self._calls, INTERVAL_S, self.limit("ten_seconds"), "TEN_SECONDLY_ROLLING")
            )
            while calls and calls[0] <= now - window:
                calls.popleft()
            if len(calls) >= most:
                wait = calls[0] + window - now if self.limit("retry_after") else None
                return Admission(self._told(search, daily, daily - today, 0), policy, wait)
            calls.append(now)
            with self._state.writing() as db:
                db.execute(
                    "INSERT INTO hubspot_day VALUES (?, 1) ON CONFLICT DO UPDATE SET calls = calls + 1",
                    (day,),
                )
            return Admission(self._told(search, daily, daily - today - 1, most - len(calls)))

    def reset(self) -> None:
        """Forget the calls held in memory, after the state was cleared."""
        with self._turn:
            self._calls.clear()
            self._searches.clear()

    def _told(self, search: bool, daily: float, left_today: float, left: float) -> dict[str, str]:
        if search:
            return {}
        return {
            "X-HubSpot-RateLimit-Daily": f"{daily:.0f}",
            "X-HubSpot-RateLimit-Daily-Remaining": f"{left_today:.0f}",
            "X-HubSpot-RateLimit-Interval-Milliseconds": f"{1000 * INTERVAL_S:.0f}",
            "X-HubSpot-RateLimit-Max": f"{self.limit('ten_seconds'):.0f}",
            "X-HubSpot-RateLimit-Remaining": f"{left:.0f}",
        }
