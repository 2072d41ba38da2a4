"""Where one scene ends and the next begins, and the pace of it.

Cuts are found by PySceneDetect's adaptive detector, which compares each frame's change with that of its
neighbours, so that a moving camera is not taken for cuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.visual.settings import Measuring


class CutFinder:
    """Takes every frame of a video in order and says at the end where it was cut."""

    def __init__(self, measuring: Measuring, fps: float) -> None:
        from scenedetect import AdaptiveDetector  # type: ignore[import-untyped]

        self._fps = fps
        self._times: list[float] = []
        self._cuts: list[float] = []
        self._detector: Any = AdaptiveDetector(
            adaptive_threshold=measuring.adaptive_ratio,
            min_scene_len=max(1, round(measuring.least_scene_s * fps)),
            window_width=measuring.window_frames,
            min_content_val=measuring.least_content,
        )

    def see(self, time_s: float, bgr: np.ndarray) -> None:
        """The next frame, small and in colour."""
        from scenedetect import FrameTimecode

        number = FrameTimecode(len(self._times), fps=self._fps)
        self._times.append(time_s)
        found = self._detector.process_frame(number, bgr)
        self._cuts += [self._times[cut.frame_num] for cut in found]

    def cuts(self) -> list[float]:
        """When the frames after a cut begin, seconds."""
        return list(self._cuts)


@dataclass(frozen=True)
class Pace:
    """The pace of a video.

    Attributes:
        cuts_per_minute: over all of it.
        fastest: most cuts per second within the sliding window.
        fastest_at_s: the middle of that window.
        early: cuts in the opening.
        first_cut_s: when it is first cut; None where it never is.
    """

    cuts_per_minute: float
    fastest: float
    fastest_at_s: float
    early: int
    first_cut_s: float | None
    mean_scene_s: float
    scene_deviation_s: float


def pace(cuts: list[float], duration_s: float, window_s: float, early_s: float) -> Pace:
    """The pace of cuts.

    >>> pace([1.0, 1.5, 2.0, 9.0], 10.0, 2.0, 3.0).fastest
    1.5
    """
    edges = np.array([0.0, *cuts, max(duration_s, *cuts, 0.0)])
    lengths = np.diff(edges)
    window = min(window_s, duration_s) or window_s
    fastest, at = 0, window / 2
    for first, begin in enumerate(cuts):
        count = sum(begin <= cut < begin + window for cut in cuts[first:])
        if count > fastest:
            fastest, at = count, min(begin + window / 2, duration_s)
    return Pace(
        cuts_per_minute=60 * len(cuts) / duration_s if duration_s > 0 else 0.0,
        fastest=fastest / window,
        fastest_at_s=at,
        early=sum(cut < early_s for cut in cuts),
        first_cut_s=cuts[0] if cuts else None,
        mean_scene_s=float(lengths.mean()),
        scene_deviation_s=float(lengths.std()),
    )
