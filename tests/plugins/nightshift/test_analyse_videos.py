"""What a night's numbers become: sums, sentences, gauges; and what a cluster's answers mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from include.db.visual import VisualResultUnusable
from include.errors import PermanentError, TransientError
from include.visual import errors
from nightshift.analyse_videos import collect, gpu_shares, report, send_metrics
from nightshift.operators.gpu_pod import PodEnding
from nightshift.visual_endings import error_of_api, error_of_exit, error_of_pod
from nightshift.visual_workplace import workplace

GPU = {"state": "seen", "sm_active": 0.93, "power_w": 210.0, "decoder": "unavailable", "looks": 9}


def shard(folder: Path, key: str, summary: dict[str, Any] | None) -> dict[str, Any]:
    results = folder / key
    results.mkdir()
    if summary is not None:
        (results / "manifest.json").write_text(json.dumps({"videos": [], **summary}))
    return {"key": key, "results": str(results), "videos": 3}


def summary(**changes: Any) -> dict[str, Any]:
    numbers = {"frames": 10, "decodes": 2, "forwards": 10, "cache_hits": 1, "duplicates": 0, "decode_s": 4.0,
               "infer_s": 2.0, "starved_s": 1.5, "peak_mb": 100, "gpu": GPU}  # fmt: skip
    failed = [{"uri": "/v/secret.mp4", "reason": "its file is empty: upload it again"}]
    return numbers | {"done": ["k1", "k2"], "failed": failed, "shares": {"cause": "decoding"}} | changes


def test_shards_are_summed_and_told_in_sentences(db: Engine, tmp_path: Path) -> None:
    shards = [
        shard(tmp_path, "one", summary()),
        shard(tmp_path, "two", summary(gpu="unavailable", peak_mb="unavailable")),
        shard(tmp_path, "dead", None),
    ]
    told = report(collect(shards, engine=db), waiting=4)

    assert (told["videos"], told["done"], told["failed"], told["unfinished"]) == (9, 4, 2, 1)
    assert (told["frames"], told["decode_s"], told["peak_mb"], told["slowest"]) == (20, 8.0, 100, "decoding")
    assert told["gpu"] == {"looks": 9.0, "power_w": 210.0, "sm_active": 0.93}
    for part in ("4 videos analysed, 2 failed, 2 known already", "slowest was decoding", "sm_active 0.93",
                 "Failed: its file is empty: upload it again.", "1 shards did not come to their end",
                 "4 videos wait for the next night"):  # fmt: skip
        assert part in told["summary"]
    assert "secret" not in json.dumps(told)


def test_a_gpu_nobody_saw_is_unavailable_and_not_idle(db: Engine, tmp_path: Path) -> None:
    told = report(collect([shard(tmp_path, "one", summary(gpu="unavailable"))], engine=db), waiting=0)

    assert told["gpu"] == "unavailable"
    assert "GPU: unavailable." in told["summary"]
    assert gpu_shares([{"sm_active": "unavailable", "state": "seen"}]) == {}


def test_a_damaged_result_is_told_after_all_others_were_loaded(db: Engine, tmp_path: Path) -> None:
    damaged, whole = shard(tmp_path, "one", summary()), shard(tmp_path, "two", summary())
    (Path(damaged["results"]) / f"{'a' * 64}-{'b' * 16}.json").write_text("{")
    (Path(whole["results"]) / "manifest.json").unlink()

    with pytest.raises(VisualResultUnusable, match="cannot be read"):
        collect([damaged, whole], engine=db)


def test_numbers_become_gauges_and_what_is_unknown_does_not(
    db: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.observability import stats

    gauges: dict[str, float] = {}
    monkeypatch.setattr(stats, "gauge", gauges.__setitem__)
    send_metrics(collect([shard(tmp_path, "one", summary(peak_mb="unavailable"))], engine=db))

    assert gauges["visual.done"] == 2
    assert gauges["visual.gpu.sm_active"] == 0.93
    assert "visual.peak_mb" not in gauges
    assert "visual.gpu.decoder" not in gauges


def ending(**changes: Any) -> PodEnding:
    usual = {"exit_code": None, "phase": "Failed", "reason": "", "message": "", "is_scheduled": True,
             "waits_for": "", "is_disrupted": False}  # fmt: skip
    return PodEnding(**usual | changes)


@pytest.mark.parametrize(
    ("seen", "kind", "words"),
    [
        (None, errors.PodLost, "pod p-1 is gone"),
        (ending(reason="Evicted", is_disrupted=True, exit_code=137), errors.PodLost, "taken away \\(Evicted"),
        (ending(exit_code=137), errors.JobCrashed, "killed \\(signal 9"),
        (ending(exit_code=1), errors.JobCrashed, "ended with exit code 1"),
        (ending(exit_code=75), errors.JobStopped, "asked to stop"),
        (ending(exit_code=3), errors.JobRefusedManifest, "cannot use its manifest"),
        (ending(phase="Pending", is_scheduled=False), errors.PodNotScheduled, "no node with a free GPU"),
        (ending(phase="Pending", waits_for="ErrImagePull"), errors.PodNotStarted, "ErrImagePull"),
        (ending(phase="Running"), errors.JobCrashed, "could not be followed .* the provider's words"),
    ],
)
def test_each_end_of_a_pod_has_its_error(seen: PodEnding | None, kind: type[Exception], words: str) -> None:
    error = error_of_pod(seen, "p-1", "the provider's words")

    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_only_what_cannot_get_better_is_permanent() -> None:
    permanent = {
        code for code in (1, 3, 75, 137, 143) if isinstance(error_of_exit(code, "x"), PermanentError)
    }
    refused = {status for status in (None, 0, 400, 401, 403, 404, 422, 429, 500, 503)
               if isinstance(error_of_api(status, "x"), PermanentError)}  # fmt: skip

    assert permanent == {3}
    assert refused == {400, 401, 403, 422}
    assert isinstance(error_of_api(None, "x"), TransientError)


def test_a_connection_that_lacks_an_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"image": "i", "claim": "c", "folder": "/mnt"}
    for lacking in extra:
        left = {name: value for name, value in extra.items() if name != lacking}
        monkeypatch.setenv(
            "AIRFLOW_CONN_KUBERNETES_GPU", json.dumps({"conn_type": "kubernetes", "extra": left})
        )
        with pytest.raises(errors.ConnectionIncomplete, match=f"no extra '{lacking}'"):
            workplace()


def test_without_the_connection_the_work_is_done_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_KUBERNETES_GPU", raising=False)
    monkeypatch.setenv("NIGHTSHIFT_VAR", str(tmp_path))

    assert workplace().pods is None
    assert workplace().folder == tmp_path / "visual"
