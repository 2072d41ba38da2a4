"""What an end of a job that analyses videos means: whether trying again can help, and what to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.errors import NightshiftError
    from nightshift.operators.gpu_pod import PodEnding

# Exit codes of `ml.visual.job`.
MANIFEST_UNUSABLE, STOPPED, NOTHING_TO_DO = 3, 75, 99

_KILLED = {137: "killed (signal 9: out of memory, or its node went away)", 143: "ended by signal 15"}


def error_of_exit(code: int, where: str) -> NightshiftError:
    """What an exit code other than 0 means.

    Args:
        where: the pod or process, for the message.
    """
    from include.visual.errors import JobCrashed, JobRefusedManifest, JobStopped

    if code == MANIFEST_UNUSABLE:
        return JobRefusedManifest(
            f"the job in {where} cannot use its manifest, model or settings (exit code 3): the last lines of "
            "its log say what is wrong"
        )
    if code == STOPPED:
        return JobStopped(f"the job in {where} was asked to stop and kept what it had done: it goes on")
    how = _KILLED.get(code, f"ended with exit code {code}")
    return JobCrashed(
        f"the job in {where} was {how}: it goes on from its last batch; its log says more"
        if code in _KILLED
        else f"the job in {where} {how}: its log says why; what was done is kept"
    )


def error_of_pod(ending: PodEnding | None, name: str, said: str) -> NightshiftError:
    """What the end of a pod means.

    Args:
        ending: as last seen; None where the pod vanished.
        name: of the pod.
        said: the provider's own words.
    """
    from include.visual.errors import JobCrashed, PodLost, PodNotScheduled, PodNotStarted

    if ending is None:
        return PodLost(f"pod {name} is gone, as when its spot node is taken back: its job goes on in another")
    if ending.is_disrupted:
        why = f"{ending.reason or 'disrupted'}: {ending.message}".rstrip(": ")
        return PodLost(f"pod {name} was taken away ({why}): its job goes on in another")
    if ending.exit_code:
        return error_of_exit(ending.exit_code, f"pod {name}")
    if ending.exit_code is None and not ending.is_scheduled:
        return PodNotScheduled(
            f"pod {name} found no node with a free GPU within visual_night.pods.schedule_timeout_s: see the "
            "node pool's limits, and its node selector and taints (docs/visual_pods.md)"
        )
    if ending.waits_for or ending.phase == "Pending":
        why = f"{ending.waits_for} {ending.message}".strip()
        return PodNotStarted(
            f"pod {name} did not start on its node ({why or 'no reason told'}): see the image of the "
            "connection kubernetes_gpu, its pull secret, and visual_night.pods.startup_timeout_s"
        )
    return JobCrashed(f"pod {name} could not be followed to its end: {said}")


def error_of_api(status: int | None, reason: str) -> NightshiftError:
    """What an answer of the cluster's API other than success means.

    Args:
        status: HTTP status; None or 0 where there was no answer.
    """
    from include.visual.errors import ClusterRefused, ClusterUnreachable

    if status in (400, 401, 403, 422):
        return ClusterRefused(
            f"the cluster of connection kubernetes_gpu refused ({status} {reason}): see its token, what its "
            "service account may do (pods, pods/log, pods/exec, events), and docs/visual_pods.md"
        )
    return ClusterUnreachable(
        f"the cluster of connection kubernetes_gpu failed ({status or 'no answer'} {reason})"
    )
