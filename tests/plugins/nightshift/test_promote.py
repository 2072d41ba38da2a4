"""What a run of promote_model is about, and who is asked."""

from __future__ import annotations

import pytest

from include.config import thresholds
from nightshift.errors import PromotionRequestInvalid
from nightshift.promote import next_tasks, plan_promotion

BY_HAND = {"day": None, "model": "ctr", "version": 4, "reason": None}


def wanted(model: str, version: int | None = None, **more: object) -> dict[str, object]:
    return {"model": model, "version": version, "reason": "", "verdict": None, **more}


def test_a_run_by_hand_is_about_what_the_form_says() -> None:
    assert plan_promotion(BY_HAND, []) == {
        "model": "ctr",
        "version": 4,
        "reason": None,
        "verdict": None,
        "later": [],
    }


def test_a_run_that_an_event_started_is_about_the_event() -> None:
    event = {"model": "visual", "reason": "won", "verdict": {"decision": "promote"}, "unknown": 1}
    assert plan_promotion(BY_HAND, [event]) == {
        **wanted("visual", reason="won", verdict={"decision": "promote"}),
        "later": [],
    }


def test_of_several_events_for_a_model_the_newest_counts_and_other_models_are_put_off() -> None:
    events = [wanted("ctr", 1), {"wanted": [wanted("visual", 2), wanted("ctr", 3)]}, wanted("value", 4)]
    assert plan_promotion(BY_HAND, events) == {
        **wanted("ctr", 3),
        "later": [wanted("visual", 2), wanted("value", 4)],
    }


@pytest.mark.parametrize(
    "event",
    [
        None,
        "ctr",
        {},
        {"model": ""},
        {"model": "a b"},
        {"model": "ctr", "version": "3"},
        {"model": "ctr", "version": True},
        {"model": "ctr", "verdict": "promote"},
        {"wanted": "ctr"},
        {"wanted": [None]},
    ],
)
def test_an_event_nobody_understands_is_refused(event: object) -> None:
    with pytest.raises(PromotionRequestInvalid, match="needs a"):
        plan_promotion(BY_HAND, [event])


def test_a_person_is_asked_unless_the_configuration_says_otherwise() -> None:
    assert next_tasks({"automatic": False, "later": []}) == ["ask_a_person"]
    assert next_tasks({"automatic": True, "later": [wanted("ctr")]}) == ["promote_automatically", "put_off"]


def test_automatic_promotion_is_allowed_by_model_or_family_and_to_nobody_by_default() -> None:
    limits = thresholds().promotion
    assert not limits.is_automatic("ctr")
    some = limits.model_copy(update={"automatic": ("ctr", "visual_act_1")})
    named = ("ctr", "ctr_act_1", "visual_act_1", "visual", "ctrl")
    assert [some.is_automatic(model) for model in named] == [True, True, True, False, False]
