"""What an experiment promises before it starts. The values come from the caller's configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ml.experiments.errors import ExperimentSettingsInvalid


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """One experiment's plan.

    Attributes:
        challenger_share: share of the units that meets the challenger, between 0 and 1.
        min_days: no promotion before so many full days; a whole week at least, as weekdays differ.
        max_days: without a result by then the champion stays.
        alpha: chance of a false result over the whole experiment, both directions, however often one looks.
        power: chance with which the smallest effect that is named would be seen.
        min_effect: smallest relative reduction of the loss worth a promotion (0.01 is 1 %).
        harm_effect: relative worsening of the loss that is still tolerated; proven to be beyond it, the
            experiment stops.
        min_units_per_arm: fewer units in either arm: cannot tell. Ten is the least that
            `make bench-experiments` covers.
        srm_alpha: a split of units less likely than this says that the assignment is broken.

    Raises:
        ExperimentSettingsInvalid: a value lies outside what it may be.
    """

    challenger_share: float
    min_days: int
    max_days: int
    alpha: float
    power: float
    min_effect: float
    harm_effect: float
    min_units_per_arm: int
    srm_alpha: float = 0.001

    def __post_init__(self) -> None:
        for name in ("challenger_share", "alpha", "power", "srm_alpha"):
            self._demand(name, 0 < getattr(self, name) < 1, "it lies between 0 and 1")
        for name in ("min_effect", "harm_effect"):
            self._demand(name, 0 <= getattr(self, name) < 1, "it is 0 or more, and less than 1")
        self._demand("min_days", self.min_days >= 1, "it is at least 1")
        self._demand(
            "max_days", self.max_days >= self.min_days, f"min_days is {self.min_days}, which is more"
        )
        self._demand("min_units_per_arm", self.min_units_per_arm >= 2, "a spread takes at least 2")

    @property
    def tightest_day(self) -> float:
        """The day on which the confidence sequence is tightest: halfway, in ratio, from first to last."""
        return math.sqrt(self.min_days * self.max_days)

    def _demand(self, name: str, fulfilled: bool, rule: str) -> None:
        if not fulfilled:
            raise ExperimentSettingsInvalid(f"{name} is {getattr(self, name)}; {rule}")
