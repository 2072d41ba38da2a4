"""A task that has one shard of videos analysed: by a GPU pod, or by a process here where there is no cluster.

The work is `KubernetesPodOperator`'s; this operator makes one when it runs and hands everything on to it. A
subclass would do the same, but importing the provider takes two seconds, which every parse of the DAG file
would pay, and where to run is only known once the connection is read.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.visual.manifests import ShardFiles
    from include.visual.process import LocalJob
    from nightshift.operators.gpu_pod import GpuPod
    from nightshift.visual_workplace import Workplace

_XCOM = "/airflow/xcom/return.json"


def pod_user(user: int, group: int) -> dict[str, Any]:
    """Whose rights the pod has: the worker's, whose files it reads and writes. Root's are lent to nobody."""
    if not user:
        return {}
    return {"runAsUser": user, "runAsGroup": group, "fsGroup": group, "runAsNonRoot": True}


class VisualJob(BaseOperator):
    """Has the job run over a shard, in whichever place there is, to an end the retry policy understands.

    Killing the task ends pod or process with signal 15 and waits for it to keep what it has. A worker that
    dies leaves the pod alone: the next attempt takes it up again.

    Args:
        shard: what `find_videos` says of one shard: key, manifest, results, known (or None), sampling,
            model, precision, videos and bytes.

    Returns:
        the job's summary in short: videos done and failed, first reasons, frames, decodes, forwards, seconds,
        and the GPU's numbers.

    Raises:
        the errors of `include.visual.errors`.
    """

    template_fields = ("shard",)
    ui_color = "#dff0e4"

    def __init__(self, *, shard: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard
        self._job: LocalJob | None = None
        self._pod: GpuPod | None = None
        self._pod_name = ""

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the job, and see it to its end or defer."""
        from include.config import thresholds
        from include.visual.manifests import require_manifest
        from nightshift.visual_workplace import workplace

        require_manifest(self._files)
        place = workplace()
        self.log.info("%s videos (%s bytes) %s", self.shard["videos"], self.shard["bytes"], place.words)
        if place.pods is None:
            return self._run_here()
        pod = self._make_pod(place)
        step = pod.execute_async if thresholds().visual_night.pods.deferrable else pod.execute_sync
        return self._followed(pod, lambda: step(context))

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when the pod has ended, or has to be looked at."""
        from nightshift.visual_workplace import workplace

        self._pod_name = str(event.get("name", ""))
        pod = self._make_pod(workplace())
        return self._followed(pod, lambda: pod.trigger_reentry(context, event))

    def on_kill(self) -> None:
        """End the pod or the process."""
        if self._pod is not None:
            self._pod.on_kill()
        if self._job is not None:
            self._job.stop()

    @property
    def _files(self) -> ShardFiles:
        from include.visual.manifests import ShardFiles

        return ShardFiles(Path(self.shard["manifest"]), Path(self.shard["results"]))

    def _arguments(self, xcom: str) -> list[str]:
        files = self._files
        arguments = ["--manifest", str(files.manifest), "--out", str(files.results), "--xcom", xcom]
        arguments += ["--sampling", self.shard["sampling"], "--precision", self.shard["precision"]]
        if self.shard["model"]:
            arguments += ["--model", self.shard["model"]]
        if self.shard["known"]:
            arguments += ["--known", self.shard["known"]]
        return arguments

    def _variables(self) -> dict[str, str]:
        """Of pod or process: where the registry is, if the model comes from there."""
        from nightshift.connections import mlflow_tracking_uri

        if not str(self.shard["model"]).startswith(("models:", "runs:")):
            return {}
        return {"MLFLOW_TRACKING_URI": mlflow_tracking_uri()}

    def _run_here(self) -> dict[str, Any]:
        from include.config import thresholds
        from include.visual.process import LocalJob
        from nightshift.visual_endings import NOTHING_TO_DO, error_of_exit

        night = thresholds().visual_night
        program, *rest = night.command
        interpreter = sys.executable if program in {"python", "python3"} else program
        with tempfile.TemporaryDirectory(prefix="visual-") as folder:
            command = [interpreter, *rest, *self._arguments(str(Path(folder) / "return.json"))]
            self._job = LocalJob(
                command, self._files.lock, grace_s=night.pods.grace_s, variables=self._variables()
            )
            code = self._job.run(lambda line: self.log.info("%s", line))
        if code == NOTHING_TO_DO:
            self._skip("there was nothing to do")
        if code:
            raise error_of_exit(code, "a process of this worker")
        return self._short(None)

    def _followed(self, pod: GpuPod, step: Callable[[], Any]) -> dict[str, Any]:
        """Take a step of the provider's, and say in our words how it failed."""
        from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        from include.errors import NightshiftError
        from nightshift.visual_endings import error_of_api, error_of_pod

        self._pod = pod
        try:
            told = step()
        except (AirflowSkipException, NightshiftError):
            raise
        except ApiException as error:
            vanished = error.status == 404 and pod.pod is not None
            raise (
                error_of_pod(pod.ending, self._name_of(pod), str(error.reason))
                if vanished or pod.ending is not None
                else error_of_api(error.status, str(error.reason))
            ) from error
        except HTTPError as error:
            raise error_of_api(None, type(error).__name__) from error
        except AirflowException as error:
            raise error_of_pod(pod.ending, self._name_of(pod), str(error).split("\n")[0]) from error
        return self._short(told)

    def _short(self, told: Any) -> dict[str, Any]:
        """The summary: what came through XCom, else what the job left in the folder."""
        from include.config import thresholds
        from include.visual.manifests import read_summary, short_summary

        if not isinstance(told, dict):
            told = read_summary(self._files.results) or {}
        summary = short_summary(told, thresholds().visual_night.reasons_shown)
        return {**summary, "key": self.shard["key"], "results": self.shard["results"]}

    def _name_of(self, pod: GpuPod) -> str:
        found = pod.pod or pod.pod_request_obj
        return str(found.metadata.name) if found is not None else self._pod_name or str(pod.name)

    def _skip(self, why: str) -> None:
        from airflow.sdk.exceptions import AirflowSkipException

        raise AirflowSkipException(why)

    def _make_pod(self, place: Workplace) -> GpuPod:
        """The provider's operator for this shard, made anew by every step: all it knows is in the cluster."""
        from kubernetes.client import models as k8s

        from include.config import thresholds
        from nightshift.operators.gpu_pod import GpuPod
        from nightshift.visual_endings import NOTHING_TO_DO
        from nightshift.visual_workplace import CONNECTION

        night = thresholds().visual_night
        pods, cluster = night.pods, place.pods
        if cluster is None:
            from include.visual.errors import PodLost

            raise PodLost(
                f"connection {CONNECTION} was removed while pod {self._pod_name} ran: its job goes on here"
            )
        return GpuPod(
            task_id=self.task_id,
            name=f"visual-{self.shard['key']}",
            kubernetes_conn_id=CONNECTION,
            image=cluster.image,
            cmds=list(night.command),
            arguments=self._arguments(_XCOM),
            env_vars=self._variables(),
            do_xcom_push=True,
            deferrable=pods.deferrable,
            execution_timeout=self.execution_timeout,
            # One GPU is asked for, not lent: whole devices only, and the limit is the request.
            container_resources=k8s.V1ResourceRequirements(
                limits={"nvidia.com/gpu": str(pods.gpus), "memory": pods.memory},
                requests={"cpu": pods.cpu, "memory": pods.memory},
            ),
            tolerations=[
                k8s.V1Toleration(key=key, operator="Exists", effect="NoSchedule")
                for key in pods.tolerated_taints
            ],
            node_selector=dict(cluster.node_selector or pods.node_selector),
            volumes=[
                k8s.V1Volume(
                    name="visual",
                    persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name=cluster.claim),
                )
            ],
            volume_mounts=[k8s.V1VolumeMount(name="visual", mount_path=str(place.folder))],
            service_account_name=cluster.service_account,
            security_context=pod_user(os.getuid(), os.getgid()),
            container_security_context={
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
            # The job speaks to no Kubernetes API.
            automount_service_account_token=False,
            image_pull_secrets=(
                [k8s.V1LocalObjectReference(name=cluster.pull_secret)] if cluster.pull_secret else None
            ),
            schedule_timeout_seconds=pods.schedule_timeout_s,
            startup_timeout_seconds=pods.startup_timeout_s,
            startup_check_interval_seconds=pods.startup_check_s,
            poll_interval=pods.poll_s,
            base_container_status_polling_interval=pods.poll_s,
            termination_grace_period=pods.grace_s,
            termination_message_policy="FallbackToLogsOnError",
            skip_on_exit_code=[NOTHING_TO_DO],
            # A pod that failed is looked at and deleted: kept, it would be taken up by the next attempt.
            on_finish_action="delete_pod",
            on_kill_action="delete_pod",
            log_events_on_failure=True,
        )
