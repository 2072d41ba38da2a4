"""Networks on a GPU, measured: frames a second by batch, precision and way, and how busy it was.

The ways are `written` (each step asked for by Python), `replayed` (what the job does) and `compiled`. Runs on
a machine with CUDA that has torch, timm and numpy (and nvidia-ml-py for the readings), from a copy of the
repository; elsewhere it says so and ends well. Frames are made on the host and copied for each batch, as the
job does it. Weights are drawn; INT8 needs torchao.

    python -m tests.benchmarks.bench_visual_gpu --out bench-visual-gpu.json --seconds 3
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml.visual.gpu import UNAVAILABLE, GpuMonitor
from ml.visual.keys import Precision
from ml.visual.model import Architecture
from ml.visual.precision import judge, lowered, probes
from ml.visual.runners import CudaRunner
from ml.visual.settings import Fidelity
from ml.visual.torchvision_stub import timm

NETWORKS = ("resnet18", "resnet50", "vit_base_patch32_clip_224")
WAYS = ("written", "replayed", "compiled")
BATCHES = (1, 16, 32)


@dataclass(frozen=True)
class Measured:
    """One way to run one network."""

    network: str
    precision: str
    way: str
    batch: int
    frames_per_s: float
    sm_active: float | str
    utilisation: float | str
    power_w: float | str

    @property
    def name(self) -> str:
        """The figure's name in the JSON."""
        return f"{self.network}_{self.precision}_{self.way}_b{self.batch}_frames_per_s"


def main() -> int:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("var/bench/bench-visual-gpu.json"))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each way")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--precisions", nargs="+", default=list(Precision), choices=list(Precision))
    given = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("no CUDA here: run this on a machine with a GPU; nothing was measured")  # noqa: T201
        return 0
    found: list[Measured] = []
    gates: dict[str, Any] = {}
    for name in given.networks:
        for precision, network, gate, known in _precisions(name):
            gates[f"{name}_{precision}"] = gate
            if network is None or precision not in given.precisions:
                continue
            for way in given.ways:
                for each in _measured(network, known, precision, way, given.seconds):
                    found.append(each)
                    print(f"{each.name}: {each.frames_per_s:,.0f}, SM active {each.sm_active}", flush=True)  # noqa: T201
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(_told(found, gates), indent=2) + "\n")
    print(f"written to {given.out}")  # noqa: T201
    return 0


def _precisions(name: str) -> Iterator[tuple[Precision, Any, Any, Architecture]]:
    """The network in each arithmetic that can be had, and what the gate says of it."""
    import torch

    torch.manual_seed(7)
    network = timm().create_model(name, pretrained=False, num_classes=0).eval().requires_grad_(False)
    network = network.to("cuda").to(memory_format=torch.channels_last)
    size = network.default_cfg["input_size"][-1]
    known = Architecture(name, size, (0.45,) * 3, (0.225,) * 3, network.num_features)
    pictures = probes(size)
    exact = _embedded(network, known, Precision.FP32, pictures)
    yield Precision.FP32, network, "the reference", known
    for precision in (Precision.BF16, Precision.INT8):
        faster, why = lowered(network, precision, "cuda")
        if faster is None:
            yield precision, None, why, known
            continue
        verdict = judge(precision, exact, _embedded(faster, known, precision, pictures), Fidelity())
        yield precision, faster, verdict.to_values(), known


def _measured(
    network: Any, known: Architecture, precision: Precision, way: str, seconds: float
) -> Iterator[Measured]:
    """Frames a second from host memory to host memory, by batch; what does not run is told and left out."""
    import torch

    used = torch.compile(network, dynamic=False) if way == "compiled" else network
    for batch in BATCHES:
        runner = _runner(used, known, precision, batch if way == "replayed" else 0)
        shape = (batch, known.size, known.size, 3)
        frames = [np.random.default_rng(n).integers(0, 255, shape, dtype=np.uint8) for n in range(2)]
        try:
            for n in range(5):
                runner.run(frames[n % 2])
        except Exception as error:
            why = f"{type(error).__name__}: {str(error)[:200]}"
            print(f"{known.name} {precision} {way}: not measured ({why})", flush=True)  # noqa: T201
            return
        if way == "replayed" and not runner.start(frames[0]).replayed:
            print(f"{known.name} {precision}: cannot be recorded", flush=True)  # noqa: T201
            return
        monitor = GpuMonitor(0.2, lambda: 0.0)
        monitor.start()
        count, began, before = 0, time.perf_counter(), runner.start(frames[0])
        while (took := time.perf_counter() - began) < seconds:
            begun = runner.start(frames[count // batch % 2])
            before.rows()
            before, count = begun, count + batch
        monitor.stop()
        told = monitor.told(0.9)
        seen = [told.get(each, UNAVAILABLE) for each in ("sm_active", "utilisation", "power_w")]
        yield Measured(known.name, precision.value, way, batch, count / took, *seen)
    torch._dynamo.reset()


def _runner(network: Any, known: Architecture, precision: Precision, batch: int) -> CudaRunner:
    import torch

    return CudaRunner(network, torch.bfloat16 if precision is Precision.BF16 else torch.float32, known, batch)


def _embedded(network: Any, known: Architecture, precision: Precision, pictures: np.ndarray) -> np.ndarray:
    runner = _runner(network, known, precision, 0)
    parts = range(0, len(pictures), BATCHES[-1])
    return np.concatenate([runner.run(pictures[at : at + BATCHES[-1]]) for at in parts])


def _told(found: list[Measured], gates: dict[str, Any]) -> dict[str, Any]:
    """In the form all benchmarks write: figures, and on what they were measured."""
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
        "machine": machine_told(),
    }


def machine_told() -> dict[str, Any]:
    """The GPU, what drives it, and the day."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "gpu_memory_mb": properties.total_memory // 2**20,
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "timm": timm().__version__,
        "measured_on": datetime.now(UTC).date().isoformat(),
    }


if __name__ == "__main__":
    sys.exit(main())
