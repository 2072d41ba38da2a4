"""Messages about who is champion: a question that waits for an answer, what was decided, what moved.

What needs somebody goes to `slack_alerts`, what is worth reading to `slack_reports`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from include.alerts.message import (
    Block,
    SlackMessage,
    buttons,
    clip,
    context,
    escape,
    fields,
    header,
    section,
)
from include.db.promotion import Action, Decision, Move

ALERTS, REPORTS = "slack_alerts", "slack_reports"

_NOBODY = "nobody"


@dataclass(frozen=True)
class PromotionQuestion:
    """A candidate that waits for a person.

    Attributes:
        champion: None where the model has none.
        summary: one sentence of how the two compare.
        verdict: one sentence of the experiment, empty where there was none.
        hours: after which it is rejected.
        answer_url: where to approve or reject.
        evidence_url: the page with all of it.
    """

    promotion_id: int
    model: str
    candidate: int
    champion: int | None
    summary: str
    verdict: str
    reason: str
    hours: int
    asked_at: datetime
    answer_url: str
    evidence_url: str


@dataclass(frozen=True)
class PromotionEnd:
    """A candidate that was decided about and did not become champion.

    Attributes:
        state: rejected, timed_out or refused.
        decided_by: who; for a time-out, nobody.
    """

    promotion_id: int
    model: str
    candidate: int
    champion: int | None
    state: Decision
    decided_by: str
    reason: str
    asked_at: datetime
    evidence_url: str
    run_url: str


def question_key(promotion_id: int, asked_at: datetime) -> str:
    """The key of a question: one per promotion, and one more each time its run was cleared to ask again."""
    return f"promotion:{promotion_id}:question:{asked_at.isoformat()}"


def end_key(end: PromotionEnd) -> str:
    """The key of a decision: one per question."""
    return f"promotion:{end.promotion_id}:{end.state}:{end.asked_at.isoformat()}"


def move_key(move: Move) -> str:
    """The key of a move: one, whoever tells of it."""
    return f"alias_move:{move.move_id}"


def no_champion_key(model: str, lost: int | None) -> str:
    """The key of a model without champion: one per champion that was lost."""
    return f"no_champion:{model}:{lost or 0}"


def question_message(question: PromotionQuestion) -> SlackMessage:
    """Asks for approval, with a button to where it is given."""
    candidate = f"{question.model} v{question.candidate}"
    headline = f"Shall {candidate} become champion?"
    blocks: list[Block] = [header(f"🔵 {headline}"), section(escape(question.summary))]
    if question.verdict:
        blocks.append(section(f"*Experiment*\n{escape(question.verdict)}"))
    facts = {"Champion now": _version(question.model, question.champion), "Candidate": escape(candidate)}
    if question.reason:
        facts["Why now"] = escape(question.reason)
    blocks += [
        fields(facts),
        context(
            f"Without an answer within {question.hours} hours it is rejected, and nothing changes. "
            "If the champion changes meanwhile, the promotion is refused."
        ),
        buttons({"Approve or reject": question.answer_url, "See the evidence": question.evidence_url}),
    ]
    return SlackMessage(clip(escape(f"{headline} {question.summary}"), 300), tuple(blocks))


def end_message(end: PromotionEnd) -> SlackMessage:
    """Says that a candidate did not become champion, and why."""
    candidate = f"{end.model} v{end.candidate}"
    sign, headline, what = {
        Decision.REJECTED: ("⚪", f"{candidate} was rejected", f"{end.decided_by} rejected it."),
        Decision.TIMED_OUT: (
            "🟠",
            f"Nobody answered whether {candidate} shall become champion",
            "So it is rejected. Clear the run to ask again.",
        ),
        Decision.REFUSED: (
            "🟠",
            f"{candidate} was approved, but not promoted",
            "Things changed since the evidence was made. Trigger promote_model to decide by new evidence.",
        ),
    }[end.state]
    blocks: list[Block] = [
        header(f"{sign} {headline}"),
        section(escape(what)),
        fields(
            {
                "Champion": _version(end.model, end.champion),
                "Decided by": escape(end.decided_by or _NOBODY),
                "Reason": escape(end.reason or "none given"),
            }
        ),
        buttons({"See the evidence": end.evidence_url, "Open the run in Airflow": end.run_url}),
    ]
    return SlackMessage(clip(escape(f"{headline}: {end.reason or what}"), 300), tuple(blocks))


def end_channel(state: Decision) -> str:
    """The connection a decision is told on: a rejection was somebody's will, the others need a look."""
    return REPORTS if state is Decision.REJECTED else ALERTS


def is_told(move: Move) -> bool:
    """Whether people are told of a move: not of what is merely seen, nor of challengers."""
    quiet = {Action.ADOPT, Action.CHALLENGE, Action.RETIRE}
    return move.state == "abandoned" or (move.state == "done" and move.action not in quiet)


def move_channel(move: Move) -> str:
    """The connection a move is told on."""
    calm = move.state == "done" and move.action in {Action.PROMOTE, Action.BY_HAND}
    return REPORTS if calm else ALERTS


def move_message(move: Move, links: Mapping[str, str]) -> SlackMessage:
    """Says that the champion changed, or that a move came to nothing.

    Args:
        links: label -> address of pages that help; may be empty.
    """
    old, new = _version(move.model_name, move.from_version), _version(move.model_name, move.to_version)
    sign, headline, what = _told(move, old, new)
    blocks: list[Block] = [
        header(f"{sign} {headline}"),
        section(what),
        fields({"Before": old, "By": escape(move.who), "Why": escape(move.why or "no reason given")}),
    ]
    if links:
        blocks.append(buttons(dict(links)))
    return SlackMessage(clip(f"{escape(headline)}: {what}", 300), tuple(blocks))


def no_champion_message(model: str, sentence: str, links: Mapping[str, str]) -> SlackMessage:
    """Says that a model has no champion and none could be found.

    Args:
        sentence: what was found.
        links: label -> address of pages that help; may be empty.
    """
    headline = f"{model} has no champion"
    blocks: list[Block] = [header(f"🔴 {headline}"), section(escape(sentence))]
    if links:
        blocks.append(buttons(dict(links)))
    return SlackMessage(clip(escape(f"{headline}: {sentence}"), 300), tuple(blocks))


def _told(move: Move, old: str, new: str) -> tuple[str, str, str]:
    """Sign, headline in plain text, and sentence in mrkdwn."""
    model, version = move.model_name, f"v{move.to_version}"
    if move.state == "abandoned":
        return "🟠", f"A move of {model}'s champion was abandoned", f"{new} did not become champion."
    match move.action:
        case Action.ROLL_BACK:
            return "🟠", f"{model} was rolled back to {version}", f"{new} is champion again instead of {old}."
        case Action.BY_HAND:
            return (
                "🔵",
                f"{model}'s champion was moved to {version} in MLflow itself",
                f"{new} is champion now instead of {old}. It is taken as meant, and can be rolled back.",
            )
        case Action.REPAIR:
            return "🟠", f"{model}'s champion was lost and is {version} now", f"{new} is champion."
    return "🟢", f"{model} {version} is champion", f"{new} is champion now instead of {old}."


def _version(model: str, version: int | None) -> str:
    return "none" if version is None else escape(f"{model} v{version}")
