"""The life of pods in the stand-in cluster: scheduled, started, befallen by what is on order, ended, removed.

One event loop owns all of it, so nothing here locks. Every change gives the object a new resource version and
goes to the history that watches read.
"""

from __future__ import annotations

import asyncio
import copy
import json
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.sandbox.kubernetes_containers import Container, Image
from include.sandbox.kubernetes_fates import BEFORE_RUNNING, Fate, FateKind, Fates
from include.sandbox.kubernetes_nodes import Node, choose_node
from include.sandbox.kubernetes_objects import (
    ApiRefused,
    Pod,
    PodKey,
    checked_pod,
    event_about,
    gpus_of,
    key_of,
    merged,
    set_condition,
    timestamp,
)

BASE_CONTAINER = "base"
_TICK_S = 0.02
_TERMINAL = {"Succeeded", "Failed"}


@dataclass(frozen=True)
class Change:
    """One entry of the history: what became of which object."""

    version: int
    kind: str
    what: str
    it: dict[str, Any]


@dataclass
class LivingPod:
    """A pod, its containers, and what befalls it."""

    it: Pod
    containers: list[Container]
    fates: list[Fate]
    lives: asyncio.Task[None] | None = None
    ends: asyncio.Task[None] | None = None
    told: set[tuple[str, str]] = field(default_factory=set)

    def container(self, name: str) -> Container:
        """One of its containers.

        Raises:
            ApiRefused: 400 where there is none of that name, or none was named and there are several.
        """
        names = [container.name for container in self.containers]
        if not name and len(names) == 1:
            return self.containers[0]
        if name not in names:
            pod = self.it["metadata"]["name"]
            raise ApiRefused(
                400,
                f"container {name} is not valid for pod {pod}"
                if name
                else f"a container name must be specified for pod {pod}, choose one of: {names}",
            )
        return self.containers[names.index(name)]


class Pods:
    """All pods and events of the cluster.

    Args:
        nodes: the machines.
        image: what every base container runs in.
        claims: folder of each persistent volume claim; a pod with another claim is never scheduled.
        folder: where the volumes that live as long as their pod are kept.
        fates: what is on order.
    """

    def __init__(
        self, nodes: Sequence[Node], image: Image, claims: Mapping[str, Path], folder: Path, fates: Fates
    ) -> None:
        self.nodes = list(nodes)
        self.events: list[dict[str, Any]] = []
        self.history: list[Change] = []
        self.created: list[Pod] = []
        self.deleted: list[str] = []
        self.changed = asyncio.Event()
        self.fates = fates
        self._image, self._claims, self._folder = image, claims, folder
        self._living: dict[PodKey, LivingPod] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._version

    def all(self) -> list[Pod]:
        """Every pod there is."""
        return [living.it for living in self._living.values()]

    def find(self, namespace: str, name: str) -> LivingPod:
        """One pod.

        Raises:
            ApiRefused: 404.
        """
        found = self._living.get(PodKey((namespace, name)))
        if found is None:
            raise ApiRefused(404, f'pods "{name}" not found')
        return found

    def create(self, namespace: str, body: Any) -> Pod:
        """Take in a pod and start its life.

        Raises:
            ApiRefused: 409 where its name is taken, 422 where it is no pod.
        """
        pod = checked_pod(body, namespace)
        key = key_of(pod)
        if key in self._living:
            raise ApiRefused(409, f'pods "{key[1]}" already exists')
        living = LivingPod(pod, self._containers(pod), self.fates.of_pod(pod["metadata"]["labels"]))
        self._living[key] = living
        self.created.append(copy.deepcopy(pod))
        self._note("ADDED", pod)
        living.lives = asyncio.create_task(self._live(living))
        return pod

    def patch(self, namespace: str, name: str, body: Any) -> Pod:
        """Change a pod's metadata; its spec and status are not the client's to change."""
        living = self.find(namespace, name)
        if not isinstance(body, dict) or set(body) - {"metadata", "apiVersion", "kind"}:
            raise ApiRefused(422, f'Pod "{name}" is invalid: only metadata may be patched here')
        living.it["metadata"] = merged(living.it["metadata"], body.get("metadata") or {})
        self._touch(living)
        return living.it

    def delete(self, namespace: str, name: str, grace_s: float | None) -> Pod:
        """Have a pod end: signal 15, and signal 9 after the grace period; then it is gone."""
        living = self.find(namespace, name)
        grace = living.it["spec"]["terminationGracePeriodSeconds"] if grace_s is None else grace_s
        metadata = living.it["metadata"]
        self.deleted.append(name)
        metadata["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = int(grace)
        self._touch(living)
        if living.ends is None or grace == 0:
            self.tell(living, "Normal", "Killing", "Stopping container base")
            living.ends = asyncio.create_task(self._end(living, grace))
        return living.it

    def tell(self, living: LivingPod, kind: str, reason: str, message: str) -> None:
        """Write an event about a pod, once for the same reason and message."""
        if (reason, message) in living.told:
            return
        living.told.add((reason, message))
        self._version += 1
        event = event_about(living.it, kind, reason, message, self._version)
        self.events.append(event)
        self._remember(Change(self._version, "Event", "ADDED", event))

    async def stop(self) -> None:
        """End every pod at once."""
        for living in list(self._living.values()):
            await self._end(living, 0)

    async def _live(self, living: LivingPod) -> None:
        early = next((fate for fate in living.fates if fate.kind in BEFORE_RUNNING), None)
        await self._schedule(living, never=early is not None and early.kind is FateKind.UNSCHEDULABLE)
        if early is not None and early.kind is FateKind.IMAGE_ERROR:
            message = early.message or "manifest unknown"
            for container in living.containers:
                container.wait_because("ErrImagePull", message)
            self.tell(living, "Warning", "Failed", f"Failed to pull image: {message}")
            self._touch(living)
            return
        self._touch(living)
        if early is not None:
            self.tell(living, "Normal", "Pulling", "Pulling image")
            await asyncio.sleep(early.after_seconds)
        running = [asyncio.create_task(self._run(living, container)) for container in living.containers]
        await asyncio.sleep(0)
        living.it["status"]["phase"] = "Running"
        living.it["status"]["startTime"] = timestamp()
        self.tell(living, "Normal", "Started", "Started container base")
        self._touch(living)
        befalling = [
            asyncio.create_task(self._befall(living, fate))
            for fate in living.fates
            if fate.kind not in BEFORE_RUNNING
        ]
        await asyncio.gather(*running)
        for task in befalling:
            task.cancel()
        if living.it["status"]["phase"] not in _TERMINAL:
            failed = any(container.exit_code for container in living.containers)
            living.it["status"]["phase"] = "Failed" if failed else "Succeeded"
        self._touch(living)

    async def _run(self, living: LivingPod, container: Container) -> None:
        await container.run()
        self._touch(living)

    async def _schedule(self, living: LivingPod, *, never: bool) -> None:
        pod = living.it
        while True:
            node, why = choose_node(pod, [] if never else self.nodes, self._gpus_in_use())
            unbound = self._unbound_claim(pod)
            if unbound:
                node, why = None, f'persistentvolumeclaim "{unbound}" not found'
            if node is not None:
                pod["spec"]["nodeName"] = node.name
                set_condition(pod, "PodScheduled", "True")
                self.tell(living, "Normal", "Scheduled", f"Successfully assigned to {node.name}")
                return
            if ("FailedScheduling", why) not in living.told:
                set_condition(pod, "PodScheduled", "False", "Unschedulable", why)
                self.tell(living, "Warning", "FailedScheduling", why)
                self._touch(living)
            await asyncio.sleep(_TICK_S)

    async def _befall(self, living: LivingPod, fate: Fate) -> None:
        base = living.container(BASE_CONTAINER)
        while base.started_at is None or not self._is_due(living, base, fate):
            await asyncio.sleep(_TICK_S)
        if base.is_over:
            return
        match fate.kind:
            case FateKind.KILL:
                base.signal(signal.SIGKILL)
            case FateKind.TERMINATE:
                base.signal(signal.SIGTERM)
            case FateKind.EVICT:
                self._evict(living, fate.message or "The node was low on resource: memory.")
            case FateKind.PREEMPT:
                self.tell(living, "Warning", "NodeNotReady", "Node is not ready")
                self._kill(living)
                self._remove(living)

    def _is_due(self, living: LivingPod, base: Container, fate: Fate) -> bool:
        if base.is_over:
            return True
        if fate.when is not None:
            return fate.when(living.it)
        if fate.after_text is not None:
            return any(fate.after_text in line.text for line in base.lines)
        if fate.after_lines is not None:
            return len(base.lines) >= fate.after_lines
        assert base.started_at is not None  # noqa: S101 - narrows the type
        return (datetime.now(UTC) - base.started_at).total_seconds() >= fate.after_seconds

    def _evict(self, living: LivingPod, message: str) -> None:
        living.it["status"] |= {"phase": "Failed", "reason": "Evicted", "message": message}
        set_condition(living.it, "DisruptionTarget", "True", "TerminationByKubelet", message)
        self.tell(living, "Warning", "Evicted", message)
        self._kill(living)
        self._touch(living)

    def _kill(self, living: LivingPod) -> None:
        for container in living.containers:
            container.signal(signal.SIGKILL)

    async def _end(self, living: LivingPod, grace_s: float) -> None:
        began = [container for container in living.containers if container.started_at is not None]
        if not began and living.lives is not None:
            living.lives.cancel()
        for container in began:
            container.signal(signal.SIGTERM)
        waited = 0.0
        while waited < grace_s and any(not container.is_over for container in began):
            await asyncio.sleep(_TICK_S)
            waited += _TICK_S
        self._kill(living)
        while any(not container.is_over for container in began):
            await asyncio.sleep(_TICK_S)
        if living.lives is not None:
            with suppress(asyncio.CancelledError):
                await living.lives
        self._remove(living)

    def _remove(self, living: LivingPod) -> None:
        if self._living.pop(key_of(living.it), None) is not None:
            self._note("DELETED", living.it)

    def _touch(self, living: LivingPod) -> None:
        if living.it["spec"].get("nodeName"):
            living.it["status"]["containerStatuses"] = [each.status() for each in living.containers]
        if key_of(living.it) in self._living:
            self._note("MODIFIED", living.it)

    def _note(self, what: str, pod: Pod) -> None:
        self._version += 1
        pod["metadata"]["resourceVersion"] = str(self._version)
        self._remember(Change(self._version, "Pod", what, json.loads(json.dumps(pod))))

    def _remember(self, change: Change) -> None:
        self.history.append(change)
        self.changed.set()
        self.changed = asyncio.Event()

    def _gpus_in_use(self) -> Mapping[str, int]:
        used: Counter[str] = Counter()
        for pod in self.all():
            if pod["status"]["phase"] not in _TERMINAL and pod["spec"].get("nodeName"):
                used[pod["spec"]["nodeName"]] += gpus_of(pod)
        return used

    def _unbound_claim(self, pod: Pod) -> str:
        for volume in pod["spec"].get("volumes") or []:
            name: str = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
            if name and name not in self._claims:
                return name
        return ""

    def _containers(self, pod: Pod) -> list[Container]:
        folders: dict[str, Path] = {}
        for volume in pod["spec"].get("volumes") or []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            own = self._folder / pod["metadata"]["uid"] / volume["name"]
            folders[volume["name"]] = self._claims.get(claim, own) if claim else own
            if not claim:
                own.mkdir(parents=True)
        return [
            Container(
                spec,
                self._image,
                {
                    mount["mountPath"]: folders[mount["name"]]
                    for mount in spec.get("volumeMounts") or []
                    if mount["name"] in folders
                },
                idle=spec["name"] != BASE_CONTAINER,
            )
            for spec in pod["spec"]["containers"]
        ]
