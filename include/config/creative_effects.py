"""The typed form of the section about what features of creatives do."""

from typing import Annotated, Literal

from pydantic import Field

from include.config.section import PositiveFloat, PositiveInt, Section, Share


class CreativeEffectThresholds(Section):
    """When there is enough to tell, and how certain a finding must be."""

    window_days: Annotated[int, Field(ge=14)]
    early_budget_days: PositiveInt
    min_outcomes: PositiveFloat
    min_creatives: Annotated[int, Field(ge=5)]
    min_level_creatives: Annotated[int, Field(ge=2)]
    min_accounts: PositiveInt
    inseparable_share: Share
    false_discovery_rate: Share
    dependence: Literal["bh", "by"]
    largest_weight: Annotated[float, Field(ge=1)]
    confidence: Share
    keep_reports: PositiveInt
