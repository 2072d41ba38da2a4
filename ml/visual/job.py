"""The visual job: `python -m ml.visual.job --manifest FILE --out FOLDER`. Runs in a pod or on a laptop alike.

| exit code | means |
| --- | --- |
| 0 | every video is done, or failed with a reason |
| 3 | the manifest, the settings or the model cannot be used: trying again cannot help |
| 75 | stopped (SIGTERM, SIGINT), or MLflow was away: run it again, and it goes on where it was |
| 99 | the manifest lists nothing |

What it says goes to standard output, a JSON object a line. Addresses of files, which may carry
signatures, are not among it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml.errors import PermanentModelError, TransientModelError
from ml.visual.analysis import ShardAnalysis
from ml.visual.errors import Stopped
from ml.visual.faces import FaceFinder
from ml.visual.gpu import UNAVAILABLE, GpuMonitor, bottleneck
from ml.visual.manifest import Manifest, read_known, read_manifest, without_query
from ml.visual.model import file_digest, find_model
from ml.visual.results import ResultFolder
from ml.visual.runners import Spent
from ml.visual.sampling import Sampling

DONE, UNUSABLE, GO_ON, NOTHING = 0, 3, 75, 99


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    given = _parser().parse_args(arguments)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        return _run(given, stop)
    except Stopped:
        _say("stopped", why="told to stop; run again to go on")
        return GO_ON
    except TransientModelError as error:
        _say("stopped", why=str(error))
        return GO_ON
    except PermanentModelError as error:
        _say("unusable", why=str(error))
        return UNUSABLE


def _run(given: argparse.Namespace, stop: threading.Event) -> int:
    began, cpu = time.perf_counter(), time.process_time()
    manifest = read_manifest(given.manifest)
    if not manifest.videos:
        _say("nothing", shard=manifest.shard)
        return NOTHING
    folder = ResultFolder(given.out)
    face_model = manifest.settings.measuring.face_model
    face_digest = None
    if face_model is not None:
        FaceFinder(face_model)  # Refused here, once, and not by every video.
        face_digest = file_digest(Path(face_model))
    with find_model(given.model) as model:
        work = ShardAnalysis(
            model=model, sampling=Sampling(given.sampling), settings=manifest.settings, folder=folder,
            known=read_known(given.known), asked=given.precision, batch=given.batch, log=_say, stop=stop,
            face_digest=face_digest,
        )  # fmt: skip
        _say("start", shard=manifest.shard, videos=len(manifest.videos), known=len(work.known))
        monitor = GpuMonitor(manifest.settings.monitor_s, lambda: work.waited_s)
        monitor.start()
        try:
            work.run(manifest.videos)
        finally:
            monitor.stop()
        took = time.perf_counter() - began
        told = _summary(manifest, work, monitor, took, time.process_time() - cpu)
    folder.write_summary({**told, "videos": _videos(manifest, work)})
    if given.xcom is not None:
        given.xcom.parent.mkdir(parents=True, exist_ok=True)
        given.xcom.write_text(json.dumps(told))
    _say("done", **{name: value for name, value in told.items() if name not in ("done", "failed")})
    return DONE


def _summary(
    manifest: Manifest, work: ShardAnalysis, monitor: GpuMonitor, took: float, cpu: float
) -> dict[str, Any]:
    """The numbers of the shard, small enough for an XCom."""
    outcomes, counts, pace, embedder = work.outcomes, work.counts, work.pace, work.embedder
    spent = embedder.work.spent if embedder else Spent()
    seen = monitor.told(manifest.settings.sm_active_target)
    shares = bottleneck(
        wall_s=took, load_s=counts.load_s, starved_s=counts.starved_s, compute_s=spent.compute_s,
        transfer_s=spent.transfer_s, fetch_s=pace.fetch_s, decode_s=pace.decode_s,
    )  # fmt: skip
    peak = embedder.peak_mb() if embedder else None
    return {
        "shard": manifest.shard,
        "done": [each.analysis_key for each in outcomes if each.state == "done"],
        "failed": [
            {"uri": without_query(video.uri), "reason": each.reason, "again": each.again}
            for video, each in zip(manifest.videos, outcomes, strict=True)
            if each.state == "failed"
        ],
        "sampling": work.sampling.value,
        "device": embedder.device if embedder else None,
        "precision": work.verdict.to_values() if work.verdict else None,
        "batch": embedder.batch if embedder else None,
        "batch_halvings": embedder.work.halvings if embedder else 0,
        "frames": counts.frames,
        "decodes": pace.decodes,
        "forwards": embedder.work.frames if embedder else 0,
        "batches": embedder.work.batches if embedder else 0,
        "replayed_batches": embedder.work.replayed if embedder else 0,
        "recovered_batches": counts.recovered_batches,
        "cache_hits": counts.cache_hits,
        "duplicates": counts.duplicates,
        "fetch_s": round(pace.fetch_s, 3),
        "decode_s": round(pace.decode_s, 3),
        "infer_s": round(spent.compute_s, 3),
        "transfer_s": round(spent.transfer_s, 3),
        "starved_s": round(counts.starved_s, 3),
        "load_s": round(counts.load_s, 3),
        "wall_s": round(took, 3),
        "cpu_s": round(cpu, 3),
        "shares": shares,
        "gpu": seen if seen["state"] != UNAVAILABLE else UNAVAILABLE,
        "peak_mb": UNAVAILABLE if peak is None else round(peak, 1),
    }


def _videos(manifest: Manifest, work: ShardAnalysis) -> list[dict[str, Any]]:
    """What became of each video, for whoever loads the results."""
    return [
        {
            "account_id": video.account_id, "creative_id": video.creative_id, "uri": video.uri,
            "content_hash": each.content_hash, "analysis_key": each.analysis_key, "state": each.state,
            "reason": each.reason, "duplicate_of": each.duplicate_of, "again": each.again,
        }
        for video, each in zip(manifest.videos, work.outcomes, strict=True)
    ]  # fmt: skip


def _say(event: str, **numbers: Any) -> None:
    print(json.dumps({"event": event, **numbers}), flush=True)  # noqa: T201 - this is the job's log


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml.visual.job", description="Analyse the videos of a shard."
    )
    parser.add_argument("--manifest", type=Path, required=True, help="the list of videos, JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder for results; also the checkpoint")
    parser.add_argument(
        "--model", help="folder of a visual model, or models:/visual@champion; none: no embeddings"
    )
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "int8"), default="auto")
    parser.add_argument("--batch", type=_batch, default=0, help="auto, or frames at once")
    parser.add_argument(
        "--sampling", choices=[each.value for each in Sampling], default=Sampling.TWO_FPS.value
    )
    parser.add_argument("--xcom", type=Path, help="where to write the small summary")
    parser.add_argument("--known", type=Path, help="what is known already, JSON")
    return parser


def _batch(given: str) -> int:
    if given == "auto":
        return 0
    if not given.isdigit() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is neither auto nor a number of frames")
    return int(given)


if __name__ == "__main__":
    sys.exit(main())
