"""The message about a failed run: what failed, what it said first, whether it can wait, one button."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from include.alerts.message import (
    Block,
    SlackMessage,
    buttons,
    clip,
    code,
    context,
    escape,
    fields,
    header,
    quote,
    section,
)
from include.alerts.scrub import scrub
from include.config import thresholds


class FailureReason(StrEnum):
    """Why Airflow calls a run failed, in Airflow's own words."""

    TASK_FAILED = "task_failure"
    TIMED_OUT = "timed_out"
    DEADLOCKED = "all_tasks_deadlocked"


@dataclass(frozen=True)
class RunFailure:
    """A run that failed.

    Attributes:
        date: the run's logical date, or when it became due where it has none.
        reason: what Airflow said, one of `FailureReason` or a word we do not know.
        task_id: the task that failed first, `None` where unknown.
        stopped_at: the task at which a run that timed out or got stuck was.
        error: the first line it said, `None` where nothing is recorded.
        instances: how many instances of that task failed.
        other_tasks: how many further tasks failed.
        cleared: how often the run had been cleared, that is, tried anew by hand, before.
        timeout: how long the run was allowed to take.
        can_wait: the first paragraph of "Can it wait?" on the DAG's page.
        run_url: the run's page in Airflow.
    """

    dag_id: str
    run_id: str
    date: datetime | date | None
    reason: str
    run_url: str
    task_id: str | None = None
    stopped_at: str | None = None
    error: str | None = None
    instances: int = 1
    other_tasks: int = 0
    cleared: int = 0
    timeout: timedelta | None = None
    can_wait: str | None = None


def failure_key(dag_id: str, run_id: str, cleared: int = 0) -> str:
    """The key of the alert about a run: one per run, and one more each time somebody cleared it in vain."""
    again = f"#{cleared}" if cleared else ""
    return f"failure:{dag_id}:{run_id}{again}"


def failure_message(failure: RunFailure) -> SlackMessage:
    """The one message about a failed run."""
    headline = _headline(failure)
    blocks: list[Block] = [header(f"🔴 {headline}"), section(_what(failure))]
    if failure.error:
        blocks.append(section(quote(scrub(failure.error), thresholds().alerts.max_error_chars)))
    blocks.append(fields({"Run": code(failure.run_id), "Date": _date(failure.date)}))
    if failure.can_wait:
        blocks.append(context(f"*Can it wait?* {escape(failure.can_wait)}"))
    blocks.append(buttons({"Open the run in Airflow": failure.run_url}))
    first = f": {scrub(failure.error)}" if failure.error else ""
    return SlackMessage(clip(escape(f"{headline}{first}"), 300), tuple(blocks))


def can_wait_sentence(doc_md: str | None) -> str | None:
    """The first paragraph below "## Can it wait?" of a DAG's documentation, `None` where there is none."""
    found = re.search(
        r"^##\s+Can it wait\?\s*\n+(.+?)(?=\n\s*\n|\n#|\Z)", doc_md or "", re.MULTILINE | re.DOTALL
    )
    return " ".join(found[1].split()) if found else None


def _headline(failure: RunFailure) -> str:
    again = " again, after it was cleared" if failure.cleared else ""
    match failure.reason:
        case FailureReason.TIMED_OUT:
            return f"{failure.dag_id} ran out of time{again}"
        case FailureReason.DEADLOCKED:
            return f"{failure.dag_id} is stuck{again}"
    return f"{failure.dag_id} failed{again}"


def _what(failure: RunFailure) -> str:
    stopped_at = code(failure.stopped_at) if failure.stopped_at else None
    failed = f" {_failed(failure, 'Before that, ')}" if failure.task_id else ""
    if failure.reason == FailureReason.TIMED_OUT:
        allowed = f" within the {_duration(failure.timeout)} it is allowed" if failure.timeout else ""
        where = f" It was at {stopped_at} when Airflow stopped it." if stopped_at else ""
        return f"The run did not finish{allowed}.{where}{failed}"
    if failure.reason == FailureReason.DEADLOCKED:
        where = f": {stopped_at} waits for tasks that will not succeed" if stopped_at else ""
        return f"No task of the run can start any more{where}.{failed}"
    if not failure.task_id:
        return "No task left word of what happened: see the run's page."
    if not failure.error:
        return f"{_failed(failure)} It left no error: its process may have been killed. The log tells more."
    return _failed(failure)


def _failed(failure: RunFailure, opening: str = "") -> str:
    mapped = f", in {failure.instances} mapped instances" if failure.instances > 1 else ""
    others = ""
    if failure.other_tasks:
        others = f"; {failure.other_tasks} more task{'s' if failure.other_tasks > 1 else ''} failed after it"
    task = code(failure.task_id or "a task")
    return f"{opening}{task} failed{mapped}{others}."


def _date(when: datetime | date | None) -> str:
    if isinstance(when, datetime):
        return f"{when:%a %Y-%m-%d %H:%M} UTC"
    return f"{when:%a %Y-%m-%d}" if when else "none"


def _duration(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest else "") if part)
