"""The platform's own words, as the simulator uses them, and what they look like.

Order matters: draws pick by position, so a new word goes to the end of its list.
"""

from include.config.platform import HOOK_TYPES, NICHES, VISUAL_PATTERNS

__all__ = ["HOOK_TYPES", "NICHES", "VISUAL_PATTERNS"]

PERSONAS = ("budget_seeker", "busy_professional", "new_parent", "student", "enthusiast", "retiree")
CTAS = ("shop_now", "learn_more", "sign_up", "get_offer", "book_now")
FORMATS = ("vertical_video", "square_video", "image", "carousel")

# (publisher_platform, platform_position), always paired: Meta refuses a position without its platform.
PLACEMENTS = (
    ("facebook", "feed"),
    ("facebook", "facebook_reels"),
    ("instagram", "feed"),
    ("instagram", "instagram_stories"),
    ("instagram", "instagram_reels"),
)
AGES = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
GENDERS = ("female", "male")
HOURS = tuple(f"{hour:02d}:00:00 - {hour:02d}:59:59" for hour in range(24))
# As Meta spells them, worst first.
RANKINGS = (
    "BELOW_AVERAGE_10", "BELOW_AVERAGE_20", "BELOW_AVERAGE_35", "AVERAGE", "ABOVE_AVERAGE",
)  # fmt: skip
DEVICES = ("android_smartphone", "iphone", "desktop")

# What is sold in a niche, for hook texts and names.
NICHE_THING = {
    "fitness": "home workout plan", "beauty": "skin serum", "fashion": "linen shirt", "tech": "smart lamp",
    "ecommerce": "travel organiser", "food": "meal kit", "travel": "island getaway", "finance": "savings app",
    "education": "language course", "real_estate": "city apartment", "saas": "invoicing tool",
    "health": "sleep tracker", "entertainment": "puzzle game", "home_decor": "oak shelf",
    "automotive": "electric hatchback",
}  # fmt: skip

PERSONA_WORDS = {
    "budget_seeker": "bargain hunters", "busy_professional": "busy people", "new_parent": "new parents",
    "student": "students", "enthusiast": "enthusiasts", "retiree": "retirees",
}  # fmt: skip

HOOK_TEXTS = {
    "curiosity_gap": (
        "The one thing about your {thing} nobody told you",
        "Why {who} keep quiet about this {thing}",
    ),
    "transformation": ("30 days with a {thing}: day 1 vs day 30", "How a {thing} changed my mornings"),
    "urgency_scarcity": ("Last 48 hours for the {thing}", "Only 200 left: the {thing} {who} wait for"),
    "social_proof": ("12,000 {who} already use this {thing}", "Rated 4.8 by {who}: our {thing}"),
    "pattern_interrupt": (
        "Stop. Put your {thing} down.",
        "Don't scroll: this {thing} just did something odd",
    ),
    "question": ("Still looking for a {thing} that lasts?", "What would {who} do with a better {thing}?"),
    "negative_hook": (
        "3 mistakes {who} make with a {thing}",
        "Your {thing} is costing you more than you think",
    ),
    "story_hook": (
        "Last winter I nearly gave up on my {thing}",
        "My sister laughed at my {thing}. Then this happened",
    ),
    "statistic_hook": (
        "83 % of {who} pick the wrong {thing}",
        "1 in 4 {who} switched their {thing} this year",
    ),
    "controversy_hook": (
        "Unpopular opinion: {who} don't need a {thing}",
        "The {thing} industry won't like this",
    ),
}

# dna.hook of each type: emotion, urgency and curiosity in [0, 1].
HOOK_FEELING = {
    "curiosity_gap": ("curiosity", 0.3, 0.9), "transformation": ("hope", 0.3, 0.6),
    "urgency_scarcity": ("fear_of_missing_out", 0.95, 0.3), "social_proof": ("trust", 0.3, 0.4),
    "pattern_interrupt": ("surprise", 0.5, 0.8), "question": ("curiosity", 0.2, 0.7),
    "negative_hook": ("worry", 0.5, 0.5), "story_hook": ("empathy", 0.2, 0.6),
    "statistic_hook": ("surprise", 0.3, 0.5), "controversy_hook": ("anger", 0.4, 0.7),
}  # fmt: skip

# What a picture of each pattern shows and how it moves: tags, motion, cuts per second, share of face time.
PATTERN_LOOK: dict[str, tuple[tuple[str, ...], float, float, float]] = {
    "before_after": (("split_screen", "person", "result"), 0.4, 0.3, 0.5),
    "talking_head": (("face", "indoor", "microphone"), 0.2, 0.1, 0.9),
    "product_demo": (("product", "hands", "close_up"), 0.5, 0.4, 0.1),
    "lifestyle": (("outdoor", "people", "daylight"), 0.5, 0.3, 0.4),
    "ugc_style": (("handheld", "face", "home"), 0.6, 0.3, 0.7),
    "text_overlay_heavy": (("text", "plain_background"), 0.3, 0.5, 0.1),
    "fast_cuts": (("montage", "product", "movement"), 0.9, 1.2, 0.2),
    "cinematic": (("wide_shot", "landscape", "colour_grade"), 0.4, 0.2, 0.2),
    "meme_format": (("text", "reaction", "humour"), 0.4, 0.4, 0.4),
    "testimonial": (("face", "customer", "quote"), 0.2, 0.1, 0.85),
    "unboxing": (("box", "hands", "product"), 0.5, 0.3, 0.2),
    "tutorial": (("steps", "hands", "screen"), 0.4, 0.3, 0.3),
}

EXTRA_TAGS = ("logo", "warm_colours", "cool_colours", "pet", "kitchen", "city", "caption", "price_tag")
MUSIC = ("pop", "lofi", "electronic", "acoustic", "none")
VOICES = ("female", "male", "none")
PALETTES = ("warm", "cool", "neutral", "vivid")

CTA_TEXT = {
    "shop_now": "Shop now", "learn_more": "Learn more", "sign_up": "Sign up",
    "get_offer": "Get offer", "book_now": "Book now",
}  # fmt: skip

ACCOUNT_WORDS = (
    "Northside", "Bluebird", "Copper", "Evergreen", "Harbour", "Juniper", "Lantern", "Meadow",
    "Orchard", "Pioneer", "Quarry", "Riverbend", "Saltwater", "Tallgrass", "Willow",
)  # fmt: skip
CAMPAIGNS = ("Prospecting", "Retargeting", "Seasonal")
