"""The typed form of the sections about language models: queue, vendors, budget, prices."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from include.config.cache import CacheThresholds
from include.config.clients import (
    CouncilThresholds,
    KeepThresholds,
    LiveThresholds,
    ModelName,
    WarmThresholds,
)
from include.config.section import PositiveFloat, PositiveInt, Section

Dollars = Annotated[Decimal, Field(ge=0)]


class VendorLimits(Section):
    """What one vendor takes in a batch, and in all batches that are with it at a time.

    `embedding_inputs`, `enqueued_requests` and `enqueued_tokens` (per model) are null where there is no
    limit.
    """

    batch_requests: PositiveInt
    batch_bytes: PositiveInt
    request_bytes: PositiveInt
    image_bytes: PositiveInt
    embedding_inputs: PositiveInt | None
    enqueued_requests: PositiveInt | None
    enqueued_tokens: PositiveInt | None


class Budget(Section):
    """What one night may spend on batches, by estimate: in all, per account, and for accounts by name."""

    night_usd: Dollars
    tenant_night_usd: Dollars
    tenants: dict[str, Dollars]


class LlmThresholds(Section):
    """The request queue and its batches."""

    provider: Literal["anthropic"]
    scoring_model: str
    scoring_prompt_version: str
    scoring_max_tokens: PositiveInt
    requests_per_night: PositiveInt
    batch_max_requests: PositiveInt
    batch_max_bytes: PositiveInt
    vendors: dict[Literal["anthropic", "openai"], VendorLimits]
    budget: Budget
    max_attempts: PositiveInt
    new_creative_days: PositiveInt
    spend_window_days: PositiveInt
    http_timeout_s: PositiveFloat
    submit_timeout_s: PositiveFloat
    clock_tolerance_s: PositiveFloat
    settle_s: Annotated[float, Field(ge=0)]
    collect_rows: PositiveInt
    collect_passes: PositiveInt
    delete_vendor_files: bool
    poll_seconds: PositiveFloat
    poll_failures_tolerated: PositiveInt
    batch_deadline_hours: PositiveFloat
    cancel_grace_minutes: PositiveFloat
    cache: CacheThresholds
    live: LiveThresholds
    hooks: ModelName
    council: CouncilThresholds
    warm: WarmThresholds
    keep: KeepThresholds

    @model_validator(mode="after")
    def _every_vendor(self) -> "LlmThresholds":
        if missing := {"anthropic", "openai"} - set(self.vendors):
            raise ValueError(f"vendors lacks {', '.join(sorted(missing))}")
        return self


class Price(Section):
    """Dollars per million tokens of one model from `since` on. Modalities without a price of their own cost
    what other input costs; a vendor without a price for writing its cache charges nothing for it."""

    provider: str
    model: str
    since: date
    input: Dollars
    output: Dollars
    cache_write: Dollars = Decimal(0)
    cache_write_1h: Dollars = Decimal(0)
    cache_read: Dollars
    image: Dollars | None = None
    video: Dollars | None = None
    audio: Dollars | None = None
    batch_factor: Annotated[Decimal, Field(gt=0, le=1)]
