"""What counts as drift, how bad it is, and what follows. The values come from the caller's configuration."""

from __future__ import annotations

from collections.abc import Mapping
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
    """What to do about it: nothing, tell people, a small update of the champion, or a full one."""

    NO_ACTION = "no_action"
    ALERT = "alert"
    INCREMENTAL = "incremental"
    UPDATE = "update"

    @property
    def retrains(self) -> bool:
        """Whether a model is made."""
        return self in (Decision.INCREMENTAL, Decision.UPDATE)


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
class Evidence:
    """How sure one must be: the false discovery rate over a day's columns (or niches).

    Attributes:
        usual: for `low` and `medium`.
        severe: for `high` and `critical`.
        certain: for a severity to count on its first day; otherwise the day before must have seen it too.
    """

    usual: float
    severe: float
    certain: float


@dataclass(frozen=True)
class RetrainSettings:
    """When a retrain may be asked for.

    Attributes:
        least_rows: new rows with outcomes, since the champion's last day.
        cooldown_days: after one was asked for.
        budget: of 30 days.
    """

    least_rows: int
    cooldown_days: int
    budget: int


@dataclass(frozen=True)
class DriftSettings:
    """One assessment's thresholds.

    Attributes:
        min_rows, min_clusters: fewer in either window: cannot tell.
        psi_drifted: a column counts as drifted when its index is this far beyond what sampling gives.
        evidence: how sure to be.
        features: severity by the share of inputs that drifted, weighted half by importance, half equally.
        prediction: severity by the index of the predictions beyond sampling.
        outcomes: the same of the outcome that moved most. Counts where performance could not be measured.
        cost: severity by the share of the model's worth that is lost.
        harmless_at_most: where the measured cost is surely below `medium`, what moved is at most this.
        measured_at_most: where the measurement leaves room for a cost, what moved is at most this. Without
            a measurement it counts in full.
        niche_at_most: a niche alone makes the whole at most this.
        actions: what follows from a severity.
        retrain: when a retrain may be asked for.
        alert_from: people are told from this severity on.
    """

    min_rows: int
    min_clusters: int
    psi_drifted: float
    evidence: Evidence
    features: Ladder
    prediction: Ladder
    outcomes: Ladder
    cost: Ladder
    harmless_at_most: Severity
    measured_at_most: Severity
    niche_at_most: Severity
    actions: Mapping[Severity, Decision]
    retrain: RetrainSettings
    alert_from: Severity
