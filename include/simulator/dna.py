"""What a creative looks and sounds like: its hook text, visual tags and DNA, in the platform's own structure.

Everything follows from the ad's attributes and two uniform draws, `wording` and `look`. What the tables of
`truth` do not name has no effect on clicks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from include.simulator.vocabulary import (
    CTA_TEXT,
    EXTRA_TAGS,
    HOOK_FEELING,
    HOOK_TEXTS,
    MUSIC,
    NICHE_THING,
    PALETTES,
    PATTERN_LOOK,
    PERSONA_WORDS,
    VOICES,
)

POWER_WORDS = frozenset({"stop", "only", "last", "mistakes", "wrong", "nobody", "lasts", "better", "changed"})


@dataclass(frozen=True)
class Description:
    """A creative in words."""

    hook_text: str
    visual_tags: tuple[str, ...]
    dna: dict[str, Any]


def describe(ad: dict[str, Any]) -> Description:
    """Describe the creative of one ad.

    Args:
        ad: niche, hook_type, persona, cta, format, visual_pattern, duration_s (NaN for pictures), and
            `wording` and `look` in [0, 1).
    """
    variants = HOOK_TEXTS[ad["hook_type"]]
    text = variants[int(ad["wording"] * len(variants))].format(
        thing=NICHE_THING[ad["niche"]], who=PERSONA_WORDS[ad["persona"]]
    )
    tags, motion, cuts, face = PATTERN_LOOK[ad["visual_pattern"]]
    look = float(ad["look"])
    extra = EXTRA_TAGS[int(look * len(EXTRA_TAGS))]
    emotion, urgency, curiosity = HOOK_FEELING[ad["hook_type"]]
    moving = not math.isnan(ad["duration_s"])
    duration = float(ad["duration_s"]) if moving else 0.0
    scenes = max(1, round(duration * cuts)) if moving else 1
    words = text.split()
    dna: dict[str, Any] = {
        "hook": {
            "type": ad["hook_type"], "length": len(words), "first_words": " ".join(words[:3]),
            "emotion": emotion, "urgency": urgency, "curiosity": curiosity,
        },
        "visual": {
            "pattern": ad["visual_pattern"], "colours": PALETTES[int(look * 97) % len(PALETTES)],
            "faces": int(face >= 0.4), "face_time": face, "motion": motion if moving else 0.0,
            "text_density": 0.6 if "text" in tags else 0.15, "scene_count": scenes,
        },
        "audio": {
            "genre": MUSIC[int(look * 89) % len(MUSIC)] if moving else "none",
            "tempo": 80 + int(look * 60) if moving else 0,
            "voice": VOICES[int(look * 83) % len(VOICES)] if moving else "none",
            "energy": round(0.3 + 0.6 * motion, 2) if moving else 0.0,
        },
        "pacing": {
            "duration_s": duration, "cuts_per_second": cuts if moving else 0.0,
            "mean_scene_s": round(duration / scenes, 2), "intro_s": round(min(3.0, duration / 6), 2),
            "cta_time_s": round(duration * 0.85, 2),
        },
        "copy": {
            "words": len(words), "sentiment": round(0.5 - urgency * 0.4 + curiosity * 0.2, 2),
            "key_phrases": [NICHE_THING[ad["niche"]]],
            "power_words": [w for w in (word.strip(".,:?!'").lower() for word in words) if w in POWER_WORDS],
        },
        "cta": {
            "type": ad["cta"], "text": CTA_TEXT[ad["cta"]], "time_s": round(duration * 0.85, 2),
            "style": "button", "urgency": 0.8 if ad["cta"] == "get_offer" else 0.3,
        },
    }  # fmt: skip
    return Description(hook_text=text, visual_tags=(*tags, extra), dna=dna)
