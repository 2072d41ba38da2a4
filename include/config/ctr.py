"""The typed form of the section about the CTR model."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section, Share

NonNegative = Annotated[float, Field(ge=0)]


class XgboostSettings(Section):
    """Hyper-parameters of the XGBoost member."""

    rounds: PositiveInt
    early_stopping_rounds: PositiveInt
    learning_rate: PositiveFloat
    max_depth: PositiveInt
    min_child_weight: PositiveFloat
    reg_lambda: NonNegative


class LightgbmSettings(Section):
    """Hyper-parameters of the LightGBM member."""

    rounds: PositiveInt
    early_stopping_rounds: PositiveInt
    learning_rate: PositiveFloat
    leaves: Annotated[int, Field(ge=2)]
    min_child_weight: PositiveFloat
    reg_lambda: NonNegative
    feature_share: Share


class MlpSettings(Section):
    """Hyper-parameters of the neural member."""

    epochs: PositiveInt
    patience: PositiveInt
    batch_rows: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegative
    hidden: PositiveInt
    unknown_share: Share


class EnsembleSettings(Section):
    """How members become one model."""

    combine: Literal["greedy", "logit_stack", "inverse_loss", "equal"]
    steps: PositiveInt
    prior_sd: PositiveFloat
    constant_confidence: Share


class NicheSettings(Section):
    """Models of single niches."""

    min_clicks: PositiveInt
    confidence: Share
    rounds: PositiveInt
    learning_rate: PositiveFloat
    max_depth: PositiveInt


class IncrementalSettings(Section):
    """Updates of a version."""

    min_rows: PositiveInt
    rounds: PositiveInt
    epochs: PositiveInt
    shift_sd: PositiveFloat
    judged_share: Share
    judged_ads: PositiveInt
    confidence: Share


class GateSettings(Section):
    """What a version must show before it may become challenger."""

    calibration_error_pp: PositiveFloat
    ratio_low: PositiveFloat
    ratio_high: PositiveFloat

    @model_validator(mode="after")
    def _around_one(self) -> "GateSettings":
        if not self.ratio_low < 1 < self.ratio_high:
            raise ValueError("ratio_low must be below 1 and ratio_high above it")
        return self


class CtrThresholds(Section):
    """Training of the CTR model."""

    min_rows: PositiveInt
    min_clicks: PositiveInt
    test_share: Share
    validation_share: Share
    max_training_days: PositiveInt
    seed: int
    mined_features: tuple[str, ...] = ()
    pipeline_features: bool = False
    xgboost: XgboostSettings
    lightgbm: LightgbmSettings
    mlp: MlpSettings
    ensemble: EnsembleSettings
    niche: NicheSettings
    incremental: IncrementalSettings
    gates: GateSettings

    @field_validator("mined_features")
    @classmethod
    def _defined(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        # Imported only where it is needed: whoever merely reads thresholds needs no numpy.
        if names:
            from ml.features.mined_inputs import check_names

            return check_names(names)
        return names
