"""What one frame looks like: small copies of its planes, and the numbers taken from them.

Copies are made by averaging the decoder's own luma and chroma planes, which costs a tenth of a conversion of
the whole frame to RGB: 160 pixels for most measurements, 480 for text, and the network's own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SMALL, FINE = 160, 480
_PLANAR = {"yuv420p", "yuvj420p"}
_FULL_RANGE = 2
# From studio levels (16 to 235, 16 to 240) to 0 to 255.
_LUMA = np.clip((np.arange(256) - 16) * 255 / 219, 0, 255).round().astype(np.uint8)
_CHROMA = np.clip((np.arange(256) - 128) * 255 / 224 + 128, 0, 255).round().astype(np.uint8)
_PAD = 128


@dataclass(frozen=True)
class Planes:
    """A frame's luma and chroma as the decoder gave them, full range or not, not yet turned upright."""

    luma: np.ndarray
    blue: np.ndarray
    red: np.ndarray
    full_range: bool
    quarter_turns: int


def planes_of(frame: VideoFrame) -> Planes:
    """Views of the frame's planes; they live as long as the frame."""
    if frame.format.name not in _PLANAR:
        frame = frame.reformat(format="yuv420p")
    luma, blue, red = (_view(plane) for plane in frame.planes[:3])
    full = frame.format.name == "yuvj420p" or frame.color_range == _FULL_RANGE
    return Planes(luma, blue, red, full, (round(-frame.rotation / 90) % 4) if frame.rotation else 0)


def small_luma(planes: Planes, side: int = SMALL, *, grow: bool = False) -> np.ndarray:
    """Luma with the longer side of at most `side` pixels (exactly so many with `grow`), upright, 0 to 255."""
    height, width = planes.luma.shape
    scale = side / max(height, width)
    if not grow:
        scale = min(1.0, scale)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(planes.luma, fitted, interpolation=cv2.INTER_AREA)
    if not planes.full_range:
        small = cv2.LUT(small, _LUMA)
    return np.ascontiguousarray(np.rot90(small, -planes.quarter_turns))


def small_bgr(planes: Planes, luma: np.ndarray) -> np.ndarray:
    """The picture in colour, of the size of `luma`."""
    wide = luma.shape[::-1] if planes.quarter_turns % 2 == 0 else luma.shape
    chroma = []
    for plane in (planes.red, planes.blue):
        small = cv2.resize(plane, wide, interpolation=cv2.INTER_AREA)
        if not planes.full_range:
            small = cv2.LUT(small, _CHROMA)
        chroma.append(np.rot90(small, -planes.quarter_turns))
    return cv2.cvtColor(cv2.merge([luma, *chroma]), cv2.COLOR_YCrCb2BGR)


def network_input(planes: Planes, size: int) -> np.ndarray:
    """(size, size, 3) RGB: the whole picture in its proportions, upright, padded with grey.

    Nothing is cut off: what an ad says is often at its edges.
    """
    picture = small_bgr(planes, small_luma(planes, size, grow=True))
    height, width = picture.shape[:2]
    square = np.full((size, size, 3), _PAD, dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = picture[..., ::-1]
    return square


def look(bgr: np.ndarray, luma: np.ndarray) -> tuple[float, float, float, float, float]:
    """Brightness, contrast, saturation (0 to 1), colourfulness, and warmth (-1 to 1) of a small picture.

    Colourfulness is that of Hasler and Suesstrunk (2003), Measuring colourfulness in natural images,
    over 255.
    """
    mean, deviation = (float(value[0, 0]) / 255 for value in cv2.meanStdDev(luma))
    blue, green, red = (bgr[..., n].astype(np.float32) for n in range(3))
    high, low = bgr.max(axis=2), bgr.min(axis=2)
    saturation = float(np.mean((high - low) / np.maximum(high, 1).astype(np.float32)))
    across, along = red - green, 0.5 * (red + green) - blue
    spread = float(np.hypot(across.std(), along.std()))
    middle = float(np.hypot(across.mean(), along.mean()))
    warmth = float(red.mean() - blue.mean()) / 255
    return mean, deviation, saturation, (spread + 0.3 * middle) / 255, warmth


def text_share(luma: np.ndarray) -> float:
    """Share of the picture that lines of letters cover; `luma` is `FINE` pixels long.

    Letters are dense strokes of strong contrast in a row. Strokes are found where the picture changes most
    within 3 pixels, joined along the row, and kept where the joined piece is as wide, low and filled as a
    line of text is. Fences, grass and hair can look like text to it; a word alone is found from about
    2% of the picture's height on.
    """
    height, width = luma.shape
    strokes = cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    _, strong = cv2.threshold(strokes, 72, 255, cv2.THRESH_BINARY)
    reach = max(5, width // 40) | 1
    joined = cv2.morphologyEx(strong, cv2.MORPH_CLOSE, np.ones((1, reach), np.uint8))
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((3, reach), np.uint8))
    count, _, pieces, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    covered = 0
    for left, top, wide, high, area in pieces[1:count]:
        if not (0.012 * height <= high <= 0.16 * height and wide >= 1.5 * high and area >= 0.5 * wide * high):
            continue
        inside = strong[top : top + high, left : left + wide]
        # Along a row, letters begin and end all the time; edges of things do so once or twice.
        turns = np.count_nonzero(np.diff((inside > 0).astype(np.int8), axis=1), axis=1).mean()
        if 0.2 <= np.count_nonzero(inside) / (wide * high) <= 0.95 and turns >= max(4.0, 0.6 * wide / high):
            covered += int(wide * high)
    return covered / (height * width)


def _view(plane: object) -> np.ndarray:
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload, attr-defined]
    return lines[: plane.height, : plane.width]  # type: ignore[attr-defined]
