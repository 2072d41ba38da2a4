"""The typed form of `thresholds.yaml`, a class per section. Unknown names are refused."""

from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from include.config.ctr import CtrThresholds
from include.config.llm import LlmThresholds, Price
from include.config.predictions import ExperimentThresholds, PredictionThresholds
from include.config.promotion import PromotionThresholds
from include.config.section import PositiveFloat, PositiveInt, Section, Share
from include.config.serving import ServingThresholds

Severity = Literal["low", "medium", "high", "critical"]


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
    serving: ServingThresholds
    prices: tuple[Price, ...]
    ctr: CtrThresholds
    drift: DriftThresholds
    promotion: PromotionThresholds
    predictions: PredictionThresholds
    experiments: ExperimentThresholds
    alerts: AlertThresholds
    nightly: NightlyThresholds
    simulator: SimulatorDefaults
