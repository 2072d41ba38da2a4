"""The typed form of `thresholds.yaml`, a class per section. Unknown names are refused."""

from decimal import Decimal

from include.config.ctr import CtrThresholds
from include.config.drift import DriftThresholds
from include.config.llm import LlmThresholds, Price
from include.config.predictions import ExperimentThresholds, PredictionThresholds
from include.config.promotion import PromotionThresholds
from include.config.section import PositiveFloat, PositiveInt, Section
from include.config.serving import ServingThresholds


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
