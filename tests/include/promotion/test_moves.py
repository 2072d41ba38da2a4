"""Promote and roll back on a real MLflow and a real database."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from include.db import promotion as books
from include.promotion import (
    ChampionChanged,
    NothingToPromote,
    NothingToRollBackTo,
    RolledBackJustNow,
    VersionUnknown,
    promote,
    reconcile,
    roll_back,
)
from ml.registry import RegistryUnavailable, connect
from tests.include.promotion.registry import Dying, Killed, aliases, register_version

WHO = {"who": "Ana", "why": "it is better", "evidence": {"page": "http://airflow/evidence/1"}}
BACK = {"who": "Ana", "why": "it is worse"}

# Calls that change MLflow in a promotion of the challenger: previous, champion, challenger, five tags.
STEPS_OF_A_PROMOTION = 8


def test_a_promotion_names_the_old_champion_and_leaves_no_challenger(
    db: Any, client: Any, model: str
) -> None:
    move = promote(db, client, model, 3, expected_champion=1, **WHO)
    assert aliases(client, model) == {"champion": 3, "previous_champion": 1}
    assert books.believed_aliases(db, model) == {"champion": 3, "previous_champion": 1}
    assert (move.state, move.from_version, move.to_version, move.who) == ("done", 1, 3, "Ana")
    tags = client.get_model_version(model, "3").tags
    assert tags["promotion_verdict"] == "promoted"
    assert tags["promotion_approver"] == "Ana"
    assert tags["promotion_reason"] == "it is better"
    assert tags["promotion_evidence"] == "http://airflow/evidence/1"
    assert tags["promoted_at"] == move.created_at.isoformat(timespec="seconds")


def test_a_challenger_that_was_not_promoted_stays_one(db: Any, client: Any, model: str) -> None:
    promote(db, client, model, 2, expected_champion=1, **WHO)
    assert aliases(client, model) == {"champion": 2, "previous_champion": 1, "challenger": 3}


def test_a_champion_that_changed_since_the_evidence_is_not_replaced(db: Any, client: Any, model: str) -> None:
    promote(db, client, model, 2, expected_champion=1, **WHO)
    with pytest.raises(ChampionChanged, match="against champion v1, but the champion in MLflow is v2"):
        promote(db, client, model, 3, expected_champion=1, **WHO)
    assert aliases(client, model)["champion"] == 2


def test_one_moved_by_hand_meanwhile_is_a_change_too_and_is_written_down(
    db: Any, client: Any, model: str
) -> None:
    reconcile(db, client, model)
    client.set_registered_model_alias(model, "champion", "2")
    with pytest.raises(ChampionChanged):
        promote(db, client, model, 3, expected_champion=1, **WHO)
    assert books.moves(db, model)[0].action == "by_hand"
    assert aliases(client, model)["champion"] == 2


def test_what_cannot_be_promoted_is_said_in_a_sentence(db: Any, client: Any, model: str) -> None:
    with pytest.raises(VersionUnknown, match="no such version"):
        promote(db, client, model, 9, expected_champion=1, **WHO)
    with pytest.raises(NothingToPromote, match="champion already"):
        promote(db, client, model, 1, expected_champion=1, **WHO)
    assert aliases(client, model) == {"champion": 1, "challenger": 3}


def test_a_first_champion_can_be_promoted(db: Any, client: Any, model: str) -> None:
    client.delete_registered_model_alias(model, "champion")
    promote(db, client, model, 3, expected_champion=None, **WHO)
    assert aliases(client, model) == {"champion": 3}


def test_a_retry_of_a_promotion_that_was_made_is_the_same_promotion(db: Any, client: Any, model: str) -> None:
    first, again = (promote(db, client, model, 3, expected_champion=1, key="run 1", **WHO) for _ in range(2))
    assert again == first
    assert len([move for move in books.moves(db, model) if move.action == "promote"]) == 1
    roll_back(db, client, model, **BACK)
    with pytest.raises(ChampionChanged):
        promote(db, client, model, 3, expected_champion=3, key="run 1", **WHO)


def test_rolling_back_goes_to_the_champion_before_and_then_further(db: Any, client: Any, model: str) -> None:
    promote(db, client, model, 2, expected_champion=1, **WHO)
    promote(db, client, model, 3, expected_champion=2, **WHO)
    roll_back(db, client, model, **BACK)
    assert aliases(client, model) == {"champion": 2, "previous_champion": 1}
    assert client.get_model_version(model, "3").tags["promotion_verdict"] == "rolled back"
    assert client.get_model_version(model, "3").tags["rolled_back_reason"] == "it is worse"
    roll_back(db, client, model, away_from=2, **BACK)
    assert aliases(client, model) == {"champion": 1}
    with pytest.raises(NothingToRollBackTo, match="no earlier champion"):
        roll_back(db, client, model, away_from=1, **BACK)


def test_two_people_who_roll_back_at_once_go_back_once(db: Any, client: Any, model: str) -> None:
    promote(db, client, model, 2, expected_champion=1, **WHO)
    promote(db, client, model, 3, expected_champion=2, **WHO)
    roll_back(db, client, model, **BACK)
    with pytest.raises(RolledBackJustNow, match="by Ana less than"):
        roll_back(db, client, model, who="Ben", why="it is worse")
    with pytest.raises(ChampionChanged):
        roll_back(db, client, model, away_from=3, who="Ben", why="it is worse")
    assert aliases(client, model)["champion"] == 2


def test_a_retry_of_a_roll_back_is_the_same_roll_back(db: Any, client: Any, model: str) -> None:
    promote(db, client, model, 2, expected_champion=1, **WHO)
    first, again = (roll_back(db, client, model, key="run 2", **BACK) for _ in range(2))
    assert again == first
    assert aliases(client, model) == {"champion": 1, "challenger": 3}


def test_the_previous_champion_was_deleted_so_the_one_before_it_is_gone_back_to(
    db: Any, client: Any, model: str
) -> None:
    promote(db, client, model, 2, expected_champion=1, **WHO)
    promote(db, client, model, 3, expected_champion=2, **WHO)
    client.delete_model_version(model, "2")
    roll_back(db, client, model, **BACK)
    assert aliases(client, model) == {"champion": 1}


@pytest.mark.parametrize("survived", range(STEPS_OF_A_PROMOTION))
def test_a_promotion_killed_at_any_step_is_completed_and_there_was_always_one_champion(
    db: Any, client: Any, model: str, dying: Any, survived: int
) -> None:
    with pytest.raises(Killed):
        promote(db, dying(survived), model, 3, expected_champion=1, key="k", **WHO)
    between = aliases(client, model)
    assert between["champion"] in {1, 3}
    assert between["champion"] == 1 or between["previous_champion"] == 1
    (finding,) = reconcile(db, client, model)
    assert finding.kind == "completed"
    assert aliases(client, model) == {"champion": 3, "previous_champion": 1}
    assert books.believed_aliases(db, model) == {"champion": 3, "previous_champion": 1}
    assert client.get_model_version(model, "3").tags["promotion_approver"] == "Ana"
    # The task that was killed comes again, and finds its own work.
    assert promote(db, client, model, 3, expected_champion=1, key="k", **WHO).move_id == finding.move.move_id
    assert reconcile(db, client, model) == []


def test_a_promotion_killed_before_our_books_are_written_is_completed(
    db: Any, client: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(books, "finish", kill)
        with pytest.raises(Killed):
            promote(db, client, model, 3, expected_champion=1, **WHO)
    assert books.believed_aliases(db, model) == {"champion": 1, "challenger": 3}
    assert [finding.kind for finding in reconcile(db, client, model)] == ["completed"]
    assert (
        books.believed_aliases(db, model) == aliases(client, model) == {"champion": 3, "previous_champion": 1}
    )


def test_a_promotion_has_as_many_steps_as_are_killed_above(db: Any, model: str, dying: Any) -> None:
    last = dying(STEPS_OF_A_PROMOTION)
    promote(db, last, model, 3, expected_champion=1, **WHO)
    assert last.survived == 0


@pytest.mark.parametrize("survived", range(6))
def test_a_roll_back_killed_at_any_step_is_completed(
    db: Any, client: Any, model: str, dying: Any, survived: int
) -> None:
    promote(db, client, model, 2, expected_champion=1, **WHO)
    promote(db, client, model, 3, expected_champion=2, **WHO)
    with pytest.raises(Killed):
        roll_back(db, dying(survived), model, key="k", **BACK)
    assert aliases(client, model)["champion"] in {2, 3}
    assert roll_back(db, client, model, key="k", **BACK).state == "done"
    assert aliases(client, model) == {"champion": 2, "previous_champion": 1}
    assert len([move for move in books.moves(db, model) if move.action == "roll_back"]) == 1


@pytest.mark.parametrize("survived", range(3))
def test_mlflow_that_goes_away_in_between_is_worth_another_try_and_nothing_is_half_known(
    db: Any, client: Any, model: str, survived: int
) -> None:
    with pytest.raises(RegistryUnavailable):
        promote(db, Dying(client, survived, ConnectionError), model, 3, expected_champion=1, key="k", **WHO)
    assert books.believed_aliases(db, model)["champion"] == 1
    assert books.pending_move(db, model).to_version == 3
    assert promote(db, client, model, 3, expected_champion=1, key="k", **WHO).state == "done"
    assert aliases(client, model) == {"champion": 3, "previous_champion": 1}


def test_of_two_promotions_at_once_exactly_one_wins(
    db: Any, mlflow_uri: str, client: Any, model: str
) -> None:
    register_version(client, model)
    ready, ended = threading.Barrier(3), {}

    def race(version: int) -> None:
        own = connect(mlflow_uri)
        ready.wait()
        try:
            ended[version] = promote(db, own, model, version, expected_champion=1, **WHO).state
        except ChampionChanged:
            ended[version] = "changed"

    racers = [threading.Thread(target=race, args=(version,)) for version in (2, 3, 4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(ended.values()) == ["changed", "changed", "done"]
    (winner,) = [version for version, end in ended.items() if end == "done"]
    assert aliases(client, model)["champion"] == winner
    assert books.believed_aliases(db, model)["champion"] == winner
