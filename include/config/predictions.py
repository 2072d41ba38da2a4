"""The typed form of the sections about predictions and experiments."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section, Share

# A share that may be nothing.
Effect = Annotated[float, Field(ge=0, lt=1)]


class PredictionThresholds(Section):
    """The prediction service."""

    poll_seconds: PositiveFloat
    costs_minutes: PositiveFloat
    costs_days: PositiveInt
    rows_per_call: PositiveInt
    inline_rows: PositiveInt
    redis_timeout_ms: PositiveInt
    redis_pause_s: PositiveFloat
    ttl_hours: PositiveInt
    near_rates: PositiveInt
    log_rows: PositiveInt
    log_seconds: PositiveFloat
    log_waiting: PositiveInt
    keep_days: PositiveInt
    history_days: PositiveInt
    hook_templates: PositiveInt
    personas: PositiveInt
    patterns: PositiveInt
    winners: PositiveInt
    winner_impressions: PositiveInt
    pipeline_rows: PositiveInt


class ExperimentThresholds(Section):
    """Champion against challenger."""

    unit: Literal["account", "request"]
    metric: Literal["log_loss", "absolute_error"]
    challenger_share: Share
    min_days: PositiveInt
    max_days: PositiveInt
    alpha: Share
    power: Share
    min_effect: Effect
    harm_effect: Effect
    min_units_per_arm: Annotated[int, Field(ge=2)]
    srm_alpha: Share
    history_days: PositiveInt
    ratio_tolerance: PositiveFloat
    latency_tolerance_ms: PositiveFloat

    @model_validator(mode="after")
    def _weeks(self) -> "ExperimentThresholds":
        if self.max_days < self.min_days:
            raise ValueError(f"max_days is {self.max_days}, but min_days is {self.min_days}")
        return self
