"""What a creative is described by when it is asked what sells: measured from its video, or from its DNA.

A number may act straight (more of it) or as a hump (its middle against its ends); a level (a hook type)
is compared with the average creative; a tag is there or not. Where both have the same unit, what a video's
analysis measured comes before what the DNA says. A tag is a feature of its own, found in the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "level", "tags"]


@dataclass(frozen=True)
class CreativeFeature:
    """One thing that can be said of a creative.

    Attributes:
        name: its column.
        kind: number, level (one word of several), or tags (any of many).
        words: what it is called in a sentence.
        measured: its key among the features of a video's analysis, None where only people know it.
        dna: where the creative's DNA has it, None where it does not.
        dna_scale: what the DNA's value is multiplied by, to have the unit of what is measured.
        column: of `ads.creative`, where it has one of its own.
        log: whether ratios matter rather than differences.
        unit: behind a value; `%` is of a share.
    """

    name: str
    kind: Kind
    words: str
    measured: str | None = None
    dna: tuple[str, ...] | None = None
    dna_scale: float = 1.0
    column: str | None = None
    log: bool = False
    unit: str = ""


# In the order of precedence: what cannot be told apart from those before it is left out.
CREATIVE_FEATURES = (
    CreativeFeature("hook_type", "level", "hook", column="hook_type"),
    CreativeFeature("visual_pattern", "level", "visual pattern", column="visual_pattern"),
    CreativeFeature("format", "level", "format", column="format"),
    CreativeFeature("persona", "level", "persona", column="persona"),
    CreativeFeature("cta", "level", "call to action", column="cta"),
    CreativeFeature(
        "duration_s", "number", "duration", "duration_s", column="duration_s", log=True, unit=" s"
    ),
    CreativeFeature(
        "pacing", "number", "cuts a minute", "cuts_per_minute", ("pacing", "cuts_per_second"), dna_scale=60.0
    ),
    CreativeFeature("first_cut_s", "number", "time to the first cut", "first_cut_s", log=True, unit=" s"),
    CreativeFeature("motion", "number", "motion", "motion"),
    CreativeFeature("brightness", "number", "brightness", "brightness"),
    CreativeFeature("contrast", "number", "contrast", "contrast"),
    CreativeFeature("colourfulness", "number", "colourfulness", "colourfulness"),
    CreativeFeature("warmth", "number", "warmth of the colours", "warmth"),
    CreativeFeature("text_area", "number", "text in the picture", "text_area", unit="%"),
    CreativeFeature("face_share", "number", "faces in the picture", "face_share", unit="%"),
    CreativeFeature("loudness", "number", "loudness", "loudness_lufs", unit=" LUFS"),
    CreativeFeature("speech_early", "number", "speech in the opening", "speech_early_share", unit="%"),
    # What the DNA says of these has a scale of its own, so it is not mixed with what was measured.
    CreativeFeature("planned_motion", "number", "motion by its DNA", dna=("visual", "motion")),
    CreativeFeature("planned_text", "number", "text by its DNA", dna=("visual", "text_density"), unit="%"),
    CreativeFeature(
        "planned_faces", "number", "time with faces by its DNA", dna=("visual", "face_time"), unit="%"
    ),
    CreativeFeature("tempo", "number", "tempo of the music", dna=("audio", "tempo"), unit=" bpm"),
    CreativeFeature("colours", "level", "colours", dna=("visual", "colours")),
    CreativeFeature("music", "level", "music", dna=("audio", "genre")),
    CreativeFeature("voice", "level", "voice", dna=("audio", "voice")),
    CreativeFeature("tag", "tags", "tag", column="visual_tags"),
)

FEATURES_BY_NAME = {feature.name: feature for feature in CREATIVE_FEATURES}
NUMBERS = tuple(feature.name for feature in CREATIVE_FEATURES if feature.kind == "number")
LEVELS = tuple(feature.name for feature in CREATIVE_FEATURES if feature.kind == "level")
TAGS = "tag"
