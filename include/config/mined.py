"""The typed form of the section about features mined from Meta's raw data."""

from typing import Annotated

from pydantic import Field

from include.config.section import PositiveInt, Section, Share


class JudgingThresholds(Section):
    """Which features earn their place."""

    every_days: PositiveInt
    window_days: Annotated[int, Field(ge=14)]
    test_share: Share
    validation_share: Share
    folds: Annotated[int, Field(ge=2)]
    repeats: Annotated[int, Field(ge=2)]
    false_discovery_rate: Share
    least_ads: PositiveInt
    seed: int


class MinedThresholds(Section):
    """Mining, and judging what was mined."""

    accounts_per_task: PositiveInt
    accounts_at_once: PositiveInt
    shown_days: PositiveInt
    judging: JudgingThresholds
