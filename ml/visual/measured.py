"""What was measured along a video, brought down to numbers for the whole and for each scene.

| feature | is |
| --- | --- |
| brightness, contrast, saturation | mean and deviation of luma, mean saturation; 0 to 1 |
| colourfulness, warmth | see `ml.visual.picture.look` |
| motion | mean change of luma per second within scenes, as a share of the range; cuts do not count |
| text_area | share of the picture that lines of letters cover |
| face_share | share that faces cover; null without a detector |
| first_cut_s, cuts_per_minute, pacing_* | the pace of cuts, see `ml.visual.shots.Pace` |
| loudness_lufs, speech_share, silence_share | see `ml.visual.sound`; null without a soundtrack |
| *_early | the same in the opening |
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml.visual.settings import Measuring
from ml.visual.shots import pace
from ml.visual.sound import RATE, listen

LOOKS = ("brightness", "contrast", "saturation", "colourfulness", "warmth")
_DIGITS = 4


@dataclass
class Tracks:
    """What is noted while frames go by.

    Attributes:
        times: of every frame, seconds.
        change: of every frame, how fast luma changes since the frame before.
        faces: at the times of the texts.
    """

    times: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    look_times: list[float] = field(default_factory=list)
    looks: list[tuple[float, ...]] = field(default_factory=list)
    text_times: list[float] = field(default_factory=list)
    texts: list[float] = field(default_factory=list)
    faces: list[float] = field(default_factory=list)
    sound: list[np.ndarray] = field(default_factory=list)
    heard: int = 0

    @property
    def heard_s(self) -> float:
        """Seconds of sound so far."""
        return self.heard / RATE

    def look(self, time_s: float, numbers: tuple[float, ...]) -> None:
        """Note how a frame looks."""
        self.look_times.append(time_s)
        self.looks.append(numbers)

    def text(self, time_s: float, share: float) -> None:
        """Note how much text a frame has."""
        self.text_times.append(time_s)
        self.texts.append(share)

    def hear(self, samples: np.ndarray) -> None:
        """Add sound."""
        self.sound.append(np.array(samples, dtype=np.float32))
        self.heard += len(samples)


def measured(
    tracks: Tracks, cuts: list[float], duration_s: float, measuring: Measuring, has_audio: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Scenes (`start_s`, `end_s`, `features`) and the features of the whole video."""
    edges = [0.0, *cuts, duration_s]
    scenes = [
        {
            "start_s": round(begin, 3),
            "end_s": round(end, 3),
            "features": _rounded({"duration_s": end - begin, **_pictures(tracks, cuts, begin, end)}),
        }
        for begin, end in itertools.pairwise(edges)
    ]
    early = measuring.early_s
    told = pace(cuts, duration_s, measuring.pacing_window_s, early)
    opening = _pictures(tracks, cuts, 0.0, early)
    features: dict[str, Any] = {
        "duration_s": duration_s,
        "scene_count": len(scenes),
        "first_cut_s": told.first_cut_s,
        "cuts_per_minute": told.cuts_per_minute,
        "cuts_early": told.early,
        "pacing_fastest": told.fastest,
        "pacing_fastest_at_s": told.fastest_at_s,
        "mean_scene_s": told.mean_scene_s,
        "scene_deviation_s": told.scene_deviation_s,
        **_pictures(tracks, cuts, 0.0, duration_s),
        **{f"{name}_early": opening[name] for name in ("brightness", "motion", "text_area", "face_share")},
        "loudness_lufs": None, "loudness_early_lufs": None, "speech_share": None,
        "speech_early_share": None, "silence_share": None,
    }  # fmt: skip
    if has_audio:
        heard = listen(np.concatenate(tracks.sound) if tracks.sound else np.zeros(0, np.float32), early)
        features |= vars(heard)
    return scenes, _rounded(features)


def _pictures(tracks: Tracks, cuts: list[float], begin: float, end: float) -> dict[str, float | None]:
    """The picture's features between two moments; None where no frame was looked at."""
    looks = [row for time, row in zip(tracks.look_times, tracks.looks, strict=True) if begin <= time < end]
    texts = [
        share for time, share in zip(tracks.text_times, tracks.texts, strict=True) if begin <= time < end
    ]
    faces = [
        share for time, share in zip(tracks.text_times, tracks.faces, strict=False) if begin <= time < end
    ]
    at_cut = set(cuts)
    change = [
        rate
        for time, rate in zip(tracks.times[1:], tracks.change[1:], strict=True)
        if begin <= time < end and time not in at_cut
    ]
    means = np.mean(looks, axis=0) if looks else None
    return {
        **{name: None if means is None else float(means[n]) for n, name in enumerate(LOOKS)},
        "motion": float(np.mean(change)) if change else None,
        "text_area": float(np.mean(texts)) if texts else None,
        "face_share": float(np.mean(faces)) if faces else None,
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in values.items()
    }
