"""What may befall a pod, or a request, of the stand-in cluster: each is ordered once and happens to the next.

A fate waits for pods whose labels fit; the first such pod takes it, unless it is for several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from include.sandbox.kubernetes_objects import Labels, Pod


class FateKind(StrEnum):
    """What befalls a pod."""

    KILL = "kill"
    """Its process is killed with signal 9, as by the kernel out of memory."""
    TERMINATE = "terminate"
    """Its process gets signal 15, as when its node is drained, and ends as it likes."""
    EVICT = "evict"
    """Node pressure: it fails with reason Evicted and condition DisruptionTarget; its object stays."""
    PREEMPT = "preempt"
    """The spot node is taken away: process and object are gone at once."""
    UNSCHEDULABLE = "unschedulable"
    """No node ever fits."""
    IMAGE_ERROR = "image_error"
    """Its image cannot be pulled."""
    SLOW_START = "slow_start"
    """The node pulls the image for a while before the container runs."""


BEFORE_RUNNING = {FateKind.UNSCHEDULABLE, FateKind.IMAGE_ERROR, FateKind.SLOW_START}


@dataclass(frozen=True)
class Fate:
    """Something that befalls pods.

    Attributes:
        labels: a pod must carry them to be met.
        when: it happens once this is so of the pod, asked many times a second ...
        after_lines: ... or once the base container has written so many lines ...
        after_text: ... or a line with this text ...
        after_seconds: ... or has run so long, whichever is given; of a slow start, its length.
        pods: how many pods it befalls.
        message: the sentence that comes with it.
    """

    kind: FateKind
    labels: Mapping[str, str] = field(default_factory=dict)
    when: Callable[[Pod], bool] | None = None
    after_lines: int | None = None
    after_text: str | None = None
    after_seconds: float = 0.0
    pods: int = 1
    message: str = ""

    def meets(self, labels: Labels) -> bool:
        """Whether a pod of these labels is one it is for."""
        return all(labels.get(name) == value for name, value in self.labels.items())


@dataclass(frozen=True)
class Trouble:
    """Something that befalls requests to the API.

    Attributes:
        method: of the requests, `*` for any.
        path: a regular expression found somewhere in their path.
        status: what is answered; None drops the connection without an answer.
        times: how many requests it befalls.
        retry_after: seconds, told with a 429.
    """

    path: str
    method: str = "*"
    status: int | None = 500
    times: int = 1
    retry_after: int | None = None

    def meets(self, method: str, path: str) -> bool:
        """Whether a request is one it is for."""
        return self.method in ("*", method) and re.search(self.path, path) is not None


class Fates:
    """The fates and troubles that are on order, taken one by one."""

    def __init__(self) -> None:
        self._fates: list[Fate] = []
        self._troubles: list[Trouble] = []

    def order(self, ordered: Fate | Trouble) -> None:
        """Put one on order."""
        if isinstance(ordered, Fate):
            self._fates.append(ordered)
        else:
            self._troubles.append(ordered)

    def clear(self) -> None:
        """Forget what is on order."""
        self._fates.clear()
        self._troubles.clear()

    def of_pod(self, labels: Labels) -> list[Fate]:
        """Take what befalls a new pod: at most one fate before it runs, and one while it runs."""
        taken: list[Fate] = []
        for at, fate in enumerate(self._fates):
            early = fate.kind in BEFORE_RUNNING
            met_before = any((each.kind in BEFORE_RUNNING) == early for each in taken)
            if fate.pods and fate.meets(labels) and not met_before:
                self._fates[at] = replace(fate, pods=fate.pods - 1)
                taken.append(fate)
        return taken

    def of_request(self, method: str, path: str) -> Trouble | None:
        """Take what befalls a request, if anything."""
        for at, trouble in enumerate(self._troubles):
            if trouble.times and trouble.meets(method, path):
                self._troubles[at] = replace(trouble, times=trouble.times - 1)
                return trouble
        return None
