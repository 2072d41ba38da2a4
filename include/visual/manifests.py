"""The files by which the DAG and its jobs speak: a manifest goes in, results and a summary come out.

- `FOLDER/KEY/manifest.json`: what the job is to do; KEY names the work
- `FOLDER/KEY/results/`: what the job writes, a file per video, and `manifest.json` at its end
- `FOLDER/known-DIGEST.json`: what is known already, for all jobs of a run
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.visual.errors import ShardFilesMissing
from include.visual.shards import Shard
from ml.visual.results import read_result, result_files

SUMMARY = "manifest.json"
# What the sums of all jobs are made of.
COUNTS = ("frames", "decodes", "forwards", "cache_hits", "duplicates")
SECONDS = ("decode_s", "infer_s", "starved_s")


@dataclass(frozen=True)
class ShardFiles:
    """The files of one shard."""

    manifest: Path
    results: Path

    @property
    def lock(self) -> Path:
        """Held by the process that works on the shard."""
        return self.manifest.with_name("lock")


def write_shard(folder: Path, shard: Shard, settings: Mapping[str, Any]) -> ShardFiles:
    """Write what a job needs; a file that is there with the same content is left as it is.

    Args:
        folder: of all shards.
        settings: of the job, carried in the manifest.
    """
    place = folder / shard.key
    (place / "results").mkdir(parents=True, exist_ok=True)
    # What an earlier job said at its end is not what the next one will have done.
    (place / "results" / SUMMARY).unlink(missing_ok=True)
    videos = [
        {
            "account_id": each.account_id,
            "creative_id": each.creative_id,
            "uri": each.uri,
            "sha256": each.sha256,
            "bytes": each.bytes,
        }
        for each in shard.videos
    ]
    _write(place / "manifest.json", {"shard": shard.number, "videos": videos, "settings": dict(settings)})
    return ShardFiles(place / "manifest.json", place / "results")


def forget_failures(files: ShardFiles) -> int:
    """Remove what a shard's folder says of videos that failed, so that they are tried; returns how many.

    A damaged file stays: whoever loads it says which it is.
    """
    failed = [path for path in result_files(files.results) if _is_failure(path)]
    for path in failed:
        path.unlink()
    return len(failed)


def write_known(folder: Path, known: Sequence[Mapping[str, Any]]) -> Path | None:
    """Write what jobs need not do again; None where that is nothing."""
    if not known:
        return None
    text = json.dumps(list(known), sort_keys=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"known-{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"
    _write_text(path, text)
    return path


def read_summary(results: Path) -> dict[str, Any] | None:
    """What a job said at its end; None where it never came to it."""
    try:
        told = json.loads((results / SUMMARY).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def short_summary(told: Mapping[str, Any], reasons: int) -> dict[str, Any]:
    """A summary small enough for Airflow's XCom: numbers instead of keys, and the first reasons.

    Args:
        reasons: how many of them.
    """
    failed = list(told.get("failed") or [])
    return {
        **{name: told[name] for name in ("shard", *COUNTS, *SECONDS, "gpu", "peak_mb") if name in told},
        "done": len(told.get("done") or []),
        "failed": len(failed),
        "slowest": (told.get("shares") or {}).get("cause"),
        "reasons": sorted({str(each.get("reason", "")) for each in failed})[:reasons],
    }


def require_manifest(files: ShardFiles) -> None:
    """See that a shard's manifest is where it was written.

    Raises:
        ShardFilesMissing: it is not.
    """
    if not files.manifest.is_file():
        raise ShardFilesMissing(
            f"the manifest of shard {files.manifest.parent.name} is not in the folder for visual work: it "
            "was removed, or workers see different folders. Clear find_videos, which writes it again"
        )


def forget_old(folder: Path, keep_days: int) -> int:
    """Remove what nobody has touched for so many days; returns how many shards and lists."""
    if not folder.is_dir():
        return 0
    oldest = time.time() - keep_days * 86_400
    old = [place for place in folder.iterdir() if _last_touched(place) < oldest]
    for place in old:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
    return len(old)


def _is_failure(path: Path) -> bool:
    try:
        return bool(read_result(path).get("state") == "failed")
    except ValueError:
        return False


def _last_touched(place: Path) -> float:
    return max(each.stat().st_mtime for each in (place, place / "results") if each.exists())


def _write(path: Path, content: Any) -> None:
    _write_text(path, json.dumps(content, sort_keys=True, indent=1))


def _write_text(path: Path, text: str) -> None:
    """All at once, so that a job never reads half of it; only where it changes something."""
    if path.is_file() and path.read_text() == text:
        # Touched, so that it counts as in use.
        os.utime(path)
        os.utime(path.parent)
        return
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
