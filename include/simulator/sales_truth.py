"""The known truth of what follows a conversion: why simulated deals are won, when, and for how much.

A conversion of an account whose niche has a sales team may become a deal. The chance that it is won is
`logistic` of the sum of these log-odds:

| effect | table | what is true |
| --- | --- | --- |
| niche | `NICHE_SALES` | each has its pipeline, share of conversions that become deals, chance, value |
| hook type | `HOOK_SALES` | proof and stories bring buyers; curiosity and interruption bring the curious |
| visual pattern | `PATTERN_SALES` | demonstrations and tutorials explain, memes amuse |
| persona x niche | `truth.FITTING`, `truth.MISFIT` | `FIT_SALES` more, or less |
| deal type | `EXISTING` | who has bought before buys again |
| owner | `OWNER_SPREAD`, `TEAM_SPREAD` | normal draws; owners see other niches than their colleagues |
| the ad itself | `AD_SPREAD` | a normal draw per ad |
| season | `season` | a wave of 120 days |

A lost deal stops at one of the open stages, earlier ones more often, and lies there `LINGERING` times as long
as others before somebody marks it lost: the longer a deal waits, the less it is worth. `HOOK_PACE` and
`PATTERN_PACE` change how long stages take. **True nulls**: campaign, format, call to action, weekday of
creation, company.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator import truth

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """A stage of a pipeline.

    Attributes:
        stage_id, label: as the CRM knows it.
        probability: what the CRM's own table claims; too hopeful, as such tables are.
        median_days: how long deals that go on stay; 0 for the closed stages.
    """

    stage_id: str
    label: str
    probability: float
    median_days: float = 0.0


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: its open stages in order, then won and lost."""

    pipeline_id: str
    label: str
    open_stages: tuple[Stage, ...]
    won: Stage
    lost: Stage

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in the order they are shown."""
        return (*self.open_stages, self.won, self.lost)


PIPELINES = (
    Pipeline(
        "default",
        "Business customers",
        (
            Stage("appointmentscheduled", "Appointment scheduled", 0.2, 4.0),
            Stage("qualifiedtobuy", "Qualified to buy", 0.4, 6.0),
            Stage("presentationscheduled", "Presentation scheduled", 0.6, 7.0),
            Stage("decisionmakerboughtin", "Decision maker bought in", 0.8, 5.0),
            Stage("contractsent", "Contract sent", 0.9, 4.0),
        ),
        Stage("closedwon", "Closed won", 1.0),
        Stage("closedlost", "Closed lost", 0.0),
    ),
    Pipeline(
        "high_ticket",
        "High ticket",
        (
            Stage("ht_enquiry", "Enquiry", 0.3, 3.0),
            Stage("ht_viewing", "Viewing or test drive", 0.5, 8.0),
            Stage("ht_offer", "Offer", 0.7, 6.0),
        ),
        Stage("ht_won", "Closed won", 1.0),
        Stage("ht_lost", "Closed lost", 0.0),
    ),
    Pipeline(
        "enrolment",
        "Enrolment",
        (
            Stage("en_lead", "Lead", 0.4, 2.5),
            Stage("en_consultation", "Consultation", 0.8, 5.0),
        ),
        Stage("en_signed", "Signed", 1.0),
        Stage("en_lost", "Not signed", 0.0),
    ),
)
BY_ID = {pipeline.pipeline_id: pipeline for pipeline in PIPELINES}


@dataclass(frozen=True)
class NicheSales:
    """Where a niche's deals go, the share of conversions that become one, its chance, and its dollars."""

    pipeline_id: str
    deal_share: float
    win_chance: float
    value: float


NICHE_SALES = {
    "saas": NicheSales("default", 0.90, 0.24, 2_400.0),
    "tech": NicheSales("default", 0.75, 0.22, 1_300.0),
    "finance": NicheSales("default", 0.80, 0.20, 1_900.0),
    "real_estate": NicheSales("high_ticket", 0.85, 0.16, 4_500.0),
    "automotive": NicheSales("high_ticket", 0.90, 0.21, 3_600.0),
    "travel": NicheSales("high_ticket", 0.70, 0.34, 1_200.0),
    "home_decor": NicheSales("high_ticket", 0.60, 0.32, 800.0),
    "education": NicheSales("enrolment", 0.85, 0.30, 500.0),
    "health": NicheSales("enrolment", 0.80, 0.36, 360.0),
}

HOOK_SALES = {
    "curiosity_gap": -0.40, "transformation": 0.10, "urgency_scarcity": -0.15, "social_proof": 0.35,
    "pattern_interrupt": -0.35, "question": 0.05, "negative_hook": -0.05, "story_hook": 0.30,
    "statistic_hook": 0.20, "controversy_hook": -0.25,
}  # fmt: skip
PATTERN_SALES = {
    "before_after": 0.0, "talking_head": 0.10, "product_demo": 0.30, "lifestyle": -0.05, "ugc_style": 0.0,
    "text_overlay_heavy": -0.10, "fast_cuts": -0.15, "cinematic": 0.0, "meme_format": -0.35,
    "testimonial": 0.25, "unboxing": 0.0, "tutorial": 0.20,
}  # fmt: skip
# Factors on the time a stage takes.
HOOK_PACE = {"urgency_scarcity": 0.75, "social_proof": 0.90, "story_hook": 1.15, "controversy_hook": 1.20}
PATTERN_PACE = {"product_demo": 0.85, "tutorial": 0.90, "cinematic": 1.15}

FIT_SALES = 0.20
EXISTING, EXISTING_SHARE = 0.35, 0.15
OWNER_SPREAD, TEAM_SPREAD = 0.30, 0.15
AD_SPREAD = 0.20
SEASON = 0.15
STAGE_SPREAD = 0.6
LINGERING = 2.2
# Where lost deals stop, from the first open stage on; cut to the pipeline's length.
LOST_AT = (0.34, 0.26, 0.20, 0.12, 0.08)
REGRESSES, REASSIGNED, REOPENED, WON_AFTER_REOPENING = 0.08, 0.06, 0.03, 0.4
VALUE_SPREAD, ESTIMATE_SPREAD, DISCOUNT = 0.45, 0.25, 0.95
ESTIMATED_AT_ONCE = 0.8

LOST_REASONS = ("price", "no_response", "competitor", "timing", "not_a_fit")
LOST_WEIGHTS = (0.25, 0.35, 0.15, 0.15, 0.10)
WON_REASONS = ("product_fit", "price", "relationship", "speed")
WON_WEIGHTS = (0.40, 0.20, 0.25, 0.15)

# What the CRM knows of where a deal came from. Some came by a way nobody can tell.
UNTRACEABLE, HAS_CLICK_ID, HAS_UTM, HAS_FIRST_TOUCH = 0.05, 0.68, 0.80, 0.92


def season(day: Floats) -> Floats:
    """Log-odds of days counted from 1970: a wave of 120 days."""
    return np.asarray(SEASON * np.sin(2 * np.pi * day / 120.0))


def log_odds_of_ads(ads: pd.DataFrame, spread: Floats) -> Floats:
    """What the ad contributes to the log-odds of its deals.

    Args:
        ads: niche, hook_type, visual_pattern, persona; every niche is one of `NICHE_SALES`.
        spread: (n,) standard normal draws, one per ad.

    Returns:
        (n,) log-odds.
    """
    chance = ads["niche"].map({name: sales.win_chance for name, sales in NICHE_SALES.items()})
    fits = ads["niche"].map(truth.FITTING) == ads["persona"]
    misfits = ads["niche"].map(truth.MISFIT) == ads["persona"]
    told = (
        np.log(np.asarray(chance / (1 - chance), np.float64))
        + ads["hook_type"].map(HOOK_SALES)
        + ads["visual_pattern"].map(PATTERN_SALES)
        + FIT_SALES * (fits.astype(float) - misfits.astype(float))
    )
    return np.asarray(told + AD_SPREAD * spread, np.float64)


def pace_of_ads(ads: pd.DataFrame) -> Floats:
    """(n,) factors on the time that stages take for deals of these ads."""
    hook, pattern = ads["hook_type"].map(HOOK_PACE), ads["visual_pattern"].map(PATTERN_PACE)
    return np.asarray(hook.fillna(1.0), np.float64) * np.asarray(pattern.fillna(1.0), np.float64)
