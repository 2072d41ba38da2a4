"""What a simulated world is made from. Two equal configurations make the same world, to the last click."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from include.errors import PermanentError

# Meta keeps 37 months of insights; a world longer than that has no reader.
MAX_DAYS = 1_150
MAX_ACCOUNTS = 100_000


class WorldImpossible(PermanentError):
    """The configuration describes no world; the message names the value."""


@dataclass(frozen=True)
class DriftEvent:
    """A day from which the platform behaves differently.

    From `start` on, hooks and placements work differently (`truth.HOOK_AFTER`, `truth.PLACEMENT_AFTER`),
    delivery moves to other placements and older people, impressions cost more, and advertisers launch
    the hooks that work by then. `strength` 0 changes nothing, 1 is the full change.
    """

    start: date
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise WorldImpossible(f"drift strength is {self.strength}: it must lie between 0 and 1")


@dataclass(frozen=True)
class WorldConfig:
    """Seed and size of a world.

    Attributes:
        seed: every draw follows from it.
        accounts: ad accounts at `scale` 1, spread over the niches in turn.
        scale: the one number that makes a world larger or smaller: there are `accounts * scale` accounts.
            What one account does does not depend on it.
        start: the first day.
        days: how many days there are. More days never change the earlier ones.
        ads_per_account: ads an account launches in 90 days, about.
        drift: the planted change, or `None`.
    """

    seed: int = 7
    accounts: int = 100
    scale: float = 1.0
    start: date = date(2026, 1, 5)
    days: int = 90
    ads_per_account: int = 12
    drift: DriftEvent | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise WorldImpossible(f"seed is {self.seed}: it must not be negative")
        if self.accounts < 1 or not self.scale > 0 or self.account_count > MAX_ACCOUNTS:
            raise WorldImpossible(
                f"{self.accounts} accounts at scale {self.scale}: there must be 1 to {MAX_ACCOUNTS} accounts"
            )
        if not 1 <= self.days <= MAX_DAYS:
            raise WorldImpossible(f"days is {self.days}: it must lie between 1 and {MAX_DAYS}")
        if self.ads_per_account < 1:
            raise WorldImpossible(f"ads_per_account is {self.ads_per_account}: it must be at least 1")

    @property
    def account_count(self) -> int:
        """How many accounts there are."""
        return max(1, round(self.accounts * self.scale))

    @property
    def until(self) -> date:
        """The last day."""
        return self.start + timedelta(days=self.days - 1)

    @property
    def world_id(self) -> str:
        """Names the world whatever its length and drift: `seed7-accounts100-ads12`."""
        return f"seed{self.seed}-accounts{self.account_count}-ads{self.ads_per_account}"

    def reaching(self, until: date) -> WorldConfig:
        """The same world with `until` as its last day."""
        return replace(self, days=(until - self.start).days + 1)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        values = asdict(self)
        values["start"] = self.start.isoformat()
        if self.drift:
            values["drift"] = {"start": self.drift.start.isoformat(), "strength": self.drift.strength}
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WorldConfig:
        """Read what `to_json` wrote.

        Raises:
            WorldImpossible: a value is missing, unknown or out of range.
        """
        try:
            drift = values.get("drift")
            return cls(
                **{
                    **values,
                    "start": date.fromisoformat(values["start"]),
                    "drift": drift
                    and DriftEvent(date.fromisoformat(drift["start"]), float(drift["strength"])),
                }
            )
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise WorldImpossible(f"not the configuration of a simulated world: {error}") from error
