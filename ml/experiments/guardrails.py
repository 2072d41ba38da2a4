"""What a better loss may not cost: calibration, latency, failed predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Guardrail:
    """One measure that must not suffer, such as the p99 of the latency.

    Attributes:
        name: for people, with the unit: "latency p99 in ms".
        champion, challenger: the measured values; NaN where nothing was measured.
        tolerance: how much worse than the champion, in the measure's unit, is accepted.
        higher_is_better: which way is worse.
        limit: a value that the challenger must keep whatever the champion does; None for no such value.
    """

    name: str
    champion: float
    challenger: float
    tolerance: float
    higher_is_better: bool = False
    limit: float | None = None

    @property
    def complaint(self) -> str:
        """Why it does not hold, as a clause; empty where it holds. What was not measured does not hold."""
        if not (math.isfinite(self.champion) and math.isfinite(self.challenger)):
            return f"{self.name} was not measured in both arms"
        sign = 1 if self.higher_is_better else -1
        if sign * (self.challenger - self.champion) < -self.tolerance:
            return (
                f"{self.name} is {self.challenger:g} against the champion's {self.champion:g},"
                f" and {self.tolerance:g} worse is the most accepted"
            )
        if self.limit is not None and sign * (self.challenger - self.limit) < 0:
            return f"{self.name} is {self.challenger:g}, beyond its limit of {self.limit:g}"
        return ""
