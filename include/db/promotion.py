"""Queries about aliases and promotions: what we believe, every move, every request for a decision.

alias_move: intended --done with MLflow--> done
                     \\--MLflow has become another--> abandoned
promotion:  open --> promoted | rejected | timed_out | refused; open again when its run is cleared
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, text

from include.db.ml import DriftReport, model_lock


class Action(StrEnum):
    """Why an alias moved."""

    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    ADOPT = "adopt"
    BY_HAND = "by_hand"
    REPAIR = "repair"
    CHALLENGE = "challenge"
    RETIRE = "retire"


class Decision(StrEnum):
    """How a promotion stands."""

    OPEN = "open"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"


@dataclass(frozen=True)
class Move:
    """One move of an alias, as `ml.alias_move` keeps it.

    Attributes:
        from_version, to_version: None where there was, or is, none.
        previous_version: what `previous_champion` is afterwards.
        move_key: the caller's name for it, None where it has none.
        state: intended, done or abandoned.
    """

    move_id: int
    model_name: str
    action: Action
    from_version: int | None
    to_version: int | None
    previous_version: int | None
    who: str
    why: str
    evidence: dict[str, Any]
    move_key: str | None
    state: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class NewMove:
    """A move that is about to be made."""

    model_name: str
    action: Action
    from_version: int | None
    to_version: int | None
    who: str
    why: str
    previous_version: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    move_key: str | None = None


@dataclass(frozen=True)
class Promotion:
    """One candidate and what was decided, as `ml.promotion` keeps it."""

    promotion_id: int
    model_name: str
    candidate_version: int
    champion_version: int | None
    evidence: dict[str, Any]
    state: Decision
    decided_by: str | None
    reason: str | None
    dag_run_id: str
    created_at: datetime
    decided_at: datetime | None


@contextmanager
def alias_lock(engine: Engine, model_name: str) -> Iterator[None]:
    """Hold the right to move the aliases of one model; whoever comes second waits.

    Not the lock of training, which holds its own for as long as it trains: a roll-back cannot wait for that.
    """
    with model_lock(engine, f"{model_name}:aliases"):
        yield


def believed_aliases(engine: Engine, model_name: str) -> dict[str, int]:
    """Alias -> version, as we believe it."""
    query = text("SELECT alias, version FROM ml.model_alias WHERE model_name = :model_name")
    with engine.connect() as connection:
        return {row.alias: row.version for row in connection.execute(query, {"model_name": model_name})}


def all_aliases(engine: Engine) -> dict[str, dict[str, int]]:
    """Model -> alias -> version, as we believe it, by name."""
    known: dict[str, dict[str, int]] = {}
    with engine.connect() as connection:
        query = text("SELECT model_name, alias, version FROM ml.model_alias ORDER BY model_name")
        for row in connection.execute(query):
            known.setdefault(row.model_name, {})[row.alias] = row.version
    return known


def intend(engine: Engine, move: NewMove) -> Move:
    """Write a move down, committed, before MLflow hears of it.

    Raises:
        sqlalchemy.exc.IntegrityError: another move of the model is under way.
    """
    with engine.begin() as connection:
        return _insert(connection, move, "intended")


def finish(engine: Engine, move: Move, aliases: Mapping[str, int | None]) -> Move:
    """A move is done: in one transaction, its row and what we believe now. Doing it twice changes nothing.

    Args:
        aliases: alias -> its version, None where there is none any more.
    """
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE ml.alias_move SET state = 'done', ended_at = now()
                WHERE move_id = :move_id AND state = 'intended'
            """),
            {"move_id": move.move_id},
        )
        _believe(connection, move.model_name, aliases)
        return _move(connection, move.move_id)


def record(engine: Engine, move: NewMove, aliases: Mapping[str, int | None]) -> Move:
    """Keep a move that somebody else made, and believe it. Arguments as for `finish`."""
    with engine.begin() as connection:
        kept = _insert(connection, move, "done")
        _believe(connection, move.model_name, aliases)
        return kept


def abandon(engine: Engine, move: Move, why: str) -> Move:
    """Give up a move that cannot be made any more; `why` is added to its reason."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE ml.alias_move SET state = 'abandoned', ended_at = now(), why = why || :why
                WHERE move_id = :move_id AND state = 'intended'
            """),
            {"move_id": move.move_id, "why": f" (abandoned: {why})"},
        )
        return _move(connection, move.move_id)


def believe(engine: Engine, model_name: str, aliases: Mapping[str, int | None]) -> None:
    """Believe what aliases are without a move: those that follow from one. Arguments as for `finish`."""
    with engine.begin() as connection:
        _believe(connection, model_name, aliases)


def pending_move(engine: Engine, model_name: str) -> Move | None:
    """The move of a model that was intended and not ended, None where there is none."""
    query = text("SELECT * FROM ml.alias_move WHERE model_name = :model_name AND state = 'intended'")
    with engine.connect() as connection:
        found = connection.execute(query, {"model_name": model_name}).mappings().first()
        return _as_move(found) if found else None


def moves(
    engine: Engine, model_name: str | None = None, *, since: datetime | None = None, limit: int = 50
) -> list[Move]:
    """Moves of one model or of all, newest first."""
    query = text("""
        SELECT * FROM ml.alias_move
        WHERE (CAST(:model_name AS text) IS NULL OR model_name = :model_name)
          AND created_at >= COALESCE(CAST(:since AS timestamptz), '-infinity')
        ORDER BY move_id DESC LIMIT :limit
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"model_name": model_name, "since": since, "limit": limit})
        return [_as_move(row) for row in found.mappings()]


def last_champion_move(engine: Engine, model_name: str) -> Move | None:
    """The newest move of the champion that was done."""
    query = text("""
        SELECT * FROM ml.alias_move
        WHERE model_name = :model_name AND state = 'done' AND action NOT IN ('challenge', 'retire')
        ORDER BY move_id DESC LIMIT 1
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"model_name": model_name}).mappings().first()
        return _as_move(found) if found else None


def last_champion_moves(engine: Engine) -> dict[str, Move]:
    """Model -> its newest move of the champion that was done."""
    query = text("""
        SELECT DISTINCT ON (model_name) * FROM ml.alias_move
        WHERE state = 'done' AND action NOT IN ('challenge', 'retire')
        ORDER BY model_name, move_id DESC
    """)
    with engine.connect() as connection:
        return {row["model_name"]: _as_move(row) for row in connection.execute(query).mappings()}


def champions_before(engine: Engine, model_name: str, version: int) -> list[int]:
    """Who was champion before `version` became it the last time, and before them, nearest first.

    Roll-backs lead back and are no step of this way. No version comes twice.
    """
    query = text("""
        SELECT DISTINCT ON (to_version) to_version, from_version FROM ml.alias_move
        WHERE model_name = :model_name AND state = 'done' AND from_version IS NOT NULL
          AND action IN ('promote', 'by_hand', 'repair')
        ORDER BY to_version, move_id DESC
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"model_name": model_name})
        before = {row.to_version: row.from_version for row in found}
    way: list[int] = []
    while (step := before.get(version)) is not None and step not in way:
        way.append(step)
        version = step
    return way


def open_promotion(
    engine: Engine,
    *,
    model_name: str,
    candidate_version: int,
    champion_version: int | None,
    evidence: Mapping[str, Any],
    dag_run_id: str,
) -> Promotion:
    """Keep a candidate and its evidence, one a run. A retry finds it; a cleared run opens it again."""
    query = text("""
        INSERT INTO ml.promotion AS stored (
            model_name, candidate_version, champion_version, evidence, dag_run_id)
        VALUES (:model_name, :candidate_version, :champion_version, CAST(:evidence AS jsonb), :dag_run_id)
        ON CONFLICT (dag_run_id) DO UPDATE
        SET model_name = EXCLUDED.model_name, candidate_version = EXCLUDED.candidate_version,
            champion_version = EXCLUDED.champion_version, evidence = EXCLUDED.evidence, state = 'open',
            decided_by = NULL, reason = NULL, decided_at = NULL,
            created_at = CASE WHEN stored.state = 'open' THEN stored.created_at ELSE now() END
        RETURNING *
    """)
    values = {
        "model_name": model_name,
        "candidate_version": candidate_version,
        "champion_version": champion_version,
        "evidence": json.dumps(evidence, allow_nan=False),
        "dag_run_id": dag_run_id,
    }
    with engine.begin() as connection:
        return _as_promotion(connection.execute(query, values).mappings().one())


def decide_promotion(
    engine: Engine, promotion_id: int, state: Decision, *, decided_by: str, reason: str
) -> Promotion:
    """Close an open promotion. One that is decided stays as it is; returns it as it stands.

    Raises:
        sqlalchemy.exc.NoResultFound: there is none of the id.
    """
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE ml.promotion
                SET state = :state, decided_by = :decided_by, reason = :reason, decided_at = now()
                WHERE promotion_id = :promotion_id AND state = 'open'
            """),
            {"promotion_id": promotion_id, "state": state, "decided_by": decided_by, "reason": reason},
        )
        query = text("SELECT * FROM ml.promotion WHERE promotion_id = :promotion_id")
        return _as_promotion(connection.execute(query, {"promotion_id": promotion_id}).mappings().one())


def promotion(engine: Engine, promotion_id: int) -> Promotion | None:
    """The promotion of that id."""
    query = text("SELECT * FROM ml.promotion WHERE promotion_id = :promotion_id")
    with engine.connect() as connection:
        found = connection.execute(query, {"promotion_id": promotion_id}).mappings().first()
        return _as_promotion(found) if found else None


def promotions(engine: Engine, *, limit: int = 20) -> list[Promotion]:
    """Promotions, open ones first, then newest first."""
    query = text("""
        SELECT * FROM ml.promotion ORDER BY (state = 'open') DESC, created_at DESC LIMIT :limit
    """)
    with engine.connect() as connection:
        return [_as_promotion(row) for row in connection.execute(query, {"limit": limit}).mappings()]


def newest_drift(engine: Engine, model_name: str, since: date | None) -> DriftReport | None:
    """The newest drift report about a model from `since` on (None: any), by which something could be told."""
    query = text("""
        SELECT model_name, scope, report_date, model_version, reference, current, severity, decision, summary,
               numbers, html_uri
        FROM ml.drift_report
        WHERE model_name = :model_name AND severity <> 'cannot_tell'
          AND report_date >= COALESCE(CAST(:since AS date), '-infinity')
        ORDER BY report_date DESC LIMIT 1
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"model_name": model_name, "since": since}).mappings().first()
        return DriftReport(**found) if found else None


def _insert(connection: Connection, move: NewMove, state: str) -> Move:
    query = text("""
        INSERT INTO ml.alias_move (model_name, action, from_version, to_version, previous_version, who, why,
                                   evidence, move_key, state, ended_at)
        VALUES (:model_name, :action, :from_version, :to_version, :previous_version, :who, :why,
                CAST(:evidence AS jsonb), :move_key, :state, CASE WHEN :state = 'done' THEN now() END)
        RETURNING *
    """)
    values = {**vars(move), "evidence": json.dumps(dict(move.evidence), allow_nan=False), "state": state}
    return _as_move(connection.execute(query, values).mappings().one())


def _believe(connection: Connection, model_name: str, aliases: Mapping[str, int | None]) -> None:
    gone = [alias for alias, version in aliases.items() if version is None]
    connection.execute(
        text("DELETE FROM ml.model_alias WHERE model_name = :model_name AND alias = ANY(:gone)"),
        {"model_name": model_name, "gone": gone},
    )
    for alias, version in aliases.items():
        if version is not None:
            connection.execute(
                text("""
                    INSERT INTO ml.model_alias AS stored (model_name, alias, version)
                    VALUES (:model_name, :alias, :version)
                    ON CONFLICT (model_name, alias) DO UPDATE
                    SET version = EXCLUDED.version, moved_at = now()
                    WHERE stored.version <> EXCLUDED.version
                """),
                {"model_name": model_name, "alias": alias, "version": version},
            )


def _move(connection: Connection, move_id: int) -> Move:
    query = text("SELECT * FROM ml.alias_move WHERE move_id = :move_id")
    return _as_move(connection.execute(query, {"move_id": move_id}).mappings().one())


def _as_move(row: Mapping[Any, Any]) -> Move:
    values = {each.name: row[each.name] for each in fields(Move)}
    return Move(**{**values, "action": Action(row["action"])})


def _as_promotion(row: Mapping[Any, Any]) -> Promotion:
    values = {each.name: row[each.name] for each in fields(Promotion)}
    return Promotion(**{**values, "state": Decision(row["state"])})
