"""The visual job on a GPU, measured: frames a second, where the time went, and how busy the GPU was.

Draws sixteen clips of 10 s (720 x 1280, 30 frames a second), and runs the job over every frame of them with
drawn weights: a small network, which waits for the decoders, and a large one, which they wait for. Runs
on a machine with CUDA, from a copy of the repository; elsewhere it says so and ends well.

    python -m tests.benchmarks.bench_visual_gpu_job --out bench-visual-gpu-job.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from ml.visual.model import Architecture, save_model
from ml.visual.torchvision_stub import timm
from tests.benchmarks.bench_visual_gpu import machine_told
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene

NETWORKS = ("resnet50", "vit_large_patch14_clip_336")
CLIPS, FPS = 16, 30
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> int:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("var/bench/bench-visual-gpu-job.json"))
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA here: run this on a machine with a GPU; nothing was measured")  # noqa: T201
        return 0
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        with ProcessPoolExecutor() as pool:
            videos = list(pool.map(_draw, [folder] * CLIPS, range(CLIPS)))
        for name in given.networks:
            found[name] = told = _run(folder, videos, name)
            print(json.dumps({"network": name, **told}), flush=True)  # noqa: T201
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(_figures(found), indent=2) + "\n")
    print(f"written to {given.out}")  # noqa: T201
    return 0


def _draw(folder: Path, number: int) -> Path:
    scenes = [Scene(1000 * number + n, 2.5) for n in range(4)]
    return clips.write(folder / f"{number}.mp4", scenes, width=720, height=1280, bit_rate=2_000_000, fps=FPS)


def _run(folder: Path, videos: list[Path], name: str) -> dict[str, Any]:
    """What the job tells of itself."""
    torch.manual_seed(7)
    network = timm().create_model(name, pretrained=False, num_classes=0)
    size = network.default_cfg["input_size"][-1]
    save_model(folder / name, Architecture(name, size, MEAN, STD, network.num_features), network)
    listed = [{"account_id": "a", "creative_id": f"c{n}", "uri": str(each)} for n, each in enumerate(videos)]
    manifest, out = folder / f"{name}.json", folder / f"{name}-out"
    manifest.write_text(json.dumps({"shard": 0, "videos": listed, "settings": {"monitor_s": 0.2}}))
    subprocess.run(
        [sys.executable, "-m", "ml.visual.job", "--manifest", manifest, "--out", out, "--model",
         folder / name, "--sampling", "all"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    told: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return {key: value for key, value in told.items() if key not in ("done", "videos")}


def _figures(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """In the form all benchmarks write: figures, and on what they were measured."""
    figures = {}
    for name, told in found.items():
        figures[f"{name}_frames_per_s"] = told["forwards"] / (told["wall_s"] - told["load_s"])
        if isinstance(told["gpu"], dict):
            figures[f"{name}_sm_active"] = told["gpu"]["sm_active"]
    return {
        "figures": figures,
        "told": found,
        "machine": machine_told(),
    }


if __name__ == "__main__":
    sys.exit(main())
