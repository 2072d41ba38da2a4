"""Recognises copies of a video: re-encoded, resized, re-wrapped, at another bit or frame rate, cropped a
little.

A fingerprint is what the picture looks like four times a second: 64 bits of its coarse shape (pHash: the
signs of the lowest frequencies), and up to 24 times its brightness in 48 x 48 cells. Bars are cut off
first, or all letterboxed videos would look alike; how wide they are must agree too, because a
letterboxed version is another picture to whoever sees it. Two videos are copies when durations and
proportions agree, nearly all moments look alike, no stretch of them does not (another ending, another
scene), and no part of the picture differs (another headline, another product).
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ml.visual.settings import Copies

MOMENTS_PER_S = 4.0
CELLS = 48
_MOST_PICTURES = 24
_DCT, _LOW = 32, 8
# Brightness is kept in 64 steps.
_STEP = 4
# Bars: rows and columns that are this dark, and flat, in all moments.
_DARK = 26
# Share of a side that may be cut off.
_MOST_CUT = 0.05


@dataclass(frozen=True)
class Fingerprint:
    """What a video looks like.

    Attributes:
        duration_s: its length.
        aspect: width over height of the picture within the bars.
        bars: share of the whole that is bars: top, bottom, left, right.
        moments: (n, 8) bytes, the hash at each moment.
        stride: every which moment has its cells kept.
        cells: (m, 48, 48) brightness at these moments, 0 to 255 in steps of 4.
    """

    duration_s: float
    aspect: float
    bars: tuple[float, float, float, float]
    moments: np.ndarray
    stride: int
    cells: np.ndarray

    def to_values(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "duration_s": round(self.duration_s, 3),
            "aspect": round(self.aspect, 4),
            "bars": [round(share, 4) for share in self.bars],
            "moments": self.moments.tobytes().hex(),
            "stride": self.stride,
            "cells": base64.b64encode(zlib.compress(_deltas(self.cells).tobytes(), 9)).decode("ascii"),
        }

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Fingerprint:
        """From what `to_values` gave."""
        top, bottom, left, right = values["bars"]
        deltas = np.frombuffer(zlib.decompress(base64.b64decode(values["cells"])), np.uint8)
        return cls(
            values["duration_s"],
            values["aspect"],
            (top, bottom, left, right),
            np.frombuffer(bytes.fromhex(values["moments"]), np.uint8).reshape(-1, 8),
            values["stride"],
            np.cumsum(deltas.reshape(-1, CELLS, CELLS), axis=0, dtype=np.uint8),
        )


def fingerprint(moments: list[np.ndarray], duration_s: float, aspect: float) -> Fingerprint | None:
    """The fingerprint of a video.

    Args:
        moments: small pictures (brightness), `MOMENTS_PER_S` a second, all of one size.
        aspect: width over height of the whole picture.

    Returns:
        None where there is nothing to go by: no moments, or a picture that is black throughout.
    """
    if not moments:
        return None
    stack = np.stack(moments)
    top, bottom, left, right = _bars(stack)
    height, width = stack.shape[1:]
    if bottom - top < height // 8 or right - left < width // 8:
        return None
    stride = max(2, -(-len(moments) // _MOST_PICTURES))
    inner = [np.ascontiguousarray(picture[top:bottom, left:right]) for picture in stack]
    bars = (top / height, (height - bottom) / height, left / width, (width - right) / width)
    return Fingerprint(
        duration_s,
        aspect * ((right - left) / width) / ((bottom - top) / height),
        bars,
        np.stack([_hash(picture) for picture in inner]),
        stride,
        np.stack([_cells(picture) for picture in inner[::stride]]),
    )


def find_original(
    video: Fingerprint, known: Iterable[tuple[str, Fingerprint]], settings: Copies
) -> str | None:
    """Which of the known videos this one is a copy of; the first that it is, in the order given."""
    return next((name for name, other in known if are_copies(video, other, settings)), None)


def are_copies(one: Fingerprint, other: Fingerprint, settings: Copies) -> bool:
    """Whether two videos show the same, cheap tests first."""
    longer = max(one.duration_s, other.duration_s)
    if abs(one.duration_s - other.duration_s) > max(settings.duration_s, settings.duration_share * longer):
        return False
    if abs(np.log(one.aspect / other.aspect)) > settings.aspect_share:
        return False
    if max(abs(mine - theirs) for mine, theirs in zip(one.bars, other.bars, strict=True)) > 0.05:
        return False
    unlike = _distances(one.moments, other.moments) > settings.hash_bits
    if (
        unlike.mean() > 1 - settings.alike_share
        or _longest(unlike) > settings.longest_unlike_s * MOMENTS_PER_S
    ):
        return False
    return picture_difference(one, other, settings.hash_bits) <= settings.cell_difference


def picture_difference(one: Fingerprint, other: Fingerprint, hash_bits: int) -> float:
    """Largest difference of any part of the picture at any moment, in levels, under the crop that fits best.

    The videos' own brightness and contrast are evened out first. Moments at a cut do not count: one video may
    be a frame ahead of the other.

    Args:
        hash_bits: bits by which the moments before and after must differ for it to be a cut.
    """
    places = [
        place
        for place in range(0, min(len(one.moments), len(other.moments)), math.lcm(one.stride, other.stride))
        if not any(_at_cut(video.moments, place, hash_bits) for video in (one, other))
    ]
    if not places:
        return 0.0
    mine, theirs = (
        _evened(video.cells[[place // video.stride for place in places]].astype(np.float32))
        for video in (one, other)
    )
    fit = _fit(mine, theirs)
    moved, inside = _moved(mine, fit)
    return max(_apart(m, t, inside) for m, t in zip(moved, theirs, strict=True))


def _at_cut(moments: np.ndarray, place: int, hash_bits: int) -> bool:
    around = moments[max(0, place - 1) : place + 2]
    bits = np.unpackbits(around, axis=1)
    return bool((np.count_nonzero(bits[1:] != bits[:-1], axis=1) > hash_bits).any())


def _apart(one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> float:
    """The largest difference of any 3 x 3 cells: how far each is outside of what the other's neighbours
    span."""
    kernel = np.ones((3, 3), np.uint8)
    return max(
        float(
            cv2.blur(
                np.where(inside, np.maximum(a - cv2.dilate(b, kernel), cv2.erode(b, kernel) - a), 0).clip(0),
                (3, 3),
            ).max()
        )
        for a, b in ((one, other), (other, one))
    )


def _fit(one: np.ndarray, other: np.ndarray) -> tuple[float, ...]:
    """Which shares to cut off the first's top, bottom, left and right so that it fits the second best.

    Negative where it is the second that was cut. Searched side by side, in ever smaller steps.
    """
    few = slice(None, None, max(1, len(one) // 6))
    one, other = one[few], other[few]

    def misfit(sides: tuple[float, ...]) -> float:
        moved, inside = _moved(one, sides)
        return float(np.abs(moved - other)[:, inside].mean())

    # Copies are mostly cut alike on all sides; from there each side finds its own place.
    best = min(((even,) * 4 for even in np.linspace(-_MOST_CUT, _MOST_CUT, 11)), key=misfit)
    least = misfit(best)
    for step in (0.01, 0.005, 0.0025):
        for _ in range(3):
            before = least
            for side in range(4):
                for way in (step, -step):
                    tried = tuple(value + way * (n == side) for n, value in enumerate(best))
                    if max(map(abs, tried)) <= _MOST_CUT and (now := misfit(tried)) < least:
                        best, least = tried, now
            if least == before:
                break
    return best


def _moved(cells: np.ndarray, sides: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The cells with these shares cut off, stretched to the same number, and which of them are inside."""
    top, bottom, left, right = (side * CELLS for side in sides)
    place = np.arange(CELLS) + 0.5
    rows = top + place * (CELLS - top - bottom) / CELLS - 0.5
    columns = left + place * (CELLS - left - right) / CELLS - 0.5
    inside = np.logical_and.outer(*((at >= -0.5) & (at <= CELLS - 0.5) for at in (rows, columns)))
    x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    moved = [cv2.remap(each, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for each in cells]
    return np.stack(moved), inside


def _evened(cells: np.ndarray) -> np.ndarray:
    """Cells around zero with a spread of 50 levels over the whole video, so that ranges do not matter."""
    spread = float(cells.std())
    # Softened, so that thin strokes do not depend on where between two cells they fall.
    soft = np.stack([cv2.GaussianBlur(each, (0, 0), 0.8) for each in cells])
    return (soft - cells.mean()) * np.float32(50 / max(spread, 12.0))


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) bits in which each moment differs from the other's nearest, at most one moment away."""
    count = min(len(one), len(other))
    bits = [np.unpackbits(part[:count], axis=1).astype(bool) for part in (one, other)]
    moved = [bits[1], np.roll(bits[1], 1, axis=0), np.roll(bits[1], -1, axis=0)]
    if count > 1:
        moved[1][0], moved[2][-1] = bits[1][0], bits[1][-1]
    return np.min([np.count_nonzero(bits[0] != each, axis=1) for each in moved], axis=0)


def _longest(flags: np.ndarray) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def _hash(picture: np.ndarray) -> np.ndarray:
    """The signs of the lowest 8 x 8 frequencies around their median, as 8 bytes (pHash)."""
    # imagehash's phash is the same, and would load SciPy into each decoder: a twentieth of a clip's cost.
    small = cv2.resize(picture, (_DCT, _DCT), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW]
    return np.packbits((low > np.median(low)).ravel())


def _cells(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return small // _STEP * _STEP


def _deltas(cells: np.ndarray) -> np.ndarray:
    """Each picture less the one before, which packs better: little moves."""
    return np.diff(cells, axis=0, prepend=np.zeros_like(cells[:1]))


def _bars(stack: np.ndarray) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the picture within its bars."""
    brightest = stack.max(axis=0)
    rows, columns = brightest.max(axis=1) > _DARK, brightest.max(axis=0) > _DARK
    if not rows.any():
        return 0, 0, 0, 0
    top, left = int(np.argmax(rows)), int(np.argmax(columns))
    return top, len(rows) - int(np.argmax(rows[::-1])), left, len(columns) - int(np.argmax(columns[::-1]))
