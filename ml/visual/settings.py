"""What the visual job can be told. `include/config/visual.py` gives the values; a manifest brings them
along."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml.visual.errors import ManifestUnusable


@dataclass(frozen=True)
class Limits:
    """What a video may ask of us. Beyond it, it fails with a reason.

    Attributes:
        most_bytes: of the file.
        longest_s: playing time, seconds.
        most_pixels: of a frame.
        most_frames: to decode.
        least_share: of the declared playing time that must be decodable, without damage.
        base_s, per_second_s: wall-clock seconds decoding may take: a base, and so many per second of video.
        memory_mb: address space of the process that decodes.
    """

    most_bytes: int = 2_000_000_000
    longest_s: float = 600.0
    most_pixels: int = 8_847_360
    most_frames: int = 40_000
    least_share: float = 0.95
    base_s: float = 60.0
    per_second_s: float = 3.0
    memory_mb: int = 6_144


@dataclass(frozen=True)
class Measuring:
    """How the measurements are taken. Any change makes a new preprocessing, so everything is seen anew.

    Attributes:
        sampled_fps: frames a second the `2fps` sampling keeps for the network.
        adaptive_ratio, window_frames, least_scene_s, least_content: of the detector of cuts: how far a frame
            stands out of its neighbours, how many of these, the shortest scene, and the least difference.
        early_s: the opening, seconds.
        pacing_window_s: the sliding window in which cuts are counted.
        face_model: an ONNX file of the YuNet face detector; without it, face shares are unknown.
    """

    sampled_fps: float = 2.0
    adaptive_ratio: float = 3.5
    window_frames: int = 3
    least_scene_s: float = 0.6
    least_content: float = 15.0
    early_s: float = 3.0
    pacing_window_s: float = 5.0
    face_model: str | None = None


@dataclass(frozen=True)
class Fidelity:
    """When faster arithmetic is close enough to fp32, over the probe pictures.

    Attributes:
        cosine: least cosine of any picture's two embeddings.
        overlap: least mean share of common nearest neighbours.
        neighbours: how many of these.
    """

    cosine: float = 0.999
    overlap: float = 0.98
    neighbours: int = 10


@dataclass(frozen=True)
class Copies:
    """When two videos are copies of one another; see `ml.visual.fingerprint`.

    Attributes:
        duration_s, duration_share: durations may differ by the larger of the two.
        aspect_share: proportions may differ by this share.
        hash_bits: of 64, at which two moments look alike.
        alike_share: of the moments that must look alike.
        longest_unlike_s: no longer stretch may look different.
        cell_difference: largest difference of any part of the picture, in levels of 255 at even contrast.
    """

    duration_s: float = 0.35
    duration_share: float = 0.02
    aspect_share: float = 0.08
    hash_bits: int = 14
    alike_share: float = 0.9
    longest_unlike_s: float = 0.6
    cell_difference: float = 12.5


@dataclass(frozen=True)
class JobSettings:
    """Everything.

    Attributes:
        decoders: processes that decode; 0 takes one per core, at most 8.
        queue_batches: batches of a video that wait for the device.
        hold_frames: frames kept back until it is known whether a video is a copy; longer ones are not.
        monitor_s: seconds between looks at the GPU.
        sm_active_target: share of the GPU's processors busy while there is work.
    """

    limits: Limits = field(default_factory=Limits)
    measuring: Measuring = field(default_factory=Measuring)
    fidelity: Fidelity = field(default_factory=Fidelity)
    copies: Copies = field(default_factory=Copies)
    decoders: int = 0
    queue_batches: int = 16
    hold_frames: int = 512
    monitor_s: float = 0.5
    sm_active_target: float = 0.9

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> JobSettings:
        """From plain values, as a manifest has them; what is not named stays as it is by default.

        Raises:
            ManifestUnusable: a name is unknown.

        >>> JobSettings.of_values({"decoders": 2, "limits": {"longest_s": 30}}).limits.longest_s
        30
        """
        parts = {"limits": Limits, "measuring": Measuring, "fidelity": Fidelity, "copies": Copies}
        given = dict(values)
        try:
            made = {name: part(**given.pop(name)) for name, part in parts.items() if name in given}
            return cls(**made, **given)
        except TypeError as error:
            raise ManifestUnusable(
                f"the settings in the manifest cannot be used: {error}; compare ml/visual/settings.py"
            ) from error


def preprocessing_version(measuring: Measuring, size: int, face_digest: str | None = None) -> str:
    """Names how frames become measurements and inputs of the network, down to the settings.

    Args:
        size: side of the network's input, pixels.
        face_digest: of the face detector's file, where there is one.
    """
    values = {**dataclasses.asdict(measuring), "face_model": face_digest, "size": size}
    told = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    return f"{PREPROCESSING}-{told}"


# Raised with every change of the code that changes what is measured.
PREPROCESSING = 3
