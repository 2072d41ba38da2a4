"""The message about drift that needs a look: what moved, how far, what the system does about it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

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
    section,
)

_COLUMNS_SHOWN = 8

_ACTIONS = {
    "no_action": "Nothing: the model stays as it is.",
    "alert": "Nothing by itself: have a look and decide whether to retrain.",
    "retrain": (
        "Training on the newest data has been started. A new version arrives as challenger; "
        "where the model has seen these data already, nothing changes."
    ),
}


@dataclass(frozen=True)
class DriftAlert:
    """A drift report that is worth a message.

    Attributes:
        scope: the account's id, or `all`.
        severity: `low`, `medium`, `high` or `critical`.
        decision: `no_action`, `alert` or `retrain`.
        summary: one sentence of what moved.
        drifted: the columns that moved, most first.
        reference, current: the two windows that were compared, in words.
        report_url: the report with its pictures.
        run_url: the run's page in Airflow.
    """

    scope: str
    day: date
    model: str
    severity: str
    decision: str
    summary: str
    drifted: Sequence[str]
    reference: str
    current: str
    run_url: str
    report_url: str | None = None


def drift_key(scope: str, day: date, model_name: str) -> str:
    """The key of the alert about a drift report: one per model, scope and day."""
    return f"drift:{model_name}:{scope}:{day.isoformat()}"


def drift_message(alert: DriftAlert) -> SlackMessage:
    """The message about one drift report."""
    whose = "all accounts" if alert.scope == "all" else f"account {alert.scope}"
    headline = f"{alert.severity.capitalize()} drift in the data of {whose}"
    more = len(alert.drifted) - _COLUMNS_SHOWN
    columns = ", ".join(code(name) for name in alert.drifted[:_COLUMNS_SHOWN])
    blocks: list[Block] = [
        header(f"🟠 {headline}"),
        section(escape(alert.summary)),
        section(f"*What the system does*\n{escape(_ACTIONS.get(alert.decision, alert.decision))}"),
        fields({"Model": escape(alert.model), "Day": alert.day.isoformat()}),
    ]
    if columns:
        blocks.append(section(f"*What moved*\n{columns}{f' and {more} more' if more > 0 else ''}"))
    blocks.append(context(f"{escape(alert.current)} against {escape(alert.reference)}"))
    links = {"Open the run in Airflow": alert.run_url}
    blocks.append(buttons({"See the report": alert.report_url, **links} if alert.report_url else links))
    return SlackMessage(clip(escape(f"{headline}: {alert.summary}"), 300), tuple(blocks))
