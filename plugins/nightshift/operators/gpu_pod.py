"""The pod of a GPU job: `KubernetesPodOperator` that remembers how its pod ended before it is deleted.

Importing the provider takes two seconds, so no DAG file imports this module: `VisualJob` does when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client.exceptions import ApiException

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import models as k8s


@dataclass(frozen=True)
class PodEnding:
    """How a pod was when it was last seen.

    Attributes:
        exit_code: of the base container, None where it did not end.
        phase, reason, message: of the pod's status.
        is_scheduled: whether it had a node.
        waits_for: why its container did not start, such as ErrImagePull; empty where it did.
        is_disrupted: whether the cluster took it away.
    """

    exit_code: int | None
    phase: str
    reason: str
    message: str
    is_scheduled: bool
    waits_for: str
    is_disrupted: bool


class GpuPod(KubernetesPodOperator):
    """One pod.

    Attributes:
        ending: how it ended; None while it runs, and where it vanished unseen.
    """

    ending: PodEnding | None = None

    def cleanup(
        self,
        pod: k8s.V1Pod,
        remote_pod: k8s.V1Pod,
        xcom_result: dict[str, Any] | None = None,
        context: Context | None = None,
    ) -> None:
        """Look at the pod, then do what the provider does: label, tell, delete it."""
        self.ending = self._look(pod)
        super().cleanup(pod, remote_pod, xcom_result, context)

    def _look(self, pod: k8s.V1Pod) -> PodEnding | None:
        try:
            return ending_of(self.pod_manager.read_pod(pod), self.base_container_name)
        except ApiException as error:
            if error.status != 404:
                self.log.warning("pod %s could not be read: %s", pod.metadata.name, error.reason)
            return None


def ending_of(pod: k8s.V1Pod, container_name: str) -> PodEnding:
    """What a pod's status says of its end."""
    status = pod.status
    states = {each.name: each.state for each in status.container_statuses or []}
    state = states.get(container_name)
    terminated = state.terminated if state else None
    waiting = state.waiting if state else None
    conditions = {each.type: each.status == "True" for each in status.conditions or []}
    return PodEnding(
        exit_code=terminated.exit_code if terminated else None,
        phase=status.phase or "",
        reason=status.reason or (waiting.reason if waiting else "") or "",
        message=status.message or (waiting.message if waiting else "") or "",
        is_scheduled=conditions.get("PodScheduled", False),
        waits_for=waiting.reason if waiting else "",
        is_disrupted=conditions.get("DisruptionTarget", False) or status.reason in {"Evicted", "Preempting"},
    )
