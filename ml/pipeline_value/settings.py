"""What decides how the pipeline's model is trained and judged; values come from the thresholds file."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class HazardSettings:
    """Hyper-parameters of the boosted trees of the hazards.

    Attributes:
        rounds, early_stopping_rounds, learning_rate, leaves, min_rows, reg_lambda, feature_share:
            LightGBM's.
        validation_share: of the deals, the newest, which say when to stop.
    """

    rounds: int
    early_stopping_rounds: int
    learning_rate: float
    leaves: int
    min_rows: int
    reg_lambda: float
    feature_share: float
    validation_share: float


@dataclass(frozen=True)
class PipelineGates:
    """What a version must show before it may become challenger.

    Attributes:
        mape_campaign: most mean absolute percentage error of campaigns.
        ratio_low, ratio_high: bounds of expected over real value of the open deals, all together.
        coverage_low: least share of campaigns within their 90 % intervals.
    """

    mape_campaign: float
    ratio_low: float
    ratio_high: float
    coverage_low: float


@dataclass(frozen=True)
class PipelineSettings:
    """Everything.

    Attributes:
        min_deals, min_won, min_lost: closed deals below which nothing is trained.
        min_campaign_deals: campaigns with fewer deals in the window are reported apart.
        horizon_days: how far ahead a deal's fate is told.
        window_days: deals created and money spent within so many days make a pipeline ROAS.
        max_training_days: deals created earlier are not learnt from.
        interval: share of the future that the intervals are to hold.
        draws: of the future, for the intervals.
        seed: of everything drawn.
    """

    min_deals: int
    min_won: int
    min_lost: int
    min_campaign_deals: int
    horizon_days: int
    window_days: int
    max_training_days: int
    interval: float
    draws: int
    seed: int
    hazard: HazardSettings
    gates: PipelineGates

    def flat(self) -> dict[str, float | int | str]:
        """Name -> value, nested names joined by a dot."""
        values = asdict(self)
        nested = {name: values.pop(name) for name in ("hazard", "gates")}
        return values | {
            f"{name}.{key}": value for name, part in nested.items() for key, value in part.items()
        }
