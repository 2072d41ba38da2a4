"""What Slack is told of drift: an incident once, its end once, and what an update came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from nightshift.links import drift_url

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.alerts import SlackChannel
    from include.alerts.message import Picture, SlackMessage
    from ml.drift.incidents import Incident

DAG_ID = "drift_report"
_KIND = "drift"


@dataclass(frozen=True)
class OpenOrEnded:
    """The newest incident of a day, and how Slack knows it.

    Attributes:
        incident: as the reports up to the day tell it.
        key: of its message.
        to_tell: `incident` while it is open and Slack was not told, `recovery` once it is over and the
            beginning was told but the end was not, else empty.
    """

    incident: Incident
    key: str
    to_tell: str


def incident_of(engine: Engine, model_name: str, scope: str, day: date) -> OpenOrEnded | None:
    """The newest incident up to a day; None where there was none.

    Judging a day again can move an incident's first day. So it keeps the key of the message that Slack has,
    if that was about days so near that it can only be the same. Of days that were judged later already
    nothing is told.
    """
    from include.alerts.drift import drift_key, told_of
    from include.config import thresholds
    from include.db.drift import newest_report_day, report_history, told_incidents
    from ml.drift.incidents import incident
    from ml.drift.settings import Severity

    limits = thresholds().drift
    history = report_history(engine, model_name, scope, until=day)
    newest = incident(history, limits.recovery_days, Severity(limits.alert_from))
    if newest is None:
        return None
    told = told_of(newest, told_incidents(engine, model_name, scope))
    key = told.message_key if told else drift_key(model_name, scope, newest.opened_on)
    if newest_report_day(engine, model_name, scope) != day:
        return OpenOrEnded(newest, key, "")
    if newest.is_open:
        return OpenOrEnded(newest, key, "" if told else "incident")
    return OpenOrEnded(newest, key, "recovery" if told and not told.recovered else "")


def tell_incidents(
    assessed: Iterable[dict[str, Any]], *, engine: Engine, channel: SlackChannel, run_id: str, run_url: str
) -> int:
    """Tell Slack of incidents that are open and of those that ended, each once; returns how many were posted.

    An end is only told where the beginning was, and on a later morning if Slack could not take it before.

    Raises:
        SlackRefused, SlackUnavailable, SlackLedgerUnavailable: see `include.alerts.post_once`.
    """
    from include.alerts import post_once
    from include.alerts.drift import recovery_key

    posted = 0
    for each in assessed:
        day, name, scope = date.fromisoformat(each["day"]), each["model_name"], each["scope"]
        found = incident_of(engine, name, scope, day)
        if found is None or not found.to_tell:
            continue
        opening = found.to_tell == "incident"
        message, picture = _message(engine, name, scope, day, found, run_url)
        posting = post_once(
            engine,
            channel,
            found.key if opening else recovery_key(found.key),
            message,
            kind=_KIND,
            dag_id=DAG_ID,
            run_id=run_id,
            picture=picture,
            in_thread_of=None if opening else found.key,
        )
        posted += posting.posted
    return posted


def _message(
    engine: Engine, name: str, scope: str, day: date, found: OpenOrEnded, run_url: str
) -> tuple[SlackMessage, Picture | None]:
    from include.alerts.drift import drift_message, drift_picture, recovery_message
    from include.db.drift import drift_report

    opening = found.to_tell == "incident"
    # Where Slack was away, the first message may go out on a calmer day: it is about the worst one.
    about = found.incident.worst_on if opening else day
    report = drift_report(engine, name, scope, about)
    if report is None:
        raise LookupError(f"the drift report about {name}, {scope} of {about} is gone: run that day again")
    pages = {"page_url": drift_url(name, scope, about), "run_url": run_url}
    if not opening:
        return recovery_message(report, found.incident, **pages), None
    message = drift_message(report, opened_on=found.incident.opened_on, **pages)
    return message, drift_picture(report)


def updates_to_tell(trainings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trainings that an incident asked for."""
    return [training for training in trainings if training["incident"]]


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

    posted = 0
    for training in trainings:
        key, message = _outcome(engine, training, run_url, promote_url)
        posting = post_once(
            engine,
            channel,
            key,
            message,
            kind=_KIND,
            dag_id="train_ctr_model",
            run_id=run_id,
            in_thread_of=training["incident"],
        )
        posted += posting.posted
    return posted


def _outcome(
    engine: Engine, training: dict[str, Any], run_url: str, promote_url: str
) -> tuple[str, SlackMessage]:
    """Key and message of what a training came to: a tournament, or that none could be held."""
    from include.alerts.drift import refused_key, refused_message, update_key, update_message
    from include.db.model_updates import model_updates

    name, incident, update = training["model_name"], training["incident"], training["update"]
    day = date.fromisoformat(training["day"])
    pages = {"page_url": drift_url(name, training["scope"], day), "run_url": run_url}
    if not update:
        message = refused_message(name, training["model_version"], training["outcome"], **pages)
        return refused_key(incident, day), message
    held = next(
        each
        for each in model_updates(engine, name, since=day)
        if (each.day, each.incident, each.parent_version) == (day, incident, update["parent"])
    )
    why_not = "" if training["alias"] else training["gates"] or "a newer version has taken its place"
    return update_key(incident, held), update_message(held, why_not=why_not, promote_url=promote_url, **pages)
