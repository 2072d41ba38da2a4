"""What `visual_analysis_gpu` does, in functions of plain values: find, share out, collect, tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from nightshift.visual_workplace import Workplace

SHARDS = "shards"
# What param `again` means, in states of the catalogue.
_AGAIN = {"failed": ("failed",), "all": ("failed", "done")}


def find_shards(
    engine: Engine,
    place: Workplace,
    *,
    sampling: str | None,
    account: str | None,
    most: int | None,
    again: str | None = None,
) -> list[dict[str, Any]]:
    """List new videos, share them out, and write a manifest for each job.

    Args:
        sampling: which frames are looked at; None for that of the configuration.
        account: of this account alone; None for all.
        most: videos; None for `visual_night.videos_per_night`.
        again: `failed` to try also those that failed, `all` to have everything looked at anew, which costs
            nothing where model and settings are as they were; None for failed ones whose file changed.

    Returns:
        per shard: key, manifest, results, known (or None), sampling, model, precision, videos, bytes.
    """
    from include.config import thresholds
    from include.db.visual import known_videos
    from include.db.visual_catalogue import list_all_again
    from include.visual.demo_clips import list_demo_clips
    from include.visual.finding import find_new, list_by_template, list_changed
    from include.visual.manifests import forget_failures, forget_old, write_known, write_shard
    from include.visual.shards import shards_of

    visual, night = thresholds().visual, thresholds().visual_night
    look = sampling or night.sampling
    folder = place.folder / SHARDS
    forget_old(folder, night.keep_days)
    list_demo_clips(engine, place.folder / "clips", night.demo_clips)
    list_by_template(engine, night.uri_template)
    list_changed(engine, account=account, most_bytes=visual.job.limits.most_bytes)
    if again is not None:
        list_all_again(engine, _AGAIN[again], account)
    videos = find_new(engine, sampling=look, account=account, most=most or night.videos_per_night)
    if not videos:
        return []
    shards = shards_of(
        videos,
        shard_bytes=night.shard_bytes,
        shard_videos=night.shard_videos,
        assumed_bytes=night.assumed_bytes,
        look=f"{look} {night.precision} {night.model}",
    )
    known = write_known(folder, known_videos(engine, visual.known_videos))
    told = []
    for shard in shards:
        files = write_shard(folder, shard, visual.job_settings())
        if again is not None:
            forget_failures(files)
        told.append(
            {
                "key": shard.key,
                "manifest": str(files.manifest),
                "results": str(files.results),
                "known": str(known) if known else None,
                "sampling": look,
                "model": night.model,
                "precision": night.precision,
                "videos": len(shard.videos),
                "bytes": shard.bytes,
            }
        )
    return told


def count_waiting(engine: Engine, *, sampling: str | None, account: str | None) -> int:
    """How many videos nobody has looked at yet."""
    from include.config import thresholds
    from include.db.visual_catalogue import count_new

    look = sampling or thresholds().visual_night.sampling
    return count_new(engine, sampling=look, account=account)


def collect(shards: Iterable[Mapping[str, Any]], *, engine: Engine) -> dict[str, Any]:
    """Load what the jobs wrote into the database, also those of jobs that did not come to their end.

    Returns:
        sums over all shards: videos, done, failed, reasons, loaded (rows, by table), frames, decodes,
        forwards, cache_hits, duplicates, decode_s, infer_s, starved_s; gpus (one per shard that told of it),
        peak_mb of the device (None where unknown), unfinished (shards without a summary), slowest (what most
        jobs spent most time with; None where unknown).

    Raises:
        include.db.visual.VisualResultUnusable: a job's file is damaged; all other shards are loaded.
    """
    from collections import Counter
    from dataclasses import asdict

    from include.config import thresholds
    from include.db.visual import load_results
    from include.errors import PermanentError
    from include.visual.manifests import COUNTS, SECONDS, read_summary, short_summary
    from ml.visual.settings import Copies

    limits = thresholds()
    shown, copies = limits.visual_night.reasons_shown, Copies(**limits.visual.job.copies.model_dump())
    sums: dict[str, Any] = dict.fromkeys(("videos", "done", "failed", *COUNTS), 0)
    sums |= dict.fromkeys(SECONDS, 0.0)
    loaded: dict[str, int] = {}
    reasons: set[str] = set()
    gpus: list[dict[str, Any]] = []
    peaks: list[float] = []
    unfinished, slowest = 0, Counter[str]()
    damaged: list[PermanentError] = []
    for shard in shards:
        results = Path(shard["results"])
        try:
            new = asdict(load_results(engine, results, copies))
            sums["duplicates"] += new.pop("linked")
            for table, rows in new.items():
                loaded[table] = loaded.get(table, 0) + rows
        except PermanentError as error:
            # The other shards are loaded all the same, before the task fails.
            damaged.append(error)
        sums["videos"] += shard["videos"]
        told = read_summary(results)
        if told is None:
            unfinished += 1
            continue
        short = short_summary(told, shown)
        for name in ("done", "failed", *COUNTS, *SECONDS):
            sums[name] += short.get(name) or 0
        reasons.update(short["reasons"])
        slowest.update([short["slowest"]] if short["slowest"] else [])
        peaks += [short["peak_mb"]] if isinstance(short.get("peak_mb"), int | float) else []
        if isinstance(short.get("gpu"), Mapping):
            gpus.append({"shard": shard["key"], **short["gpu"]})
    if damaged:
        raise damaged[0]
    return {
        **sums,
        "reasons": sorted(reasons)[:shown],
        "loaded": loaded,
        "peak_mb": max(peaks, default=None),
        "gpus": gpus,
        "unfinished": unfinished,
        "slowest": slowest.most_common(1)[0][0] if slowest else None,
    }


def report(collected: Mapping[str, Any], *, waiting: int) -> dict[str, Any]:
    """What a night's visual analysis did, in numbers and in a paragraph.

    Args:
        waiting: videos nobody has looked at yet.
    """
    gpu = gpu_shares(collected["gpus"])
    sentences = [
        f"{collected['done']} videos analysed, {collected['failed']} failed, {collected['cache_hits']} known "
        f"already; {collected['frames']} frames in {collected['forwards']} forward passes.",
        f"Decoding took {collected['decode_s']:.0f} s, the network {collected['infer_s']:.0f} s, and it "
        f"starved {collected['starved_s']:.0f} s; slowest was {collected['slowest'] or 'nothing'}.",
        "GPU: " + (", ".join(f"{name} {value:g}" for name, value in gpu.items()) or "unavailable") + ".",
    ]
    if not collected["videos"]:
        sentences = ["No new videos."]
    if collected["reasons"]:
        sentences.append("Failed: " + "; ".join(collected["reasons"]) + ".")
    if collected["unfinished"]:
        sentences.append(
            f"{collected['unfinished']} shards did not come to their end; what they did is kept."
        )
    if waiting:
        sentences.append(f"{waiting} videos wait for the next night.")
    told = {name: value for name, value in collected.items() if name != "gpus"}
    return {**told, "waiting": waiting, "gpu": gpu or "unavailable", "summary": " ".join(sentences)}


def is_any_new(collected: Mapping[str, Any]) -> bool:
    """Whether anything is there that was not before: what is learnt from videos is learnt anew then."""
    return bool(collected["done"] or any(collected["loaded"].values()))


def gpu_shares(gpus: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The GPUs' numbers averaged over the shards; what no driver told is not there, and not 0."""
    values: dict[str, list[float]] = {}
    for gpu in gpus:
        for name, value in gpu.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(name, []).append(float(value))
    return {name: round(sum(each) / len(each), 4) for name, each in sorted(values.items())}


def send_metrics(collected: Mapping[str, Any]) -> None:
    """Hand the numbers to Airflow's metrics, as gauges `visual.*`; where none are set up, nothing happens."""
    from airflow.sdk.observability import stats

    from include.visual.manifests import COUNTS, SECONDS

    for name in ("videos", "done", "failed", "unfinished", "peak_mb", *COUNTS, *SECONDS):
        if collected[name] is not None:
            stats.gauge(f"visual.{name}", collected[name])
    for name, value in gpu_shares(collected["gpus"]).items():
        stats.gauge(f"visual.gpu.{name}", value)
