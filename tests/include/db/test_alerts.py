"""What failed tasks said, as the alert reads it."""

from __future__ import annotations

from sqlalchemy import Engine, text

from include.db.alerts import RunFailures, record_task_failure, run_failures


def record(
    db: Engine, task_id: str, error: str | None, *, map_index: int = -1, clear_number: int = 0
) -> None:
    record_task_failure(
        db,
        dag_id="d",
        run_id="r",
        clear_number=clear_number,
        task_id=task_id,
        map_index=map_index,
        try_number=1,
        error=error,
    )


def test_a_run_without_recorded_failures_has_none(db: Engine) -> None:
    assert run_failures(db, "d", "r") is None


def test_the_task_that_failed_first_is_named_with_its_first_error_and_the_others_are_counted(
    db: Engine,
) -> None:
    record(db, "fetch", "E: first", map_index=4)
    record(db, "fetch", "E: second", map_index=0)
    record(db, "train", "E: third")

    assert run_failures(db, "d", "r") == RunFailures("fetch", "E: first", instances=2, other_tasks=1)


def test_recording_the_same_failure_twice_counts_once_and_keeps_the_error(db: Engine) -> None:
    record(db, "fetch", "E: why")
    record(db, "fetch", None)

    assert run_failures(db, "d", "r") == RunFailures("fetch", "E: why", instances=1, other_tasks=0)
    with db.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alerts.task_failure")).scalar_one() == 1


def test_after_a_run_was_cleared_only_the_new_attempt_counts(db: Engine) -> None:
    record(db, "fetch", "E: old")
    record(db, "train", "E: new", clear_number=1)

    assert run_failures(db, "d", "r") == RunFailures("train", "E: new", instances=1, other_tasks=0)


def test_a_killed_task_is_counted_without_an_error(db: Engine) -> None:
    record(db, "fetch", None)

    assert run_failures(db, "d", "r") == RunFailures("fetch", None, instances=1, other_tasks=0)
