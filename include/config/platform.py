"""The enumerations of the platform that Nightshift serves, in its own words.

Order matters: the simulator's draws pick by position, so a new word goes to the end of its list.
"""

from enum import StrEnum

NICHES = (
    "fitness", "beauty", "fashion", "tech", "ecommerce", "food", "travel", "finance", "education",
    "real_estate", "saas", "health", "entertainment", "home_decor", "automotive",
)  # fmt: skip


class HookType(StrEnum):
    """What opens an ad."""

    CURIOSITY_GAP = "curiosity_gap"
    TRANSFORMATION = "transformation"
    URGENCY_SCARCITY = "urgency_scarcity"
    SOCIAL_PROOF = "social_proof"
    PATTERN_INTERRUPT = "pattern_interrupt"
    QUESTION = "question"
    NEGATIVE_HOOK = "negative_hook"
    STORY_HOOK = "story_hook"
    STATISTIC_HOOK = "statistic_hook"
    CONTROVERSY_HOOK = "controversy_hook"


HOOK_TYPES = tuple(each.value for each in HookType)

VISUAL_PATTERNS = (
    "before_after", "talking_head", "product_demo", "lifestyle", "ugc_style", "text_overlay_heavy",
    "fast_cuts", "cinematic", "meme_format", "testimonial", "unboxing", "tutorial",
)  # fmt: skip
