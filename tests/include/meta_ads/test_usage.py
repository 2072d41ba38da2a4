"""Meta's usage headers, and the pauses that follow from them."""

from __future__ import annotations

import json

import pytest

from include.meta_ads.usage import Pace, Usage, read_usage


def test_every_header_counts_and_the_fullest_share_wins() -> None:
    case = {"call_count": 12, "total_cputime": 81, "total_time": 30, "estimated_time_to_regain_access": 4}
    headers = {
        "X-App-Usage": json.dumps({"call_count": 28, "total_time": 25, "total_cputime": 31}),
        "X-Business-Use-Case-Usage": json.dumps({"1": [case, {"call_count": 5}]}),
        "X-FB-Ads-Insights-Throttle": json.dumps({"app_id_util_pct": 9.67, "acc_id_util_pct": 40}),
        "X-Ad-Account-Usage": json.dumps({"acc_id_util_pct": 55.5}),
    }
    assert read_usage(headers) == Usage(app=31, account=81, closed_s=240)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-app-usage": "not JSON"},
        {"x-app-usage": "[1]", "x-business-use-case-usage": '{"1": 7}'},
        {"x-app-usage": '{"call_count": "many"}', "x-fb-ads-insights-throttle": '{"acc_id_util_pct": null}'},
    ],
)
def test_what_cannot_be_read_counts_as_nothing_used(headers: dict[str, str]) -> None:
    assert read_usage(headers) == Usage()


def test_pauses_grow_from_the_threshold_to_the_limit() -> None:
    pace = Pace(slow_percent=80, longest_pause_s=20, now=lambda: 0.0)
    pauses = []
    for used in (0, 80, 90, 100, 130):
        pace.note("act_1", Usage(account=used))
        pauses.append(pace.pause_s("act_1"))
    assert pauses == [0, 0, 10, 20, 20]
    assert pace.pause_s("act_2") == 0


def test_the_app_slows_every_account_down() -> None:
    pace = Pace(slow_percent=50, longest_pause_s=10, now=lambda: 0.0)
    pace.note("act_1", Usage(app=75))
    assert pace.pause_s("act_2") == 5


def test_an_account_is_closed_for_as_long_as_meta_said() -> None:
    seconds = [0.0]
    pace = Pace(slow_percent=50, longest_pause_s=10, now=lambda: seconds[0])
    pace.note("act_1", Usage(closed_s=120))
    assert (pace.closed_s("act_1"), pace.closed_s("act_2")) == (120, 0)
    seconds[0] = 100
    assert pace.closed_s("act_1") == 20
    seconds[0] = 300
    assert pace.closed_s("act_1") == 0
