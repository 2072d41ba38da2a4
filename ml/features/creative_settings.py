"""What the search for effects of creatives can be told. Values come from the caller's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CreativeEffectSettings:
    """When there is enough to tell, and how certain a finding must be.

    Attributes:
        early_budget_days: an ad's budget is what it spent a day in so many first days, before anybody
            could react to how it did.
        min_outcomes: clicks (or conversions) that a creative is expected to have; those below are left
            out.
        min_creatives: of a niche, for a number.
        min_level_creatives: of a niche with a level or a tag, and without it.
        min_accounts: that such creatives come from.
        inseparable_share: of a column's variation that other columns explain, from which it is left out.
        false_discovery_rate: bound on the expected share of false findings.
        dependence: `bh` (Benjamini and Hochberg) or `by` (Benjamini and Yekutieli, for any dependence).
        largest_weight: of a test whose feature works in other niches, against one whose feature does
            not.
        confidence: of the intervals.
    """

    early_budget_days: int
    min_outcomes: float
    min_creatives: int
    min_level_creatives: int
    min_accounts: int
    inseparable_share: float
    false_discovery_rate: float
    dependence: Literal["bh", "by"]
    largest_weight: float
    confidence: float
