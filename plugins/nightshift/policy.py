"""The rules every DAG of the house follows, in one place: owner, retries by kind of error, timeouts, alert.

`@dag(**house(...))` is the whole of it; what a DAG changes, it says in its own file.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, ExceptionRetryPolicy, RetryAction, RetryRule

from nightshift.notifiers.failure_alert import FailureAlert
from nightshift.notifiers.task_failure import record_task_failure

OWNER = "nightshift"

# The vocabulary of tags; a test refuses any other.
TAGS = {
    "ads": "performance data of the ad platforms",
    "crm": "deals, and whom they are with",
    "llm": "language-model work and its cost",
    "models": "training, registry, drift",
    "reports": "messages for people",
    "visual": "what is in the videos",
    "nightly": "runs every night",
    "weekly": "runs every week",
}

RETRY_POLICY = ExceptionRetryPolicy(
    [
        RetryRule(
            exception=[
                "include.errors.PermanentError",
                "ml.errors.PermanentModelError",
                ValueError,
                TypeError,
                KeyError,
            ],
            action=RetryAction.FAIL,
            reason="the input or the code is wrong: trying again cannot help",
        ),
        RetryRule(
            exception=["include.errors.TransientError", "ml.errors.TransientModelError"],
            action=RetryAction.RETRY,
            retry_delay=timedelta(seconds=30),
            reason="a service is busy or restarting",
        ),
    ]
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(minutes=30),
    # Posts nothing: it keeps the error for the alert about the run.
    "on_failure_callback": record_task_failure,
}


def every(cron: str) -> CronTriggerTimetable:
    """A cron schedule in UTC that waits for its next time when the DAG is unpaused.

    Airflow's own default starts a run for the last time that has passed, at whatever hour a person unpauses.
    """
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))


def house(*, schedule: Any, tags: list[str], dagrun_timeout: timedelta, **changes: Any) -> dict[str, Any]:
    """Arguments of `@dag` that all DAGs share: one run at a time, no catch-up, one alert per failed run.

    Args:
        schedule: a cron expression in UTC, or any timetable or assets. The DAGs have no start date, so that
            unpausing one never starts a run of the past.
        tags: words from `TAGS`.
        dagrun_timeout: after this the run is failed, and the alert sent.
        changes: further arguments of `@dag`, which win over the shared ones.

    Raises:
        ValueError: a tag is not in the vocabulary.
    """
    unknown = sorted(set(tags) - set(TAGS))
    if unknown:
        raise ValueError(
            f"unknown tag {unknown[0]!r}: use one of {', '.join(sorted(TAGS))}, or add it to policy.TAGS"
        )
    return {
        "schedule": every(schedule) if isinstance(schedule, str) else schedule,
        "catchup": False,
        "max_active_runs": 1,
        "tags": tags,
        "dagrun_timeout": dagrun_timeout,
        "default_args": DEFAULT_ARGS,
        "on_failure_callback": FailureAlert(),
        **changes,
    }
