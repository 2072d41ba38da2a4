"""The typed form of the section about the model of deals."""

from pydantic import Field, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section, Share


class HazardThresholds(Section):
    """Hyper-parameters of the boosted trees."""

    rounds: PositiveInt
    early_stopping_rounds: PositiveInt
    learning_rate: PositiveFloat
    leaves: int = Field(ge=2)
    min_rows: PositiveInt
    reg_lambda: float = Field(ge=0)
    feature_share: Share
    validation_share: Share


class PipelineGateThresholds(Section):
    """What a version must show before it may become challenger."""

    mape_campaign: PositiveFloat
    ratio_low: PositiveFloat
    ratio_high: PositiveFloat
    coverage_low: Share

    @model_validator(mode="after")
    def _around_one(self) -> "PipelineGateThresholds":
        if not self.ratio_low < 1 < self.ratio_high:
            raise ValueError("ratio_low must be below 1 and ratio_high above it")
        return self


class PipelineValueThresholds(Section):
    """Training, judging and forecasting of deals."""

    min_deals: PositiveInt
    min_won: PositiveInt
    min_lost: PositiveInt
    min_campaign_deals: PositiveInt
    min_cell_deals: PositiveInt
    min_reason_deals: PositiveInt
    horizon_days: int = Field(gt=0, le=180)
    window_days: PositiveInt
    max_training_days: PositiveInt
    interval: Share
    draws: int = Field(ge=100)
    seed: int
    hazard: HazardThresholds
    gates: PipelineGateThresholds

    @model_validator(mode="after")
    def _long_enough(self) -> "PipelineValueThresholds":
        if self.max_training_days < self.horizon_days + self.window_days:
            raise ValueError("max_training_days must reach over horizon_days and window_days together")
        return self
