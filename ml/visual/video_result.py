"""What is kept of a video: its embeddings while it is under way, and the result in its final form."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from ml.visual.checkpoint import Checkpoint
from ml.visual.embedder import Embedder, Sent
from ml.visual.errors import Stopped
from ml.visual.heads import Heads
from ml.visual.keys import Recipe
from ml.visual.results import DIGITS, ResultFolder


class Embedding:
    """The embeddings of one video, batch by batch; what an earlier run left of it is not computed again.

    Args:
        embedder: None where there is no network.
        batch: frames of a full batch.

    Attributes:
        recovered: batches that were there already.
    """

    def __init__(
        self, embedder: Embedder | None, folder: ResultFolder, content_hash: str, key: str, batch: int
    ) -> None:
        self._embedder, self._key = embedder, f"{key}:{batch}"
        self._path = folder.folder / f"{content_hash}-{key[:16]}.part"
        self._checkpoint: Checkpoint | None = None
        self._sent: Sent | None = None
        self._next = 0
        self.recovered = 0

    def add(self, frames: np.ndarray) -> None:
        """Have the next batch embedded, unless it is there; then keep the one before.

        So a GPU has its next batch while the last is written, and a killed job has lost one at most that was
        done.
        """
        if self._embedder is None:
            return
        if self._checkpoint is None:
            self._checkpoint = Checkpoint(self._path, self._key, self._embedder.dimensions)
        if self._next < len(self._checkpoint.batches):
            self.recovered += 1
        else:
            sent = self._embedder.start(frames)
            self.settle()
            self._sent = sent
        self._next += 1

    def settle(self) -> None:
        """Keep the batch under way."""
        sent, self._sent = self._sent, None
        if sent is not None and self._embedder is not None and self._checkpoint is not None:
            self._checkpoint.add(self._embedder.read(sent))

    def rows(self) -> np.ndarray | None:
        """(n, d) embeddings of all frames; None without a network, or without frames."""
        self.settle()
        if self._checkpoint is None or not self._checkpoint.batches:
            return None
        return np.concatenate(self._checkpoint.batches)

    def forget(self) -> None:
        """The result is written: what led to it goes."""
        self._sent = None
        if self._checkpoint is not None:
            self._checkpoint.remove()
        else:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Stopped):
            self.settle()
        if self._checkpoint is not None:
            self._checkpoint.close()


def finished(
    content_hash: str,
    key: str,
    recipe: Recipe,
    size: int,
    told: Mapping[str, Any],
    frames: np.ndarray | None,
    heads: Heads,
) -> tuple[dict[str, Any], dict[str, np.ndarray] | None]:
    """The result of a video, and its arrays.

    Args:
        size: bytes of the file.
        told: what decoding told (`ml.visual.decoding.watch`).
        frames: (n, d) embeddings at `told["times"]`, or None.
    """
    arrays = None if frames is None else _means(frames, told["times"], told["scenes"])
    scenes = []
    for number, scene in enumerate(told["scenes"]):
        known = arrays is not None and bool(np.isfinite(arrays["scenes"][number]).all())
        row = arrays["scenes"][number] if arrays is not None and known else None
        scenes.append(
            {
                "scene_number": number,
                **scene,
                "visual_tags": None if row is None else heads.tags_of(row),
                "emotion_score": None if row is None else heads.emotion_of(row),
            }
        )
    result = {
        **_base("done", content_hash, key, recipe, size),
        "video": told["video"],
        "perceptual_hash": told["perceptual_hash"],
        "features": told["features"],
        "scenes": scenes,
        "times": told["times"],
        "frames": told["frames"],
        "sampled": told["sampled"],
        "forwards": 0 if frames is None else len(frames),
        "decodes": 1,
    }
    return result, arrays


def copy_of(
    original: str, content_hash: str, key: str, recipe: Recipe, size: int, told: Mapping[str, Any]
) -> dict[str, Any]:
    """The result of a video that is a copy of another: what was seen in that one holds for it."""
    return {
        **_base("done", content_hash, key, recipe, size),
        "duplicate_of": original,
        "video": told["video"],
        "perceptual_hash": told["perceptual_hash"],
        "frames": told["frames"],
        "forwards": 0,
        "decodes": 1,
    }


def failure(content_hash: str, key: str, recipe: Recipe, size: int, reason: str) -> dict[str, Any]:
    """The result of a video that cannot be analysed."""
    return {**_base("failed", content_hash, key, recipe, size), "reason": reason}


def _base(state: str, content_hash: str, key: str, recipe: Recipe, size: int) -> dict[str, Any]:
    return {
        "state": state,
        "reason": None,
        "content_hash": content_hash,
        "analysis_key": key,
        "bytes": size,
        "recipe": {
            "model": recipe.model,
            "preprocessing": recipe.preprocessing,
            "sampling": recipe.sampling,
            "precision": recipe.precision.value,
            "digest": recipe.digest,
            "family": recipe.family,
        },
        "video": None,
        "duplicate_of": None,
        "perceptual_hash": None,
        "features": None,
        "scenes": [],
    }


def _means(frames: np.ndarray, times: list[float], scenes: list[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Embeddings of frames, and the directions of their means: per scene (NaN without a frame), of the
    video."""
    at = np.array(times)
    rows = np.full((len(scenes), frames.shape[1]), np.nan, np.float32)
    for number, scene in enumerate(scenes):
        # Scenes are told in milliseconds, frames finer.
        within = (at >= scene["start_s"] - 5e-4) & (at < scene["end_s"] - 5e-4)
        if number == len(scenes) - 1:
            within |= at >= scene["end_s"] - 5e-4
        if within.any():
            rows[number] = _direction(frames[within])
    return {"frames": frames, "scenes": rows, "video": _direction(frames)}


def _direction(rows: np.ndarray) -> np.ndarray:
    mean = rows.astype(np.float64).mean(axis=0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).round(DIGITS).astype(np.float32)
