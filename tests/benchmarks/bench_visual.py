"""Videos, measured: the job against the naive way, a second run of the same, and copies against look-alikes.

`make bench-visual`. (a) One clip of 15 s (720 x 1280, 450 frames, drawn) on the CPU: every frame through the
network one by one, and PySceneDetect in a pass of its own; and the job, which answers the same question at
two frames a second. CPU seconds count all processes; the network is a ResNet-18 with drawn weights. (b) The
same catalogue again. (c) What it costs to decode in a process that can be given up. (d) Copies and look-
alikes of drawn videos with seeds that nothing was tuned on.

    python -m tests.benchmarks.bench_visual --quick     # a clip of 5 s, and two seeds of copies
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from scenedetect import AdaptiveDetector, detect

from ml.visual import job
from ml.visual.decoder_process import DecoderProcess
from ml.visual.decoding import Question, watch
from ml.visual.model import Architecture, VisualModel, save_model
from ml.visual.sampling import Sampling
from ml.visual.settings import Limits, Measuring
from ml.visual.torchvision_stub import timm
from tests.benchmarks.reporting import print_table, write_figures
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene
from tests.ml.visual.copies import WAYS, pairs, recall_and_precision

MEAN, STD, SIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224
SEEDS = range(20_000, 32_000, 1_000)


@dataclass(frozen=True)
class Cost:
    """What one way took."""

    cpu_s: float
    wall_s: float


def main() -> int:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a shorter clip, and fewer copies")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = _costs(folder, 5.0 if quick else 15.0)
        figures |= _copies(folder, list(SEEDS)[: 2 if quick else None])
    print_table(("figure", "value"), [(name, f"{value:.4g}") for name, value in figures.items()])
    if not quick:
        print(f"written to {write_figures('bench-visual', figures)}")  # noqa: T201
    return 0


def _costs(folder: Path, seconds: float) -> dict[str, float]:
    clip = clips.write(
        folder / "clip.mp4",
        [Scene(500 + n, seconds / 5, "HALF PRICE\nthis week" if n % 2 else "") for n in range(5)],
        width=720,
        height=1280,
        bit_rate=2_500_000,
        fps=30,
        gop=60,
        sound=clips.speech_like(seconds),
    )
    model = _model(folder / "model")
    # One thread each: on a busy machine threads that wait for one another would count as work.
    torch.set_num_threads(1)
    model.network()(torch.zeros(1, 3, SIZE, SIZE))
    naive, counts = _measured(lambda: _naively(clip, model))
    run = _Runner(folder, clip, model)
    cuts, cut_counts = _measured(lambda: _cuts_alone(clip))
    ways = [("every frame, one by one", naive, counts), ("cuts, in a pass of their own", cuts, cut_counts)]
    for sampling in Sampling:
        cost, told = _measured(lambda sampling=sampling: run(sampling, "once"))
        ways.append((f"the job, {sampling}", cost, told))
    again, told_again = _measured(lambda: run(Sampling.TWO_FPS, "once"))
    ways.append(("the job again", again, told_again))
    inside, started, served = _decoding(clip)
    print_table(
        (f"{seconds:.0f} s clip", "CPU s", "wall s", "decodes", "frames decoded", "forwards"),
        [
            (
                name,
                f"{cost.cpu_s:.3f}",
                f"{cost.wall_s:.3f}",
                str(told["decodes"]),
                str(told["frames"]),
                str(told["forwards"]),
            )
            for name, cost, told in ways
        ]
        + [
            ("decoding alone, in this process", f"{inside.cpu_s:.3f}", f"{inside.wall_s:.3f}", "1", "", "0"),
            ("decoding alone, in its own", f"{served:.3f}", "", "1", "", "0"),
            ("starting that process, once", f"{started:.3f}", "", "0", "", "0"),
        ],
    )
    print()  # noqa: T201
    cost_of = {name: cost for name, cost, _ in ways}
    return {
        "cpu_ratio_naive": (naive.cpu_s + cuts.cpu_s) / cost_of["the job, 2fps"].cpu_s,
        "cpu_ratio_naive_without_cuts": naive.cpu_s / cost_of["the job, 2fps"].cpu_s,
        "cpu_ratio_naive_keyframes": (naive.cpu_s + cuts.cpu_s) / cost_of["the job, keyframes"].cpu_s,
        "rerun_forwards": float(told_again["forwards"]),
        "rerun_decodes": float(told_again["decodes"]),
        "cache_hit_ms": 1000 * again.wall_s,
        "own_process_cpu_share": served / inside.cpu_s - 1,
        "own_process_start_cpu_s": started,
    }


def _copies(folder: Path, seeds: list[int]) -> dict[str, float]:
    found = [pair for seed in seeds for pair in pairs(folder, seed, WAYS)]
    recall, precision, wrong = recall_and_precision(found)
    counted, missed = Counter((each.what, each.are_copies) for each in found), Counter(wrong)
    print_table(
        ("pair", "is a copy", "pairs", "judged wrongly"),
        [
            (what, "yes" if copies else "no", str(count), str(missed[what]))
            for (what, copies), count in counted.items()
        ],
    )
    print()  # noqa: T201
    return {
        "duplicate_recall": recall,
        "duplicate_precision": precision,
        "duplicate_pairs": float(len(found)),
    }


class _Runner:
    """Runs the job in this process; a name keeps its folder."""

    def __init__(self, folder: Path, clip: Path, model: VisualModel) -> None:
        self._folder, self._model = folder, model
        self._manifest = folder / "manifest.json"
        video = {"account_id": "a", "creative_id": "c", "uri": str(clip)}
        self._manifest.write_text(json.dumps({"shard": 1, "videos": [video], "settings": {"decoders": 1}}))

    def __call__(self, sampling: Sampling, name: str) -> dict[str, Any]:
        out = self._folder / f"{sampling}-{name}"
        arguments = ["--manifest", str(self._manifest), "--out", str(out), "--sampling", sampling]
        told = os.dup(1)
        try:
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the device, not a file
                os.dup2(nowhere.fileno(), 1)
                code = job.main([*arguments, "--model", str(self._model.folder)])
        finally:
            sys.stdout.flush()
            os.dup2(told, 1)
            os.close(told)
        if code != job.DONE:
            raise SystemExit(f"the job ended with {code}")
        return json.loads((out / "manifest.json").read_text())


def _naively(clip: Path, model: VisualModel) -> dict[str, Any]:
    """Decode every frame, make it a picture, send it through the network alone."""
    network = model.network()
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    count = 0
    with av.open(str(clip)) as container, torch.inference_mode():
        for frame in container.decode(video=0):
            picture = frame.reformat(width=SIZE, height=SIZE, format="rgb24").to_ndarray()
            inputs = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
            np.asarray(network((inputs - mean) / std))
            count += 1
    return {"decodes": 1, "frames": count, "forwards": count}


def _cuts_alone(clip: Path) -> dict[str, Any]:
    """The cuts of the same clip by PySceneDetect as it comes, which decodes the clip for itself."""
    found = detect(str(clip), AdaptiveDetector())
    return {"decodes": 1, "frames": found[-1][1].frame_num, "forwards": 0}


def _decoding(clip: Path) -> tuple[Cost, float, float]:
    """The same question answered here; CPU seconds to start a process for it, and then for each video."""
    question = Question(str(clip), Sampling.TWO_FPS, SIZE, 16, Limits(), Measuring())

    def elsewhere(videos: int) -> None:
        decoder = DecoderProcess()
        for _ in range(videos):
            list(decoder.watch(question))
        decoder.close()

    inside, _ = _measured(lambda: watch(question, lambda *_: None, lambda _: None))
    one, _ = _measured(lambda: elsewhere(1))
    three, _ = _measured(lambda: elsewhere(3))
    served = (three.cpu_s - one.cpu_s) / 2
    return inside, one.cpu_s - served, served


def _measured(work: Callable[[], Any]) -> tuple[Cost, Any]:
    """CPU seconds of this process and of those it started and waited for, and what the work returned."""

    def cpu() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(used.ru_utime + used.ru_stime for used in both)

    before, began = cpu(), time.perf_counter()
    found = work()
    return Cost(cpu() - before, time.perf_counter() - began), found


def _model(folder: Path) -> VisualModel:
    torch.manual_seed(7)
    network = timm().create_model("resnet18", pretrained=False, num_classes=0)
    return save_model(folder, Architecture("resnet18", SIZE, MEAN, STD, 512), network)


if __name__ == "__main__":
    sys.exit(main())
