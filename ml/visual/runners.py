"""How a batch goes through a network: as written, or on an NVIDIA GPU without gaps between its steps.

A GPU that waits for Python before each of a network's hundred steps stands half idle. So the steps of a full
batch are recorded once and replayed (a CUDA graph; PyTorch notes, "CUDA semantics"), and while a batch is
computed the next one is copied over and waits behind it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ml.visual.model import Architecture

_WARM_UP = 3


@dataclass
class Spent:
    """Seconds of the device's time. Copies made beside a computation count too."""

    compute_s: float = 0.0
    transfer_s: float = 0.0


class Runner:
    """One batch after the other, on any device.

    Args:
        network: on the device already.
        dtype: of its inputs.
        known: what the network expects.
        device: `cpu`, `mps` or `cuda`.

    Attributes:
        spent: the device's time so far.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, known: Architecture, device: str) -> None:
        import torch

        self._network, self._dtype, self._device, self._size = network, dtype, device, known.size
        self._mean, self._std = (
            torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in (known.mean, known.std)
        )
        self.spent = Spent()

    def start(self, frames: np.ndarray) -> Begun | None:
        """Begin with a batch, where the device goes on by itself; None where it does not.

        Args:
            frames: (n, size, size, 3) RGB, 0 to 255.

        Raises:
            torch.OutOfMemoryError: there is no room for so many frames.
        """
        del frames
        return None

    def run(self, frames: np.ndarray) -> np.ndarray:
        """What the network says.

        Args:
            frames: (n, size, size, 3) RGB, 0 to 255.

        Returns:
            (n, d) float32.

        Raises:
            torch.OutOfMemoryError: there is no room for so many frames.
        """
        import torch

        with torch.inference_mode():
            began = time.perf_counter()
            # Frames from the pipe are read-only to NumPy; they are only read here.
            raw = torch.from_numpy(frames if frames.flags.writeable else frames.copy()).to(self._device)
            copied = time.perf_counter()
            rows: np.ndarray = self._passed(raw).cpu().numpy()
            self.spent.transfer_s += copied - began
            self.spent.compute_s += time.perf_counter() - copied
        return rows

    def _passed(self, raw: torch.Tensor) -> torch.Tensor:
        import torch

        inputs = ((raw.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std).to(self._dtype)
        result: torch.Tensor = self._network(inputs.contiguous(memory_format=torch.channels_last)).float()
        return result


class CudaRunner(Runner):
    """Batches on an NVIDIA GPU, copied beside the computation and replayed.

    Batches at least half full are filled up and replayed; smaller ones cost less as they are.

    Args:
        batch: frames of a full batch; 0 replays nothing.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, known: Architecture, batch: int) -> None:
        import torch

        super().__init__(network, dtype, known, "cuda")
        self._batch = batch
        self._copies = torch.cuda.Stream()
        self._recorded: _Recorded | None = None
        self._refused = batch == 0

    def start(self, frames: np.ndarray) -> Begun:
        """See `Runner.start`."""
        import torch

        with torch.inference_mode():
            with torch.cuda.stream(self._copies):
                copy_began = _mark()
                pinned = torch.empty(frames.shape, dtype=torch.uint8, pin_memory=True)
                pinned.numpy()[:] = frames
                raw = pinned.to("cuda", non_blocking=True)
                copied = _mark()
            raw.record_stream(torch.cuda.default_stream())
            full_enough = len(frames) <= self._batch <= 2 * len(frames)
            recorded = self._recording() if full_enough else None
            torch.cuda.current_stream().wait_event(copied)
            began = _mark()
            embedded = self._passed(raw) if recorded is None else recorded.replay(raw)
            ended = _mark()
            rows = torch.empty(embedded.shape, dtype=embedded.dtype, pin_memory=True)
            rows.copy_(embedded, non_blocking=True)
            return Begun(
                rows, _mark(), (copy_began, copied), (began, ended), self.spent, recorded is not None
            )

    def run(self, frames: np.ndarray) -> np.ndarray:
        """See `Runner.run`."""
        return self.start(frames).rows()

    def _recording(self) -> _Recorded | None:
        """The recorded steps; None where the network cannot be recorded, which is found out once."""
        import torch

        if self._recorded is None and not self._refused:
            try:
                self._recorded = _Recorded(self._passed, self._batch, self._size)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:  # A network that asks the device something on the way, or leaves its stream.
                torch.cuda.synchronize()
                self._refused = True
        return self._recorded


@dataclass(frozen=True)
class Begun:
    """A batch that the device works on.

    Attributes:
        replayed: without Python between the steps.
    """

    _rows: torch.Tensor
    _done: torch.cuda.Event
    _copy: tuple[torch.cuda.Event, torch.cuda.Event]
    _computation: tuple[torch.cuda.Event, torch.cuda.Event]
    _spent: Spent
    replayed: bool

    def rows(self) -> np.ndarray:
        """(n, d) float32, once they are there."""
        self._done.synchronize()
        self._spent.transfer_s += self._copy[0].elapsed_time(self._copy[1]) / 1000
        self._spent.compute_s += self._computation[0].elapsed_time(self._computation[1]) / 1000
        rows: np.ndarray = self._rows.numpy()
        return rows


class _Recorded:
    """The steps of a full batch, as a CUDA graph over fixed memory."""

    def __init__(self, passed: Any, batch: int, size: int) -> None:
        import torch

        self._input = torch.zeros((batch, size, size, 3), dtype=torch.uint8, device="cuda")
        apart = torch.cuda.Stream()
        apart.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(apart):
            for _ in range(_WARM_UP):
                passed(self._input)
        torch.cuda.current_stream().wait_stream(apart)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = passed(self._input)

    def replay(self, raw: torch.Tensor) -> torch.Tensor:
        """(n, d) of n frames, at most a batch of them; overwritten by the next replay."""
        self._input[: len(raw)].copy_(raw)
        self._graph.replay()
        return self._output[: len(raw)]


def _mark() -> torch.cuda.Event:
    import torch

    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
