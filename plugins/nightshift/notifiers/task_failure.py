"""Keeps what a failed task said, for the one alert about its run.

The alert is made when the run is over, in Airflow's dag-processor, where no exception is left, and Airflow
names only the task that failed last. So every task writes down its own last words here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def record_task_failure(context: Context) -> None:
    """Task-level `on_failure_callback`: store the first line of the error. Posts nothing, raises nothing.

    Airflow calls it when a task has failed for good, not before a retry. For a task whose process was killed
    it is called in the dag-processor, without an exception.
    """
    try:
        _record(context)
    except Exception:
        # The task has failed already; that its last words are lost must not hide why it did.
        log.exception("what this task said could not be kept for the alert about its run")


def _record(context: Context) -> None:
    from airflow.sdk.log import redact

    from include.alerts.scrub import first_line
    from include.db import alerts
    from nightshift.connections import nightshift_engine

    ti, run, error = context["ti"], context.get("dag_run"), context.get("exception")
    engine = nightshift_engine()
    try:
        alerts.record_task_failure(
            engine,
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            clear_number=getattr(run, "clear_number", None) or 0,
            task_id=ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            try_number=ti.try_number,
            # Airflow knows the values of the secrets it handed out; our rules know what secrets look like.
            error=str(redact(first_line(error))) if isinstance(error, BaseException) else None,
        )
    finally:
        engine.dispose()
