"""The night's visual analysis through the real DAG, operator and job: in pods that live, and that die."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.config import thresholds
from include.db.visual_catalogue import list_videos
from include.sandbox.kubernetes import Fate, FateKind, Image, KubernetesCluster, Trouble, gpu_node
from include.stack.settings import REPOSITORY
from nightshift import policy
from tests.dags.running import FinishedRun, run_dag
from tests.dags.visual_rows import visual_rows
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene
from tests.ml.visual.conftest import network
from tests.ml.visual.test_bad_videos import vast

pytestmark = [pytest.mark.usefixtures("airflow_db"), pytest.mark.timeout(170)]

Change = Callable[[dict[str, Any]], None]

CREATIVES = """
WITH account AS (
    INSERT INTO ads.account (account_id, name, niche, source) VALUES ('acme', 'Acme', 'fitness', 'sandbox')
)
INSERT INTO ads.creative (account_id, creative_id, format, duration_s, dna)
SELECT 'acme', 'creative-' || number, 'square_video', 2, jsonb_build_object(
    'visual', jsonb_build_object('colours', (ARRAY['warm', 'cool', 'vivid'])[1 + number % 3], 'motion', 0.5),
    'pacing', jsonb_build_object('cuts_per_second', 0.5))
FROM generate_series(1, :count) AS number
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that workers and pods share."""
    return tmp_path_factory.mktemp("visual")


@pytest.fixture(scope="module")
def running(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesCluster]:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }
    folder = tmp_path_factory.mktemp("pods")
    image = Image(REPOSITORY, environment)
    with KubernetesCluster(folder, image, nodes=(gpu_node(gpus=2),), claims={"visual": shared}) as made:
        yield made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network slow enough to be killed in the middle of a video."""
    return network(tmp_path_factory.mktemp("models") / "resnet18", "resnet18", 160, 512).folder


@pytest.fixture
def cluster(running: KubernetesCluster, shared: Path, monkeypatch: pytest.MonkeyPatch) -> KubernetesCluster:
    """The stand-in cluster, empty, as connection `kubernetes_gpu`; nothing was analysed yet."""
    running.reset()
    shutil.rmtree(shared / "shards", ignore_errors=True)
    connection = running.airflow_connection(
        image="visual:1", namespace="nightshift", claim="visual", folder=str(shared)
    )
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_GPU", connection)
    return running


@pytest.fixture(autouse=True)
def configure(
    reconfigured: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Change], None]:
    """Polls often and retries at once; a function changes the section `visual_night` further."""

    def change_further(change: Change) -> None:
        def all_of_it(values: dict[str, Any]) -> None:
            night = values["visual_night"]
            night |= {"demo_clips": 4, "shard_videos": 2}
            night["pods"] |= {"poll_s": 0.2, "startup_check_s": 1, "grace_s": 10, "schedule_timeout_s": 3}
            values["visual"]["job"]["decoders"] = 1
            change(night)

        reconfigured(all_of_it)

    change_further(lambda night: None)
    soon = timedelta(milliseconds=10)
    for rule in policy.RETRY_POLICY.rules:
        if rule.retry_delay:
            monkeypatch.setattr(rule, "retry_delay", soon)
    monkeypatch.setattr(policy, "DEFAULT_ARGS", policy.DEFAULT_ARGS | {"retry_delay": soon})
    return change_further


def add_creatives(db: Engine, count: int) -> None:
    with db.begin() as connection:
        connection.execute(text(CREATIVES), {"count": count})


def nth_shard(number: int) -> dict[str, str]:
    """Labels of the pods of the mapped task of this index."""
    return {"map_index": str(number)}


def analysed(db: Engine, uris: dict[str, Path]) -> FinishedRun:
    """A run over these files alone."""
    list_videos(db, [("acme", creative, str(path)) for creative, path in uris.items()])
    return run_dag("visual_analysis_gpu")


def test_pods_analyse_every_video_once(db: Engine, cluster: KubernetesCluster) -> None:
    add_creatives(db, 4)

    first = run_dag("visual_analysis_gpu", day="2026-03-31")
    rows = visual_rows(db)
    again = run_dag("visual_analysis_gpu", day="2026-03-31")
    pods = len(cluster.created)
    anew = run_dag("visual_analysis_gpu", day="2026-03-31", again="all")

    assert first.state == again.state == anew.state == "success"
    assert (first.report["done"], first.report["failed"], first.report["gpu"]) == (4, 0, "unavailable")
    assert first.report["decodes"] == len(rows["videos"]) == len(rows["analyses"]) == 4
    assert again.report["summary"] == "No new videos."
    assert again.tasks["analyse"] == "skipped"
    # Whoever learns from videos is told of new ones, and left alone without any.
    assert (first.tasks["publish"], again.tasks["publish"]) == ("success", "skipped")
    assert pods == 2
    # Asked to look at all of them again, it finds that it knows them.
    assert (anew.report["done"], anew.report["decodes"], anew.report["cache_hits"]) == (4, 0, 4)
    assert visual_rows(db) == rows
    assert len(cluster.created) == len(cluster.deleted)


def test_a_pod_is_what_the_configuration_and_the_connection_say(
    db: Engine, cluster: KubernetesCluster, shared: Path
) -> None:
    add_creatives(db, 1)
    run_dag("visual_analysis_gpu")
    (pod,) = cluster.created
    spec, base = pod["spec"], pod["spec"]["containers"][0]

    assert (pod["metadata"]["namespace"], base["image"]) == ("nightshift", "visual:1")
    assert base["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Never", 10)
    assert spec["automountServiceAccountToken"] is False
    assert {"name": "visual", "mountPath": str(shared)} in base["volumeMounts"]
    assert not [variable for variable in base.get("env") or [] if "KEY" in variable["name"]]


def test_what_the_cluster_does_to_pods_is_survived(
    db: Engine, cluster: KubernetesCluster, configure: Any
) -> None:
    configure(lambda night: night.update(demo_clips=5, shard_videos=1))
    add_creatives(db, 5)
    cluster.order(
        Fate(FateKind.EVICT, nth_shard(0), after_lines=1),
        Fate(FateKind.PREEMPT, nth_shard(1), after_lines=1),
        Fate(FateKind.UNSCHEDULABLE, nth_shard(2)),
        Fate(FateKind.IMAGE_ERROR, nth_shard(3), message="manifest unknown"),
        # The last one only has a cluster whose API fails now and then.
        Trouble("/pods$", "POST", status=503),
        Trouble("/pods/visual[^/]*$", "GET", status=None),
        Trouble("/pods/visual[^/]*$", "GET", status=429, retry_after=1),
    )

    run = run_dag("visual_analysis_gpu")

    assert run.state == "success"
    assert (run.report["done"], run.report["unfinished"]) == (5, 0)
    of_shard = [pod["metadata"]["labels"]["map_index"] for pod in cluster.created]
    assert sorted(of_shard) == ["0", "0", "1", "1", "2", "2", "3", "3", "4"]
    assert cluster.pods == []


def test_whatever_ends_a_job_in_a_video_one_batch_is_lost_and_the_rows_are_the_same(
    db: Engine,
    cluster: KubernetesCluster,
    configure: Any,
    shared: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    configure(lambda night: night.update(in_batches_of_four(model), demo_clips=0, shard_videos=3))
    add_creatives(db, 3)
    videos = {
        f"creative-{n}": clips.write(tmp_path / f"{n}.mp4", [Scene(70 + n, 0.64), Scene(80 + n, 0.64)])
        for n in range(1, 4)
    }
    with monkeypatch.context() as without_cluster:
        without_cluster.delenv("AIRFLOW_CONN_KUBERNETES_GPU")
        without_cluster.setenv("NIGHTSHIFT_VAR", str(tmp_path))
        undisturbed = analysed(db, videos)
    expected = visual_rows(db)
    forget_all(db)

    configure(lambda night: night.update(in_batches_of_four(model), demo_clips=0, shard_videos=1))
    endings = (FateKind.KILL, FateKind.TERMINATE, FateKind.PREEMPT)
    cluster.order(
        *(Fate(kind, nth_shard(n), when=lambda pod: batches_kept(pod) >= 2) for n, kind in enumerate(endings))
    )
    disturbed = analysed(db, videos)
    jobs = [json.loads(path.read_text()) for path in shared.glob("shards/*/results/manifest.json")]

    assert undisturbed.state == disturbed.state == "success"
    assert len(expected["scenes"]) >= len(expected["analyses"]) == 3
    assert visual_rows(db) == expected
    assert len(cluster.created) == 2 * len(endings)
    # 32 frames are 8 batches: what the first pod kept, the second did not compute again.
    assert [job["batches"] + job["recovered_batches"] for job in jobs] == [8] * 3
    assert all(job["recovered_batches"] >= 2 for job in jobs)


def test_a_bad_file_fails_with_its_reason_and_holds_up_no_other(
    db: Engine, cluster: KubernetesCluster, configure: Any, tmp_path: Path
) -> None:
    configure(lambda night: night.update(demo_clips=0, shard_videos=20))
    add_creatives(db, 8)
    good = clips.write(tmp_path / "good.mp4", [Scene(1, 1.0)])
    whole = good.read_bytes()
    contents = {
        "zero": b"",
        "noise": os.urandom(20_000),
        "half": whole[: len(whole) // 2],
        "codec": whole.replace(b"avc1", b"zzz9"),
    }
    videos = {"creative-1": good, "creative-2": tmp_path / "nowhere.mp4"}
    for n, (name, content) in enumerate(contents.items(), start=3):
        videos[f"creative-{n}"] = tmp_path / f"{name}.mp4"
        videos[f"creative-{n}"].write_bytes(content)
    videos["creative-7"] = vast(tmp_path / "bomb.gif")
    videos["creative-8"] = tmp_path / "huge.mp4"
    videos["creative-8"].touch()
    # All of it a hole in the file, so it takes no room.
    os.truncate(videos["creative-8"], thresholds().visual.job.limits.most_bytes + 1)

    run = analysed(db, videos)
    states = states_of(db)

    assert run.state == "success"
    assert {name: state for name, (state, _) in states.items() if state != "failed"} == {
        "creative-1": "done",
        "creative-2": "pending",
    }
    assert (run.report["done"], run.report["failed"]) == (1, 7)
    assert states["creative-1"] == ("done", None)
    # What is not there may come: it is looked for again.
    assert states["creative-2"][0] == "pending"
    assert all(states[f"creative-{n}"][0] == "failed" and states[f"creative-{n}"][1] for n in range(3, 9))
    assert "bytes" in (states["creative-8"][1] or "")
    assert run.report["waiting"] == 1
    assert len(cluster.created) == 1

    # A file that was mended is looked at; the others, asked for, are tried in earnest, and fail again.
    videos["creative-3"].write_bytes(whole)
    again = run_dag("visual_analysis_gpu", again="failed")

    assert (again.report["done"], again.report["failed"]) == (1, 6)
    assert again.report["decodes"] == run.report["decodes"] - 1
    assert states_of(db) == states | {"creative-3": ("done", None)}


def test_a_worker_that_dies_leaves_its_pod_to_the_next_attempt(
    db: Engine, cluster: KubernetesCluster, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    configure(lambda night: night.update(demo_clips=1))
    add_creatives(db, 1)
    defer, died = KubernetesPodOperator.invoke_defer_method, []

    def die_once(self: Any, *arguments: Any, **named: Any) -> None:
        if not died:
            died.append(self)
            raise ConnectionResetError("the worker's machine is gone")
        defer(self, *arguments, **named)

    monkeypatch.setattr(KubernetesPodOperator, "invoke_defer_method", die_once)
    run = run_dag("visual_analysis_gpu")

    assert (run.state, run.report["done"], len(died)) == ("success", 1, 1)
    assert len(cluster.created) == 1


def test_a_worker_may_wait_beside_its_pod_instead(
    db: Engine, cluster: KubernetesCluster, configure: Any
) -> None:
    def beside(night: dict[str, Any]) -> None:
        night["demo_clips"] = 1
        night["pods"]["deferrable"] = False

    configure(beside)
    add_creatives(db, 1)
    cluster.order(Fate(FateKind.KILL, after_lines=1))

    run = run_dag("visual_analysis_gpu")

    assert (run.state, run.report["done"]) == ("success", 1)
    assert len(cluster.created) == 2


def test_what_trying_again_cannot_help_is_not_tried_again(
    db: Engine, cluster: KubernetesCluster, configure: Any, sandbox: Any
) -> None:
    configure(lambda night: night.update(demo_clips=1, model="/nowhere/model"))
    add_creatives(db, 1)

    run = run_dag("visual_analysis_gpu")

    assert (run.tasks["analyse"], run.tasks["collect"]) == ("failed", "success")
    assert (run.tasks["report"], run.state) == ("upstream_failed", "failed")
    assert len(cluster.created) == 1


def in_batches_of_four(model: Path) -> dict[str, Any]:
    """Changes of the section: every frame is looked at, four at a time."""
    return {
        "model": str(model),
        "sampling": "all",
        "command": ["python", "-m", "ml.visual.job", "--batch", "4"],
    }


def states_of(db: Engine) -> dict[str, tuple[str, str | None]]:
    """State and reason of each creative's video."""
    return {row[1]: (row[5], row[6]) for row in visual_rows(db)["creatives"]}


def batches_kept(pod: dict[str, Any]) -> int:
    """Whole batches of four in the checkpoints of a pod's job."""
    arguments = pod["spec"]["containers"][0]["args"]
    results = Path(arguments[arguments.index("--out") + 1])
    return sum(path.stat().st_size // (4 * 512 * 4 + 24) for path in results.glob("*.part"))


def forget_all(db: Engine) -> None:
    """Have nothing analysed."""
    with db.begin() as connection:
        connection.execute(text("TRUNCATE visual.creative_video, visual.video CASCADE"))
