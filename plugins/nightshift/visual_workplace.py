"""Where videos are analysed: in GPU pods of connection `kubernetes_gpu`, or here where there is no such."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.connections import connection

CONNECTION = "kubernetes_gpu"

_EXAMPLE = (
    '{"image": "registry/nightshift-visual:1.0", "namespace": "nightshift", "claim": "nightshift-visual", '
    '"folder": "/mnt/visual"}'
)


@dataclass(frozen=True)
class PodPlace:
    """What the connection says of the cluster.

    Attributes:
        image: of the job.
        claim: persistent volume claim that is mounted at the workplace's folder.
        node_selector: None where that of `visual_night.pods` holds.
        service_account: None for the namespace's default.
        pull_secret: to pull the image with; None where none is needed.
    """

    image: str
    claim: str
    node_selector: dict[str, str] | None
    service_account: str | None
    pull_secret: str | None


@dataclass(frozen=True)
class Workplace:
    """Where manifests and results are, and where jobs run.

    Attributes:
        folder: the same path for the workers and inside the pods.
        pods: None where jobs are processes of the worker.
    """

    folder: Path
    pods: PodPlace | None

    @property
    def words(self) -> str:
        """For a log line."""
        return f"in pods of connection {CONNECTION}" if self.pods else "here, as a process"


def workplace() -> Workplace:
    """The workplace of this installation.

    Raises:
        include.visual.errors.ConnectionIncomplete: the connection is there and lacks an extra.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        extras = connection(CONNECTION).extra_dejson
    except AirflowNotFoundException:
        return Workplace(_local_folder(), None)
    return Workplace(Path(_extra(extras, "folder")), _pod_place(extras))


def _pod_place(extras: dict[str, Any]) -> PodPlace:
    return PodPlace(
        image=_extra(extras, "image"),
        claim=_extra(extras, "claim"),
        node_selector=extras.get("node_selector"),
        service_account=extras.get("service_account"),
        pull_secret=extras.get("pull_secret"),
    )


def _extra(extras: dict[str, Any], name: str) -> str:
    from include.visual.errors import ConnectionIncomplete

    value = extras.get(name)
    if not isinstance(value, str) or not value:
        raise ConnectionIncomplete(
            f"connection {CONNECTION} has no extra '{name}': set it, as in {_EXAMPLE}; or remove the "
            "connection, and videos are analysed by a process of the worker"
        )
    return value


def _local_folder() -> Path:
    from include.stack.settings import REPOSITORY

    return Path(os.environ.get("NIGHTSHIFT_VAR") or REPOSITORY / "var").resolve() / "visual"
