"""Small videos drawn for the tests: scenes of moving shapes and words, with speech-like sound or none."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

FPS = 25
RATE = 16_000


@dataclass(frozen=True)
class Scene:
    """A scene: what is drawn in it follows from the seed; `words` are written across it."""

    seed: int
    seconds: float
    words: str = ""
    brightness: float = 1.0


def draw(scene: Scene, width: int, height: int, fps: int = FPS) -> list[np.ndarray]:
    """The RGB frames of a scene: a soft background with three shapes drifting over it."""
    dice = np.random.default_rng(scene.seed)
    coarse = dice.integers(20, 235, (4, 3, 3)).astype(np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    shapes = [
        (
            dice.uniform(0.15, 0.85, 2),
            dice.uniform(-0.12, 0.12, 2),
            dice.uniform(0.06, 0.2),
            tuple(int(c) for c in dice.integers(0, 255, 3)),
        )
        for _ in range(3)
    ]
    frames = []
    for n in range(round(scene.seconds * fps)):
        picture = ground.copy()
        for where, speed, radius, colour in shapes:
            x, y = (where + speed * n / fps) * (width, height)
            cv2.circle(picture, (int(x), int(y)), int(radius * width), colour, -1, cv2.LINE_AA)
        for line, word in enumerate(scene.words.split("\n") if scene.words else ()):
            place = (int(0.06 * width), int((0.2 + 0.1 * line) * height))
            size = width / 320
            cv2.putText(picture, word, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2, cv2.LINE_AA)
        frames.append(np.clip(picture.astype(np.float32) * scene.brightness, 0, 255).astype(np.uint8))
    return frames


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """Harmonics of a gliding voice through moving formants, swelling four times a second."""
    time = np.arange(int(seconds * RATE)) / RATE
    dice = np.random.default_rng(seed)
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time + dice.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formant = 700 + 300 * np.sin(2 * np.pi * 2.3 * time)
    voice = sum(np.exp(-(((k * pitch - formant) / 400) ** 2)) * np.sin(k * phase) for k in range(1, 25))
    swell = np.clip(np.sin(2 * np.pi * 4.2 * time), 0, None) ** 0.7
    return (0.15 * voice * swell).astype(np.float32)


def tone(seconds: float) -> np.ndarray:
    """A held chord."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * f * time) for f in (220, 277, 330))).astype(np.float32)


def write(
    path: Path,
    scenes: list[Scene],
    *,
    width: int = 160,
    height: int = 284,
    sound: np.ndarray | None = None,
    codec: str = "libx264",
    bit_rate: int = 600_000,
    gop: int = 50,
    fps: int = FPS,
) -> Path:
    """Write the scenes as a video file."""
    frames = [frame for scene in scenes for frame in draw(scene, width, height, fps)]
    return write_frames(path, frames, sound=sound, codec=codec, bit_rate=bit_rate, gop=gop, fps=fps)


def write_frames(
    path: Path,
    frames: list[np.ndarray],
    *,
    sound: np.ndarray | None = None,
    codec: str = "libx264",
    bit_rate: int = 600_000,
    gop: int = 50,
    fps: int = FPS,
) -> Path:
    """Write RGB frames as a video file."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=fps)
        video.width, video.height = width, height
        video.pix_fmt = "yuv420p"
        video.bit_rate = bit_rate
        video.codec_context.gop_size = gop
        video.codec_context.thread_count = 1
        if codec == "libx264":
            video.codec_context.options = {"preset": "veryfast"}
        audio = None
        if sound is not None:
            audio = container.add_stream("aac", rate=RATE, layout="mono")
        for picture in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if audio is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                piece = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], "fltp", "mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
                container.mux(audio.encode(piece))
            container.mux(audio.encode())
    return path


def transcode(
    source: Path,
    target: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    crop: float = 0.0,
    codec: str = "libx264",
    bit_rate: int = 300_000,
    fps: int = FPS,
    bars: float = 0.0,
) -> Path:
    """Decode and encode anew: other size, bit rate, codec, frame rate, cropped on all sides, or with bars.

    Args:
        crop: share cut off each side.
        bars: height of the black bars above and below, as a share of the picture's height.
    """
    with av.open(str(source)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if fps != FPS:
        frames = [frames[min(len(frames) - 1, int(n * FPS / fps))] for n in range(len(frames) * fps // FPS)]
    made = []
    for picture in frames:
        tall, wide = picture.shape[:2]
        top, left = round(crop * tall), round(crop * wide)
        cut = picture[top : tall - top, left : wide - left]
        size = (width or cut.shape[1] // 2 * 2, height or cut.shape[0] // 2 * 2)
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
        if bars:
            edge = round(bars * cut.shape[0] / 2) * 2
            cut = cv2.copyMakeBorder(cut, edge, edge, 0, 0, cv2.BORDER_CONSTANT)
        made.append(cut)
    return write_frames(target, made, codec=codec, bit_rate=bit_rate, fps=fps)
