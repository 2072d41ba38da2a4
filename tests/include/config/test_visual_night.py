"""A template of addresses that would give all creatives one video, or none, is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.config import ConfigInvalid, thresholds


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("s3://ads/{account_id}.mp4", "must name creative_id"),
        ("s3://ads/{creative}.mp4", "may only name account_id and creative_id"),
        ("s3://ads/{creative_id", "may only name"),
    ],
)
def test_a_template_must_name_the_creative(
    reconfigured: Callable[[Any], None], template: str, reason: str
) -> None:
    reconfigured(lambda values: values["visual_night"].update(uri_template=template))
    with pytest.raises(ConfigInvalid, match=reason):
        thresholds()


def test_a_template_that_does_is_taken(reconfigured: Callable[[Any], None]) -> None:
    template = "s3://ads/{account_id}/{creative_id}.mp4"
    reconfigured(lambda values: values["visual_night"].update(uri_template=template))

    assert thresholds().visual_night.uri_template == template
