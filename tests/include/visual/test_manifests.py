"""The files between DAG and jobs: whole, unchanged where nothing changed, and gone when they are old."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from include.visual.errors import ShardFilesMissing
from include.visual.manifests import (
    forget_failures,
    forget_old,
    read_summary,
    require_manifest,
    short_summary,
    write_known,
    write_shard,
)
from include.visual.shards import Shard, Video
from ml.visual.manifest import read_manifest

SHARD = Shard(3, "abc", (Video("acme", "c1", "/v/1.mp4", 9, "0" * 64), Video("acme", "c2", "/v/2.mp4")), 9)


def test_the_job_reads_what_was_written(tmp_path: Path) -> None:
    files = write_shard(tmp_path, SHARD, {"decoders": 2})
    manifest = read_manifest(files.manifest)

    assert (manifest.shard, manifest.settings.decoders) == (3, 2)
    assert [(v.creative_id, v.uri, v.sha256) for v in manifest.videos] == [
        ("c1", "/v/1.mp4", "0" * 64),
        ("c2", "/v/2.mp4", None),
    ]
    assert files.results.is_dir()


def test_writing_again_keeps_results_and_forgets_what_a_job_said_at_its_end(tmp_path: Path) -> None:
    files = write_shard(tmp_path, SHARD, {})
    (files.results / "result.json").write_text("{}")
    (files.results / "manifest.json").write_text("{}")
    before = files.manifest.stat().st_ino
    write_shard(tmp_path, SHARD, {})

    assert files.manifest.stat().st_ino == before
    assert (files.results / "result.json").exists()
    assert read_summary(files.results) is None


def test_failures_are_forgotten_where_they_shall_be_tried_and_nothing_else_is(tmp_path: Path) -> None:
    files = write_shard(tmp_path, SHARD, {})
    made = {state: files.results / f"{n * 64}-{n * 16}.json" for n, state in (("0", "failed"), ("1", "done"))}
    for state, path in made.items():
        path.write_text(json.dumps({"format": 1, "state": state}))
    damaged = files.results / f"{'2' * 64}-{'2' * 16}.json"
    damaged.write_text('{"format"')

    assert forget_failures(files) == 1
    assert forget_failures(files) == 0
    assert made["done"].exists()
    assert damaged.exists()


def test_what_is_known_is_one_file_however_often_it_is_written(tmp_path: Path) -> None:
    known = [{"content_hash": "a", "analysis_key": "b", "family": "c"}]
    path = write_known(tmp_path, known)

    assert path == write_known(tmp_path, known)
    assert path is not None
    assert json.loads(path.read_text()) == known
    assert write_known(tmp_path, []) is None


def test_a_summary_becomes_short_and_says_no_addresses() -> None:
    failed = [{"uri": f"/v/{n}.mp4", "reason": f"reason {n % 7}"} for n in range(50)]
    told = {"shard": 3, "done": ["k" * 64] * 400, "failed": failed, "frames": 9, "gpu": "unavailable",
            "shares": {"cause": "decoding"}, "videos": [{}] * 450}  # fmt: skip
    short = short_summary(told, 3)

    assert (short["done"], short["failed"], short["frames"], short["slowest"]) == (400, 50, 9, "decoding")
    assert short["reasons"] == ["reason 0", "reason 1", "reason 2"]
    assert "/v/" not in json.dumps(short)
    assert len(json.dumps(short)) < 500


def test_a_summary_cut_short_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"shard": 3, "do')

    assert read_summary(tmp_path) is None


def test_old_shards_and_lists_are_removed_and_those_in_use_stay(tmp_path: Path) -> None:
    old, used = write_shard(tmp_path, SHARD, {}), write_shard(tmp_path, Shard(1, "new", SHARD.videos, 9), {})
    known = write_known(tmp_path, [{"content_hash": "a"}])
    assert known is not None
    long_ago = time.time() - 8 * 86_400
    for path in (old.manifest.parent, old.results, known):
        os.utime(path, (long_ago, long_ago))

    assert forget_old(tmp_path, keep_days=7) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert used.manifest.exists()
    assert forget_old(tmp_path / "nowhere", keep_days=7) == 0


def test_a_manifest_that_is_gone_is_named(tmp_path: Path) -> None:
    files = write_shard(tmp_path, SHARD, {})
    require_manifest(files)
    files.manifest.unlink()

    with pytest.raises(ShardFilesMissing, match="shard abc"):
        require_manifest(files)
