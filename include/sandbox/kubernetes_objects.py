"""The objects of the stand-in Kubernetes cluster, as its API words them: selectors, refusals, events.

Pure functions of plain dicts in the API's own form, so that what a client reads is what is stored.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NewType

Pod = dict[str, Any]
Labels = dict[str, str]
PodKey = NewType("PodKey", tuple[str, str])

# Names of pods: parts of lower-case letters, digits and dashes, with dots between them.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_SET_TERM = re.compile(r"^(?P<key>\S+)\s+(?P<how>in|notin)\s+\((?P<values>[^)]*)\)$")
GPU = "nvidia.com/gpu"

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    409: "AlreadyExists",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiRefused(Exception):
    """An answer of the API other than success: status code and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self) -> dict[str, Any]:
        """The `Status` object that goes with it."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": REASONS.get(self.status, "Unknown"),
            "code": self.status,
        }


def timestamp(at: datetime | None = None) -> str:
    """A moment as the API writes it, in whole seconds of UTC; now by default."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def log_timestamp(at: datetime) -> str:
    """A moment as log lines begin with it, in nanoseconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def key_of(pod: Pod) -> PodKey:
    """Namespace and name."""
    return PodKey((pod["metadata"]["namespace"], pod["metadata"]["name"]))


def checked_pod(body: Any, namespace: str) -> Pod:
    """A pod as it was sent, made into one that the cluster keeps: defaults, uid, times, an empty status.

    Raises:
        ApiRefused: 422 where its name, labels or containers are not what a pod may have.
    """
    if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
        raise ApiRefused(400, "the body is no pod: it has no metadata")
    metadata, spec = dict(body["metadata"]), dict(body.get("spec") or {})
    name = str(metadata.get("name") or "")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ApiRefused(422, f'Pod "{name}" is invalid: metadata.name: must be a lower-case DNS subdomain')
    for label, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise ApiRefused(422, f'Pod "{name}" is invalid: metadata.labels: {label}={value!r} is no label')
    if metadata.get("namespace", namespace) != namespace:
        raise ApiRefused(400, "the namespace of the object does not match the namespace of the request")
    if not spec.get("containers"):
        raise ApiRefused(422, f'Pod "{name}" is invalid: spec.containers: Required value')
    for container in spec["containers"]:
        limits = (container.get("resources") or {}).get("limits") or {}
        if GPU in limits and not str(limits[GPU]).isdigit():
            raise ApiRefused(422, f'Pod "{name}" is invalid: limits[{GPU}]: must be an integer')
    metadata |= {
        "namespace": namespace,
        "uid": str(uuid.uuid4()),
        "creationTimestamp": timestamp(),
        "labels": dict(metadata.get("labels") or {}),
    }
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("restartPolicy", "Always")
    status = {"phase": "Pending", "qosClass": "BestEffort", "conditions": []}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def gpus_of(pod: Pod) -> int:
    """GPUs a pod asks for: its containers' limits together."""
    wanted = 0
    for container in pod["spec"]["containers"]:
        limits = (container.get("resources") or {}).get("limits") or {}
        wanted += int(limits.get(GPU, 0))
    return wanted


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386) applied; null removes."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def label_selector(selector: str) -> Callable[[Labels], bool]:
    """A label selector as a test of labels: `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b)`.

    >>> matches = label_selector("shard=7,!old,kind in (gpu,cpu)")
    >>> matches({"shard": "7", "kind": "gpu"}), matches({"shard": "7", "kind": "gpu", "old": ""})
    (True, False)
    """
    tests = [_label_term(term.strip()) for term in re.split(r",(?![^(]*\))", selector) if term.strip()]
    return lambda labels: all(test(labels) for test in tests)


def field_selector(selector: str) -> Callable[[dict[str, Any]], bool]:
    """A field selector as a test of objects: `status.phase!=Running`, `involvedObject.name=a`."""
    terms = []
    for term in filter(None, selector.split(",")):
        path, differs, wanted = re.split(r"(!=|==?)", term, maxsplit=1) if "=" in term else (term, "", "")
        if not differs:
            raise ApiRefused(400, f"invalid field selector {term!r}")
        terms.append((path.strip().split("."), differs == "!=", wanted.strip()))
    return lambda it: all((_field(it, path) != wanted) == differs for path, differs, wanted in terms)


def set_condition(pod: Pod, kind: str, status: str, reason: str = "", message: str = "") -> None:
    """Put a condition of a pod's status to a value."""
    conditions = [each for each in pod["status"]["conditions"] if each["type"] != kind]
    conditions.append(
        {
            "type": kind,
            "status": status,
            "lastTransitionTime": timestamp(),
            **({"reason": reason} if reason else {}),
            **({"message": message} if message else {}),
        }
    )
    pod["status"]["conditions"] = conditions


def event_about(pod: Pod, kind: str, reason: str, message: str, version: int) -> dict[str, Any]:
    """An event of core/v1 about a pod; `kind` is Normal or Warning."""
    metadata = pod["metadata"]
    now = timestamp()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{version:x}",
            "namespace": metadata["namespace"],
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now,
            "resourceVersion": str(version),
        },
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reason": reason,
        "message": message,
        "type": kind,
        "count": 1,
        "source": {"component": "stand-in"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "reportingComponent": "stand-in",
        "reportingInstance": "",
    }


def _label_term(term: str) -> Callable[[Labels], bool]:
    if found := _SET_TERM.match(term):
        values = {value.strip() for value in found["values"].split(",")}
        key, wanted = found["key"], found["how"] == "in"
        # A label that is not there is in no set.
        return lambda labels: (labels.get(key) in values) == wanted
    if "!=" in term:
        key, _, value = term.partition("!=")
        return lambda labels: labels.get(key.strip()) != value.strip()
    if "=" in term:
        key, _, value = term.replace("==", "=").partition("=")
        return lambda labels: labels.get(key.strip()) == value.strip()
    if term.startswith("!"):
        return lambda labels: term[1:].strip() not in labels
    return lambda labels: term in labels


def _field(it: Any, path: list[str]) -> str:
    for name in path:
        it = it.get(name) if isinstance(it, dict) else None
    return "" if it is None else str(it)
