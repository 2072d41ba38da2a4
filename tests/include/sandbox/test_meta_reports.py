"""Report runs, allowances and Meta's own kinds of trouble, as Meta's SDK meets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from include.sandbox.server import SandboxServer
from include.simulator import SimulatedWorld, WorldConfig

from .conftest import KEY, advance, order_fault

CONFIG = WorldConfig(accounts=2, days=30, start=date(2025, 3, 3))
ACCOUNT = "act_1000700001"
WEEK = {"since": CONFIG.start.isoformat(), "until": (CONFIG.start + timedelta(days=6)).isoformat()}
BASE = "/meta/v26.0"


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.generate(CONFIG)


@pytest.fixture(scope="module")
def _meta_server(tmp_path_factory: pytest.TempPathFactory, world: SimulatedWorld) -> Iterator[SandboxServer]:
    with SandboxServer(tmp_path_factory.mktemp("meta"), KEY, world_provider=lambda: world) as server:
        yield server


@pytest.fixture
def sandbox(_meta_server: SandboxServer) -> SandboxServer:
    _meta_server.reset()
    return _meta_server


def question(**changes: Any) -> dict[str, Any]:
    asked = {
        "level": "ad", "time_increment": "1", "time_range": json.dumps(WEEK),
        "fields": json.dumps(["ad_id", "impressions", "clicks", "spend", "actions"]),
    }  # fmt: skip
    return asked | changes


def start(sandbox: SandboxServer, **changes: Any) -> str:
    answer = sandbox.client.post(f"{BASE}/{ACCOUNT}/insights", data=question(**changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["report_run_id"])


def look(sandbox: SandboxServer, report_run_id: str) -> tuple[str, int]:
    told = sandbox.client.get(f"{BASE}/{report_run_id}/").raise_for_status().json()
    return told["async_status"], told["async_percent_completion"]


def rows(sandbox: SandboxServer, node: str, **params: Any) -> list[dict[str, Any]]:
    return sandbox.client.get(f"{BASE}/{node}/insights", params={"limit": 1000, **params}).json()["data"]


def refused(answer: httpx.Response) -> tuple[int, int | None]:
    error = answer.json()["error"]
    return error["code"], error.get("error_subcode")


def test_a_report_gets_on_with_the_clock_and_then_has_what_the_question_has_at_once(
    sandbox: SandboxServer,
) -> None:
    asked = {"breakdowns": json.dumps(["age", "gender"])}
    run = start(sandbox, **asked)
    assert look(sandbox, run)[1] < 100
    early = sandbox.client.get(f"{BASE}/{run}/insights")
    assert (early.status_code, refused(early)[0]) == (400, 2601)
    advance(sandbox, 60)
    assert look(sandbox, run) == ("Job Completed", 100)
    told = rows(sandbox, run)
    assert told == rows(sandbox, ACCOUNT, **question(**asked))
    assert any(cell.get("actions") for cell in told)


def test_a_report_survives_a_restart_of_the_sandbox(sandbox: SandboxServer) -> None:
    run = start(sandbox)
    advance(sandbox, 60)
    before = rows(sandbox, run)
    sandbox.restart()
    assert rows(sandbox, run) == before != []


@pytest.mark.parametrize(
    ("how", "status", "percent"),
    [("failed", "Job Failed", 100), ("skipped", "Job Skipped", 100), ("stuck", "Job Running", 40)],
)
def test_a_report_can_end_badly_or_never(sandbox: SandboxServer, how: str, status: str, percent: int) -> None:
    order_fault(sandbox, "meta", "report_ends", args={"how": how})
    bad, good = start(sandbox), start(sandbox)
    advance(sandbox, 3600)
    assert look(sandbox, bad) == (status, percent)
    assert refused(sandbox.client.get(f"{BASE}/{bad}/insights"))[0] == 2601
    assert look(sandbox, good) == ("Job Completed", 100)


def test_an_unknown_report_does_not_exist(sandbox: SandboxServer) -> None:
    for path in (f"{BASE}/123", f"{BASE}/123/insights"):
        assert refused(sandbox.client.get(path))[0] == 100


def test_usage_rises_with_calls_until_they_are_refused_and_drains_with_the_clock(
    sandbox: SandboxServer,
) -> None:
    order_fault(sandbox, "meta", "low_quota", times=None, args={"calls_per_hour": 5})
    answers = [sandbox.client.get(f"{BASE}/{ACCOUNT}/insights", params=question()) for _ in range(6)]
    used = [json.loads(a.headers["x-fb-ads-insights-throttle"])["acc_id_util_pct"] for a in answers]
    assert used == [20, 40, 60, 80, 100, 100]
    assert [a.status_code for a in answers] == [200] * 5 + [400]
    assert refused(answers[-1]) == (80000, 2446079)
    (case,) = json.loads(answers[-1].headers["x-business-use-case-usage"])[ACCOUNT[4:]]
    assert case["estimated_time_to_regain_access"] == 6
    other = sandbox.client.get(f"{BASE}/act_1000700000/insights", params=question())
    assert other.status_code == 200
    advance(sandbox, 3600)
    assert sandbox.client.get(f"{BASE}/{ACCOUNT}/insights", params=question()).status_code == 200


def test_too_much_data_is_refused_by_days_and_by_the_way_it_is_asked(sandbox: SandboxServer) -> None:
    order_fault(sandbox, "meta", "too_much_data", times=None, args={"days": 3, "at_once": True})
    at_once = sandbox.client.get(f"{BASE}/{ACCOUNT}/insights", params=question())
    assert refused(at_once) == (100, 1487534)
    start(sandbox)
    order_fault(sandbox, "meta", "too_much_data", times=None, args={"days": 3})
    sandbox.client.delete("/control/faults")
    order_fault(sandbox, "meta", "too_much_data", times=None, args={"days": 3})
    report = sandbox.client.post(f"{BASE}/{ACCOUNT}/insights", data=question())
    assert refused(report) == (100, 1487534)
    short = json.dumps({"since": WEEK["since"], "until": WEEK["since"]})
    start(sandbox, time_range=short)


def test_a_token_can_expire_in_the_middle(sandbox: SandboxServer) -> None:
    order_fault(sandbox, "meta", "token_expired", after=1, times=1)
    codes = [sandbox.client.get(f"{BASE}/me/adaccounts").status_code for _ in range(3)]
    assert codes == [200, 401, 200]


def test_hidden_cells_are_the_same_however_they_are_asked_for(sandbox: SandboxServer) -> None:
    asked = question(breakdowns="age,gender")
    whole = rows(sandbox, ACCOUNT, **asked)
    totals = rows(sandbox, ACCOUNT, **question())
    order_fault(sandbox, "meta", "hidden_cells", times=None)
    seen = rows(sandbox, ACCOUNT, **asked)
    assert seen == rows(sandbox, ACCOUNT, **asked)
    assert 0.6 < len(seen) / len(whole) < 0.73
    assert rows(sandbox, ACCOUNT, **question()) == totals


def test_a_page_can_repeat_the_last_row_of_the_one_before(sandbox: SandboxServer) -> None:
    order_fault(sandbox, "meta", "repeated_row", times=None)
    first = sandbox.client.get(f"{BASE}/{ACCOUNT}/insights", params=question(limit=2)).json()
    after = first["paging"]["cursors"]["after"]
    second = sandbox.client.get(f"{BASE}/{ACCOUNT}/insights", params=question(limit=2, after=after)).json()
    assert second["data"][0] == first["data"][-1]
    assert len(second["data"]) == 3


def test_deleted_ads_leave_the_list_and_keep_their_past(sandbox: SandboxServer) -> None:
    def listed() -> set[str]:
        answer = sandbox.client.get(f"{BASE}/{ACCOUNT}/ads", params={"limit": 1000})
        return {ad["id"] for ad in answer.json()["data"]}

    before, past = listed(), rows(sandbox, ACCOUNT, **question())
    order_fault(sandbox, "meta", "deleted_ads", times=None)
    assert listed() < before
    assert rows(sandbox, ACCOUNT, **question()) == past


def test_what_only_meta_can_suffer_is_refused_for_others(sandbox: SandboxServer) -> None:
    order = {"vendor": "openai", "kind": "hidden_cells"}
    answer = sandbox.client.post("/control/faults", json=order)
    assert answer.status_code == 422
    assert "'meta' alone can suffer this" in answer.json()["detail"]
