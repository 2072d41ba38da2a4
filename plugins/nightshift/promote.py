"""What `promote_model` and `roll_back_model` do, in functions of plain values.

A promotion goes: what is wanted -> evidence, kept as an open promotion -> an answer -> one of the ends. Every
end writes our books, MLflow and Slack, in this order, each so that a retry doubles nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nightshift import links
from nightshift.errors import PromotionRequestInvalid
from nightshift.model_params import MODEL_PATTERN

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.alerts import SlackChannel
    from include.db.promotion import Decision, Move

NO_REASON = "no reason given"
BY_CONFIGURATION = "nightshift (promotion.automatic)"


def plan_promotion(params: Mapping[str, Any], events: Iterable[Any]) -> dict[str, Any]:
    """What this run is about, and what it has to leave to the next: one run asks about one model.

    Args:
        params: of a run by hand.
        events: extras of the asset events that started the run, oldest first; where there are any, only they
            count, and of several for one model the newest.

    Returns:
        model, version (None: the challenger), reason and verdict, and `later`: a list of the same.

    Raises:
        PromotionRequestInvalid: an event is not of this form.
    """
    newest: dict[str, dict[str, Any]] = {}
    for extra in events:
        wanted = extra.get("wanted", [extra]) if isinstance(extra, dict) else [extra]
        for one in wanted if isinstance(wanted, list) else [wanted]:
            request = _checked(one)
            newest[request["model"]] = request
    if not newest:
        names = ("model", "version", "reason")
        return {**{name: params[name] for name in names}, "verdict": None, "later": []}
    first, *later = newest.values()
    return {**first, "later": later}


def gather(request: Mapping[str, Any], *, engine: Engine, tracking_uri: str, run_id: str) -> dict[str, Any]:
    """Gather the evidence and keep it as an open promotion.

    Returns:
        promotion_id, model, candidate, champion, asked_at, reason, summary, verdict (a sentence), markdown,
        page (address of the evidence), automatic (no person is asked) and later.

    Raises:
        NothingToPromote, VersionUnknown: there is no candidate.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.config import thresholds
    from include.db.promotion import open_promotion
    from include.promotion import gather_evidence, reconcile
    from include.promotion.evidence import verdict_sentence
    from ml.registry import connect

    client, model = connect(tracking_uri), request["model"]
    reconcile(engine, client, model)
    evidence = gather_evidence(
        engine,
        client,
        model,
        request["version"],
        verdict=request["verdict"],
        reason=request["reason"] or "",
    )
    champion = evidence.champion.version if evidence.champion else None
    kept = open_promotion(
        engine,
        model_name=model,
        candidate_version=evidence.candidate.version,
        champion_version=champion,
        evidence=evidence.as_json(),
        dag_run_id=run_id,
    )
    return {
        "promotion_id": kept.promotion_id,
        "model": model,
        "candidate": evidence.candidate.version,
        "champion": champion,
        "asked_at": kept.created_at.isoformat(),
        "reason": evidence.reason,
        "summary": evidence.summary,
        "verdict": verdict_sentence(evidence.verdict),
        "markdown": evidence.markdown(),
        "page": links.promotion_url(kept.promotion_id),
        "automatic": thresholds().promotion.is_automatic(model),
        "later": request["later"],
    }


def next_tasks(gathered: Mapping[str, Any]) -> list[str]:
    """The tasks that follow from the evidence."""
    first = "promote_automatically" if gathered["automatic"] else "ask_a_person"
    return [first, *(["put_off"] if gathered["later"] else [])]


def ask_on_slack(
    gathered: Mapping[str, Any], *, engine: Engine, channel: SlackChannel, run_id: str, answer_url: str
) -> bool:
    """Tell Slack that a candidate waits, once a question. Returns whether it was posted now."""
    from include.alerts import post_once
    from include.alerts.promotion import PromotionQuestion, question_key, question_message
    from include.config import thresholds

    question = PromotionQuestion(
        promotion_id=gathered["promotion_id"],
        model=gathered["model"],
        candidate=gathered["candidate"],
        champion=gathered["champion"],
        summary=gathered["summary"],
        verdict=gathered["verdict"],
        reason=gathered["reason"],
        hours=thresholds().promotion.approval_hours,
        asked_at=datetime.fromisoformat(gathered["asked_at"]),
        answer_url=answer_url,
        evidence_url=gathered["page"],
    )
    posting = post_once(
        engine,
        channel,
        question_key(question.promotion_id, question.asked_at),
        question_message(question),
        kind="promotion",
        dag_id="promote_model",
        run_id=run_id,
    )
    return posting.posted


def promote_candidate(
    gathered: Mapping[str, Any], *, who: str, why: str, engine: Engine, tracking_uri: str, run_id: str
) -> dict[str, str]:
    """Make the candidate champion, or find that things changed since the evidence was made.

    Returns:
        state (promoted or refused) and reason.

    Raises:
        RegistryUnavailable: MLflow did not answer; what was begun is completed by the retry.
    """
    from include.db.promotion import Decision, decide_promotion
    from include.promotion import PromotionRefused, promote
    from ml.registry import connect

    client = connect(tracking_uri)
    try:
        move = promote(
            engine,
            client,
            gathered["model"],
            gathered["candidate"],
            expected_champion=gathered["champion"],
            who=who,
            why=why or gathered["reason"] or NO_REASON,
            evidence={name: gathered[name] for name in ("promotion_id", "page", "summary")},
            # A run that was cleared asks anew, and is another move.
            key=f"promote_model:{run_id}:{gathered['asked_at']}",
        )
    except PromotionRefused as refusal:
        end_promotion(
            gathered,
            Decision.REFUSED,
            who=who,
            why=str(refusal),
            engine=engine,
            tracking_uri=tracking_uri,
            run_id=run_id,
        )
        return {"state": Decision.REFUSED.value, "reason": str(refusal)}
    decide_promotion(engine, gathered["promotion_id"], Decision.PROMOTED, decided_by=who, reason=move.why)
    post_move(move, engine=engine)
    return {"state": Decision.PROMOTED.value, "reason": move.why}


def end_promotion(
    gathered: Mapping[str, Any],
    state: Decision,
    *,
    who: str,
    why: str,
    engine: Engine,
    tracking_uri: str,
    run_id: str,
) -> dict[str, str]:
    """Close a promotion that leads to no new champion: in our books, on the version, on Slack.

    Returns:
        state and reason, as they stand: what was decided before stays decided.

    Raises:
        RegistryUnavailable: MLflow did not answer; the retry writes what is missing.
    """
    from include.alerts import post_once
    from include.alerts.promotion import PromotionEnd, end_channel, end_key, end_message
    from include.db.promotion import decide_promotion
    from ml.registry import connect, tag_version, version_exists
    from nightshift.connections import slack_channel

    kept = decide_promotion(engine, gathered["promotion_id"], state, decided_by=who, reason=why or NO_REASON)
    if kept.state is not state:
        return {"state": kept.state.value, "reason": kept.reason or ""}
    client, model, version = connect(tracking_uri), kept.model_name, kept.candidate_version
    if version_exists(client, model, version):
        tag_version(
            client,
            model,
            version,
            promotion_verdict=kept.state.value.replace("_", " "),
            promotion_approver=kept.decided_by or "",
            promotion_reason=kept.reason or "",
            promotion_evidence=gathered["page"],
            promotion_decided_at=kept.decided_at.isoformat(timespec="seconds") if kept.decided_at else "",
        )
    end = PromotionEnd(
        promotion_id=kept.promotion_id,
        model=model,
        candidate=version,
        champion=kept.champion_version,
        state=kept.state,
        decided_by=kept.decided_by or "",
        reason=kept.reason or "",
        asked_at=kept.created_at,
        evidence_url=gathered["page"],
        run_url=links.run_url("promote_model", run_id),
    )
    channel = slack_channel(end_channel(kept.state))
    post_once(
        engine,
        channel,
        end_key(end),
        end_message(end),
        kind="promotion",
        dag_id="promote_model",
        run_id=run_id,
    )
    return {"state": kept.state.value, "reason": kept.reason or ""}


def roll_back_model(
    *,
    model: str,
    champion: int | None,
    who: str,
    why: str | None,
    engine: Engine,
    tracking_uri: str,
    run_id: str,
) -> dict[str, Any]:
    """Make the previous champion champion again, and tell Slack.

    Args:
        champion: the version to leave; None: whichever is champion.

    Returns:
        state, model, from_version, to_version and summary.

    Raises:
        NothingToRollBackTo, ChampionChanged, RolledBackJustNow: it is refused, and nothing moved.
        RegistryUnavailable: MLflow did not answer; what was begun is completed by the retry.
    """
    from include.promotion import roll_back
    from ml.registry import connect

    move = roll_back(
        engine,
        connect(tracking_uri),
        model,
        who=who,
        why=why or NO_REASON,
        away_from=champion,
        key=f"roll_back_model:{run_id}",
    )
    post_move(move, engine=engine)
    return {
        "state": "rolled_back",
        "model": model,
        "from_version": move.from_version,
        "to_version": move.to_version,
        "summary": f"Champion of '{model}' was v{move.from_version} and is v{move.to_version} again.",
    }


def post_move(move: Move, *, engine: Engine) -> bool:
    """Tell Slack of a move of the champion, once. Returns whether it was posted now."""
    from include.alerts import post_once
    from include.alerts.promotion import move_channel, move_key, move_message
    from include.db.promotion import Action
    from nightshift.connections import slack_channel

    pages = {"See the models": links.models_url()}
    if move.state == "done" and move.action is not Action.ROLL_BACK:
        pages["Roll back"] = links.dag_url("roll_back_model")
    if page := move.evidence.get("page"):
        pages = {"See the evidence": str(page), **pages}
    channel = slack_channel(move_channel(move))
    return post_once(engine, channel, move_key(move), move_message(move, pages), kind="promotion").posted


def promotion_report(gathered: Mapping[str, Any], *, engine: Engine) -> dict[str, Any]:
    """How the run ended, from our books.

    Raises:
        PromotionRequestInvalid: somebody removed the promotion.
    """
    from include.db.promotion import promotion

    kept = promotion(engine, gathered["promotion_id"])
    if kept is None:
        raise PromotionRequestInvalid(
            f"promotion {gathered['promotion_id']} of this run is gone from ml.promotion: trigger it anew"
        )
    name = f"{kept.model_name} v{kept.candidate_version}"
    words = {
        "open": f"{name} still waits for an answer",
        "promoted": f"{name} is champion, decided by {kept.decided_by}",
        "rejected": f"{name} was rejected by {kept.decided_by}",
        "timed_out": f"nobody answered, so {name} was rejected",
        "refused": f"{name} was not promoted",
    }[kept.state]
    return {
        "state": kept.state.value,
        "model": kept.model_name,
        "version": kept.candidate_version,
        "champion_before": kept.champion_version,
        "promotion_id": kept.promotion_id,
        "decided_by": kept.decided_by,
        "page": gathered["page"],
        "summary": f"{words}: {kept.reason or NO_REASON}",
    }


def _checked(request: Any) -> dict[str, Any]:
    """A request of an asset event, which anybody with Airflow's API can make."""
    if not isinstance(request, dict) or not re.fullmatch(MODEL_PATTERN, str(request.get("model") or "")):
        raise PromotionRequestInvalid(
            f"an event of nightshift://models/promotion_wanted says {str(request)[:200]!r}, but needs a "
            "model, such as {'model': 'ctr', 'version': 3, 'reason': '...', 'verdict': {...}}"
        )
    version, verdict = request.get("version"), request.get("verdict")
    if (
        isinstance(version, bool)
        or not isinstance(version, int | None)
        or not isinstance(verdict, dict | None)
    ):
        raise PromotionRequestInvalid(
            f"the request to promote '{request['model']}' has version {version!r} and verdict "
            f"{type(verdict).__name__}, but needs a whole number or null, and an object or null"
        )
    return {
        "model": str(request["model"]),
        "version": version,
        "reason": str(request.get("reason") or "")[:500],
        "verdict": verdict,
    }
