"""How a job that analyses videos can end other than well. The retry policy of the DAGs decides by these."""

from include.errors import PermanentError, TransientError


class JobRefusedManifest(PermanentError):
    """The job cannot use what it was told; the same again cannot help."""


class JobStopped(TransientError):
    """The job was asked to stop and kept what it had done; the next attempt goes on from there."""


class JobCrashed(TransientError):
    """The job ended in an unforeseen way; what it had done is kept."""


class PodLost(TransientError):
    """The pod was evicted, preempted or removed; what its job had done is kept."""


class PodNotScheduled(TransientError):
    """No GPU node had room in time."""


class PodNotStarted(TransientError):
    """The pod had a node and did not run in time, or its image could not be pulled."""


class ClusterRefused(PermanentError):
    """The cluster does not take this pod from us: credentials, permission, or a pod that is wrong."""


class ClusterUnreachable(TransientError):
    """The cluster's API did not answer, or failed."""


class ConnectionIncomplete(PermanentError):
    """Connection `kubernetes_gpu` lacks something a pod needs."""


class ShardFilesMissing(PermanentError):
    """A manifest that was written for a shard is not there any more."""
