"""What Slack is told of drift: an incident once, its end once, and what an update came to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from nightshift.links import drift_url

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.alerts import SlackChannel
    from ml.drift.incidents import Incident

DAG_ID = "drift_report"
_KIND = "drift"


def incident_of(
    engine: Engine, model_name: str, scope: str, day: date, recovery_days: int
) -> tuple[str | None, str]:
    """The message key of the incident that is open on a day or ends on it, and what there is to tell.

    Returns:
        None and "" where there is none; else the key, and `incident` while it is open, `recovery` on the day
        that ends it.
    """
    from include.alerts.drift import drift_key

    newest = _newest_incident(engine, model_name, scope, day, recovery_days)
    if newest is None or newest.closed_on not in (None, day):
        return None, ""
    return drift_key(model_name, scope, newest.opened_on), "incident" if newest.is_open else "recovery"


def tell_incidents(
    assessed: Iterable[dict[str, Any]], *, engine: Engine, channel: SlackChannel, run_id: str, run_url: str
) -> int:
    """Tell Slack of incidents that are open and of those that ended, each once; returns how many were posted.

    An end is only told where the beginning was.

    Raises:
        SlackRefused, SlackUnavailable, SlackLedgerUnavailable: see `include.alerts.post_once`.
    """
    from include.alerts import post_once
    from include.alerts.drift import drift_message, drift_picture, recovery_key, recovery_message
    from include.config import thresholds
    from include.db.drift import drift_report, told_at

    posted = 0
    for each in assessed:
        day, name, scope, key = (
            date.fromisoformat(each["day"]),
            each["model_name"],
            each["scope"],
            each["incident"],
        )
        newest = _newest_incident(engine, name, scope, day, thresholds().drift.recovery_days)
        report = drift_report(engine, name, scope, day)
        if not each["tell"] or newest is None or report is None:
            continue
        pages = {"page_url": drift_url(name, scope, day), "run_url": run_url}
        if each["tell"] == "incident":
            message = drift_message(report, opened_on=newest.opened_on, **pages)
            told = {"picture": drift_picture(report)}
            message_key = key
        elif told_at(engine, key) is None:
            continue
        else:
            message = recovery_message(report, newest, **pages)
            told = {"in_thread_of": key}
            message_key = recovery_key(key)
        posting = post_once(
            engine, channel, message_key, message, kind=_KIND, dag_id=DAG_ID, run_id=run_id, **told
        )
        posted += posting.posted
    return posted


def updates_to_tell(trainings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trainings that an incident asked for and that held a tournament."""
    return [training for training in trainings if training["incident"] and training["update"]]


def tell_updates(
    trainings: Iterable[dict[str, Any]],
    *,
    engine: Engine,
    channel: SlackChannel,
    run_id: str,
    run_url: str,
    promote_url: str,
) -> int:
    """Tell the thread of an incident what the update it asked for came to; returns how many were posted.

    Raises:
        SlackRefused, SlackUnavailable, SlackLedgerUnavailable: see `include.alerts.post_once`.
    """
    from include.alerts import post_once
    from include.alerts.drift import update_key, update_message
    from include.db.model_updates import model_updates

    posted = 0
    for training in trainings:
        incident, update = training["incident"], training["update"]
        held = next(
            each
            for each in model_updates(engine, training["model_name"])
            if each.incident == incident and each.parent_version == update["parent"]
        )
        message = update_message(
            held,
            page_url=drift_url(training["model_name"], training["scope"], held.day),
            run_url=run_url,
            promote_url=promote_url,
        )
        posting = post_once(
            engine,
            channel,
            update_key(incident, held),
            message,
            kind=_KIND,
            dag_id="train_ctr_model",
            run_id=run_id,
            in_thread_of=incident,
        )
        posted += posting.posted
    return posted


def _newest_incident(
    engine: Engine, model_name: str, scope: str, day: date, recovery_days: int
) -> Incident | None:
    from include.db.drift import report_history
    from ml.drift.incidents import incident

    return incident(report_history(engine, model_name, scope, until=day), recovery_days)
