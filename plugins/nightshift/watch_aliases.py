"""What `watch_registry` does, in functions of plain values: reconcile, tell, keep MLflow's webhook."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nightshift import links
from nightshift.promote import post_move

if TYPE_CHECKING:
    from sqlalchemy import Engine

WEBHOOK_URL = "NIGHTSHIFT_MLFLOW_WEBHOOK_URL"
WEBHOOK_SECRET = "NIGHTSHIFT_MLFLOW_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


def keep_webhook(tracking_uri: str, environ: Mapping[str, str] = os.environ) -> str:
    """Have MLflow's webhook as the environment says; returns its id, empty where none is wanted.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from ml.registry import connect
    from ml.registry.webhooks import ensure_webhook

    url, secret = environ.get(WEBHOOK_URL), environ.get(WEBHOOK_SECRET)
    return ensure_webhook(connect(tracking_uri), url, secret) if url and secret else ""


def reconcile_models(*, engine: Engine, tracking_uri: str) -> dict[str, Any]:
    """Reconcile every model that MLflow or our books know; one that MLflow refuses does not stop the others.

    Returns:
        models (how many), findings (model, kind, version, lost, sentence) and refused (sentences).

    Raises:
        RegistryUnavailable: MLflow did not answer; the retry goes on.
    """
    from include.db.promotion import all_aliases, believed_aliases
    from include.promotion import reconcile
    from ml.registry import CHAMPION, RegistryRefused, connect, registered_models

    client = connect(tracking_uri)
    models = sorted({*registered_models(client), *all_aliases(engine)})
    findings: list[dict[str, Any]] = []
    refused: list[str] = []
    for model in models:
        try:
            findings += [
                {
                    "model": model,
                    "kind": finding.kind.value,
                    "version": finding.version,
                    "lost": believed_aliases(engine, model).get(CHAMPION),
                    "sentence": finding.sentence,
                }
                for finding in reconcile(engine, client, model)
            ]
        except RegistryRefused as refusal:
            refused.append(f"{model}: {refusal}")
    return {"models": len(models), "findings": findings, "refused": refused}


def tell_findings(findings: Sequence[Mapping[str, Any]], *, engine: Engine) -> dict[str, int]:
    """Tell Slack of every recent move that was not told yet, and of models without a champion; each once.

    Moves are read from our books, not from the findings: one that was found and not told, because a process
    died, is told by the next run.
    """
    from include.alerts import post_once
    from include.alerts.promotion import ALERTS, is_told, no_champion_key, no_champion_message
    from include.config import thresholds
    from include.db.promotion import moves
    from nightshift.connections import slack_channel

    since = datetime.now(UTC) - timedelta(hours=thresholds().promotion.told_hours)
    posted = sum(
        post_move(move, engine=engine)
        for move in reversed(moves(engine, since=since, limit=500))
        if is_told(move)
    )
    for finding in findings:
        if finding["kind"] == "no_champion":
            pages = {
                "See the models": links.models_url(),
                "Promote a version": links.dag_url("promote_model"),
            }
            message = no_champion_message(finding["model"], finding["sentence"], pages)
            key = no_champion_key(finding["model"], finding["lost"])
            posted += post_once(engine, slack_channel(ALERTS), key, message, kind="promotion").posted
    return {"posted": posted}


def champions_moved(looked: Mapping[str, Any]) -> list[str]:
    """Models in which another version predicts now, and nobody has announced it yet."""
    moved = {"completed", "moved_by_hand", "fell_back"}
    return sorted({finding["model"] for finding in looked["findings"] if finding["kind"] in moved})


def watch_report(looked: Mapping[str, Any], told: Mapping[str, int], webhook: str) -> dict[str, Any]:
    """What one look found."""
    findings = looked["findings"]
    sentences = [f"{finding['model']}: {finding['sentence']}" for finding in findings]
    as_believed = f"{looked['models']} models looked at; all as believed."
    return {
        "models": looked["models"],
        "findings": [f"{finding['model']}: {finding['kind']}" for finding in findings],
        "posted": told["posted"],
        "refused": looked["refused"],
        "webhook": bool(webhook),
        "summary": " ".join([*sentences, *looked["refused"]]) or as_believed,
    }
