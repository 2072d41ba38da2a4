"""Messages about who is champion: what they say, where they go, and that each goes once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.alerts.promotion import (
    PromotionEnd,
    PromotionQuestion,
    end_channel,
    end_key,
    end_message,
    is_told,
    move_channel,
    move_key,
    move_message,
    no_champion_key,
    no_champion_message,
    question_key,
    question_message,
)
from include.db.promotion import Action, Decision, Move

NOW = datetime(2026, 1, 22, 9, 0, tzinfo=UTC)
QUESTION = PromotionQuestion(
    promotion_id=7,
    model="ctr",
    candidate=3,
    champion=1,
    summary="Better in 2 of 3 figures.",
    verdict="Challenger <wins>.",
    reason="drift",
    hours=24,
    asked_at=NOW,
    answer_url="http://airflow/answer",
    evidence_url="http://airflow/evidence",
)
END = PromotionEnd(7, "ctr", 3, 1, Decision.REJECTED, "Ana", "too few data", NOW, "http://a/e", "http://a/r")
MOVE = Move(5, "ctr", Action.PROMOTE, 1, 3, 1, "Ana", "better", {}, None, "done", NOW, NOW)


def test_the_question_has_a_button_to_answer_and_one_to_the_evidence() -> None:
    message = question_message(QUESTION)
    shown = json.dumps(message.blocks)
    assert message.text == "Shall ctr v3 become champion? Better in 2 of 3 figures."
    buttons = [
        element for block in message.blocks if block["type"] == "actions" for element in block["elements"]
    ]
    assert [(button["text"]["text"], button["url"]) for button in buttons] == [
        ("Approve or reject", "http://airflow/answer"),
        ("See the evidence", "http://airflow/evidence"),
    ]
    assert "Challenger &lt;wins&gt;." in shown
    assert "within 24 hours" in shown
    assert "*Champion now*\\nctr v1" in shown


def test_a_first_champion_without_experiment_is_asked_about_too() -> None:
    shown = json.dumps(question_message(replace(QUESTION, champion=None, verdict="", reason="")).blocks)
    assert "*Champion now*\\nnone" in shown
    assert "Experiment" not in shown
    assert "Why now" not in shown


@pytest.mark.parametrize(
    ("state", "said", "channel"),
    [
        (Decision.REJECTED, "ctr v3 was rejected: too few data", "slack_reports"),
        (Decision.TIMED_OUT, "Nobody answered whether ctr v3 shall become champion", "slack_alerts"),
        (Decision.REFUSED, "ctr v3 was approved, but not promoted", "slack_alerts"),
    ],
)
def test_each_end_says_what_became_of_it(state: Decision, said: str, channel: str) -> None:
    end = replace(END, state=state)
    assert end_message(end).text.startswith(said)
    assert "http://a/e" in json.dumps(end_message(end).blocks)
    assert end_channel(state) == channel


@pytest.mark.parametrize(
    ("move", "said", "channel"),
    [
        (MOVE, "ctr v3 is champion: ctr v3 is champion now instead of ctr v1.", "slack_reports"),
        (replace(MOVE, action=Action.ROLL_BACK), "ctr was rolled back to v3", "slack_alerts"),
        (
            replace(MOVE, action=Action.BY_HAND),
            "ctr's champion was moved to v3 in MLflow itself",
            "slack_reports",
        ),
        (replace(MOVE, action=Action.REPAIR), "ctr's champion was lost and is v3 now", "slack_alerts"),
        (replace(MOVE, state="abandoned"), "A move of ctr's champion was abandoned", "slack_alerts"),
    ],
)
def test_each_move_says_who_and_why(move: Move, said: str, channel: str) -> None:
    message = move_message(move, {"See the models": "http://a/m"})
    assert message.text.startswith(said)
    assert "*By*\\nAna" in json.dumps(message.blocks)
    assert move_channel(move) == channel
    assert is_told(move)


@pytest.mark.parametrize(
    "move",
    [
        replace(MOVE, action=Action.ADOPT),
        replace(MOVE, action=Action.CHALLENGE),
        replace(MOVE, action=Action.RETIRE),
        replace(MOVE, state="intended"),
    ],
)
def test_what_is_only_seen_or_under_way_is_not_told(move: Move) -> None:
    assert not is_told(move)


def test_no_champion_is_said_with_what_to_do() -> None:
    message = no_champion_message("ctr", "Promote a version.", {})
    assert message.text == "ctr has no champion: Promote a version."
    assert all(block["type"] != "actions" for block in message.blocks)


def test_each_incident_has_a_key_of_its_own() -> None:
    keys = {
        question_key(7, NOW),
        question_key(7, NOW + timedelta(hours=1)),
        question_key(8, NOW),
        *(end_key(replace(END, state=state)) for state in (Decision.REJECTED, Decision.TIMED_OUT)),
        end_key(replace(END, asked_at=NOW + timedelta(hours=1))),
        move_key(MOVE),
        move_key(replace(MOVE, move_id=6)),
        no_champion_key("ctr", 3),
        no_champion_key("ctr", None),
    }
    assert len(keys) == 10
    assert end_key(END) == end_key(replace(END, reason="another"))
