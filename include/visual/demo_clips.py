"""Draws small clips for creatives of the simulated world, which have no files: always the same ones.

What is drawn follows the creative's DNA: its colours, how often it cuts, how much moves, how much of it is
text, whether there is sound. Enough for the visual analysis to have something to find; nothing to look at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from include.db import visual_catalogue as catalogue

if TYPE_CHECKING:
    from av.container import OutputContainer
    from sqlalchemy import Engine

    from include.db.visual_catalogue import DrawnCreative

FPS = 12
_LONGEST_S = 6.0
_SHORTEST_S = 2.0
_WIDTH = 160
_HEIGHTS = {"vertical_video": 284, "square_video": 160}
_SOUND_HZ = 16_000
_SOUND_FRAME = 1024
_PALETTES = {
    "warm": ((190, 70, 40), (235, 175, 80), (120, 40, 50), (250, 225, 190)),
    "cool": ((30, 70, 140), (110, 180, 210), (40, 120, 110), (215, 230, 240)),
    "neutral": ((70, 70, 72), (170, 165, 158), (115, 105, 95), (235, 232, 226)),
    "vivid": ((220, 30, 90), (30, 170, 230), (250, 210, 30), (70, 190, 80)),
}

Picture = npt.NDArray[np.uint8]


def list_demo_clips(engine: Engine, folder: Path, most: int) -> int:
    """Draw the clips that are missing, and put them into the catalogue.

    Args:
        folder: of the clips.
        most: how many creatives get one; a database without a simulated world has none to draw.

    Returns:
        how many were drawn.
    """
    drawn = 0
    listed = []
    for creative in catalogue.creatives_to_draw(engine, most):
        path = folder / _safe(creative.account_id) / f"{_safe(creative.creative_id)}.mp4"
        if not path.is_file():
            draw_clip(creative, path)
            drawn += 1
        listed.append((creative.account_id, creative.creative_id, str(path)))
    catalogue.list_videos(engine, listed)
    return drawn


def draw_clip(creative: DrawnCreative, path: Path) -> None:
    """Draw one creative's clip into an MP4 file."""
    import av

    seed = hashlib.sha256(f"{creative.account_id}/{creative.creative_id}".encode()).digest()
    random = np.random.default_rng(list(seed))
    visual, pacing = _part(creative.dna, "visual"), _part(creative.dna, "pacing")
    audio = _part(creative.dna, "audio")
    seconds = min(_LONGEST_S, max(_SHORTEST_S, creative.duration_s or _SHORTEST_S))
    height = _HEIGHTS.get(creative.format, 284)
    frames = round(seconds * FPS)
    cuts = _cuts(frames, float(pacing.get("cuts_per_second") or 0.3), random)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.mp4")
    with av.open(str(partial), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = _WIDTH, height, "yuv420p"
        # One thread: more of them make a different file each time.
        video.options = {"crf": "26", "preset": "veryfast", "threads": "1"}
        sound = None
        if audio.get("genre") not in (None, "none"):
            sound = container.add_stream("aac", rate=_SOUND_HZ, layout="mono")
        scenes = _scenes(visual, height, len(cuts) + 1, random)
        for number in range(frames):
            scene = scenes[int(np.searchsorted(cuts, number, side="right"))]
            picture = av.VideoFrame.from_ndarray(scene.at(number / FPS), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None:
            _add_sound(container, sound, seconds, float(audio.get("tempo") or 100))
    partial.replace(path)


class _Scene:
    """One scene: a ground, something that moves over it, and lines that stand for text."""

    def __init__(
        self, colours: Sequence[tuple[int, int, int]], height: int, motion: float, text: float, random: Any
    ) -> None:
        ground, thing = random.permutation(len(colours))[:2]
        shade = np.linspace(0.75, 1.1, height)[:, None, None]
        texture = random.normal(0, 6, (height, _WIDTH, 1))
        base = np.array(colours[ground], float)[None, None, :] * shade + texture
        self._ground = np.clip(base, 0, 255).astype(np.uint8)
        self._thing = np.array(colours[thing], np.uint8)
        self._size = int(random.integers(24, 60))
        self._from = random.uniform(0, 1, 2)
        self._speed = motion * random.uniform(0.3, 0.8) * random.choice([-1, 1], 2)
        for line in range(round(text * 10)):
            top = height - 20 - line * 12
            self._ground[top : top + 6, 20 : int(random.integers(70, _WIDTH - 20))] = 250

    def at(self, second: float) -> Picture:
        picture = self._ground.copy()
        height = picture.shape[0]
        # There and back again, so that what moves stays in the picture.
        place = np.abs((self._from + self._speed * second) % 2 - 1)
        top, left = (place * (height - self._size, _WIDTH - self._size)).astype(int)
        picture[top : top + self._size, left : left + self._size] = self._thing
        return picture


def _scenes(visual: Mapping[str, Any], height: int, count: int, random: Any) -> list[_Scene]:
    colours = _PALETTES.get(str(visual.get("colours")), _PALETTES["neutral"])
    motion, text = float(visual.get("motion") or 0.0), float(visual.get("text_density") or 0.0)
    return [_Scene(colours, height, motion, text, random) for _ in range(count)]


def _cuts(frames: int, per_second: float, random: Any) -> npt.NDArray[np.int_]:
    """First frames of the scenes after the first one, a second apart at least."""
    count = min(round(frames / FPS * per_second), frames // FPS - 1)
    if count < 1:
        return np.array([], int)
    even = np.linspace(0, frames, count + 2)[1:-1]
    moved = even + random.uniform(-0.2, 0.2, count) * FPS
    return np.sort(moved.round().astype(int))


def _add_sound(container: OutputContainer, stream: Any, seconds: float, tempo: float) -> None:
    import av

    total = int(seconds * _SOUND_HZ)
    moments = np.arange(total) / _SOUND_HZ
    beat = np.exp(-6 * ((moments * tempo / 60) % 1))
    wave = (beat * np.sin(2 * np.pi * 220 * moments) * 0.4).astype(np.float32)
    for began in range(0, total, _SOUND_FRAME):
        frame = av.AudioFrame.from_ndarray(
            wave[None, began : began + _SOUND_FRAME], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = _SOUND_HZ, began
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _part(dna: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = dna.get(name)
    return part if isinstance(part, Mapping) else {}


def _safe(name: str) -> str:
    """A vendor's id as the name of a file."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
