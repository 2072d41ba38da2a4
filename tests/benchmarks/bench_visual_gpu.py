"""Networks on a GPU, measured: frames a second by batch, precision and compilation, and how busy it was.

Runs on a machine with CUDA that has torch, timm and numpy (and nvidia-ml-py for the readings), from a copy of
the repository; elsewhere it says so and ends well. Frames are made on the host and copied for each batch, as
the job does it. Weights are drawn; INT8 needs torchao.

    python -m tests.benchmarks.bench_visual_gpu --out bench-visual-gpu.json --seconds 3
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml.visual.gpu import UNAVAILABLE, GpuMonitor
from ml.visual.keys import Precision
from ml.visual.precision import judge, lowered, probes
from ml.visual.settings import Fidelity
from ml.visual.torchvision_stub import timm

NETWORKS = ("resnet18", "resnet50", "vit_base_patch32_clip_224")
BATCHES = (1, 16, 32)
SIZE = 224


@dataclass(frozen=True)
class Measured:
    """One way to run one network."""

    network: str
    precision: str
    compiled: bool
    batch: int
    frames_per_s: float
    sm_active: float | str
    utilisation: float | str
    power_w: float | str

    @property
    def name(self) -> str:
        """The figure's name in the JSON."""
        compiled = "_compiled" if self.compiled else ""
        return f"{self.network}_{self.precision}{compiled}_b{self.batch}_frames_per_s"


def main() -> int:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("var/bench/bench-visual-gpu.json"))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each way")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--no-compile", action="store_true")
    given = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("no CUDA here: run this on a machine with a GPU; nothing was measured")  # noqa: T201
        return 0
    found: list[Measured] = []
    gates: dict[str, Any] = {}
    for name in given.networks:
        for precision, network, gate in _precisions(name):
            gates[f"{name}_{precision}"] = gate
            if network is None:
                continue
            for compiled in (False,) if given.no_compile else (False, True):
                with _compiling(network, compiled) as ready:
                    found += [
                        _measure(ready, name, precision, compiled, batch, given.seconds) for batch in BATCHES
                    ]
                    for each in found[-len(BATCHES) :]:
                        print(f"{each.name}: {each.frames_per_s:,.0f}", flush=True)  # noqa: T201
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(_told(found, gates), indent=2) + "\n")
    print(f"written to {given.out}")  # noqa: T201
    return 0


def _precisions(name: str) -> Iterator[tuple[str, Any, Any]]:
    """The network in each arithmetic that can be had, and what the gate says of it."""
    import torch

    torch.manual_seed(7)
    network = timm().create_model(name, pretrained=False, num_classes=0).eval().requires_grad_(False)
    network = network.to("cuda").to(memory_format=torch.channels_last)
    yield "fp32", network, "the reference"
    pictures = probes(SIZE)
    exact = _embedded(network, pictures, torch.float32)
    for precision in (Precision.BF16, Precision.INT8):
        faster, why = lowered(network, precision, "cuda")
        if faster is None:
            yield precision.value, None, why
            continue
        kind = torch.bfloat16 if precision is Precision.BF16 else torch.float32
        verdict = judge(precision, exact, _embedded(faster, pictures, kind), Fidelity())
        yield precision.value, faster, verdict.to_values()


@contextmanager
def _compiling(network: Any, compiled: bool) -> Iterator[Any]:
    import torch

    yield torch.compile(network, dynamic=False) if compiled else network
    torch._dynamo.reset()


def _measure(network: Any, name: str, precision: str, compiled: bool, batch: int, seconds: float) -> Measured:
    """Frames a second from host memory to host memory."""
    import torch

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    frames = np.random.default_rng(1).integers(0, 255, (batch, SIZE, SIZE, 3), dtype=np.uint8)
    for _ in range(5):
        _embedded(network, frames, kind)
    monitor = GpuMonitor(0.2, lambda: True)
    monitor.start()
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        _embedded(network, frames, kind)
        count += batch
    monitor.stop()
    told = monitor.told(0.9)
    seen = [told.get(each, UNAVAILABLE) for each in ("sm_active", "utilisation", "power_w")]
    return Measured(name, precision, compiled, batch, count / took, *seen)


def _embedded(network: Any, frames: np.ndarray, kind: Any) -> np.ndarray:
    import torch

    rows = []
    with torch.inference_mode():
        for at in range(0, len(frames), BATCHES[-1]):
            raw = torch.from_numpy(frames[at : at + BATCHES[-1]]).pin_memory().to("cuda", non_blocking=True)
            inputs = (raw.permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.225
            inputs = inputs.to(kind).contiguous(memory_format=torch.channels_last)
            rows.append(network(inputs).float().cpu().numpy())
    return np.concatenate(rows)


def _told(found: list[Measured], gates: dict[str, Any]) -> dict[str, Any]:
    """In the form all benchmarks write: figures, and on what they were measured."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    return {
        "figures": {each.name: round(each.frames_per_s, 1) for each in found},
        "readings": {
            each.name.removesuffix("_frames_per_s"): {
                "sm_active": each.sm_active,
                "utilisation": each.utilisation,
                "power_w": each.power_w,
            }
            for each in found
        },
        "gates": gates,
        "machine": {
            "gpu": properties.name,
            "gpu_memory_mb": properties.total_memory // 2**20,
            "cuda": torch.version.cuda,
            "torch": torch.__version__,
            "timm": timm().__version__,
            "measured_on": datetime.now(UTC).date().isoformat(),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
