"""The books about aliases and promotions, in a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, NoResultFound

from include.db import promotion as books
from include.db.promotion import Action, Decision, NewMove

MOVE = NewMove(
    "ctr", Action.PROMOTE, 1, 2, "Ana", "better", previous_version=1, evidence={"a": 1}, move_key="k"
)
ALIASES = {"champion": 2, "previous_champion": 1, "challenger": None}


def test_a_move_is_intended_then_done_and_believed_with_one_stroke(db: Any) -> None:
    intended = books.intend(db, MOVE)
    assert books.pending_move(db, "ctr") == intended
    assert (intended.state, intended.evidence, intended.ended_at) == ("intended", {"a": 1}, None)
    assert books.believed_aliases(db, "ctr") == {}
    done = books.finish(db, intended, ALIASES)
    assert done.state == "done"
    assert books.pending_move(db, "ctr") is None
    assert books.believed_aliases(db, "ctr") == {"champion": 2, "previous_champion": 1}
    assert books.finish(db, intended, ALIASES) == done
    assert books.all_aliases(db) == {"ctr": {"champion": 2, "previous_champion": 1}}
    assert books.last_champion_moves(db) == {"ctr": done}


def test_one_move_of_a_model_is_under_way_at_a_time(db: Any) -> None:
    first = books.intend(db, MOVE)
    with pytest.raises(IntegrityError):
        books.intend(db, MOVE)
    books.intend(db, NewMove("visual", Action.PROMOTE, None, 1, "Ana", "first"))
    given_up = books.abandon(db, first, "v2 is gone")
    assert (given_up.state, given_up.why) == ("abandoned", "better (abandoned: v2 is gone)")
    books.intend(db, MOVE)


def test_the_way_back_goes_by_promotions_and_moves_by_hand_and_ends(db: Any) -> None:
    def moved(action: Action, old: int | None, new: int) -> None:
        books.record(db, NewMove("ctr", action, old, new, "x", "y"), {"champion": new})

    moved(Action.ADOPT, None, 1)
    moved(Action.PROMOTE, 1, 2)
    moved(Action.BY_HAND, 2, 3)
    moved(Action.ROLL_BACK, 3, 2)
    books.record(db, NewMove("ctr", Action.CHALLENGE, None, 9, "x", "y"), {"challenger": 9})
    assert books.champions_before(db, "ctr", 3) == [2, 1]
    assert books.champions_before(db, "ctr", 2) == [1]
    assert books.champions_before(db, "ctr", 1) == []
    last = books.last_champion_move(db, "ctr")
    assert last is not None
    assert last.action is Action.ROLL_BACK
    moved(Action.BY_HAND, 2, 1)
    assert books.champions_before(db, "ctr", 1) == [2, 1]


def test_moves_are_read_newest_first_of_one_model_and_of_late(db: Any) -> None:
    for model in ("ctr", "visual", "ctr"):
        books.record(db, NewMove(model, Action.ADOPT, None, 1, "x", "y"), {"champion": 1})
    assert [move.model_name for move in books.moves(db)] == ["ctr", "visual", "ctr"]
    assert len(books.moves(db, "ctr", limit=1)) == 1
    assert books.moves(db, since=datetime.now(UTC) + timedelta(minutes=1)) == []


def opened(db: Any, run: str = "r1", candidate: int = 3) -> books.Promotion:
    return books.open_promotion(
        db,
        model_name="ctr",
        candidate_version=candidate,
        champion_version=1,
        evidence={"m": 1},
        dag_run_id=run,
    )


def test_a_retry_finds_its_promotion_and_a_cleared_run_opens_it_again(db: Any) -> None:
    first = opened(db)
    again = opened(db, candidate=4)
    assert (again.promotion_id, again.created_at, again.candidate_version) == (
        first.promotion_id,
        first.created_at,
        4,
    )
    decided = books.decide_promotion(db, first.promotion_id, Decision.REJECTED, decided_by="Ana", reason="no")
    assert (decided.state, decided.decided_by, decided.reason) == (Decision.REJECTED, "Ana", "no")
    reopened = opened(db)
    assert (reopened.state, reopened.decided_by, reopened.decided_at) == (Decision.OPEN, None, None)
    assert reopened.created_at > first.created_at


def test_a_decision_is_made_once(db: Any) -> None:
    number = opened(db).promotion_id
    books.decide_promotion(db, number, Decision.PROMOTED, decided_by="Ana", reason="yes")
    kept = books.decide_promotion(db, number, Decision.REJECTED, decided_by="Ben", reason="no")
    assert (kept.state, kept.decided_by) == (Decision.PROMOTED, "Ana")
    assert books.promotion(db, number) == kept
    assert books.promotion(db, number + 1) is None
    with pytest.raises(NoResultFound):
        books.decide_promotion(db, number + 1, Decision.REJECTED, decided_by="Ben", reason="no")


def test_open_promotions_come_first(db: Any) -> None:
    first, second = opened(db, "r1").promotion_id, opened(db, "r2").promotion_id
    assert [each.promotion_id for each in books.promotions(db)] == [second, first]
    books.decide_promotion(db, second, Decision.TIMED_OUT, decided_by="nobody", reason="")
    assert [each.promotion_id for each in books.promotions(db)] == [first, second]
