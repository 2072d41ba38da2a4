"""A row of Insights small enough to add up by hand, and waiting that takes no time."""

from __future__ import annotations

import time
from typing import Any


def insight(**changes: Any) -> dict[str, Any]:
    """One ad's day, broken down by device; `changes` replace fields."""
    row = {
        "ad_id": "1",
        "date_start": "2026-05-04",
        "date_stop": "2026-05-04",
        "impressions": "100",
        "clicks": "5",
        "spend": "3.20",
        "breakdowns": {
            "impression_device": [
                {"impression_device": "iphone", "impressions": "60", "clicks": "2", "spend": "2.00"},
                {"impression_device": "desktop", "impressions": "40", "clicks": "3", "spend": "1.20"},
            ]
        },
    }
    return row | changes


class Waiting:
    """Moves the sandbox's clock instead of waiting."""

    def __init__(self, sandbox: Any) -> None:
        self._sandbox = sandbox
        self.passed = 0.0

    def pause(self, seconds: float) -> None:
        """Let so many seconds pass in the sandbox."""
        self.passed += seconds
        self._sandbox.client.post("/control/clock", json={"advance_seconds": seconds}).raise_for_status()

    def now(self) -> float:
        """A monotonic clock that knows of the time that passed so."""
        return time.monotonic() + self.passed


def order(
    sandbox: Any, kind: str, route: str = "*", times: int | None = 1, after: int = 0, **args: Any
) -> None:
    """Have Meta's stand-in suffer a fault."""
    wanted = {"vendor": "meta", "kind": kind, "route": route, "times": times, "after": after, "args": args}
    sandbox.client.post("/control/faults", json=wanted).raise_for_status()
