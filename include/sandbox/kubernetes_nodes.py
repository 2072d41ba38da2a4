"""The nodes of the stand-in cluster, and which of them a pod may run on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.kubernetes_objects import GPU, Pod, gpus_of


@dataclass(frozen=True)
class Taint:
    """What keeps pods off a node that do not tolerate it."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        gpus: that it can lend.
    """

    name: str
    gpus: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """The node as the API shows it."""
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name, **self.labels}},
            "spec": {
                "taints": [{"key": t.key, "value": t.value, "effect": t.effect} for t in self.taints],
            },
            "status": {
                "allocatable": {GPU: str(self.gpus)},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }


def gpu_node(name: str = "gpu-1", gpus: int = 1) -> Node:
    """A node as a GPU pool has them: labelled by NVIDIA's feature discovery, and tainted."""
    return Node(name, gpus, {"nvidia.com/gpu.present": "true"}, (Taint(GPU, "present"),))


def choose_node(pod: Pod, nodes: Iterable[Node], used: Mapping[str, int]) -> tuple[Node | None, str]:
    """The first node that fits a pod, or none and the scheduler's sentence why.

    Args:
        used: GPUs in use, per node.
    """
    wrongs: Counter[str] = Counter()
    count = 0
    for node in nodes:
        count += 1
        wrong = _why_not(pod, node, used.get(node.name, 0))
        if wrong is None:
            return node, ""
        wrongs[wrong] += 1
    listed = ", ".join(f"{times} {wrong}" for wrong, times in sorted(wrongs.items()))
    return None, f"0/{count} nodes are available: {listed or 'there are no nodes'}."


def _why_not(pod: Pod, node: Node, used: int) -> str | None:
    spec = pod["spec"]
    for name, value in (spec.get("nodeSelector") or {}).items():
        if node.labels.get(name) != value:
            return "node(s) didn't match Pod's node affinity/selector"
    for taint in node.taints:
        if taint.effect != "PreferNoSchedule" and not _tolerated(taint, spec.get("tolerations") or []):
            return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    if gpus_of(pod) > node.gpus - used:
        return f"Insufficient {GPU}"
    return None


def _tolerated(taint: Taint, tolerations: Iterable[Mapping[str, Any]]) -> bool:
    for toleration in tolerations:
        if toleration.get("effect") not in (None, "", taint.effect):
            continue
        exists = toleration.get("operator") == "Exists"
        if not toleration.get("key") and exists:
            return True
        if toleration.get("key") == taint.key and (exists or (toleration.get("value") or "") == taint.value):
            return True
    return False
