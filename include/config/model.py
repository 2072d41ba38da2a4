"""The typed form of `thresholds.yaml`, a class per section. Unknown names are refused."""

from include.config.ads import AdsThresholds
from include.config.creative_effects import CreativeEffectThresholds
from include.config.crm import CrmThresholds
from include.config.ctr import CtrThresholds
from include.config.drift import DriftThresholds
from include.config.llm import LlmThresholds, Price
from include.config.mined import MinedThresholds
from include.config.pipeline_value import PipelineValueThresholds
from include.config.predictions import ExperimentThresholds, PredictionThresholds
from include.config.promotion import PromotionThresholds
from include.config.section import PositiveFloat, PositiveInt, Section
from include.config.serving import ServingThresholds
from include.config.visual import VisualThresholds
from include.config.visual_night import VisualNightThresholds


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
    crm: CrmThresholds
    llm: LlmThresholds
    serving: ServingThresholds
    prices: tuple[Price, ...]
    ctr: CtrThresholds
    drift: DriftThresholds
    mined: MinedThresholds
    creative_effects: CreativeEffectThresholds
    pipeline_value: PipelineValueThresholds
    promotion: PromotionThresholds
    predictions: PredictionThresholds
    experiments: ExperimentThresholds
    alerts: AlertThresholds
    nightly: NightlyThresholds
    visual: VisualThresholds
    visual_night: VisualNightThresholds
    simulator: SimulatorDefaults
