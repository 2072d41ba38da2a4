"""The typed form of `thresholds.yaml`, a class per section. Unknown names are refused."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Severity = Literal["low", "medium", "high", "critical"]


class Section(BaseModel):
    """Base of all sections: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AdsThresholds(Section):
    """Meta insights."""

    restatement_days: PositiveInt
    catch_up_days: PositiveInt
    breakdown_tolerance_usd: Decimal
    accounts_per_task: PositiveInt
    page_size: PositiveInt
    http_timeout_s: PositiveFloat
    http_attempts: PositiveInt
    http_longest_wait_s: PositiveFloat
    import_problems_shown: PositiveInt
    import_max_megabytes: PositiveInt


class LlmThresholds(Section):
    """The request queue and its batches."""

    provider: Literal["anthropic"]
    scoring_model: str
    scoring_prompt_version: str
    scoring_max_tokens: PositiveInt
    requests_per_night: PositiveInt
    batch_max_requests: Annotated[int, Field(gt=0, le=100_000)]
    batch_max_bytes: Annotated[int, Field(gt=0, le=256_000_000)]
    max_attempts: PositiveInt
    new_creative_days: PositiveInt
    spend_window_days: PositiveInt
    http_timeout_s: PositiveFloat
    submit_timeout_s: PositiveFloat
    clock_tolerance_s: PositiveFloat
    settle_s: Annotated[float, Field(ge=0)]
    collect_rows: PositiveInt
    collect_passes: PositiveInt
    poll_seconds: PositiveFloat
    poll_failures_tolerated: PositiveInt
    batch_deadline_hours: PositiveFloat
    cancel_grace_minutes: PositiveFloat


class Price(Section):
    """Dollars per million tokens of one model from `since` on."""

    provider: str
    model: str
    since: date
    input: Annotated[Decimal, Field(ge=0)]
    output: Annotated[Decimal, Field(ge=0)]
    cache_write: Annotated[Decimal, Field(ge=0)]
    cache_write_1h: Annotated[Decimal, Field(ge=0)]
    cache_read: Annotated[Decimal, Field(ge=0)]
    batch_factor: Annotated[Decimal, Field(gt=0, le=1)]


class XgboostSettings(Section):
    """Hyper-parameters of the XGBoost member."""

    rounds: PositiveInt
    early_stopping_rounds: PositiveInt
    learning_rate: PositiveFloat
    max_depth: PositiveInt
    min_child_weight: PositiveFloat
    reg_lambda: Annotated[float, Field(ge=0)]


class CtrThresholds(Section):
    """Training of the CTR model."""

    min_rows: PositiveInt
    min_clicks: PositiveInt
    test_share: Share
    validation_share: Share
    max_training_days: PositiveInt
    seed: int
    xgboost: XgboostSettings


class DriftThresholds(Section):
    """When data counts as drifted, and what follows."""

    min_rows: PositiveInt
    sample_rows: PositiveInt
    current_days: PositiveInt
    reference_days: PositiveInt
    psi_drifted: PositiveFloat
    false_discovery_rate: Share
    low_share: Share
    medium_share: Share
    high_share: Share
    critical_share: Share
    low_outcome: PositiveFloat
    medium_outcome: PositiveFloat
    high_outcome: PositiveFloat
    critical_outcome: PositiveFloat
    alert_from: Severity
    retrain_from: Severity
    retrain_days: PositiveInt

    @model_validator(mode="after")
    def _levels_rise(self) -> "DriftThresholds":
        for kind in ("share", "outcome"):
            names = [f"{level}_{kind}" for level in ("low", "medium", "high", "critical")]
            levels = [getattr(self, name) for name in names]
            if levels != sorted(set(levels)):
                raise ValueError(f"{', '.join(names[:-1])} and {names[-1]} must rise in this order")
        return self


class AlertThresholds(Section):
    """Slack."""

    http_timeout_s: PositiveFloat
    longest_wait_s: PositiveFloat
    picture_attempts: PositiveInt
    max_error_chars: PositiveInt
    reported_creatives: PositiveInt
    hook_min_clicks: PositiveInt


class NightlyThresholds(Section):
    """`make nightly`."""

    ready_timeout_s: PositiveInt
    dag_timeout_s: PositiveInt


class SimulatorDefaults(Section):
    """The world `make demo` lives in."""

    seed: int
    accounts: PositiveInt
    days: PositiveInt
    ads_per_account: PositiveInt


class Thresholds(Section):
    """Everything in `thresholds.yaml`."""

    ads: AdsThresholds
    llm: LlmThresholds
    prices: tuple[Price, ...]
    ctr: CtrThresholds
    drift: DriftThresholds
    alerts: AlertThresholds
    nightly: NightlyThresholds
    simulator: SimulatorDefaults
