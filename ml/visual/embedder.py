"""Frames in, embeddings out: on the device that is there, in batches it has room for.

A batch can be begun while the one before is still to be read. When memory runs out the batch is halved for
good; a batch handed in is then worked on in pieces, so what the caller keeps stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.visual.errors import VisualModelUnusable
from ml.visual.keys import Precision
from ml.visual.model import DESCRIPTION, VisualModel
from ml.visual.precision import Verdict, judge, lowered, probes
from ml.visual.results import DIGITS
from ml.visual.runners import Begun, CudaRunner, Runner, Spent
from ml.visual.settings import Fidelity

if TYPE_CHECKING:
    from torch import nn

_GPU_BATCH, _USUAL_BATCH = 32, 16


def find_device() -> str:
    """`cuda`, `mps` or `cpu`: the fastest there is."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usual_batch() -> int:
    """Frames of a batch where nobody says: told by the driver's presence, since PyTorch takes seconds to
    load."""
    return _GPU_BATCH if Path("/dev/nvidia0").exists() else _USUAL_BATCH


@dataclass
class Work:
    """What the device did.

    Attributes:
        frames: that went through the network, counted once each.
        batches: how often the network was called.
        replayed: of these, how many without Python between the steps; see `ml.visual.runners`.
        halvings: how often memory ran out.
        spent: seconds of the device's time.
    """

    frames: int = 0
    batches: int = 0
    replayed: int = 0
    halvings: int = 0
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True)
class Sent:
    """Frames handed in, and the device's work on them where it has begun."""

    frames: np.ndarray
    begun: Begun | None


class Embedder:
    """A network on a device.

    Args:
        asked: `auto`, or a precision; `auto` takes bf16 on CUDA and fp32 elsewhere, where bf16 is slower.
        batch: most frames at once.

    Attributes:
        verdict: which precision is used, and why.
        work: what was done so far.

    Raises:
        VisualModelUnusable: the model cannot be loaded.
    """

    def __init__(self, model: VisualModel, asked: str, batch: int, fidelity: Fidelity) -> None:
        self.device = find_device()
        self.batch = batch
        self.work = Work()
        self._known = model.architecture
        self.dimensions = self._known.dimensions
        network = self._placed(model.network())
        self._use(network, Precision.FP32)
        self.verdict = self._choose(network, asked, fidelity)
        self.work = Work()  # The probes are no work on videos.
        self._runner.spent = self.work.spent

    def start(self, frames: np.ndarray) -> Sent:
        """Hand in frames, which a GPU begins to work on; `read` gives what it says.

        Args:
            frames: (n, size, size, 3) RGB, 0 to 255.
        """
        import torch

        begun = None
        if len(frames) <= self.batch:
            try:
                begun = self._runner.start(frames)
            except torch.OutOfMemoryError:
                begun = None  # When it is read, it is worked on in pieces.
        return Sent(frames, begun)

    def read(self, sent: Sent) -> np.ndarray:
        """What the network says of frames handed in.

        Returns:
            (n, d) embeddings of length 1, rounded to 6 digits.

        Raises:
            VisualModelUnusable: the device has no room for a single frame, or the network is another than
                described.
        """
        if sent.begun is None:
            rows = self._in_pieces(sent.frames)
        else:
            rows = sent.begun.rows()
            self.work.frames += len(rows)
            self.work.batches += 1
            self.work.replayed += sent.begun.replayed
        found = rows.astype(np.float64)
        if found.shape[1] != self.dimensions:
            raise VisualModelUnusable(
                f"{self._known.name} gives {found.shape[1]} numbers a frame, and its description says "
                f"{self.dimensions}: correct the dimensions in {DESCRIPTION}"
            )
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found.round(DIGITS).astype(np.float32)

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """`start` and `read` in one."""
        return self.read(self.start(frames))

    def peak_mb(self) -> float | None:
        """Most memory of the GPU used so far, MB; None without one."""
        import torch

        return torch.cuda.max_memory_allocated() / 2**20 if self.device == "cuda" else None

    def _choose(self, network: nn.Module, asked: str, fidelity: Fidelity) -> Verdict:
        wanted = Precision.BF16 if asked == "auto" else Precision(asked)
        if asked == "auto" and self.device != "cuda":
            return Verdict(asked, Precision.FP32, f"fp32, because on {self.device} nothing is faster")
        if wanted is Precision.FP32:
            return Verdict(asked, Precision.FP32, "fp32, as asked")
        faster, why = lowered(network, wanted, self.device)
        if faster is None:
            return Verdict(asked, Precision.FP32, f"fp32, because {why}")
        pictures = probes(self._known.size)
        exact = self._all(pictures)
        self._use(faster, wanted)
        verdict = judge(wanted, exact, self._all(pictures), fidelity, asked)
        if verdict.used is Precision.FP32:
            self._use(network, Precision.FP32)
        return verdict

    def _all(self, pictures: np.ndarray) -> np.ndarray:
        parts = range(0, len(pictures), self.batch)
        return np.concatenate([self.embed(pictures[at : at + self.batch]) for at in parts])

    def _in_pieces(self, frames: np.ndarray) -> np.ndarray:
        import torch

        rows: list[np.ndarray] = []
        at = 0
        while at < len(frames):
            piece = frames[at : at + self.batch]
            try:
                rows.append(self._runner.run(piece))
            except torch.OutOfMemoryError as error:
                self._halve(error)
                continue
            self.work.frames += len(piece)
            self.work.batches += 1
            at += len(piece)
        return np.concatenate(rows)

    def _use(self, network: nn.Module, precision: Precision) -> None:
        import torch

        dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32
        self._in_use = network, precision
        if self.device == "cuda":
            self._runner: Runner = CudaRunner(network, dtype, self._known, self.batch)
        else:
            self._runner = Runner(network, dtype, self._known, self.device)
        self._runner.spent = self.work.spent

    def _halve(self, error: Exception) -> None:
        import torch

        if self.batch == 1:
            raise VisualModelUnusable(
                f"{self.device} has no memory for a single frame: take a smaller network or a larger device"
            ) from error
        self.batch //= 2
        self.work.halvings += 1
        self._use(*self._in_use)
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _placed(self, network: nn.Module) -> nn.Module:
        import torch

        # Convolutions are a quarter faster with the channels last, on GPUs and CPUs alike.
        return network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
