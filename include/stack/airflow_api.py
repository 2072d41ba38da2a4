"""A small client of Airflow's public REST API: what `make nightly` needs to run a night as a person would."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from include.errors import PermanentError, TransientError

FINAL_STATES = {"success", "failed"}
_POLL_S = 1.5
_RESTART_S = 60.0


class AirflowRefused(PermanentError):
    """Airflow answered that the request cannot be carried out."""


class AirflowUnreachable(TransientError):
    """Airflow did not answer in time."""


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG as the API reports it."""

    dag_id: str
    run_id: str
    state: str
    run_type: str
    start: datetime | None
    end: datetime | None

    @property
    def seconds(self) -> float | None:
        """Duration, `None` before its end."""
        return (self.end - self.start).total_seconds() if self.start and self.end else None


@dataclass(frozen=True)
class TaskProgress:
    """How far the tasks of a run are."""

    done: int
    total: int
    running: list[str]
    failed: list[str]


class AirflowApi:
    """Airflow's API at one address, as one user. Use `connect`."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def connect(cls, url: str, username: str, password: str) -> Iterator["AirflowApi"]:
        """Log in, and log in again whenever the token has run out.

        Raises:
            AirflowRefused: the password is wrong.
        """
        with httpx.Client(base_url=url, timeout=30, auth=_TokenAuth(username, password)) as client:
            yield cls(client)

    def dag_ids(self) -> set[str]:
        """DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self._call("GET", "/api/v2/dags", params={"limit": 200})["dags"]}

    def import_errors(self) -> list[str]:
        """One line per DAG file that does not import."""
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{e['filename']}: {e['stack_trace'].strip().splitlines()[-1]}" for e in errors]

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs run."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> DagRun:
        """Start a run by hand."""
        body = {"logical_date": None, "conf": conf}
        return _dag_run(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body))

    def runs(self, dag_id: str, **filters: Any) -> list[DagRun]:
        """Runs of a DAG, newest first."""
        params = {"order_by": "-id", "limit": 20, **filters}
        return [
            _dag_run(run)
            for run in self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=params)["dag_runs"]
        ]

    def wait(self, run: DagRun, timeout_s: float, progress: Callable[[DagRun, TaskProgress], None]) -> DagRun:
        """Follow a run to its end, or until the time is up (the state returned tells).

        Args:
            progress: called at every look with the run and how far its tasks are.

        Raises:
            AirflowUnreachable: it has not answered for a minute.
        """
        answered = time.monotonic()
        deadline = answered + timeout_s
        while True:
            try:
                run = _dag_run(self._call("GET", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}"))
                tasks = self.tasks(run)
            except AirflowUnreachable:
                # The API may be restarting; the run goes on meanwhile.
                if time.monotonic() - answered > _RESTART_S:
                    raise
                time.sleep(_POLL_S)
                continue
            answered = time.monotonic()
            done = [t for t in tasks if t["state"] in {"success", "skipped", "failed", "upstream_failed"}]
            running = [t["task_id"] for t in tasks if t["state"] in {"running", "deferred", "up_for_retry"}]
            failed = [t["task_id"] for t in tasks if t["state"] == "failed"]
            progress(run, TaskProgress(len(done), len(tasks), running, failed))
            if run.state in FINAL_STATES or time.monotonic() > deadline:
                return run
            time.sleep(_POLL_S)

    def tasks(self, run: DagRun) -> list[dict[str, Any]]:
        """The task instances of a run, as the API gives them."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        instances: list[dict[str, Any]] = self._call("GET", path, params={"limit": 500})["task_instances"]
        return instances

    def result(self, run: DagRun, task_id: str) -> dict[str, Any]:
        """What a task returned; empty where it returned nothing or did not run."""
        path = (
            f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        )
        try:
            value = self._call("GET", path)["value"]
        except AirflowRefused:
            return {}
        return value if isinstance(value, dict) else {}

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._client.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise AirflowUnreachable(f"Airflow did not answer {method} {path}: {error}") from error
        if response.status_code >= 500:
            raise AirflowUnreachable(f"Airflow answered {method} {path} with {response.status_code}")
        if response.status_code >= 400:
            raise AirflowRefused(
                f"Airflow refused {method} {path}: {response.status_code} {response.text[:300]}"
            )
        return response.json()


class _TokenAuth(httpx.Auth):
    requires_response_body = True

    def __init__(self, username: str, password: str) -> None:
        self._credentials = {"username": username, "password": password}
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Any:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code != 401:
            return
        answer = yield httpx.Request(
            "POST", request.url.copy_with(raw_path=b"/auth/token"), json=self._credentials
        )
        if answer.status_code >= 500:
            raise AirflowUnreachable(f"Airflow answered the log-in with {answer.status_code}")
        if answer.status_code != 201:
            raise AirflowRefused(
                f"Airflow did not accept user '{self._credentials['username']}' ({answer.status_code}): "
                "the password is in var/secrets.json"
            )
        self._token = answer.json()["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _dag_run(row: dict[str, Any]) -> DagRun:
    return DagRun(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        state=row["state"],
        run_type=row["run_type"],
        start=_time(row.get("start_date")),
        end=_time(row.get("end_date")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
