"""Runs a whole DAG in this process with `dag.test()`, and reads what it left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from include.stack.settings import REPOSITORY


@dataclass(frozen=True)
class FinishedRun:
    """How a run ended: its state, the states of its tasks, and what its `report` task returned."""

    state: str
    tasks: dict[str, str]
    report: dict[str, Any]


def run_dag(dag_id: str, *, started_by: Sequence[int] = (), **conf: Any) -> FinishedRun:
    """Run a DAG of the house once, as Airflow would run it when triggered with this configuration.

    Args:
        started_by: ids of the asset events that start the run, as the scheduler would note them with it.
    """
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(REPOSITORY / "dags" / f"{dag_id}.py"), bundle_path=REPOSITORY / "dags")
    assert not bag.import_errors, bag.import_errors
    with _consuming(started_by):
        run = bag.dags[dag_id].test(logical_date=None, run_conf=conf)
    instances = {instance.task_id: instance for instance in run.get_task_instances()}
    report = instances["report"].xcom_pull(task_ids="report") if "report" in instances else None
    return FinishedRun(
        state=str(run.state),
        tasks={task_id: str(instance.state) for task_id, instance in instances.items()},
        report=report or {},
    )


@contextmanager
def _consuming(events: Sequence[int]) -> Iterator[None]:
    """Every run that is made meanwhile has been started by these asset events."""
    from airflow.models import DagRun
    from airflow.models.asset import association_table
    from sqlalchemy import event

    def note(_mapper: Any, connection: Any, run: Any) -> None:
        rows = [{"dag_run_id": run.id, "event_id": each} for each in events]
        connection.execute(association_table.insert(), rows)

    if events:
        event.listen(DagRun, "after_insert", note)
    try:
        yield
    finally:
        if events:
            event.remove(DagRun, "after_insert", note)
