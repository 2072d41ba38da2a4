"""Promote and roll back: a compare-and-swap that MLflow does not offer, made of a lock and a row of ours.

Under the model's alias lock: what is unfinished is finished first, then the champion must be the one the
caller decided by; the move is written down and committed, made in MLflow, and noted as done. A process that
dies in between leaves an intended move, which the next `reconcile` completes. Only who moves an alias in
MLflow itself, in the milliseconds between our look and our write, can be overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from include.config import thresholds
from include.db import promotion as db
from include.db.promotion import Action, Move, NewMove
from include.promotion.errors import (
    ChampionChanged,
    NothingToPromote,
    NothingToRollBackTo,
    RolledBackJustNow,
    VersionUnknown,
)
from include.promotion.reconcile import earlier_champions, reconcile_held
from include.promotion.steps import carry_out
from ml.registry import CHAMPION, PREVIOUS_CHAMPION, aliases_of, version_exists

if TYPE_CHECKING:
    from mlflow import MlflowClient


def promote(
    engine: Engine,
    client: MlflowClient,
    model: str,
    version: int,
    *,
    expected_champion: int | None,
    who: str,
    why: str,
    evidence: Mapping[str, Any],
    key: str | None = None,
) -> Move:
    """Make a version champion, if the champion is still the one the decision was made against.

    Args:
        engine: the `nightshift` database.
        client: of MLflow.
        model: the registered model.
        version: the new champion.
        expected_champion: the champion of the evidence; None where there was none.
        who, why: kept with the move, and as tags of the version.
        evidence: what it was decided by, kept with the move; `page` is an address of it.
        key: the caller's name for this move. Called again with it, the move already made is returned.

    Raises:
        ChampionChanged: the champion is another by now; nothing was moved.
        VersionUnknown, NothingToPromote: there is no such version, or it is champion already.
        RegistryUnavailable, RegistryRefused: as MLflow answered; a move that was begun is completed later.
    """
    with db.alias_lock(engine, model):
        reconcile_held(engine, client, model)
        if own := _made_before(engine, model, key):
            return own
        champion = _checked_champion(
            engine, client, model, expected_champion, f"promote v{version} of '{model}'"
        )
        if champion == version:
            raise NothingToPromote(f"v{version} of '{model}' is champion already")
        if not version_exists(client, model, version):
            raise VersionUnknown(f"cannot promote v{version} of '{model}': MLflow has no such version")
        kept = db.believed_aliases(engine, model).get(PREVIOUS_CHAMPION)
        return carry_out(
            engine,
            client,
            db.intend(
                engine,
                NewMove(
                    model,
                    Action.PROMOTE,
                    champion,
                    version,
                    who,
                    why,
                    # Where there was no champion, the way back stays what it was.
                    previous_version=champion if champion is not None else kept,
                    evidence=evidence,
                    move_key=key,
                ),
            ),
        )


def roll_back(
    engine: Engine,
    client: MlflowClient,
    model: str,
    *,
    who: str,
    why: str,
    away_from: int | None = None,
    evidence: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Move:
    """Make the previous champion champion again; the one before it becomes the previous.

    Args:
        engine, client, model, who, why, evidence, key: as for `promote`.
        away_from: the champion to leave. None: whichever it is, unless somebody rolled back a moment ago.

    Raises:
        NothingToRollBackTo: no earlier champion is left.
        ChampionChanged: the champion is not `away_from`.
        RolledBackJustNow: somebody rolled back less than `promotion.roll_back_pause_minutes` ago.
        RegistryUnavailable, RegistryRefused: as MLflow answered; a move that was begun is completed later.
    """
    with db.alias_lock(engine, model):
        reconcile_held(engine, client, model)
        if own := _made_before(engine, model, key):
            return own
        if away_from is None:
            _check_pause(engine, model)
            away_from = aliases_of(client, model).get(CHAMPION)
        champion = _checked_champion(engine, client, model, away_from, f"roll back '{model}'")
        if champion is None:
            raise NothingToRollBackTo(
                f"'{model}' has no champion to roll back from: promote a version, or train one"
            )
        earlier = list(earlier_champions(engine, client, model, champion))
        if not earlier:
            raise NothingToRollBackTo(
                f"champion v{champion} of '{model}' has no earlier champion that MLflow still has: "
                "promote another version by its number"
            )
        before = [step for step in db.champions_before(engine, model, earlier[0]) if step != champion]
        return carry_out(
            engine,
            client,
            db.intend(
                engine,
                NewMove(
                    model,
                    Action.ROLL_BACK,
                    champion,
                    earlier[0],
                    who,
                    why,
                    previous_version=next(
                        (step for step in before if version_exists(client, model, step)), None
                    ),
                    evidence=evidence or {},
                    move_key=key,
                ),
            ),
        )


def _made_before(engine: Engine, model: str, key: str | None) -> Move | None:
    """The caller's own move, if it is the newest: a retry after the work was done."""
    last = db.last_champion_move(engine, model) if key else None
    return last if last and last.move_key == key else None


def _checked_champion(
    engine: Engine, client: MlflowClient, model: str, expected: int | None, attempt: str
) -> int | None:
    """The champion, which MLflow, our books and the caller agree about.

    Our books may name one that is gone from MLflow, where nothing was left to fall back to.
    """
    actual = aliases_of(client, model).get(CHAMPION)
    believed = db.believed_aliases(engine, model).get(CHAMPION)
    if actual != expected or (actual is not None and actual != believed):
        raise ChampionChanged(
            f"cannot {attempt}: it was decided against champion {_named(expected)}, but the champion in "
            f"MLflow is {_named(actual)}, and in our books {_named(believed)}; look at what changed and "
            "decide again"
        )
    return actual


def _check_pause(engine: Engine, model: str) -> None:
    last, pause = db.last_champion_move(engine, model), thresholds().promotion.roll_back_pause_minutes
    if (
        last
        and last.action is Action.ROLL_BACK
        and last.created_at > datetime.now(UTC) - timedelta(minutes=pause)
    ):
        raise RolledBackJustNow(
            f"'{model}' was rolled back from v{last.from_version} to v{last.to_version} by {last.who} less "
            f"than {pause} minutes ago; to go one version further, name v{last.to_version} as the champion "
            "to leave"
        )


def _named(version: int | None) -> str:
    return "none" if version is None else f"v{version}"
