"""Client and loading against the sandbox: the window arrives whole, twice is once, faults are survived."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.config import thresholds
from include.db import ads
from include.meta_ads import loading as module
from include.meta_ads.client import MetaClient
from include.meta_ads.errors import (
    AccountsFailed,
    AccountsUnavailable,
    MetaBusy,
    MetaRequestRefused,
    MetaTokenRefused,
    MetaUnreachable,
)
from include.meta_ads.loading import load_window, summarise, window_to_fetch
from include.simulator import SimulatedWorld, WorldConfig
from include.simulator.loading import load_world

CONFIG = WorldConfig(accounts=3, days=28, start=date(2025, 3, 3))
SINCE, UNTIL = CONFIG.until - timedelta(days=2), CONFIG.until + timedelta(days=1)
INSIGHTS = "GET /v23.0/{account}/insights"


@pytest.fixture
def world(db: Engine) -> SimulatedWorld:
    load_world(db, CONFIG)
    return SimulatedWorld.generate(CONFIG).reaching(UNTIL)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(sandbox: Any, pauses: list[float]) -> Iterator[MetaClient]:
    with MetaClient(
        sandbox.meta_url, sandbox.api_key,
        timeout_s=10, attempts=3, longest_wait_s=5, page_size=7, pause=pauses.append,
    ) as client:  # fmt: skip
        yield client


def fault(sandbox: Any, kind: str, times: int | None = 1, after: int = 0, **args: Any) -> None:
    order = {"vendor": "meta", "route": INSIGHTS, "kind": kind, "times": times, "after": after, "args": args}
    sandbox.client.post("/control/faults", json=order).raise_for_status()


def load(db: Engine, client: MetaClient, accounts: list[str] | None = None) -> Any:
    ids = accounts or [account.account_id for account in ads.accounts(db)]
    return load_window(db, client, ids, SINCE, UNTIL, Decimal("0.01"))


def contents(db: Engine) -> list[tuple]:
    with db.connect() as connection:
        return [
            tuple(connection.execute(text(f"SELECT * FROM ads.{table} ORDER BY 1, 2, 3")).all())
            for table in ("account", "campaign", "creative", "ad", "performance_metric")
        ]


def test_a_window_arrives_as_the_world_knows_it(
    db: Engine, world: SimulatedWorld, client: MetaClient
) -> None:
    loaded = load(db, client)
    stored = ads.read_performance(db, since=SINCE, until=UNTIL)
    daily = world.daily[world.daily["date"] >= str(SINCE)]
    assert loaded.rows == len(stored) == len(daily)
    assert stored["clicks"].sum() == daily["clicks"].sum()
    # The sandbox's clock is long past this world: all conversions have arrived.
    assert stored["conversions"].sum() == daily["conversions"].sum()
    assert loaded.inserted == (daily["date"] == str(UNTIL)).sum()
    assert loaded.mismatches == []


def test_loading_a_window_twice_is_loading_it_once(
    db: Engine, world: SimulatedWorld, client: MetaClient
) -> None:
    load(db, client)
    before = contents(db)
    again = load(db, client)
    assert (again.inserted, again.changed) == (0, 0)
    assert contents(db) == before


def test_the_feed_tells_what_the_simulator_loaded(
    db: Engine, world: SimulatedWorld, client: MetaClient
) -> None:
    account = world.accounts["account_id"][0]
    early = CONFIG.start + timedelta(days=10)
    told = client.insights(account, CONFIG.start, early)
    assert told == list(world.insights(account, CONFIG.start, early, UNTIL))
    listed = {ad["id"]: ad for ad in client.ads(account) if ad["created_time"] <= f"{UNTIL}T24"}
    assert set(listed) == set(world.ads.query("account_id == @account")["ad_id"])
    assert [a["id"] for a in client.ad_accounts()] == world.accounts["account_id"].tolist()


def test_a_new_ad_brings_its_creative_with_its_dna(
    db: Engine, world: SimulatedWorld, client: MetaClient
) -> None:
    with db.begin() as connection:
        connection.execute(text("DELETE FROM ads.ad"))
        connection.execute(text("DELETE FROM ads.creative"))
        connection.execute(text("DELETE FROM ads.campaign"))
    load(db, client)
    rows = ads.read_performance(db)
    assert rows["hook_type"].notna().all()
    with db.connect() as connection:
        dna = connection.execute(text("SELECT dna -> 'hook' ->> 'type' = hook_type FROM ads.creative"))
        assert set(dna.scalars()) == {True}


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("rate_limit", {"retry_after": 2}),
        ("server_error", {"status": 500}),
        ("server_error", {"status": 503}),
        ("drop_response", {}),
        ("truncate", {}),
        ("truncate", {"clean": True}),
    ],
)
def test_a_passing_fault_is_survived(
    db: Engine,
    world: SimulatedWorld,
    client: MetaClient,
    sandbox: Any,
    pauses: list[float],
    kind: str,
    args: dict,
) -> None:
    fault(sandbox, kind, times=2, after=1, **args)
    loaded = load(db, client)
    assert loaded.accounts == 3
    assert pauses == ([2.0, 2.0] if kind == "rate_limit" else [0.5, 1.0])


@pytest.mark.parametrize(
    ("kind", "args", "error"),
    [
        ("rate_limit", {"retry_after": 1}, MetaBusy),
        ("server_error", {"status": 502}, MetaBusy),
        ("drop_response", {}, MetaUnreachable),
    ],
)
def test_a_lasting_fault_ends_after_the_attempts_and_helps_a_later_retry(
    world: SimulatedWorld,
    client: MetaClient,
    sandbox: Any,
    pauses: list[float],
    kind: str,
    args: dict,
    error: type,
) -> None:
    fault(sandbox, kind, times=None, **args)
    with pytest.raises(error):
        client.insights(world.accounts["account_id"][0], SINCE, UNTIL)
    assert len(pauses) == 2


def test_a_long_retry_after_is_left_to_airflow(
    world: SimulatedWorld, client: MetaClient, sandbox: Any, pauses: list[float]
) -> None:
    fault(sandbox, "rate_limit", retry_after=3600)
    with pytest.raises(MetaBusy):
        client.insights(world.accounts["account_id"][0], SINCE, UNTIL)
    assert pauses == []


def test_one_account_that_fails_does_not_keep_the_others_out(
    db: Engine, world: SimulatedWorld, client: MetaClient, sandbox: Any
) -> None:
    fault(sandbox, "server_error", times=3)
    with pytest.raises(AccountsUnavailable, match=r"1 of 3 accounts not loaded .* act_1000700000"):
        load(db, client)
    rows = ads.read_performance(db, since=UNTIL)
    assert set(rows["account_id"]) == {"act_1000700001", "act_1000700002"}


def test_an_account_meta_does_not_know_is_a_lasting_failure(
    db: Engine, world: SimulatedWorld, client: MetaClient
) -> None:
    with pytest.raises(MetaRequestRefused, match="does not exist"):
        client.insights("act_999", SINCE, UNTIL)
    with pytest.raises(AccountsFailed, match="1 of 2 accounts"):
        load(db, client, ["act_999", "act_1000700000"])


def test_a_refused_token_ends_everything_at_once_and_is_not_repeated(
    db: Engine, world: SimulatedWorld, sandbox: Any, pauses: list[float]
) -> None:
    with (
        MetaClient.of_settings(sandbox.meta_url, "a-stolen-token", thresholds().ads) as client,
        pytest.raises(MetaTokenRefused, match="meta_ads_default") as refused,
    ):
        load(db, client)
    assert "a-stolen-token" not in str(refused.value)
    with pytest.raises(MetaTokenRefused, match="no access token"):
        MetaClient.of_settings(sandbox.meta_url, "", thresholds().ads)


def test_nobody_listening_is_a_passing_failure(pauses: list[float]) -> None:
    limits = {"timeout_s": 1, "attempts": 2, "longest_wait_s": 1, "page_size": 5}
    with (
        MetaClient("http://127.0.0.1:1", "key", **limits, pause=pauses.append) as client,
        pytest.raises(MetaUnreachable, match="ConnectError"),
    ):
        list(client.ad_accounts())


@pytest.mark.parametrize(
    ("latest", "since", "missed"),
    [
        (None, "2026-05-28", None),
        (date(2026, 5, 30), "2026-05-28", None),
        (date(2026, 5, 31), "2026-05-28", None),
        (date(2026, 6, 9), "2026-05-28", None),
        (date(2026, 5, 25), "2026-05-23", None),
        (date(2026, 5, 20), "2026-05-18", None),
        (date(2026, 5, 17), "2026-05-18", None),
        (date(2026, 5, 16), "2026-05-18", ("2026-05-17", "2026-05-17")),
        (date(2026, 4, 30), "2026-05-18", ("2026-05-01", "2026-05-17")),
    ],
)
def test_missed_nights_are_made_up_for_up_to_a_number(
    latest: date | None, since: str, missed: tuple[str, str] | None
) -> None:
    window = window_to_fetch(date(2026, 5, 31), latest, restatement_days=3, catch_up_days=10)
    expected = {"since": since, "until": "2026-05-31"}
    if missed:
        expected |= {"missed_since": missed[0], "missed_until": missed[1]}
    assert window == expected


def test_days_that_stay_missing_are_said() -> None:
    window = window_to_fetch(date(2026, 5, 31), date(2026, 4, 30), restatement_days=3, catch_up_days=10)
    counts = {"accounts": 1, "rows": 9, "inserted": 9, "changed": 0, "mismatches": 0, "mismatches_shown": []}
    told = summarise(window, [counts])
    assert told["summary"].endswith("still missing: 2026-05-01 to 2026-05-17, run those days by hand")


def test_the_example_in_the_documentation_holds() -> None:
    assert doctest.testmod(module) == doctest.TestResults(failed=0, attempted=1)


def test_the_summary_says_what_came_and_what_did_not_add_up() -> None:
    window = {"since": "2026-05-01", "until": "2026-05-04"}
    assert summarise(window, [])["summary"] == (
        "no account is fed by an API: nothing to fetch for 2026-05-01 to 2026-05-04"
    )
    counts = {
        "accounts": 2,
        "rows": 9,
        "inserted": 4,
        "changed": 1,
        "mismatches": 1,
        "mismatches_shown": ["X"],
    }
    told = summarise(window, [counts, counts | {"mismatches": 0, "mismatches_shown": []}])
    assert (told["rows"], told["accounts"], told["mismatches"]) == (18, 4, 1)
    assert told["summary"].endswith("8 new, 2 restated; 1 breakdowns do not add up, the first: X")
