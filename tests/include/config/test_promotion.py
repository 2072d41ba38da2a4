"""The section about promotions refuses what would promote or wait without end."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from include.config import thresholds
from include.config.promotion import PromotionThresholds


@pytest.mark.parametrize(
    "wrong",
    [
        {"approval_hours": 0},
        {"approval_hours": 200},
        {"automatic": "ctr"},
        {"webhook_tolerance_s": 0},
        {"roll_back_pause_minutes": -1},
        {"unknown": 1},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PromotionThresholds(**{**thresholds().promotion.model_dump(), **wrong})


def test_nobody_is_promoted_without_a_person_by_default() -> None:
    assert thresholds().promotion.automatic == ()
