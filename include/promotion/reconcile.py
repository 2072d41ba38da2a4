"""Compares MLflow's aliases with what we believe, and makes both agree.

Finishes a move that was cut off; adopts what it sees for the first time and what somebody moved by hand;
restores a champion that vanished, or falls back to the one before; reports where none is left. It changes
nothing where all is well, and may run at any time: every move runs it first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from include.db import promotion as db
from include.db.promotion import Action, Move, NewMove
from include.promotion.steps import carry_out, point_previous
from ml.registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, aliases_of, find_version, version_exists

if TYPE_CHECKING:
    from mlflow import MlflowClient

STRANGER = "somebody in MLflow"
HOUSE = "nightshift"


class FindingKind(StrEnum):
    """What was found."""

    COMPLETED = "completed"
    ABANDONED = "abandoned"
    ADOPTED = "adopted"
    MOVED_BY_HAND = "moved_by_hand"
    RESTORED = "restored"
    FELL_BACK = "fell_back"
    NO_CHAMPION = "no_champion"
    PREVIOUS_RESTORED = "previous_restored"
    NEW_CHALLENGER = "new_challenger"
    CHALLENGER_GONE = "challenger_gone"


@dataclass(frozen=True)
class Finding:
    """One thing that was not as believed, and what was done.

    Attributes:
        version: what the alias is now, None where it is nothing.
        sentence: for people.
        move: the move it was audited as, None where nothing moved the champion or challenger.
    """

    kind: FindingKind
    model: str
    version: int | None
    sentence: str
    move: Move | None = None


def reconcile(engine: Engine, client: MlflowClient, model: str) -> list[Finding]:
    """Make MLflow and what we believe of one model agree; says what did not.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered; what is begun is gone on with the next time.
    """
    with db.alias_lock(engine, model):
        return reconcile_held(engine, client, model)


def reconcile_held(engine: Engine, client: MlflowClient, model: str) -> list[Finding]:
    """`reconcile` for a caller who holds the model's alias lock."""
    # Each part looks anew: the one before may have moved what it looks at.
    return [
        finding
        for part in (_cut_off, _champion, _previous, _challenger)
        for finding in part(engine, client, model)
    ]


def earlier_champions(engine: Engine, client: MlflowClient, model: str, champion: int) -> Iterator[int]:
    """Versions to go back to from `champion` that MLflow still has, nearest first."""
    believed = db.believed_aliases(engine, model)
    nearest = [believed[PREVIOUS_CHAMPION]] if PREVIOUS_CHAMPION in believed else []
    seen = {champion}
    for version in [*nearest, *db.champions_before(engine, model, champion)]:
        if version not in seen and version_exists(client, model, version):
            yield version
        seen.add(version)


def _cut_off(engine: Engine, client: MlflowClient, model: str) -> Iterator[Finding]:
    """A move that was intended and not ended: driven on where MLflow still allows it, else abandoned."""
    move = db.pending_move(engine, model)
    if move is None or move.to_version is None:
        return
    champion = aliases_of(client, model).get(CHAMPION)
    fits = {move.to_version} if move.action is Action.BY_HAND else {move.from_version, move.to_version, None}
    if not version_exists(client, model, move.to_version):
        obstacle = f"v{move.to_version} is gone from MLflow"
    elif champion not in fits:
        obstacle = f"the champion in MLflow has become {_named(champion)}"
    else:
        done = carry_out(engine, client, move)
        yield Finding(
            FindingKind.COMPLETED,
            model,
            done.to_version,
            f"{_words(move)} had been cut off and is done now.",
            done,
        )
        return
    abandoned = db.abandon(engine, move, obstacle)
    yield Finding(
        FindingKind.ABANDONED,
        model,
        champion,
        f"{_words(move)} was cut off and abandoned: {obstacle}.",
        abandoned,
    )


def _champion(engine: Engine, client: MlflowClient, model: str) -> Iterator[Finding]:
    held, believed = aliases_of(client, model), db.believed_aliases(engine, model)
    champion, known = held.get(CHAMPION), believed.get(CHAMPION)
    if champion == known:
        return
    if champion is not None:
        yield (
            _adopt(engine, model, held)
            if known is None
            else _adopt_by_hand(engine, client, model, known, champion)
        )
    elif known is None:
        return
    elif version_exists(client, model, known):
        move = NewMove(
            model,
            Action.REPAIR,
            None,
            known,
            HOUSE,
            f"alias champion was gone from MLflow; v{known} has it again",
            previous_version=next(earlier_champions(engine, client, model, known), None),
        )
        done = carry_out(engine, client, db.intend(engine, move))
        yield Finding(FindingKind.RESTORED, model, known, f"{_sentence(done.why)}.", done)
    else:
        yield _fall_back(engine, client, model, known)


def _adopt(engine: Engine, model: str, held: dict[str, int]) -> Finding:
    champion = held[CHAMPION]
    previous = held.get(PREVIOUS_CHAMPION)
    previous = None if previous == champion else previous
    move = db.record(
        engine,
        NewMove(
            model, Action.ADOPT, None, champion, HOUSE, "seen for the first time", previous_version=previous
        ),
        {CHAMPION: champion, PREVIOUS_CHAMPION: previous},
    )
    return Finding(
        FindingKind.ADOPTED, model, champion, f"Champion v{champion} seen for the first time.", move
    )


def _adopt_by_hand(engine: Engine, client: MlflowClient, model: str, known: int, champion: int) -> Finding:
    previous = known if version_exists(client, model, known) else None
    move = NewMove(
        model,
        Action.BY_HAND,
        known,
        champion,
        STRANGER,
        "alias champion was moved in MLflow itself",
        previous_version=previous or next(earlier_champions(engine, client, model, champion), None),
    )
    done = carry_out(engine, client, db.intend(engine, move))
    sentence = (
        f"Somebody moved the champion from v{known} to v{champion} in MLflow itself; it is taken as meant."
    )
    return Finding(FindingKind.MOVED_BY_HAND, model, champion, sentence, done)


def _fall_back(engine: Engine, client: MlflowClient, model: str, known: int) -> Finding:
    """The champion's version is gone: the nearest earlier one takes its place."""
    earlier = list(earlier_champions(engine, client, model, known))
    if not earlier:
        sentence = (
            f"Champion v{known} is gone from MLflow and no earlier champion is left: "
            "promote a version, or train one."
        )
        return Finding(FindingKind.NO_CHAMPION, model, None, sentence)
    move = NewMove(
        model,
        Action.REPAIR,
        known,
        earlier[0],
        HOUSE,
        f"v{known}, the champion, was deleted in MLflow; v{earlier[0]}, champion before it, takes its place",
        previous_version=earlier[1] if len(earlier) > 1 else None,
    )
    done = carry_out(engine, client, db.intend(engine, move))
    return Finding(FindingKind.FELL_BACK, model, earlier[0], f"{_sentence(done.why)}.", done)


def _previous(engine: Engine, client: MlflowClient, model: str) -> Iterator[Finding]:
    """`previous_champion` follows from our moves, so it is put back where it differs."""
    held, believed = aliases_of(client, model), db.believed_aliases(engine, model)
    champion, previous = held.get(CHAMPION), held.get(PREVIOUS_CHAMPION)
    if champion is None or (previous == believed.get(PREVIOUS_CHAMPION) and previous != champion):
        return
    wanted = next(earlier_champions(engine, client, model, champion), None)
    if previous != wanted:
        point_previous(client, model, wanted)
    db.believe(engine, model, {PREVIOUS_CHAMPION: wanted})
    sentence = f"Alias previous_champion was {_named(previous)} and is {_named(wanted)} again."
    yield Finding(FindingKind.PREVIOUS_RESTORED, model, wanted, sentence)


def _challenger(engine: Engine, client: MlflowClient, model: str) -> Iterator[Finding]:
    challenger = aliases_of(client, model).get(CHALLENGER)
    known = db.believed_aliases(engine, model).get(CHALLENGER)
    if challenger is not None and challenger != known:
        version = find_version(client, model, challenger)
        trained = version is not None and version.tags.get("alias_wanted") == CHALLENGER
        who, why = (
            ("training", "newly trained") if trained else (STRANGER, "given the alias in MLflow itself")
        )
        move = NewMove(model, Action.CHALLENGE, known, challenger, who, why)
        kind, sentence = FindingKind.NEW_CHALLENGER, f"v{challenger} is the new challenger."
    elif challenger is None and known is not None:
        deleted = not version_exists(client, model, known)
        why = "its version was deleted" if deleted else "the alias was taken away in MLflow itself"
        move = NewMove(model, Action.RETIRE, known, None, STRANGER, why)
        kind, sentence = FindingKind.CHALLENGER_GONE, f"v{known} is no longer challenger: {why}."
    else:
        return
    kept = db.record(engine, move, {CHALLENGER: challenger})
    yield Finding(kind, model, challenger, sentence, kept)


def _words(move: Move) -> str:
    """A move in words, to begin a sentence with."""
    name = {Action.PROMOTE: "The promotion", Action.ROLL_BACK: "The roll-back"}.get(move.action, "A move")
    return f"{name} of '{move.model_name}' from {_named(move.from_version)} to {_named(move.to_version)}"


def _named(version: int | None) -> str:
    return "nothing" if version is None else f"v{version}"


def _sentence(words: str) -> str:
    return words if words.startswith("v") else words[:1].upper() + words[1:]
