"""Messages about drift: an incident begins, what an update of the model came to, the incident is over.

The first goes out once per incident, the other two answer it in its thread. What they say comes from the kept
report, so a message that could not be sent is the same when it is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from include.alerts.message import (
    Block,
    Picture,
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
from include.db.drift import ToldIncident
from include.db.ml import DriftReport
from include.db.model_updates import ModelUpdate
from ml.drift.incidents import Incident
from ml.drift.settings import Severity
from ml.drift.told import ToldColumn, ToldReport, performance_sentences, read_numbers

_SAME_WITHIN_DAYS = 7
_COLUMNS_SHOWN = 5
_NICHES_SHOWN = 3
_ISSUES_SHOWN = 3
_CANDIDATES_SHOWN = 8

# What followed from a report, in words.
DECISIONS = {
    "no_action": "nothing was done",
    "alert": "people were told",
    "incremental": "a small update was asked for",
    "update": "a new model was asked for",
}

_SIGNS = {"critical": "🔴", "high": "🟠"}

_SYSTEM = {
    "update": (
        "A new model was asked for. Several ways to update the champion are tried on the newest rows; one "
        "that is surely better comes as challenger, otherwise the champion stays. The outcome is told in "
        "this thread."
    ),
    "incremental": (
        "A small update of the model was asked for: the champion goes on learning from the newest rows. If "
        "that is surely better it comes as challenger. The outcome is told in this thread."
    ),
    "alert": "Nothing by itself; it looks again every morning.",
    "no_action": "Nothing by itself; it looks again every morning.",
}

_STRATEGIES = {
    "recalibrate": "Shift its level",
    "continue": "Go on learning from the new rows",
    "retrain_full": "Learn anew from all rows",
    "retrain_recent": "Learn anew from the recent rows",
}


def drift_key(model_name: str, scope: str, opened_on: date) -> str:
    """The key of an incident's message: one per model, scope and first day."""
    return f"drift:{model_name}:{scope}:{opened_on.isoformat()}"


def told_of(incident: Incident, told: Sequence[ToldIncident]) -> ToldIncident | None:
    """The message by which Slack knows an incident, whatever its first day was then; None without one.

    Judging a day again moves an incident's first day by days, so a message about days that near is the same
    incident's.
    """
    since = incident.opened_on - timedelta(days=_SAME_WITHIN_DAYS)
    return next((each for each in reversed(told) if since <= each.opened_on <= incident.days[-1]), None)


def recovery_key(incident: str) -> str:
    """The key of the message that an incident is over.

    Args:
        incident: its key, see `drift_key`.
    """
    return f"{incident}:recovery"


def update_key(incident: str, update: ModelUpdate) -> str:
    """The key of the message about an update that an incident asked for: one per day, parent and mode."""
    return f"{incident}:update:{update.day.isoformat()}:v{update.parent_version}:{update.mode}"


def drift_message(
    report: DriftReport, *, opened_on: date, page_url: str, run_url: str | None = None
) -> SlackMessage:
    """Says that an incident began: what moved, what it costs, what is done, what to do, whether it can wait.

    Args:
        report: of the day; the incident's first, or a later one where Slack could not be reached before.
        opened_on: the incident's first day.
        page_url: the page about this report.
        run_url: the run that made it, in Airflow.
    """
    told = read_numbers(report.numbers)
    headline = f"{report.severity.capitalize()} drift: {_subject(report)}"
    blocks: list[Block] = [header(f"{_SIGNS.get(report.severity, '🟡')} {headline}")]
    costs = performance_sentences(told.performance) if told.complete else ""
    blocks.append(section(f"*What it costs*\n{escape(costs)}" if costs else escape(report.summary)))
    if moved := _moved(told):
        blocks.append(section(f"*What moved*\n{moved}"))
    if told.issues:
        blocks.append(section(f"*Wrong with the data*\n{_listed(told.issues, _ISSUES_SHOWN)}"))
    niches = [
        f"{niche.name} ({niche.severity})" for niche in told.niches if niche.severity in ("high", "critical")
    ]
    if niches:
        blocks.append(section(f"*Worst niches*\n{_listed(niches, _NICHES_SHOWN)}"))
    blocks += [
        section(f"*What the system does*\n{escape(f'{told.reason} {_system(report.decision)}'.strip())}"),
        section(f"*What you can do*\n{escape(_advice(report, told))}"),
        section(f"*Can it wait?*\n{escape(_urgency(report.severity, told))}"),
        fields(
            {
                "Model": escape(_version(report.model_name, report.model_version)),
                "Since": opened_on.isoformat(),
            }
        ),
        context(f"{escape(report.current)} against {escape(report.reference)}"),
        _pages(page_url, run_url),
    ]
    return SlackMessage(clip(escape(f"{headline}. {costs or report.summary}"), 300), tuple(blocks))


def drift_picture(report: DriftReport) -> Picture | None:
    """The report's plot for its message; None where it has no column to draw."""
    told = read_numbers(report.numbers)
    if not any(column.bins for column in told.columns):
        return None
    from ml.drift.plot import MOST_COLUMNS, drift_plot

    shown = [column for column in told.columns if column.bins][:MOST_COLUMNS]
    states = ", ".join(f"{column.name} {'moved' if column.drifted else 'did not move'}" for column in shown)
    return Picture(
        filename=f"drift-{report.report_date}.png",
        content=drift_plot(report.numbers),
        title=f"The most important columns on {report.report_date}",
        alt_text=f"Shares before and now: {states}. {performance_sentences(told.performance)}",
    )


def recovery_message(
    report: DriftReport, incident: Incident, *, page_url: str, run_url: str | None = None
) -> SlackMessage:
    """Says that an incident is over: since when, how long it lasted, how bad it was.

    Args:
        report: of the day that ended it.
        incident: a closed one.
        page_url, run_url: as `drift_message`.

    Raises:
        ValueError: the incident is still open.
    """
    if incident.closed_on is None or incident.calm_since is None:
        raise ValueError(f"the incident of {incident.opened_on} is still open: there is no recovery to tell")
    lasted = (incident.calm_since - incident.opened_on).days
    calm = (incident.closed_on - incident.calm_since).days + 1
    headline = f"Drift is over: {_subject(report)}"
    sentence = (
        f"Nothing that matters has drifted since {incident.calm_since}, for {_days(calm)}. The incident "
        f"began on {incident.opened_on}, lasted {_days(lasted)}, and was {incident.worst.value} at worst, "
        f"on {incident.worst_on}."
    )
    blocks = (
        header(f"🟢 {headline}"),
        section(escape(sentence)),
        fields(
            {
                "Model now": escape(_version(report.model_name, report.model_version)),
                "What to do": "Nothing.",
            }
        ),
        _pages(page_url, run_url),
    )
    return SlackMessage(clip(escape(f"{headline}. {sentence}"), 300), blocks)


def refused_key(incident: str, day: date) -> str:
    """The key of the message that an update which an incident asked for could not be tried."""
    return f"{incident}:update:{day.isoformat()}:refused"


def refused_message(
    model_name: str, champion: int | None, outcome: str, *, page_url: str, run_url: str | None = None
) -> SlackMessage:
    """Says that an update could not be tried, and why.

    Args:
        champion: version that stays, None where there is none.
        outcome: why, in a sentence.
        page_url, run_url: as `drift_message`.
    """
    headline = f"No update of {_version(model_name, champion)} could be tried"
    blocks = (header(f"⚪ {headline}"), section(escape(outcome)), _pages(page_url, run_url))
    return SlackMessage(clip(escape(f"{headline}. {outcome}"), 300), blocks)


def update_message(
    update: ModelUpdate,
    *,
    page_url: str,
    why_not: str = "",
    run_url: str | None = None,
    promote_url: str | None = None,
) -> SlackMessage:
    """Says what an update that drift asked for came to: each candidate, the winner, what to do next.

    Args:
        update: the tournament.
        page_url, run_url: as `drift_message`.
        why_not: why the version that was made did not become challenger; empty where it did.
        promote_url: where a challenger is made champion.
    """
    parent = f"v{update.parent_version}"
    made = update.version is not None and not why_not
    if update.version is not None and why_not:
        headline = f"{update.model_name} v{update.version} was made, but is no challenger: {parent} stays"
        after = f"Look at its card in MLflow: {why_not}."
    elif made:
        headline = f"{update.model_name} v{update.version} waits as challenger"
        after = "It goes live once it is promoted: look at the evidence, then trigger promote_model."
    else:
        headline = f"No update of {update.model_name} helps: {parent} stays"
        after = (
            "Nothing is changed. If the page shows broken data, repair their source and run the day again; "
            "else more rows will tell, and the next try follows by itself while the drift lasts."
        )
    blocks: list[Block] = [header(f"{'🔵' if made else '⚪'} {headline}")]
    if update.ne_before is not None and update.ne_after is not None and made:
        blocks.append(
            section(
                f"*{escape(_strategy(update.winner))}* is best: normalized entropy {update.ne_before:.4f} "
                f"before, {update.ne_after:.4f} after, on the same {update.judged_rows:,} rows that it had "
                "not learnt from; lower is better."
            )
        )
    tried = [_candidate(each, update.winner) for each in update.candidates[:_CANDIDATES_SHOWN]]
    if tried:
        blocks.append(section("*What was tried*\n" + "\n".join(f"•  {line}" for line in tried)))
    else:
        blocks.append(section(escape(update.outcome)))
    blocks.append(section(f"*What to do next*\n{escape(after)}"))
    blocks.append(context(f"Judged by the rows of {update.judged_since} to {update.judged_until}."))
    links = {"Promote it": promote_url} if made and promote_url else {}
    blocks.append(_pages(page_url, run_url, links))
    return SlackMessage(clip(escape(f"{headline}. {update.outcome}"), 300), tuple(blocks))


def _moved(told: ToldReport) -> str:
    drifted = told.drifted
    more = len(drifted) - _COLUMNS_SHOWN
    lines = [f"•  {_column(column)}" for column in drifted[:_COLUMNS_SHOWN]]
    return "\n".join([*lines, *([f"•  and {more} more"] if more > 0 else [])])


def _column(column: ToldColumn) -> str:
    role = {"prediction": "what the model answers", "outcome": "what happens"}.get(column.role, "")
    facts = [clip(escape(each), 120) for each in (role, column.note) if each]
    if column.psi is not None:
        usual = "" if column.expected_psi is None else f", {column.expected_psi:.2f} would be chance"
        facts.append(f"stability index {column.psi:.2f}{usual}")
    return f"{code(clip(column.name, 60))}{': ' + '; '.join(facts) if facts else ''}"


def _listed(sentences: tuple[str, ...] | list[str], shown: int) -> str:
    more = len(sentences) - shown
    lines = [f"•  {clip(escape(each), 300)}" for each in sentences[:shown]]
    return "\n".join([*lines, *([f"•  and {more} more"] if more > 0 else [])])


def _candidate(told: Mapping[str, Any], winner: str) -> str:
    """One strategy's result in a line."""
    name = str(told.get("strategy") or "an update")
    saved, low, high = (told.get(key) for key in ("saved", "low", "high"))
    if saved is None:
        return f"{escape(_strategy(name))}: {escape(clip(str(told.get('reason') or 'not tried'), 200))}"
    low, high = (low, high) if saved >= 0 or low is None or high is None else (-high, -low)
    ends = "" if low is None or high is None else f" ({low:.2%} to {high:.2%})"
    does = f"saves {saved:.2%} of the error" if saved >= 0 else f"adds {-saved:.2%} to the error"
    if name == winner:
        end = "it wins"
    elif told.get("passed"):
        end = "better, but not the best"
    else:
        end = "not surely better"
    return escape(f"{_strategy(name)}: {does}{ends}, {end}")


def _strategy(name: str) -> str:
    return _STRATEGIES.get(name, name.replace("_", " "))


def _system(decision: str) -> str:
    return _SYSTEM.get(decision, "")


def _advice(report: DriftReport, told: ToldReport) -> str:
    if _data_are_broken(told):
        return "Repair the source of the data, then run the day again: no model helps against broken data."
    if report.decision in ("update", "incremental"):
        return "Nothing yet. When a challenger waits, look at its evidence and promote it."
    return (
        "Open the report. If a campaign or a new audience explains the change, leave it; if the model is "
        "wrong, promote a waiting challenger or train a new version."
    )


def _data_are_broken(told: ToldReport) -> bool:
    """Whether the data are as broken as anything else is bad, as `ml.drift.decision` asks too."""
    order = [severity.value for severity in Severity]
    ranks = {kind: order.index(level) for kind, level in told.kinds.items() if level in order}
    quality = ranks.pop("quality", 0)
    return quality >= max([order.index("medium"), *ranks.values()])


def _urgency(severity: str, told: ToldReport) -> str:
    measured = told.performance.state == "measured"
    if severity == "critical":
        return "No, look at it today: predictions are still answered, but " + (
            "they are wrong by much." if measured else "they may be wrong by much."
        )
    return "Until working hours: predictions are still answered, only less exactly. Nothing fails meanwhile."


def _subject(report: DriftReport) -> str:
    whose = "all accounts" if report.scope == "all" else f"account {report.scope}"
    return f"{report.model_name}, {whose}"


def _version(model: str, version: int | None) -> str:
    return f"{model} without champion" if version is None else f"{model} v{version}"


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


def _pages(page_url: str, run_url: str | None, first: Mapping[str, str] | None = None) -> Block:
    links = {**(first or {}), "See the report": page_url}
    return buttons({**links, "Open the run in Airflow": run_url} if run_url else links)
