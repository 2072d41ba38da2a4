"""The enumerations of the platform that Nightshift serves, in its own words.

Order matters: the simulator's draws pick by position, so a new word goes to the end of its list.
"""

NICHES = (
    "fitness", "beauty", "fashion", "tech", "ecommerce", "food", "travel", "finance", "education",
    "real_estate", "saas", "health", "entertainment", "home_decor", "automotive",
)  # fmt: skip

HOOK_TYPES = (
    "curiosity_gap", "transformation", "urgency_scarcity", "social_proof", "pattern_interrupt",
    "question", "negative_hook", "story_hook", "statistic_hook", "controversy_hook",
)  # fmt: skip

VISUAL_PATTERNS = (
    "before_after", "talking_head", "product_demo", "lifestyle", "ugc_style", "text_overlay_heavy",
    "fast_cuts", "cinematic", "meme_format", "testimonial", "unboxing", "tutorial",
)  # fmt: skip
