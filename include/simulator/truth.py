"""The known truth: why people click in a simulated world, as tables and one function.

The chance that one impression is clicked is `logistic` of the sum of these log-odds:

| effect | table | what is true |
| --- | --- | --- |
| niche | `NICHE` | each niche has its own base CTR, CPM, conversion rate and order value |
| hook type | `HOOK`, `HOOK_AFTER` | curiosity and change win; after a drift event numbers and controversy |
| persona x niche | `FITTING`, `MISFIT` | a persona that fits the niche adds `FIT`, a misfit takes as much |
| visual pattern | `PATTERN` | user-made and before/after pictures win, cinematic ones lose |
| format | `FORMAT` | vertical video before carousel before the rest |
| call to action | `CTA` | small: offers attract, sign-ups repel |
| duration | `DURATION_CURVE` | best at 20 s, falling off with the squared log-distance; none for pictures |
| placement | `PLACEMENT`, `PLACEMENT_AFTER` | Facebook Reels do worst; after a drift event the order turns |
| age, gender | `AGE`, `GENDER` | the young and the oldest click more, women slightly more |
| fatigue | `FATIGUE` | each time the average person has seen the ad before costs 0.12 |
| day of week | `WEEKDAY` | Saturday is best, Monday worst |
| the ad itself | `AD_SPREAD` | a normal draw per ad: what no attribute explains |

**True nulls**, so that a finding on them is a false one: campaign, device, day of month, account (beyond its
niche), music, colours, the wording within a hook type.

What the platform tells beyond clicks follows these:

| effect | table | what is true |
| --- | --- | --- |
| hour | `HOURS`, `HOUR_CLICK` | delivery follows the day, later at weekends; evenings click more |
| who buys | `BUYS_PLACEMENT`, `BUYS_AGE`, `BUYS_GENDER` | people of 25 to 44, women, Instagram's feed |
| claimed by a view | `VIEW_SHARE` | a share of the purchases within a day, the same for every ad |
| watching | `HOLD`, `FIT_HOLD` | seconds, not shares: longer videos lose more; stories hold |
| rankings | `RANKING_NOISE` | the ad's effect on clicks, holding and buying against its niche, with noise |

`BUYS_*` only move purchases between the cells of an ad-day, never their number; devices do not matter. A
persona that fits holds viewers longer, too.

Placement shares and ages enter with the impressions that were really delivered: the true CTR of an ad-day is
the mean over its delivered cells, so no model can know more than it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator.vocabulary import (
    AGES,
    GENDERS,
    HOOK_TYPES,
    PLACEMENTS,
)

Floats = npt.NDArray[np.float64]

# niche: (base CTR, CPM in dollars, conversions per click, order value in dollars)
NICHE = {
    "fitness": (0.013, 9.5, 0.035, 60.0), "beauty": (0.014, 8.5, 0.040, 45.0),
    "fashion": (0.015, 7.5, 0.030, 70.0), "tech": (0.010, 11.0, 0.020, 180.0),
    "ecommerce": (0.014, 8.0, 0.035, 50.0), "food": (0.016, 7.0, 0.045, 30.0),
    "travel": (0.011, 8.0, 0.015, 350.0), "finance": (0.007, 14.0, 0.030, 120.0),
    "education": (0.008, 10.0, 0.030, 150.0), "real_estate": (0.009, 9.0, 0.012, 400.0),
    "saas": (0.0075, 15.0, 0.025, 200.0), "health": (0.010, 10.0, 0.030, 55.0),
    "entertainment": (0.018, 6.0, 0.040, 20.0), "home_decor": (0.012, 8.0, 0.025, 110.0),
    "automotive": (0.008, 9.5, 0.010, 300.0),
}  # fmt: skip

HOOK = {
    "curiosity_gap": 0.34, "transformation": 0.26, "urgency_scarcity": 0.12, "social_proof": 0.08,
    "pattern_interrupt": 0.22, "question": -0.05, "negative_hook": -0.12, "story_hook": 0.02,
    "statistic_hook": -0.28, "controversy_hook": -0.34,
}  # fmt: skip
HOOK_AFTER = {
    "curiosity_gap": -0.36, "transformation": -0.20, "urgency_scarcity": -0.10, "social_proof": 0.02,
    "pattern_interrupt": -0.30, "question": 0.10, "negative_hook": 0.14, "story_hook": 0.06,
    "statistic_hook": 0.36, "controversy_hook": 0.40,
}  # fmt: skip

PATTERN = {
    "before_after": 0.18, "talking_head": -0.05, "product_demo": 0.05, "lifestyle": -0.08, "ugc_style": 0.22,
    "text_overlay_heavy": -0.12, "fast_cuts": 0.08, "cinematic": -0.20, "meme_format": 0.10,
    "testimonial": 0.04, "unboxing": 0.0, "tutorial": -0.02,
}  # fmt: skip

FORMAT = {"vertical_video": 0.10, "square_video": 0.0, "image": -0.08, "carousel": 0.03}
CTA = {"shop_now": 0.0, "learn_more": 0.02, "sign_up": -0.06, "get_offer": 0.08, "book_now": -0.02}

PLACEMENT = dict(zip(PLACEMENTS, (0.10, -0.35, 0.0, -0.20, 0.15), strict=True))
PLACEMENT_AFTER = dict(zip(PLACEMENTS, (-0.20, 0.15, -0.10, 0.25, -0.25), strict=True))
AGE = dict(zip(AGES, (0.12, 0.05, 0.0, -0.05, -0.02, 0.10), strict=True))
GENDER = {"female": 0.04, "male": -0.04}

FIT = 0.25
FITTING = {
    "fitness": "busy_professional", "beauty": "enthusiast", "fashion": "student", "tech": "enthusiast",
    "ecommerce": "budget_seeker", "food": "new_parent", "travel": "retiree", "finance": "budget_seeker",
    "education": "student", "real_estate": "new_parent", "saas": "busy_professional", "health": "retiree",
    "entertainment": "student", "home_decor": "new_parent", "automotive": "enthusiast",
}  # fmt: skip
MISFIT = {
    "fitness": "retiree", "beauty": "busy_professional", "fashion": "retiree", "tech": "new_parent",
    "ecommerce": "enthusiast", "food": "student", "travel": "student", "finance": "new_parent",
    "education": "enthusiast", "real_estate": "student", "saas": "retiree", "health": "budget_seeker",
    "entertainment": "retiree", "home_decor": "student", "automotive": "new_parent",
}  # fmt: skip

DURATION_CURVE = -0.12
BEST_DURATION_S = 20.0
FATIGUE = -0.12
WEEKDAY = (-0.06, -0.03, 0.0, 0.01, 0.04, 0.10, 0.06)  # Monday first
AD_SPREAD = 0.12

# Share of conversions that arrive this many days after the click.
DELAY = (0.45, 0.20, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02)

# Share of a day's impressions in each hour of the advertiser's time zone: Monday to Friday, and weekends.
HOURS = (
    (1.6, 1.0, 0.7, 0.5, 0.6, 1.2, 2.4, 3.8, 4.4, 4.2, 4.2, 4.6,
     5.6, 5.4, 4.6, 4.4, 4.6, 5.4, 6.4, 7.6, 8.4, 8.2, 6.4, 3.8),
    (2.6, 1.8, 1.2, 0.8, 0.6, 0.7, 1.2, 2.2, 3.6, 5.0, 5.8, 6.0,
     5.8, 5.6, 5.4, 5.2, 5.2, 5.4, 6.0, 6.6, 7.0, 7.0, 5.6, 3.7),
)  # fmt: skip
# Log-odds against the day's mean.
HOUR_CLICK = (
    -0.10, -0.15, -0.20, -0.20, -0.15, -0.10, -0.05, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.05, 0.05, 0.0, 0.0, 0.0, 0.05, 0.10, 0.15, 0.20, 0.15, 0.05, 0.0,
)  # fmt: skip

# Log-weights of a click to be the one that buys.
BUYS_PLACEMENT = dict(zip(PLACEMENTS, (0.05, -0.25, 0.20, -0.10, 0.0), strict=True))
BUYS_AGE = dict(zip(AGES, (-0.30, 0.15, 0.20, 0.0, -0.10, -0.15), strict=True))
BUYS_GENDER = {"female": 0.08, "male": -0.08}
# Of the purchases of the first two days, those that Meta claims for a view and not for a click.
VIEW_SHARE = 0.15

# A viewer is still there after t seconds with probability exp(-(t / scale) ** WATCH_SHAPE).
WATCH_SECONDS = 7.0
WATCH_SHAPE = 0.6
PLAY_SHARE = 0.92
HOLD = {
    "curiosity_gap": 0.25, "transformation": 0.15, "urgency_scarcity": -0.15, "social_proof": -0.05,
    "pattern_interrupt": 0.35, "question": 0.0, "negative_hook": 0.05, "story_hook": 0.40,
    "statistic_hook": -0.20, "controversy_hook": 0.10,
}  # fmt: skip
FIT_HOLD = 0.20

# Of all clicks, those on the link; and those of people who had clicked already.
LINK_SHARE = 0.86
REPEAT_SHARE = 0.05
RANKING_NOISE = 0.12

# Where and to whom delivery goes, before and after a drift event (log-weights added at strength 1).
FORMAT_PLACEMENTS = {
    "vertical_video": (0.10, 0.25, 0.10, 0.20, 0.35),
    "square_video": (0.35, 0.15, 0.25, 0.10, 0.15),
    "image": (0.45, 0.05, 0.30, 0.15, 0.05),
    "carousel": (0.45, 0.03, 0.42, 0.05, 0.05),
}
PERSONA_AGES = {
    "budget_seeker": (0.15, 0.25, 0.25, 0.17, 0.11, 0.07),
    "busy_professional": (0.06, 0.36, 0.33, 0.16, 0.06, 0.03),
    "new_parent": (0.10, 0.45, 0.35, 0.06, 0.02, 0.02),
    "student": (0.65, 0.25, 0.05, 0.02, 0.02, 0.01),
    "enthusiast": (0.20, 0.30, 0.22, 0.14, 0.09, 0.05),
    "retiree": (0.01, 0.02, 0.05, 0.14, 0.35, 0.43),
}
PLACEMENT_MOVE = (-0.9, 0.9, -0.7, 0.6, 0.5)
AGE_MOVE = (-0.9, -0.5, 0.0, 0.4, 0.8, 1.0)
CPM_AFTER = 1.5

# Advertisers choose hooks in proportion to exp(this * the effect in force when they launch).
HOOK_CHASING = 1.5


def logistic(log_odds: Floats) -> Floats:
    """Log-odds to probability."""
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def hook_effects(strength: float) -> Floats:
    """Log-odds of every hook type, in the order of `HOOK_TYPES`, at a drift of `strength` in [0, 1]."""
    return _blend(_column(HOOK, HOOK_TYPES), _column(HOOK_AFTER, HOOK_TYPES), np.array([strength]))[0]


def niche_log_odds(ads: pd.DataFrame) -> Floats:
    """The log-odds of each ad's niche, before anything about the ad."""
    base = {niche: np.log(row[0] / (1 - row[0])) for niche, row in NICHE.items()}
    return np.asarray(ads["niche"].map(base).to_numpy(float))


def persona_fit(ads: pd.DataFrame) -> Floats:
    """1 where the persona fits the niche, -1 where it is a misfit, else 0."""
    fits = (ads["persona"] == ads["niche"].map(FITTING)).to_numpy(float)
    misfits = (ads["persona"] == ads["niche"].map(MISFIT)).to_numpy(float)
    return np.asarray(fits - misfits)


def ad_log_odds(ads: pd.DataFrame) -> Floats:
    """What of the log-odds stays the same over an ad's life, without its hook.

    Args:
        ads: niche, persona, visual_pattern, format, cta, duration_s (NaN for pictures), ad_effect.

    Returns:
        One log-odds per row of `ads`.
    """
    distance = np.log(ads["duration_s"].to_numpy(float) / BEST_DURATION_S)
    return (
        niche_log_odds(ads)
        + FIT * persona_fit(ads)
        + ads["visual_pattern"].map(PATTERN).to_numpy(float)
        + ads["format"].map(FORMAT).to_numpy(float)
        + ads["cta"].map(CTA).to_numpy(float)
        + np.nan_to_num(DURATION_CURVE * distance**2)
        + ads["ad_effect"].to_numpy(float)
    )


def cell_probabilities(
    constant: Floats, hook: npt.NDArray[np.int64], seen: Floats, weekday: npt.NDArray[np.int64], drift: Floats
) -> Floats:
    """The true click probability of every cell of every ad-day.

    Args:
        constant: `ad_log_odds` of the ad, shape (rows,).
        hook: position in `HOOK_TYPES`.
        seen: how often an average person of the audience has seen the ad before this day.
        weekday: 0 is Monday.
        drift: strength in force on the day, 0 before the event.

    Returns:
        Shape (rows, placements, ages, genders), in the order of `PLACEMENTS`, `AGES`, `GENDERS`.
    """
    hooks = _blend(_column(HOOK, HOOK_TYPES), _column(HOOK_AFTER, HOOK_TYPES), drift)
    places = _blend(_column(PLACEMENT, PLACEMENTS), _column(PLACEMENT_AFTER, PLACEMENTS), drift)
    day = constant + hooks[np.arange(len(hook)), hook] + FATIGUE * seen + np.array(WEEKDAY)[weekday]
    people = _column(AGE, AGES)[:, None] + _column(GENDER, GENDERS)[None, :]
    return logistic(day[:, None, None, None] + places[:, :, None, None] + people[None, None, :, :])


def oracle_mae_pp(daily: pd.DataFrame) -> float:
    """The mean absolute error, in percentage points of CTR, of a forecaster who knows the true CTR.

    Args:
        daily: `SimulatedWorld.daily` or rows of it.

    What is left is the luck of the clicks: no honest model does better on the same rows.
    """
    observed = daily["clicks"] / daily["impressions"]
    return float((observed - daily["true_ctr"]).abs().mean() * 100)


def _column(table: dict, order: tuple) -> Floats:
    return np.array([table[word] for word in order])


def _blend(before: Floats, after: Floats, strength: Floats) -> Floats:
    """Shape (rows, effects): each row's table at its own strength."""
    return np.asarray(before[None, :] + strength[:, None] * (after - before)[None, :])
