"""Copies and look-alikes of drawn videos, for the test and the benchmark of recognising copies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.visual.decoding import Question, watch
from ml.visual.fingerprint import Fingerprint, are_copies
from ml.visual.sampling import Sampling
from ml.visual.settings import Copies, Limits, Measuring
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene

WAYS: dict[str, dict[str, Any]] = {
    "smaller": {"width": 144, "height": 256},
    "larger": {"width": 360, "height": 640},
    "low bit rate": {"bit_rate": 90_000},
    "HEVC": {"codec": "libx265"},
    "MPEG-4": {"codec": "mpeg4"},
    "30 fps": {"fps": 30},
    "15 fps": {"fps": 15},
    "cropped 1.5%": {"crop": 0.015},
    "cropped 3%": {"crop": 0.03},
    "small and low": {"width": 112, "height": 200, "bit_rate": 80_000},
}


@dataclass(frozen=True)
class Pair:
    """Two videos, and whether one is a copy of the other."""

    what: str
    are_copies: bool
    one: Fingerprint
    other: Fingerprint


def fingerprint_of(path: Path) -> Fingerprint:
    """What the job would keep of a file."""
    question = Question(str(path), Sampling.TWO_FPS, 0, 16, Limits(), Measuring())
    told = watch(question, lambda *_: None, lambda _: None)
    return Fingerprint.of_values(told["perceptual_hash"])


def pairs(
    folder: Path, seed: int, ways: dict[str, dict[str, Any]], *, width: int = 240, height: int = 426
) -> list[Pair]:
    """A drawn video with its copies, and with videos that are none but look like it."""
    size = {"width": width, "height": height}
    story = [
        Scene(seed + 1, 1.2),
        Scene(seed + 2, 1.4, "SALE TODAY\nonly here"),
        Scene(seed + 3, 1.4),
    ]
    path = clips.write(folder / f"{seed}.mp4", story, **size)
    original = fingerprint_of(path)
    found = [
        Pair(
            name, True, original, fingerprint_of(clips.transcode(path, folder / f"{seed} {name}.mp4", **how))
        )
        for name, how in ways.items()
    ]
    if ways:
        wrapped = clips.transcode(path, folder / f"{seed}.mkv")
        found.append(Pair("other container", True, original, fingerprint_of(wrapped)))
    unlike = {
        "another ending": [*story[:2], Scene(seed + 9, 1.4)],
        "another last second": [*story[:2], Scene(seed + 3, 0.6), Scene(seed + 9, 0.8)],
        "another opening": [Scene(seed + 9, 1.2), *story[1:]],
        "another headline": [story[0], Scene(seed + 2, 1.4, "BUY NOW\n50% off"), story[2]],
        "no headline": [story[0], Scene(seed + 2, 1.4), story[2]],
        "other order": [story[0], story[2], story[1]],
        "half a second longer": [*story[:2], Scene(seed + 3, 2.0)],
    }
    for name, scenes in unlike.items():
        other = fingerprint_of(clips.write(folder / f"{seed} {name}.mp4", scenes, **size))
        found.append(Pair(name, False, original, other))
    boxed = fingerprint_of(clips.transcode(path, folder / f"{seed} boxed.mp4", bars=0.2))
    found.append(Pair("letterboxed", False, original, boxed))
    different = clips.write(
        folder / f"{seed} different.mp4", [Scene(seed + 5, 2.0), Scene(seed + 6, 2.0)], **size
    )
    also_boxed = fingerprint_of(clips.transcode(different, folder / f"{seed} different boxed.mp4", bars=0.2))
    found.append(Pair("two letterboxed", False, boxed, also_boxed))
    return found


def recall_and_precision(found: list[Pair]) -> tuple[float, float, list[str]]:
    """Share of copies found, share of what was called a copy that is one, and what went wrong."""
    called = [(pair, are_copies(pair.one, pair.other, Copies())) for pair in found]
    right = sum(pair.are_copies and said for pair, said in called)
    wrong = [pair.what for pair, said in called if said != pair.are_copies]
    copies, said = sum(pair.are_copies for pair in found), sum(said for _, said in called)
    return right / copies, right / said if said else 1.0, wrong
