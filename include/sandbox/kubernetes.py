"""A small Kubernetes cluster in a thread: the real `KubernetesPodOperator` runs its pods on it.

Its kubelet runs the base container's command as a process of this machine; the modules beside this one say
what it leaves out. Tests order what shall go wrong:

    with KubernetesCluster(folder, image) as cluster:
        cluster.order(Fate(FateKind.KILL, after_lines=3))
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from include.errors import TransientError
from include.sandbox.kubernetes_api import kubernetes_app
from include.sandbox.kubernetes_containers import Image
from include.sandbox.kubernetes_fates import Fate, FateKind, Fates, Trouble
from include.sandbox.kubernetes_nodes import Node, Taint, gpu_node
from include.sandbox.kubernetes_objects import Pod
from include.sandbox.kubernetes_pods import Pods

__all__ = ["Fate", "FateKind", "Image", "KubernetesCluster", "Node", "Taint", "Trouble", "gpu_node"]

_LOOPBACK = "127.0.0.1"
_START_S = 15.0


class ClusterNotStarted(TransientError):
    """The stand-in cluster did not come up in time."""


class KubernetesCluster:
    """A running stand-in cluster, as a context manager.

    Args:
        folder: where volumes that live as long as their pod are kept.
        image: what stands in for every image.
        nodes: its machines; one GPU node by default.
        claims: folder of each persistent volume claim.

    Attributes:
        token: the bearer token its API accepts.
        served: method and path of every request so far.
    """

    def __init__(
        self,
        folder: Path,
        image: Image,
        *,
        nodes: Sequence[Node] = (gpu_node(),),
        claims: Mapping[str, Path] | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self.served: list[tuple[str, str]] = []
        self.port = 0
        self._arguments = (nodes, image, claims or {}, folder)
        self._fates = Fates()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pods: Pods | None = None
        self._runner: web.AppRunner | None = None
        self._thread: threading.Thread | None = None
        self._up = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{_LOOPBACK}:{self.port}"

    @property
    def created(self) -> list[Pod]:
        """Every pod that was ever created, as it was then."""
        return list(self._running.created)

    @property
    def deleted(self) -> list[str]:
        """Names of the pods somebody asked to delete."""
        return list(self._running.deleted)

    @property
    def pods(self) -> list[Pod]:
        """The pods there are now."""
        return self._running.all()

    @property
    def events(self) -> list[tuple[str, str]]:
        """Reason and message of every event so far."""
        return [(event["reason"], event["message"]) for event in self._running.events]

    def kube_config(self) -> dict[str, Any]:
        """A kubeconfig for it."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.url}}],
            "users": [{"name": "nightshift", "user": {"token": self.token}}],
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "nightshift"}}],
        }

    def airflow_connection(self, **extra: Any) -> str:
        """An Airflow connection to it, as JSON for an `AIRFLOW_CONN_*` variable.

        Args:
            extra: further extras of the connection.
        """
        extras = {"kube_config": json.dumps(self.kube_config()), **extra}
        return json.dumps({"conn_type": "kubernetes", "extra": extras})

    def order(self, *ordered: Fate | Trouble) -> None:
        """Put what shall befall the next pods or requests on order."""
        self._call(self._order(ordered))

    def reset(self) -> None:
        """End all pods, and forget what is on order and what has been."""
        self._call(self._reset())

    def start(self) -> None:
        """Serve, and wait until it answers.

        Raises:
            ClusterNotStarted: it did not within some seconds.
        """
        self._thread = threading.Thread(target=self._serve, name="kubernetes", daemon=True)
        self._thread.start()
        if not self._up.wait(_START_S):
            raise ClusterNotStarted(f"the stand-in cluster did not start in {_START_S:.0f} s")

    def stop(self) -> None:
        """End all pods and stop serving."""
        if self._loop is None or self._thread is None:
            return
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop = self._thread = None

    @property
    def _running(self) -> Pods:
        if self._pods is None:
            raise ClusterNotStarted("the stand-in cluster is not running: call start()")
        return self._pods

    def _serve(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._open())
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _open(self) -> None:
        self._pods = Pods(*self._arguments, self._fates)
        app = kubernetes_app(self._pods, self.token, self.served)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _LOOPBACK, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _order(self, ordered: Sequence[Fate | Trouble]) -> None:
        for each in ordered:
            self._fates.order(each)

    async def _reset(self) -> None:
        pods = self._running
        await pods.stop()
        self._fates.clear()
        self.served.clear()
        for forgotten in (pods.created, pods.deleted, pods.events):
            forgotten.clear()

    async def _shut(self) -> None:
        await self._running.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise ClusterNotStarted("the stand-in cluster is not running: call start()")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
