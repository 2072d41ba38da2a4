"""Queries of the `alerts` context: what was meant for Slack, and what failed task instances said.

A message is one row:  intent --Slack took it--> sent.  The intent is committed before Slack is called, so a
message is never lost to a crash; a crash between Slack's answer and `sent` has it posted a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError


@dataclass(frozen=True)
class StoredMessage:
    """How far a message came. `slack_ts` is Slack's id of it once it was sent."""

    sent: bool
    slack_ts: str | None


@dataclass(frozen=True)
class RunFailures:
    """What the task instances of a failed run left behind.

    Attributes:
        task_id: the task that failed first.
        error: the first line it said, `None` where it ended without an exception.
        instances: how many instances of that task failed, one where it is not mapped.
        other_tasks: how many further tasks failed.
    """

    task_id: str
    error: str | None
    instances: int
    other_tasks: int


@contextmanager
def message_lock(connection: Connection, message_key: str) -> Iterator[None]:
    """Hold a message against everyone else who would post it; it ends with the session at the latest."""
    key = {"key": message_key}
    connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:key, 4))"), key)
    connection.commit()
    try:
        yield
    finally:
        try:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:key, 4))"), key)
            connection.commit()
        except SQLAlchemyError:
            # The session is broken; its end frees the lock, and what happened inside is what counts.
            connection.invalidate()


def intend(
    connection: Connection,
    message_key: str,
    *,
    channel: str,
    kind: str,
    message_text: str,
    dag_id: str | None,
    run_id: str | None,
) -> StoredMessage:
    """Record that a message is to be sent; one that was sent is left as it is."""
    connection.execute(
        text("""
            INSERT INTO alerts.slack_message (message_key, channel, kind, dag_id, run_id, text)
            VALUES (:key, :channel, :kind, :dag_id, :run_id, :text)
            ON CONFLICT (message_key) DO UPDATE
            SET channel = excluded.channel, text = excluded.text, run_id = excluded.run_id, intent_at = now()
            WHERE slack_message.state = 'intent'
        """),
        {
            "key": message_key,
            "channel": channel,
            "kind": kind,
            "dag_id": dag_id,
            "run_id": run_id,
            "text": message_text,
        },
    )
    row = connection.execute(
        text("SELECT state, slack_ts FROM alerts.slack_message WHERE message_key = :key"),
        {"key": message_key},
    ).one()
    return StoredMessage(sent=row.state == "sent", slack_ts=row.slack_ts)


def mark_sent(connection: Connection, message_key: str, slack_ts: str) -> None:
    """Record that Slack took a message, under its id there."""
    connection.execute(
        text("""
            UPDATE alerts.slack_message SET state = 'sent', slack_ts = :ts, sent_at = now()
            WHERE message_key = :key AND state = 'intent'
        """),
        {"key": message_key, "ts": slack_ts},
    )


def sent_ts(connection: Connection, message_key: str, channel: str) -> str | None:
    """Slack's id of a message that was sent to a channel; `None` where none of that key was sent there."""
    query = text("""
        SELECT slack_ts FROM alerts.slack_message
        WHERE message_key = :key AND channel = :channel AND state = 'sent'
    """)
    return connection.execute(query, {"key": message_key, "channel": channel}).scalar_one_or_none() or None


def record_task_failure(
    engine: Engine,
    *,
    dag_id: str,
    run_id: str,
    clear_number: int,
    task_id: str,
    map_index: int,
    try_number: int,
    error: str | None,
) -> None:
    """Keep what a task instance said when it failed for good.

    Args:
        clear_number: how often the run was cleared before, so that an earlier failure is told from this one.
        map_index: of a mapped instance, -1 otherwise.
        error: its first line, already scrubbed; `None` where there was no exception.
    """
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO alerts.task_failure
                    (dag_id, run_id, clear_number, task_id, map_index, try_number, error)
                VALUES (:dag_id, :run_id, :clear_number, :task_id, :map_index, :try_number, :error)
                ON CONFLICT (dag_id, run_id, clear_number, task_id, map_index) DO UPDATE
                SET try_number = excluded.try_number, failed_at = now(),
                    error = coalesce(excluded.error, task_failure.error)
            """),
            {
                "dag_id": dag_id,
                "run_id": run_id,
                "clear_number": clear_number,
                "task_id": task_id,
                "map_index": map_index,
                "try_number": try_number,
                "error": error,
            },
        )


def run_failures(engine: Engine, dag_id: str, run_id: str) -> RunFailures | None:
    """What failed in the latest attempt at a run, `None` where no task instance left a word."""
    with engine.connect() as connection:
        row = connection.execute(
            text("""
                WITH latest AS (
                    SELECT task_id, error, failed_at, map_index
                    FROM alerts.task_failure
                    WHERE dag_id = :dag_id AND run_id = :run_id AND clear_number = (
                        SELECT max(clear_number) FROM alerts.task_failure
                        WHERE dag_id = :dag_id AND run_id = :run_id)
                ), first_task AS (
                    SELECT task_id FROM latest ORDER BY failed_at, map_index LIMIT 1
                )
                SELECT first_task.task_id,
                       (SELECT error FROM latest WHERE latest.task_id = first_task.task_id
                        ORDER BY error IS NULL, failed_at, map_index LIMIT 1) AS error,
                       (SELECT count(*) FROM latest WHERE latest.task_id = first_task.task_id) AS instances,
                       (SELECT count(DISTINCT task_id) - 1 FROM latest) AS other_tasks
                FROM first_task
            """),
            {"dag_id": dag_id, "run_id": run_id},
        ).first()
    return RunFailures(row.task_id, row.error, row.instances, row.other_tasks) if row else None
