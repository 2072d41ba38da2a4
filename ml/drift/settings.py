"""What counts as drift, and what follows from it. The values come from the caller's configuration."""

from dataclasses import dataclass
from enum import Enum
from functools import total_ordering


@total_ordering
class Severity(Enum):
    """How bad it is. `cannot_tell` is no severity: it compares below all others and decides nothing."""

    CANNOT_TELL = "cannot_tell"
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Severity):
            return NotImplemented
        order = list(Severity)
        return order.index(self) < order.index(other)


class Decision(Enum):
    """What to do about it."""

    NO_ACTION = "no_action"
    ALERT = "alert"
    RETRAIN = "retrain"


@dataclass(frozen=True)
class Ladder:
    """The least value of each severity, rising."""

    low: float
    medium: float
    high: float
    critical: float

    def severity(self, value: float) -> Severity:
        """The highest severity whose least value is reached."""
        for name in ("critical", "high", "medium", "low"):
            if value >= getattr(self, name):
                return Severity(name)
        return Severity.NONE


@dataclass(frozen=True)
class DriftSettings:
    """One assessment's thresholds.

    Attributes:
        min_rows: fewer rows in either window: cannot tell.
        psi_drifted: an input counts as drifted when its index is this far beyond what sampling gives.
        false_discovery_rate: of the columns called drifted, this share may be so by chance.
        inputs: severity by the share of inputs that drifted.
        outcomes: severity by the index (beyond sampling) of the outcome that moved most. An input that moved
            may leave a model right; a click rate that moved against its own past cannot, so it takes less.
        alert_from, retrain_from: severities from which something is done.
    """

    min_rows: int
    psi_drifted: float
    false_discovery_rate: float
    inputs: Ladder
    outcomes: Ladder
    alert_from: Severity
    retrain_from: Severity

    def decide(self, severity: Severity) -> Decision:
        """What follows from a severity."""
        if severity >= self.retrain_from:
            return Decision.RETRAIN
        return Decision.ALERT if severity >= self.alert_from else Decision.NO_ACTION
