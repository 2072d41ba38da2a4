"""What happens in MLflow without us is noticed, explained, and made good where it can be."""

from __future__ import annotations

from typing import Any

import pytest

from include.db import promotion as books
from include.promotion import promote, reconcile, roll_back
from tests.include.promotion.registry import Killed, aliases, register_version

WHO = {"who": "Ana", "why": "it is better", "evidence": {}}


@pytest.fixture
def known(db: Any, client: Any, model: str) -> str:
    """The model after two promotions: v3 is champion, v2 the previous, v1 the one before."""
    promote(db, client, model, 2, expected_champion=1, **WHO)
    promote(db, client, model, 3, expected_champion=2, **WHO)
    return model


def kinds(findings: list[Any]) -> list[str]:
    return [finding.kind.value for finding in findings]


def test_what_is_seen_for_the_first_time_is_adopted_as_it_is(db: Any, client: Any, model: str) -> None:
    assert kinds(reconcile(db, client, model)) == ["adopted", "new_challenger"]
    assert books.believed_aliases(db, model) == {"champion": 1, "challenger": 3}
    assert reconcile(db, client, model) == []
    assert aliases(client, model) == {"champion": 1, "challenger": 3}


def test_a_model_nobody_knows_and_one_without_aliases_are_no_finding(db: Any, client: Any) -> None:
    assert reconcile(db, client, "nobody") == []
    register_version(client, "bare_model")
    assert reconcile(db, client, "bare_model") == []


def test_a_champion_moved_by_hand_is_taken_as_meant_and_can_be_rolled_back(
    db: Any, client: Any, known: str
) -> None:
    client.set_registered_model_alias(known, "champion", "1")
    (finding,) = reconcile(db, client, known)
    assert finding.kind == "moved_by_hand"
    assert (finding.move.who, finding.move.from_version, finding.move.to_version) == (
        "somebody in MLflow",
        3,
        1,
    )
    assert aliases(client, known) == {"champion": 1, "previous_champion": 3}
    assert reconcile(db, client, known) == []
    roll_back(db, client, known, who="Ana", why="no", away_from=1)
    assert aliases(client, known)["champion"] == 3


def test_a_challenger_that_was_made_champion_by_hand_is_no_challenger_any_more(
    db: Any, client: Any, model: str
) -> None:
    reconcile(db, client, model)
    client.set_registered_model_alias(model, "champion", "3")
    assert kinds(reconcile(db, client, model)) == ["moved_by_hand"]
    assert aliases(client, model) == {"champion": 3, "previous_champion": 1}
    assert books.believed_aliases(db, model) == {"champion": 3, "previous_champion": 1}


def test_a_champion_alias_that_is_gone_is_given_back(db: Any, client: Any, known: str) -> None:
    client.delete_registered_model_alias(known, "champion")
    (finding,) = reconcile(db, client, known)
    assert finding.kind == "restored"
    assert finding.move.action == "repair"
    assert aliases(client, known) == {"champion": 3, "previous_champion": 2}


def test_a_champion_whose_version_was_deleted_gives_way_to_the_one_before(
    db: Any, client: Any, known: str
) -> None:
    client.delete_model_version(known, "3")
    assert "champion" not in aliases(client, known)
    (finding,) = reconcile(db, client, known)
    assert finding.kind == "fell_back"
    assert "v3, the champion, was deleted" in finding.sentence
    assert aliases(client, known) == {"champion": 2, "previous_champion": 1}
    assert reconcile(db, client, known) == []


def test_no_champion_left_is_reported_each_time_until_there_is_one(db: Any, client: Any, known: str) -> None:
    for version in "321":
        client.delete_model_version(known, version)
    assert kinds(reconcile(db, client, known)) == ["no_champion"]
    assert kinds(reconcile(db, client, known)) == ["no_champion"]
    version = register_version(client, known)
    promote(db, client, known, version, expected_champion=None, **WHO)
    assert aliases(client, known)["champion"] == version
    assert reconcile(db, client, known) == []


@pytest.mark.parametrize("meddled", ["1", None])
def test_the_previous_champion_is_put_back(db: Any, client: Any, known: str, meddled: str | None) -> None:
    if meddled:
        client.set_registered_model_alias(known, "previous_champion", meddled)
    else:
        client.delete_registered_model_alias(known, "previous_champion")
    assert kinds(reconcile(db, client, known)) == ["previous_restored"]
    assert aliases(client, known) == {"champion": 3, "previous_champion": 2}


def test_a_previous_champion_that_was_deleted_is_followed_by_the_one_before(
    db: Any, client: Any, known: str
) -> None:
    client.delete_model_version(known, "2")
    assert kinds(reconcile(db, client, known)) == ["previous_restored"]
    assert aliases(client, known) == {"champion": 3, "previous_champion": 1}


def test_challengers_come_and_go_and_it_is_written_down(db: Any, client: Any, model: str) -> None:
    reconcile(db, client, model)
    newer = register_version(client, model, tags={"alias_wanted": "challenger"})
    client.set_registered_model_alias(model, "challenger", str(newer))
    (new,) = reconcile(db, client, model)
    assert (new.kind, new.move.who, new.move.from_version) == ("new_challenger", "training", 3)
    client.delete_model_version(model, str(newer))
    (gone,) = reconcile(db, client, model)
    assert (gone.kind, gone.move.action, gone.move.why) == (
        "challenger_gone",
        "retire",
        "its version was deleted",
    )
    assert books.believed_aliases(db, model) == {"champion": 1}


def test_a_move_that_was_cut_off_and_overtaken_by_hand_is_abandoned(
    db: Any, client: Any, model: str, dying: Any
) -> None:
    with pytest.raises(Killed):
        promote(db, dying(1), model, 3, expected_champion=1, **WHO)
    client.set_registered_model_alias(model, "champion", "2")
    assert kinds(reconcile(db, client, model)) == ["abandoned", "moved_by_hand"]
    abandoned = books.moves(db, model)[1]
    assert abandoned.state == "abandoned"
    assert "has become v2" in abandoned.why
    assert aliases(client, model) == {"champion": 2, "previous_champion": 1, "challenger": 3}


def test_a_move_to_a_version_that_is_gone_is_abandoned_and_leaves_all_as_it_was(
    db: Any, client: Any, model: str, dying: Any
) -> None:
    with pytest.raises(Killed):
        promote(db, dying(1), model, 3, expected_champion=1, **WHO)
    assert aliases(client, model)["previous_champion"] == 1
    client.delete_model_version(model, "3")
    assert kinds(reconcile(db, client, model)) == ["abandoned", "previous_restored", "challenger_gone"]
    assert aliases(client, model) == {"champion": 1}
    assert reconcile(db, client, model) == []


@pytest.mark.parametrize("survived", range(5))
def test_a_repair_that_is_killed_is_repaired(
    db: Any, client: Any, known: str, dying: Any, survived: int
) -> None:
    client.set_registered_model_alias(known, "champion", "1")
    with pytest.raises(Killed):
        reconcile(db, dying(survived), known)
    assert kinds(reconcile(db, client, known)) == ["completed"]
    assert aliases(client, known) == {"champion": 1, "previous_champion": 3}
    assert reconcile(db, client, known) == []
