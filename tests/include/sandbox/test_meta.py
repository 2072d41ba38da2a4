"""The sandbox's Insights feed speaks as Meta does: pages, tokens, breakdowns, errors, and no future."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.sandbox.meta import meta_router
from include.sandbox.state import SandboxState, VirtualClock
from include.simulator import SimulatedWorld, WorldConfig

KEY = "the-key"
CONFIG = WorldConfig(accounts=4, days=30, start=date(2025, 3, 3))
ACCOUNT = "act_1000700002"


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.generate(CONFIG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("meta")


@pytest.fixture(scope="module")
def feed(world: SimulatedWorld, folder: Path) -> TestClient:
    return _client(world, folder)


def _client(world: SimulatedWorld | None, folder: Path) -> TestClient:
    app, state = FastAPI(), SandboxState(folder / "state.sqlite3")
    app.include_router(meta_router(lambda: world, KEY, state, VirtualClock(state)))
    client = TestClient(app, base_url="http://sandbox/meta/v26.0/")
    client.headers["authorization"] = f"Bearer {KEY}"
    return client


def ask(since: date, until: date, **changes: Any) -> dict[str, Any]:
    window = {"since": since.isoformat(), "until": until.isoformat()}
    return {
        "level": "ad", "time_increment": 1, "time_range": json.dumps(window), "limit": 500,
        "fields": "ad_id,impressions,clicks,spend,actions", **changes,
    }  # fmt: skip


def test_without_a_world_there_are_no_accounts(folder: Path) -> None:
    assert _client(None, folder).get("me/adaccounts").json() == {"data": []}


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}])
def test_any_other_token_is_refused_in_metas_words(
    world: SimulatedWorld, folder: Path, header: dict[str, str]
) -> None:
    client = _client(world, folder)
    del client.headers["authorization"]
    for path in ("me/adaccounts", f"{ACCOUNT}/ads", f"{ACCOUNT}/insights"):
        answer = client.get(path, headers=header)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == 190


def test_pages_hold_every_account_once(feed: TestClient, world: SimulatedWorld) -> None:
    found, params = [], {"limit": 3, "fields": "id,name"}
    while True:
        page = feed.get("me/adaccounts", params=params).json()
        found += [row["id"] for row in page["data"]]
        if "next" not in page["paging"]:
            break
        params = params | {"after": page["paging"]["cursors"]["after"]}
        assert KEY not in page["paging"]["next"]
    assert found == world.accounts["account_id"].tolist()


def test_the_address_of_the_next_page_can_be_followed(feed: TestClient) -> None:
    first = feed.get(f"{ACCOUNT}/ads", params={"limit": 1}).json()
    second = feed.get(first["paging"]["next"]).json()
    assert second["data"][0]["id"] != first["data"][0]["id"]


@pytest.mark.parametrize("breakdown", ["age,gender", "impression_device"])
def test_cells_of_a_breakdown_sum_to_the_rows(feed: TestClient, breakdown: str) -> None:
    window = ask(CONFIG.start, CONFIG.until)
    rows = feed.get(f"{ACCOUNT}/insights", params=window).json()["data"]
    cells = feed.get(f"{ACCOUNT}/insights", params=window | {"breakdowns": breakdown, "limit": 1000}).json()
    assert set(breakdown.split(",")) < set(cells["data"][0])
    first = rows[0]
    of_first = [
        c for c in cells["data"] if (c["ad_id"], c["date_start"]) == (first["ad_id"], first["date_start"])
    ]
    assert sum(int(c["clicks"]) for c in of_first) == int(first["clicks"])


def test_only_the_fields_that_were_asked_for_are_told(feed: TestClient) -> None:
    params = ask(CONFIG.start, CONFIG.start, fields="ad_id,clicks")
    row = feed.get(f"{ACCOUNT}/insights", params=params).json()["data"][0]
    assert set(row) == {"ad_id", "clicks", "date_start", "date_stop"}


def test_attribution_windows_are_told_where_they_are_asked_for(feed: TestClient) -> None:
    def purchases(**changes: Any) -> list[dict[str, str]]:
        answer = feed.get(f"{ACCOUNT}/insights", params=ask(CONFIG.start, CONFIG.until, **changes)).json()
        found = [action for row in answer["data"] for action in row["actions"]]
        return [action for action in found if action["action_type"] == "purchase"]

    plain, told = purchases(), purchases(action_attribution_windows='["7d_click","1d_view"]')
    assert len(plain) == len(told) > 10
    assert {name for action in plain for name in action} == {"action_type", "value"}
    assert {name for action in told for name in action} == {"action_type", "value", "7d_click", "1d_view"}


def test_an_earlier_evening_knows_fewer_conversions_and_no_later_days(feed: TestClient) -> None:
    day = CONFIG.start + timedelta(days=10)

    def known(as_of: date) -> tuple[int, set[str]]:
        params = ask(day, CONFIG.until, as_of=as_of.isoformat())
        rows = feed.get(f"{ACCOUNT}/insights", params=params).json()["data"]
        of_day = [row for row in rows if row["date_start"] == day.isoformat()]
        bought = [a["value"] for row in of_day for a in row["actions"] if a["action_type"] == "omni_purchase"]
        return sum(map(int, bought)), {row["date_start"] for row in rows}

    early, early_days = known(day)
    late, late_days = known(CONFIG.until)
    assert early < late
    assert early_days == {day.isoformat()}
    assert max(late_days) == CONFIG.until.isoformat()


def test_the_world_is_lived_on_when_later_days_are_asked_for(feed: TestClient, world: SimulatedWorld) -> None:
    later = CONFIG.until + timedelta(days=40)
    rows = feed.get(f"{ACCOUNT}/insights", params=ask(later, later)).json()["data"]
    expected = [row["clicks"] for row in world.reaching(later).insights(ACCOUNT, later, later, later)]
    assert [row["clicks"] for row in rows] == expected
    assert expected


@pytest.mark.parametrize(
    ("account", "changes", "code"),
    [
        ("act_1", {}, 100),
        (ACCOUNT, {"time_range": "yesterday"}, 100),
        (ACCOUNT, {"time_range": '{"since":"2025-03-09","until":"2025-03-03"}'}, 100),
        (ACCOUNT, {"breakdowns": "platform_position"}, 100),
        (ACCOUNT, {"level": "campaign"}, 100),
        (ACCOUNT, {"after": "!"}, 100),
        (ACCOUNT, {"as_of": "soon"}, 100),
        (
            ACCOUNT,
            {"time_range": '{"since":"2025-03-09","until":"2099-03-03"}', "as_of": "2099-03-03"},
            3018,
        ),
    ],
)
def test_a_request_meta_would_refuse_is_refused(
    feed: TestClient, account: str, changes: dict[str, str], code: int
) -> None:
    answer = feed.get(f"{account}/insights", params=ask(CONFIG.start, CONFIG.until) | changes)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
