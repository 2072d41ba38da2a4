"""Client and loading against the sandbox: the window arrives whole, twice is once, faults are survived."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.config import thresholds
from include.db import ads
from include.meta_ads.client import MetaClient
from include.meta_ads.errors import (
    AccountsFailed,
    AccountsUnavailable,
    MetaBusy,
    MetaRequestRefused,
    MetaTokenRefused,
    MetaUnreachable,
)
from include.meta_ads.loading import load_window
from include.meta_ads.queries import Query
from include.meta_ads.rows import nest
from include.simulator import SimulatedWorld, WorldConfig
from include.simulator.loading import load_world

CONFIG = WorldConfig(accounts=3, days=28, start=date(2025, 3, 3))
SINCE, UNTIL = CONFIG.until - timedelta(days=2), CONFIG.until + timedelta(days=1)
SETTINGS = thresholds().ads.model_copy(
    update={"http_timeout_s": 10, "http_attempts": 3, "http_longest_wait_s": 5, "page_size": 7}
)
INSIGHTS = "GET /v26.0/{account}/insights"


@pytest.fixture
def world(db: Engine) -> SimulatedWorld:
    load_world(db, CONFIG)
    return SimulatedWorld.generate(CONFIG).reaching(UNTIL)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(sandbox: Any, pauses: list[float]) -> Iterator[MetaClient]:
    with MetaClient.of_settings(sandbox.meta_url, sandbox.api_key, SETTINGS, pauses.append) as client:
        yield client


def fault(sandbox: Any, kind: str, times: int | None = 1, after: int = 0, **args: Any) -> None:
    order = {"vendor": "meta", "route": INSIGHTS, "kind": kind, "times": times, "after": after, "args": args}
    sandbox.client.post("/control/faults", json=order).raise_for_status()


def load(
    db: Engine, client: MetaClient, accounts: list[str] | None = None, run_key: str | None = None
) -> Any:
    ids = accounts or [account.account_id for account in ads.accounts(db)]
    return load_window(db, client, ids, SINCE, UNTIL, SETTINGS, run_key=run_key or uuid.uuid4().hex)


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
    cells = {name: client.insights(Query(account, CONFIG.start, early, name)) for name in SETTINGS.breakdowns}
    told, strays = nest(client.insights(Query(account, CONFIG.start, early)), cells)
    assert strays == 0
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
        client.insights(Query(world.accounts["account_id"][0], SINCE, UNTIL))
    assert len(pauses) == 2


def test_a_long_retry_after_is_left_to_airflow(
    world: SimulatedWorld, client: MetaClient, sandbox: Any, pauses: list[float]
) -> None:
    fault(sandbox, "rate_limit", retry_after=3600)
    with pytest.raises(MetaBusy):
        client.insights(Query(world.accounts["account_id"][0], SINCE, UNTIL))
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
        client.insights(Query("act_999", SINCE, UNTIL))
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
    with (
        MetaClient.of_settings("http://127.0.0.1:1", "key", SETTINGS, pauses.append) as client,
        pytest.raises(MetaUnreachable, match="ConnectionError"),
    ):
        list(client.ad_accounts())
