"""The stand-in cluster answers the official client as a cluster does, and does to pods what was ordered."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from include.sandbox.kubernetes import Fate, FateKind, Image, KubernetesCluster, Node, Trouble, gpu_node

COUNTING = "import time\nfor n in range(200): print('line', n, flush=True); time.sleep(0.02)"
STUBBORN = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)"
POLITE = (
    "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(75))\nprint('on', flush=True)\n"
    "time.sleep(60)"
)


@pytest.fixture(scope="module")
def claim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("claim")


@pytest.fixture(scope="module")
def running(claim: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    image = Image(folder, {"PATH": os.environ["PATH"]})
    nodes = (Node("plain"), gpu_node("gpu-1", 2))
    with KubernetesCluster(folder / "pods", image, nodes=nodes, claims={"videos": claim}) as made:
        yield made


@pytest.fixture
def cluster(running: KubernetesCluster) -> KubernetesCluster:
    running.reset()
    return running


@pytest.fixture
def api(cluster: KubernetesCluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config_dict(cluster.kube_config()))


def pod(
    name: str,
    code: str = "print('done')",
    *,
    gpus: int = 0,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    base = {"name": "base", "command": [sys.executable, "-c", code], "resources": resources}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"restartPolicy": "Never", "containers": [base], **spec},
    }


def gpu_pod(name: str, code: str = "print('done')", gpus: int = 1) -> dict[str, Any]:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    return pod(
        name, code, gpus=gpus, tolerations=[toleration], nodeSelector={"nvidia.com/gpu.present": "true"}
    )


def until(so: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (told := so()):
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.02)
    return told


def ended(api: client.CoreV1Api, name: str) -> Any:
    def look() -> Any:
        found = api.read_namespaced_pod(name, "visual")
        return found if found.status.phase in ("Succeeded", "Failed") else None

    return until(look)


def log(api: client.CoreV1Api, name: str, **options: Any) -> str:
    """The log as it was sent; the client's own decoding shows bytes as a literal."""
    return b"".join(
        api.read_namespaced_pod_log(name, "visual", _preload_content=False, **options).stream()
    ).decode()


def test_a_pod_runs_and_its_end_and_log_are_told(api: client.CoreV1Api) -> None:
    created = api.create_namespaced_pod("visual", pod("one", "print('a'); print('b'); raise SystemExit(3)"))
    over = ended(api, "one")
    terminated = over.status.container_statuses[0].state.terminated

    assert created.metadata.uid
    assert created.metadata.creation_timestamp.tzinfo is not None
    assert (over.status.phase, terminated.exit_code, terminated.reason) == ("Failed", 3, "Error")
    assert int(over.metadata.resource_version) > int(created.metadata.resource_version)
    assert log(api, "one") == "a\nb\n"
    stamped = log(api, "one", timestamps=True).splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == ["a", "b"]
    assert all(line.split(" ", 1)[0].endswith("Z") for line in stamped)


def test_a_log_is_followed_to_the_end_of_the_container(api: client.CoreV1Api) -> None:
    api.create_namespaced_pod("visual", pod("follow", COUNTING.replace("200", "20")))
    until(lambda: api.read_namespaced_pod("follow", "visual").status.phase == "Running")

    assert len(log(api, "follow", follow=True).splitlines()) == 20


def test_a_log_can_begin_where_somebody_stopped_reading(api: client.CoreV1Api) -> None:
    api.create_namespaced_pod(
        "visual", pod("since", "import time; print('old', flush=True); time.sleep(2.5); print('new')")
    )
    ended(api, "since")

    assert log(api, "since", since_seconds=2) == "new\n"
    assert log(api, "since", tail_lines=1) == "new\n"


def test_pods_are_found_by_labels_and_fields(api: client.CoreV1Api) -> None:
    for name, labels in {
        "a": {"shard": "1"},
        "b": {"shard": "2"},
        "c": {"shard": "1", "old": "True"},
    }.items():
        api.create_namespaced_pod("visual", pod(name, labels=labels))

    def names(**selectors: str) -> list[str]:
        return sorted(each.metadata.name for each in api.list_namespaced_pod("visual", **selectors).items)

    assert names(label_selector="shard=1") == ["a", "c"]
    assert names(label_selector="shard=1,old!=True,!worker") == ["a"]
    assert names(label_selector="shard in (2,3)") == ["b"]
    assert names(field_selector="metadata.name=b") == ["b"]
    assert api.list_namespaced_pod("elsewhere").items == []


def test_a_watch_tells_a_pods_whole_life(api: client.CoreV1Api) -> None:
    before = api.list_namespaced_pod("visual").metadata.resource_version
    api.create_namespaced_pod("visual", pod("watched"))
    ended(api, "watched")
    api.delete_namespaced_pod("watched", "visual")
    told = []
    for change in watch.Watch().stream(
        api.list_namespaced_pod, "visual", resource_version=before, timeout_seconds=3
    ):
        told.append((change["type"], change["object"].status.phase))
        if change["type"] == "DELETED":
            break

    assert told[0] == ("ADDED", "Pending")
    assert ("MODIFIED", "Running") in told
    assert told[-1] == ("DELETED", "Succeeded")


def test_gpus_are_lent_to_so_many_pods_as_there_are(
    cluster: KubernetesCluster, api: client.CoreV1Api
) -> None:
    api.create_namespaced_pod("visual", gpu_pod("first", POLITE, gpus=2))
    until(lambda: api.read_namespaced_pod("first", "visual").status.phase == "Running")
    api.create_namespaced_pod("visual", gpu_pod("second"))
    why = (
        "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, "
        "1 node(s) didn't match Pod's node affinity/selector."
    )
    until(lambda: ("FailedScheduling", why) in cluster.events)
    waiting = api.read_namespaced_pod("second", "visual").status
    api.delete_namespaced_pod("first", "visual")

    assert (waiting.conditions[0].type, waiting.conditions[0].reason) == (
        "PodScheduled",
        "Unschedulable",
    )
    assert waiting.container_statuses is None
    assert ended(api, "second").spec.node_name == "gpu-1"


def test_a_pod_without_the_toleration_never_gets_a_gpu(
    cluster: KubernetesCluster, api: client.CoreV1Api
) -> None:
    api.create_namespaced_pod("visual", pod("intolerant", gpus=1))
    until(
        lambda: any("untolerated taint {nvidia.com/gpu: present}" in message for _, message in cluster.events)
    )

    assert api.read_namespaced_pod("intolerant", "visual").status.phase == "Pending"


def test_deleting_asks_politely_and_kills_after_the_grace_period(api: client.CoreV1Api) -> None:
    for name, code in {"polite": POLITE, "stubborn": STUBBORN}.items():
        api.create_namespaced_pod("visual", pod(name, code))
        until(lambda name=name: _has_written(api, name))
    api.delete_namespaced_pod("polite", "visual", grace_period_seconds=30)
    until(lambda: _is_gone(api, "polite"), seconds=5)
    began = time.monotonic()
    api.delete_namespaced_pod("stubborn", "visual", grace_period_seconds=1)
    assert api.read_namespaced_pod("stubborn", "visual").metadata.deletion_timestamp is not None
    until(lambda: _is_gone(api, "stubborn"), seconds=5)

    assert 0.9 < time.monotonic() - began < 4


def test_labels_can_be_patched_and_nothing_else(api: client.CoreV1Api) -> None:
    api.create_namespaced_pod("visual", pod("patched", labels={"a": "1", "b": "2"}))
    patched = api.patch_namespaced_pod("patched", "visual", {"metadata": {"labels": {"a": None, "c": "3"}}})

    assert patched.metadata.labels == {"b": "2", "c": "3"}
    with pytest.raises(ApiException, match="only metadata may be patched"):
        api.patch_namespaced_pod("patched", "visual", {"status": {"phase": "Failed"}})


def test_who_has_no_token_and_what_is_no_pod_is_refused(
    cluster: KubernetesCluster, api: client.CoreV1Api
) -> None:
    guessed = cluster.kube_config() | {"users": [{"name": "nightshift", "user": {"token": "guessed"}}]}
    stranger = config.new_client_from_config_dict(guessed)

    def refusal(call: Callable[..., Any], *arguments: Any) -> int:
        with pytest.raises(ApiException) as refused:
            call(*arguments)
        return refused.value.status

    assert refusal(client.CoreV1Api(stranger).list_namespaced_pod, "visual") == 401
    assert refusal(api.read_namespaced_pod, "nobody", "visual") == 404
    assert refusal(api.create_namespaced_pod, "visual", pod("Not_A_Name")) == 422
    api.create_namespaced_pod("visual", pod("twice"))
    assert refusal(api.create_namespaced_pod, "visual", pod("twice")) == 409
    assert client.VersionApi(api.api_client).get_code().git_version.startswith("v1.")


@pytest.mark.parametrize(
    ("kind", "phase", "reason", "code"),
    [
        (FateKind.KILL, "Failed", None, 137),
        (FateKind.TERMINATE, "Failed", None, 75),
        (FateKind.EVICT, "Failed", "Evicted", 137),
    ],
)
def test_a_pod_dies_as_ordered(
    cluster: KubernetesCluster,
    api: client.CoreV1Api,
    kind: FateKind,
    phase: str,
    reason: str | None,
    code: int,
) -> None:
    cluster.order(Fate(kind, labels={"mine": "yes"}, after_lines=1))
    api.create_namespaced_pod("visual", pod("spared"))
    api.create_namespaced_pod("visual", pod("doomed", POLITE, labels={"mine": "yes"}))
    dead, alive = ended(api, "doomed"), ended(api, "spared")

    assert (dead.status.phase, dead.status.reason) == (phase, reason)
    until(lambda: ended(api, "doomed").status.container_statuses[0].state.terminated)
    assert ended(api, "doomed").status.container_statuses[0].state.terminated.exit_code == code
    assert alive.status.phase == "Succeeded"
    disrupted = {each.type for each in dead.status.conditions} & {"DisruptionTarget"}
    assert bool(disrupted) == (kind is FateKind.EVICT)


def test_a_preempted_pod_is_gone_with_its_process(
    cluster: KubernetesCluster, api: client.CoreV1Api, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    code = (
        "import time, pathlib\nprint('on', flush=True)\n"
        f"while True: pathlib.Path({str(alive)!r}).touch(); time.sleep(0.02)"
    )
    cluster.order(Fate(FateKind.PREEMPT, after_text="on"))
    api.create_namespaced_pod("visual", pod("preempted", code))
    until(lambda: _is_gone(api, "preempted"))
    time.sleep(0.2)
    alive.unlink(missing_ok=True)
    time.sleep(0.2)

    assert not alive.exists()


def test_an_image_that_cannot_be_pulled_and_a_slow_start(
    cluster: KubernetesCluster, api: client.CoreV1Api
) -> None:
    cluster.order(
        Fate(FateKind.IMAGE_ERROR, message="manifest unknown"),
        Fate(FateKind.SLOW_START, after_seconds=0.5),
    )
    api.create_namespaced_pod("visual", pod("imageless"))
    api.create_namespaced_pod("visual", pod("slow"))

    def waiting(name: str) -> Any:
        statuses = api.read_namespaced_pod(name, "visual").status.container_statuses
        return statuses and statuses[0].state.waiting

    assert until(lambda: waiting("slow")).reason == "ContainerCreating"
    assert until(lambda: waiting("imageless")).reason == "ErrImagePull"
    assert ended(api, "slow").status.phase == "Succeeded"
    api.delete_namespaced_pod("imageless", "visual")
    until(lambda: _is_gone(api, "imageless"))


def test_requests_fail_as_often_as_ordered(cluster: KubernetesCluster) -> None:
    # Not through the official client, which tries again by itself.
    cluster.order(Trouble("/pods", status=429, retry_after=7, times=2), Trouble("/events", status=None))
    with httpx.Client(
        base_url=f"{cluster.url}/api/v1/namespaces/visual",
        headers={"authorization": f"Bearer {cluster.token}"},
    ) as plain:
        answers = [plain.get("/pods") for _ in range(3)]
        with pytest.raises(httpx.RemoteProtocolError):
            plain.get("/events")
        again = plain.get("/events")

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[0].json()["reason"] == "TooManyRequests"
    assert again.json()["items"] == []


def test_volumes_are_folders_that_command_and_environment_name(
    cluster: KubernetesCluster, api: client.CoreV1Api, claim: Path
) -> None:
    code = "import os, sys; open(os.environ['OUT'] + '/x', 'w').write('kept'); open(sys.argv[1], 'w')"
    wanted = pod("mounted", code)
    base = wanted["spec"]["containers"][0]
    base["args"] = ["/airflow/xcom/return.json"]
    base["env"] = [{"name": "OUT", "value": "/videos"}]
    base["volumeMounts"] = [
        {"name": "v", "mountPath": "/videos"},
        {"name": "x", "mountPath": "/airflow/xcom"},
    ]
    wanted["spec"]["volumes"] = [
        {"name": "v", "persistentVolumeClaim": {"claimName": "videos"}}, {"name": "x", "emptyDir": {}}
    ]  # fmt: skip
    api.create_namespaced_pod("visual", wanted)

    assert ended(api, "mounted").status.phase == "Succeeded"
    assert (claim / "x").read_text() == "kept"
    wanted["metadata"]["name"] = "unbound"
    wanted["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "lost"
    api.create_namespaced_pod("visual", wanted)
    until(lambda: ("FailedScheduling", 'persistentvolumeclaim "lost" not found') in cluster.events)


def _has_written(api: client.CoreV1Api, name: str) -> bool:
    running = api.read_namespaced_pod(name, "visual").status.phase == "Running"
    return running and bool(log(api, name))


def _is_gone(api: client.CoreV1Api, name: str) -> bool:
    try:
        api.read_namespaced_pod(name, "visual")
    except ApiException as gone:
        return gone.status == 404
    return False
