"""The typed form of what applications and the night do with models: calls, council, warming, retention."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section, Share

Score = Annotated[float, Field(ge=0, le=100)]


class LiveThresholds(Section):
    """Calls that somebody waits for, and the cache in front of them."""

    timeout_s: PositiveFloat
    sdk_retries: int = Field(ge=0, le=5)
    flight_wait_s: PositiveFloat
    claim_timeout_ms: PositiveInt
    checks_at_once: PositiveInt
    checks_waiting: PositiveInt
    close_wait_s: PositiveFloat
    score_tolerance: Score
    same_text: Share
    bill_pause_s: PositiveFloat


class ModelName(Section):
    """A model and the vendor that has it."""

    provider: Literal["anthropic", "openai"]
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class CouncilMember(ModelName):
    """A model that sits in the council, and how much its score counts."""

    weight: PositiveFloat


class CouncilThresholds(Section):
    """The AI council: who sits in it, and when it is of two minds."""

    prompt_version: str
    max_tokens: PositiveInt
    members: tuple[CouncilMember, ...] = Field(min_length=2)
    least_members: PositiveInt
    disagreement: Score
    outlier: Score

    @model_validator(mode="after")
    def _can_sit(self) -> "CouncilThresholds":
        names = [str(member) for member in self.members]
        if len(set(names)) < len(names):
            raise ValueError("members names a model twice")
        if self.least_members > len(names):
            raise ValueError(f"least_members is {self.least_members}, but there are {len(names)} members")
        return self


class WarmThresholds(Section):
    """Filling the cache before the day."""

    history_days: PositiveInt
    page_rows: PositiveInt
    top_creatives: PositiveInt
    hooks_in_use: PositiveInt
    top_hooks: PositiveInt
    personas: tuple[str, ...] = Field(min_length=1)
    lookups_expected: PositiveFloat
    budget_usd: Annotated[Decimal, Field(ge=0)]
    live_at_once: PositiveInt


class KeepThresholds(Section):
    """How long the night's records are kept, in days; `housekeeping` removes what is older."""

    answers: PositiveInt
    failed_requests: PositiveInt
    batches: PositiveInt
    quarantine: PositiveInt
    waiting: PositiveInt
    ledger: PositiveInt
    page_rows: PositiveInt

    @model_validator(mode="after")
    def _the_bill_outlives_what_it_is_for(self) -> "KeepThresholds":
        if self.ledger < max(self.answers, self.failed_requests, self.batches):
            raise ValueError("ledger must be kept at least as long as answers, failed_requests and batches")
        return self
