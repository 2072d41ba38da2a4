"""What one move of the champion does in MLflow. Every step may be repeated, so a move cut off is driven on.

    promote:   previous_champion -> old, champion -> new, challenger dropped if it was the new one, tags
    roll back: champion -> old, previous_champion -> the one before, challenger dropped, tags

There is a champion at every moment, and exactly one: MLflow moves an alias in one statement. A promotion
names the old champion first, so that the way back is known before it is needed; a roll-back is in a hurry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Engine

from include.db import promotion as db
from include.db.promotion import Action, Move
from ml.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS_CHAMPION,
    aliases_of,
    drop_alias,
    set_alias,
    tag_version,
    version_exists,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


def carry_out(engine: Engine, client: MlflowClient, move: Move) -> Move:
    """Make an intended move in MLflow, then note that it is done. The caller holds the model's alias lock.

    Raises:
        RegistryUnavailable, RegistryRefused: MLflow did not take a step; the move stays intended, and the
            next `reconcile` goes on with it.
        ValueError: the move is not of the champion.
    """
    model, version = move.model_name, move.to_version
    if version is None or move.action in {Action.CHALLENGE, Action.RETIRE}:
        raise ValueError(f"alias move {move.move_id} ({move.action}) is not one of the champion")
    if move.action is Action.ROLL_BACK:
        set_alias(client, model, CHAMPION, version)
        previous = _point_previous(client, move)
    else:
        previous = _point_previous(client, move)
        # Who moved it by hand has done so.
        if move.action is not Action.BY_HAND:
            set_alias(client, model, CHAMPION, version)
    aliases: dict[str, int | None] = {CHAMPION: version, PREVIOUS_CHAMPION: previous}
    if aliases_of(client, model).get(CHALLENGER) == version:
        drop_alias(client, model, CHALLENGER)
        aliases[CHALLENGER] = None
    elif db.believed_aliases(engine, model).get(CHALLENGER) == version:
        # Dropped by an attempt that was cut off before it could say so.
        aliases[CHALLENGER] = None
    _tag(client, move)
    return db.finish(engine, move, aliases)


def point_previous(client: MlflowClient, model: str, version: int | None) -> None:
    """Have `previous_champion` mean a version, or nothing."""
    if version is None:
        drop_alias(client, model, PREVIOUS_CHAMPION)
    else:
        set_alias(client, model, PREVIOUS_CHAMPION, version)


def _point_previous(client: MlflowClient, move: Move) -> int | None:
    previous = move.previous_version
    if previous is not None and not version_exists(client, move.model_name, previous):
        previous = None
    point_previous(client, move.model_name, previous)
    return previous


def _tag(client: MlflowClient, move: Move) -> None:
    """Say on the versions what happened. The time is the move's own, so that repeating it changes nothing."""
    when, model = move.created_at.isoformat(timespec="seconds"), move.model_name
    evidence = str(
        move.evidence.get("page") or move.evidence.get("promotion_id") or f"alias move {move.move_id}"
    )
    if move.action in {Action.PROMOTE, Action.BY_HAND} and move.to_version is not None:
        tag_version(
            client,
            model,
            move.to_version,
            promotion_verdict="promoted" if move.action is Action.PROMOTE else "promoted by hand",
            promotion_approver=move.who,
            promotion_reason=move.why,
            promotion_evidence=evidence,
            promoted_at=when,
        )
    if (
        move.action is Action.ROLL_BACK
        and move.from_version is not None
        and version_exists(client, model, move.from_version)
    ):
        tag_version(
            client,
            model,
            move.from_version,
            promotion_verdict="rolled back",
            rolled_back_by=move.who,
            rolled_back_reason=move.why,
            rolled_back_at=when,
        )
