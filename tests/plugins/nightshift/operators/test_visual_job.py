"""A shard's job: whose rights its pod has, and that killing the task stops what it started."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.sandbox.kubernetes import Image, KubernetesCluster, Node
from include.visual.errors import JobRefusedManifest, JobStopped, ShardFilesMissing
from include.visual.manifests import write_shard
from include.visual.shards import Shard, Video
from nightshift.operators.visual_job import VisualJob, pod_user

POLITE = (
    "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); "
    "print('on', flush=True); time.sleep(60)"
)


@pytest.fixture
def shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delenv("AIRFLOW_CONN_KUBERNETES_GPU", raising=False)
    files = write_shard(tmp_path, Shard(1, "abc", (Video("acme", "c1", "/v/1.mp4"),), 9), {})
    return {"key": "abc", "manifest": str(files.manifest), "results": str(files.results), "known": None,
            "sampling": "2fps", "model": None, "precision": "auto", "videos": 1, "bytes": 9}  # fmt: skip


@pytest.fixture
def runs(reconfigured: Callable[[Any], None]) -> Callable[[str], None]:
    def configure(code: str) -> None:
        reconfigured(lambda values: values["visual_night"].update(command=[sys.executable, "-c", code]))

    return configure


def test_a_pod_has_the_rights_of_the_worker_and_never_those_of_root() -> None:
    assert pod_user(50000, 0) == {"runAsUser": 50000, "runAsGroup": 0, "fsGroup": 0, "runAsNonRoot": True}
    assert pod_user(0, 0) == {}


def test_the_job_is_told_everything_of_its_shard(shard: dict[str, Any], runs: Callable[[str], None]) -> None:
    runs("import json, sys; json.dump({'done': sys.argv[1:]}, open(sys.argv[sys.argv.index('--out') + 1]"
         " + '/manifest.json', 'w'))")  # fmt: skip
    told = VisualJob(task_id="analyse", shard=shard | {"known": "/k.json", "model": "/m"}).execute({})  # type: ignore[arg-type]

    # --manifest, --out, --xcom, --sampling, --precision, --model, --known, each with its value.
    assert told["done"] == 14
    assert told["key"] == "abc"


def test_a_process_finds_the_registry_where_the_connection_says(
    shard: dict[str, Any], runs: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", '{"conn_type": "http", "host": "http://registry:5000"}')
    told = tmp_path / "told"
    runs(f"import os; open({str(told)!r}, 'w').write(os.environ.get('MLFLOW_TRACKING_URI', 'none'))")

    for model, expected in (("models:/visual@champion", "http://registry:5000"), ("/m", "none")):
        VisualJob(task_id="analyse", shard=shard | {"model": model}).execute({})  # type: ignore[arg-type]
        assert told.read_text() == expected


def test_killing_the_task_stops_the_process_which_keeps_what_it_has(
    shard: dict[str, Any], runs: Callable[[str], None], tmp_path: Path
) -> None:
    runs(POLITE.replace("print('on', flush=True)", f"open({str(tmp_path / 'on')!r}, 'w').close()"))
    task = VisualJob(task_id="analyse", shard=shard)

    def kill() -> None:
        while not (tmp_path / "on").exists():
            time.sleep(0.02)
        task.on_kill()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with pytest.raises(JobStopped, match="it goes on"):
        task.execute({})  # type: ignore[arg-type]
    thread.join(10)


def test_marking_a_deferred_task_failed_ends_its_pod_politely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger

    kept = tmp_path / "kept"
    code = (
        "import signal, sys, time\n"
        f"signal.signal(15, lambda *_: (open({str(kept)!r}, 'w').close(), sys.exit(75)))\n"
        "time.sleep(60)"
    )
    base = {"name": "base", "command": [sys.executable, "-c", code]}
    with KubernetesCluster(tmp_path / "pods", Image(tmp_path, {}), nodes=(Node("plain"),)) as cluster:
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_GPU", cluster.airflow_connection())
        httpx.post(
            f"{cluster.url}/api/v1/namespaces/nightshift/pods",
            json={"metadata": {"name": "visual-1"}, "spec": {"restartPolicy": "Never", "containers": [base]}},
            headers={"authorization": f"Bearer {cluster.token}"},
        ).raise_for_status()
        until(lambda: ("Started", "Started container base") in cluster.events)
        time.sleep(0.5)
        trigger = KubernetesPodTrigger(
            pod_name="visual-1", pod_namespace="nightshift", trigger_start_time=datetime.now(UTC),
            base_container_name="base", kubernetes_conn_id="kubernetes_gpu", termination_grace_period=30,
        )  # fmt: skip
        asyncio.run(trigger.on_kill())
        until(lambda: not cluster.pods)

    assert kept.exists()


def until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_manifest_the_job_cannot_use_is_not_tried_again(
    shard: dict[str, Any], runs: Callable[[str], None]
) -> None:
    runs("raise SystemExit(3)")
    with pytest.raises(JobRefusedManifest, match="exit code 3"):
        VisualJob(task_id="analyse", shard=shard).execute({})  # type: ignore[arg-type]


def test_a_shard_with_nothing_to_do_is_skipped(shard: dict[str, Any], runs: Callable[[str], None]) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    runs("raise SystemExit(99)")
    with pytest.raises(AirflowSkipException, match="nothing to do"):
        VisualJob(task_id="analyse", shard=shard).execute({})  # type: ignore[arg-type]


def test_a_manifest_that_is_gone_is_told_before_anything_starts(shard: dict[str, Any]) -> None:
    Path(shard["manifest"]).unlink()
    with pytest.raises(ShardFilesMissing):
        VisualJob(task_id="analyse", shard=shard).execute({})  # type: ignore[arg-type]
