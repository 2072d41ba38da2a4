"""Frames in, embeddings out: on the device that is there, in batches it has room for.

A batch is read back before the next is sent, so a killed job has lost one at most. When memory runs out the
batch is halved for good; a batch handed in is then worked on in pieces, so what the caller keeps stays
the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.visual.errors import VisualModelUnusable
from ml.visual.keys import Precision
from ml.visual.model import DESCRIPTION, VisualModel
from ml.visual.precision import Verdict, judge, lowered, probes
from ml.visual.results import DIGITS
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
        compute_s, transfer_s: seconds of the device's time.
        halvings: how often memory ran out.
    """

    frames: int = 0
    batches: int = 0
    compute_s: float = 0.0
    transfer_s: float = 0.0
    halvings: int = 0


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
        self._network, self._dtype = network, self._type(Precision.FP32)
        self.verdict = self._choose(network, asked, fidelity)
        self.work = Work()  # The probes are no work on videos.

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """What the network says of frames.

        Args:
            frames: (n, size, size, 3) RGB, 0 to 255.

        Returns:
            (n, d) embeddings of length 1, rounded to 6 digits.

        Raises:
            VisualModelUnusable: the device has no room for a single frame, or the network is another than
                described.
        """
        import torch

        rows: list[np.ndarray] = []
        at = 0
        while at < len(frames):
            piece = frames[at : at + self.batch]
            try:
                rows.append(self._forward(piece))
            except torch.OutOfMemoryError as error:
                self._halve(error)
                continue
            self.work.frames += len(piece)
            self.work.batches += 1
            at += len(piece)
        found = np.concatenate(rows).astype(np.float64)
        if found.shape[1] != self.dimensions:
            raise VisualModelUnusable(
                f"{self._known.name} gives {found.shape[1]} numbers a frame, and its description says "
                f"{self.dimensions}: correct the dimensions in {DESCRIPTION}"
            )
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found.round(DIGITS).astype(np.float32)

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
        self._network, self._dtype = faster, self._type(wanted)
        verdict = judge(wanted, exact, self._all(pictures), fidelity, asked)
        if verdict.used is Precision.FP32:
            self._network, self._dtype = network, self._type(Precision.FP32)
        return verdict

    def _all(self, pictures: np.ndarray) -> np.ndarray:
        parts = range(0, len(pictures), self.batch)
        return np.concatenate([self.embed(pictures[at : at + self.batch]) for at in parts])

    def _forward(self, frames: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            copied = self._mark()
            # Frames from the pipe are read-only to NumPy; they are only read here.
            raw = torch.from_numpy(frames if frames.flags.writeable else frames.copy())
            if self.device == "cuda":
                raw = raw.pin_memory()
            pictures = raw.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            computed = self._mark()
            shape = (1, 3, 1, 1)
            mean, std = (
                torch.tensor(values, device=self.device).reshape(shape)
                for values in (self._known.mean, self._known.std)
            )
            inputs = ((pictures.float() / 255 - mean) / std).to(self._dtype)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            embedded = self._network(inputs).float()
            done = self._mark()
            rows = embedded.cpu().numpy()
        self.work.transfer_s += self._between(copied, computed)
        self.work.compute_s += self._between(computed, done)
        return rows

    def _mark(self) -> Any:
        if self.device != "cuda":
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _between(self, begin: Any, end: Any) -> float:
        """Seconds between two marks that have passed."""
        return begin.elapsed_time(end) / 1000 if self.device == "cuda" else end - begin

    def _halve(self, error: Exception) -> None:
        import torch

        if self.batch == 1:
            raise VisualModelUnusable(
                f"{self.device} has no memory for a single frame: take a smaller network or a larger device"
            ) from error
        self.batch //= 2
        self.work.halvings += 1
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _placed(self, network: nn.Module) -> nn.Module:
        import torch

        # Convolutions are a quarter faster with the channels last, on GPUs and CPUs alike.
        return network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @staticmethod
    def _type(precision: Precision) -> Any:
        import torch

        return torch.bfloat16 if precision is Precision.BF16 else torch.float32
