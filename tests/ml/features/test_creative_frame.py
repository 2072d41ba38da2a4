"""Creatives as they are stored become columns: what was measured comes first, nonsense is unknown."""

from __future__ import annotations

import json
import math

from ml.features.creative_definitions import CREATIVE_FEATURES
from ml.features.creative_frame import describe_creatives


def a_row(**changes):
    return {"account_id": "a1", "creative_id": "c1", "dna": None, "measured": None, **changes}


def described(**changes):
    return describe_creatives([a_row(**changes)]).row(0, named=True)


def test_what_was_measured_counts_before_the_dna_and_the_dna_where_nothing_was():
    dna = {"pacing": {"cuts_per_second": 0.5}, "visual": {"motion": 0.4, "colours": "warm"}}
    told = described(dna=dna)
    assert told["motion"] is None
    assert (told["pacing"], told["planned_motion"], told["colours"]) == (30.0, 0.4, "warm")
    assert told["is_analysed"] is False
    told = described(dna=json.dumps(dna), measured=json.dumps({"cuts_per_minute": 12, "motion": None}))
    assert (told["pacing"], told["motion"], told["planned_motion"]) == (12.0, None, 0.4)
    assert told["is_analysed"] is True


def test_columns_of_the_creative_are_taken_as_they_are():
    told = described(hook_type="question", duration_s=21.5, visual_tags=["face", "box", "face"])
    assert (told["hook_type"], told["duration_s"], told["tag"]) == ("question", 21.5, ["box", "face"])


def test_a_value_of_another_kind_is_unknown():
    for dna in ("null", "[]", "3", None, {"visual": "none"}, {"visual": {"motion": "much", "colours": 3}}):
        told = described(dna=dna, hook_type="", duration_s=math.nan)
        assert {told[name] for name in ("planned_motion", "colours", "hook_type", "duration_s", "tag")} == {
            None
        }
    assert described(measured={"motion": True, "brightness": math.inf})["motion"] is None


def test_no_creatives_have_the_same_columns():
    frame = describe_creatives([])
    assert len(frame) == 0
    assert set(frame.columns) == {
        "account_id",
        "creative_id",
        "is_analysed",
        *(each.name for each in CREATIVE_FEATURES),
    }
