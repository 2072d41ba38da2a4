"""The message about a failed run says what a person needs at three in the morning."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.alerts.failure import (
    FailureReason,
    RunFailure,
    can_wait_sentence,
    failure_key,
    failure_message,
)
from include.alerts.message import SlackMessage

FAILURE = RunFailure(
    dag_id="train_ctr_model",
    run_id="scheduled__2025-11-24T01:00:00+00:00",
    date=datetime(2025, 11, 24, 1, tzinfo=UTC),
    reason=FailureReason.TASK_FAILED,
    run_url="http://127.0.0.1:8080/dags/train_ctr_model/runs/x",
    task_id="train",
    error="TooFewRows: 12 rows, 200 wanted",
    can_wait="Yes, until the morning: the champion goes on serving.",
)


def shown(message: SlackMessage) -> str:
    return json.dumps(message.blocks, ensure_ascii=False)


def test_it_names_the_dag_the_run_the_task_the_error_and_whether_it_can_wait() -> None:
    message = failure_message(FAILURE)

    for part in (
        "train_ctr_model failed",
        "`train` failed",
        "TooFewRows: 12 rows, 200 wanted",
        "scheduled__2025-11-24T01:00:00+00:00",
        "Mon 2025-11-24 01:00 UTC",
        "Yes, until the morning",
        FAILURE.run_url,
    ):
        assert part in shown(message), part
    assert message.text == "train_ctr_model failed: TooFewRows: 12 rows, 200 wanted"


def test_there_is_one_button() -> None:
    elements = [e for block in failure_message(FAILURE).blocks for e in block.get("elements", [])]

    assert [e["url"] for e in elements if e["type"] == "button"] == [FAILURE.run_url]


def test_mapped_instances_and_other_tasks_are_counted_not_listed() -> None:
    message = failure_message(replace(FAILURE, instances=37, other_tasks=2))

    assert "`train` failed, in 37 mapped instances; 2 more tasks failed after it." in shown(message)


def test_a_run_that_ran_out_of_time_is_told_apart() -> None:
    timed_out = replace(
        FAILURE,
        reason=FailureReason.TIMED_OUT,
        task_id=None,
        error=None,
        stopped_at="collect",
        timeout=timedelta(hours=1, minutes=30),
    )

    message = failure_message(timed_out)

    assert "ran out of time" in message.text
    assert "did not finish within the 1 h 30 min it is allowed. It was at `collect`" in shown(message)


def test_a_stuck_run_is_told_apart() -> None:
    stuck = replace(FAILURE, reason=FailureReason.DEADLOCKED, task_id=None, error=None, stopped_at="report")

    assert "`report` waits for tasks that will not succeed" in shown(failure_message(stuck))


def test_a_killed_task_and_a_run_without_any_word_are_said_to_be_so() -> None:
    assert "may have been killed" in shown(failure_message(replace(FAILURE, error=None)))
    assert "No task left word" in shown(failure_message(replace(FAILURE, error=None, task_id=None)))


def test_secrets_in_the_error_do_not_reach_slack_and_long_errors_are_clipped() -> None:
    message = failure_message(replace(FAILURE, error="E: postgresql://u:hunter2@db/x " + "y" * 5_000))

    assert "hunter2" not in shown(message) + message.text
    assert len(shown(message)) < 3_000


def test_a_run_that_fails_again_after_it_was_cleared_is_a_message_of_its_own() -> None:
    assert failure_key("d", "r", 0) != failure_key("d", "r", 1)
    assert "failed again, after it was cleared" in failure_message(replace(FAILURE, cleared=1)).text


@pytest.mark.parametrize(
    ("doc_md", "sentence"),
    [
        ("# X\n\n## Can it wait?\nYes: nothing\nbreaks.\n\nMore.", "Yes: nothing breaks."),
        ("## Can it wait?\n\nNo.\n## Next\n", "No."),
        ("## When it fails\nx", None),
        (None, None),
    ],
)
def test_whether_it_can_wait_comes_from_the_dags_page(doc_md: str | None, sentence: str | None) -> None:
    assert can_wait_sentence(doc_md) == sentence
