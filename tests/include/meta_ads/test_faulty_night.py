"""A night on which everything goes wrong ends as a quiet one, and asks hardly more than it must."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.config import thresholds
from include.config.ads import AdsThresholds
from include.db import ads, make_engine
from include.meta_ads.client import MetaClient
from include.meta_ads.errors import AccountsUnavailable, MetaTokenRefused
from include.meta_ads.loading import WindowLoad, finish_window, load_window
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.include.meta_ads.pretended import Waiting, order

CONFIG = WorldConfig(accounts=4, days=28, start=date(2025, 3, 3))
SINCE, UNTIL = CONFIG.until - timedelta(days=6), CONFIG.until + timedelta(days=1)
GET, POST = "GET /v26.0/*/insights", "POST /v26.0/*/insights"
LOOK = "GET /v26.0/*"


def settings(**changes: Any) -> AdsThresholds:
    """Everything is asked for as a report, looked at every half second."""
    usual = thresholds().ads
    reports = {"from_days": 1, "from_rows": 1, "poll_s": 2.0, "stuck_s": 30, "attempts": 2}
    return usual.model_copy(
        update={
            "page_size": 200,
            "http_timeout_s": 5,
            "reports": usual.reports.model_copy(update=reports),
            **changes,
        }
    )


@pytest.fixture
def clock(sandbox: Any) -> Waiting:
    return Waiting(sandbox)


@pytest.fixture
def account_ids(db: Engine) -> list[str]:
    load_world(db, CONFIG)
    return [account.account_id for account in ads.accounts(db)]


def contents(db: Engine) -> list[Any]:
    queries = (
        "SELECT account_id, ad_id, metric_date, breakdown, impressions, clicks, spend, conversions, "
        "conversion_value, raw_data::text FROM ads.performance_metric ORDER BY 1, 2, 3, 4",
        "SELECT * FROM ads.ad ORDER BY 1, 2",
        "SELECT account_id, creative_id, dna::text FROM ads.creative ORDER BY 1, 2",
        "SELECT account_id, since, until, rows, spend, unallocated::text FROM ads.insight_load ORDER BY 1, 2",
    )
    with db.connect() as connection:
        return [connection.execute(text(query)).all() for query in queries]


def start_over(db: Engine) -> None:
    with db.begin() as connection:
        connection.execute(text("TRUNCATE ads.insight_load, ads.performance_metric"))


def load(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str], run_key: str, **changes: Any
) -> tuple[WindowLoad, int]:
    """What one try of the task does, and how many requests it made."""
    limits = settings(**changes)
    with MetaClient.of_settings(sandbox.meta_url, sandbox.api_key, limits, clock.pause) as client:
        done = load_window(
            db, client, account_ids, SINCE, UNTIL, limits, run_key=run_key, pause=clock.pause, now=clock.now
        )
        finish_window(db, account_ids, SINCE, UNTIL, run_key=run_key)
        return done, client.requests_made


@pytest.fixture
def quiet(db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str]) -> tuple[list[Any], int]:
    """What a night without faults stores, and the requests it needs; the tables are emptied again."""
    start_over(db)
    _, requests = load(db, sandbox, clock, account_ids, "quiet")
    found = contents(db)
    assert requests == floor(db, len(account_ids))
    start_over(db)
    return found, requests


def floor(db: Engine, accounts: int) -> int:
    """The fewest requests that fetch what is stored: a report started, one look at it, and its pages, for the
    totals and each breakdown of each account; and the list of each account's ads.
    """
    limits = settings()
    query = text("""
        SELECT count(*) FROM ads.performance_metric
        WHERE metric_date BETWEEN :since AND :until GROUP BY account_id
        UNION ALL
        SELECT sum(jsonb_array_length(cube.value)) FROM ads.performance_metric
        CROSS JOIN LATERAL jsonb_each(raw_data -> 'breakdowns') AS cube
        WHERE metric_date BETWEEN :since AND :until GROUP BY account_id, cube.key
    """)
    with db.connect() as connection:
        sizes = connection.execute(query, {"since": SINCE, "until": UNTIL}).scalars().all()
    assert len(sizes) == accounts * (1 + len(limits.breakdowns))
    return accounts + sum(2 + math.ceil(size / limits.page_size) for size in sizes)


def fired(sandbox: Any) -> dict[str, int]:
    faults = sandbox.client.get("/control/faults").json()["faults"]
    return {f"{fault['kind']} {fault['args']}": fault["fired"] for fault in faults}


def test_a_night_of_faults_ends_as_a_quiet_one_with_hardly_more_requests(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str], quiet: tuple[list[Any], int]
) -> None:
    expected, least = quiet
    order(sandbox, "rate_limit", GET, times=2, after=4, retry_after=2)
    order(sandbox, "server_error", LOOK, after=6, status=500)
    order(sandbox, "server_error", GET, after=11, status=503)
    order(sandbox, "drop_response", POST, after=3)
    order(sandbox, "truncate", GET, after=17)
    order(sandbox, "truncate", GET, after=20, clean=True)
    order(sandbox, "delay", GET, after=24, seconds=6)
    order(sandbox, "report_ends", POST, after=7, how="failed")
    order(sandbox, "report_ends", POST, after=12, how="skipped")
    order(sandbox, "report_ends", POST, after=15, how="stuck")
    order(sandbox, "repeated_row", GET, times=None)
    loaded, requests = load(db, sandbox, clock, account_ids, "faulty")
    assert loaded.accounts == len(account_ids)
    assert contents(db) == expected
    told = fired(sandbox)
    assert all(told.values()), told
    # An answer that did not come has to be asked for again. A report that ended badly has to be made again
    # and looked at once more; one that stands still can only be told by two looks, the first and a late one.
    lost = sum(n for kind, n in told.items() if not kind.startswith(("repeated_row", "report_ends")))
    least += lost + 2 * 2 + 1 * 3
    assert requests <= 1.2 * least


def test_a_token_that_expires_in_the_middle_loses_nothing_that_was_stored(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str], quiet: tuple[list[Any], int]
) -> None:
    expected, least = quiet
    order(sandbox, "token_expired", after=least // 2, times=1)
    before = served(sandbox)
    with pytest.raises(MetaTokenRefused, match="Session has expired"):
        load(db, sandbox, clock, account_ids, "expired")
    first = served(sandbox) - before
    with db.connect() as connection:
        stored = connection.execute(text("SELECT count(*) FROM ads.insight_load WHERE open")).scalar_one()
    assert 0 < stored < len(account_ids)
    loaded, second = load(db, sandbox, clock, account_ids, "expired")
    assert contents(db) == expected
    assert loaded.accounts == len(account_ids)
    assert first == least // 2 + 1
    # What was stored is not asked for again; what was under way is, once: at most ten reports.
    assert second < least
    assert first + second <= 1.2 * least + settings().reports.in_flight * 3


def test_a_killed_task_is_taken_up_where_it_stopped(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str], quiet: tuple[list[Any], int]
) -> None:
    expected, least = quiet
    context = multiprocessing.get_context("spawn")
    url = db.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    limits = settings(reports=thresholds().ads.reports)
    victim = context.Process(target=_load_slowly, args=(url, sandbox.meta_url, sandbox.api_key, account_ids))
    order(sandbox, "delay", GET, times=None, after=12, seconds=0.4)
    victim.start()
    deadline = time.monotonic() + 60
    while not (stored := _open_loads(db)):
        assert time.monotonic() < deadline, "the task stored nothing in a minute"
        time.sleep(0.05)
    os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join(10)
    assert victim.exitcode == -signal.SIGKILL
    sandbox.client.delete("/control/faults").raise_for_status()
    assert stored < len(account_ids)
    with MetaClient.of_settings(sandbox.meta_url, sandbox.api_key, limits) as client:
        load_window(db, client, account_ids, SINCE, UNTIL, limits, run_key="killed")
        again = client.requests_made
    assert contents(db) == expected
    assert again < least


def test_a_backfill_goes_on_after_the_slices_it_has(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str], quiet: tuple[list[Any], int]
) -> None:
    def run(run_key: str) -> None:
        for since, until in slices:
            limits = settings()
            with MetaClient.of_settings(sandbox.meta_url, sandbox.api_key, limits, clock.pause) as client:
                load_window(
                    db, client, account_ids, since, until, limits,
                    run_key=run_key, pause=clock.pause, now=clock.now,
                )  # fmt: skip

    slices = [
        (CONFIG.start + timedelta(days=7 * week), CONFIG.start + timedelta(days=7 * week + 6))
        for week in range(4)
    ]
    run("whole")
    expected = contents(db)
    begun = served(sandbox)
    start_over(db)
    run("again")
    whole = served(sandbox) - begun
    start_over(db)
    order(sandbox, "server_error", after=whole // 2, times=4)
    begun = served(sandbox)
    with pytest.raises(AccountsUnavailable):
        run("interrupted")
    run("interrupted")
    assert contents(db) == expected
    # Four lost answers, and the account they were about once more.
    assert served(sandbox) - begun <= 1.2 * whole


def test_calls_slow_down_before_meta_refuses_them(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str]
) -> None:
    order(sandbox, "low_quota", times=None, calls_per_hour=200)
    loaded, requests = load(db, sandbox, clock, account_ids[:1], "paced", page_size=4)
    assert loaded.accounts == 1
    assert requests > 200
    heedless = thresholds().ads.usage.model_copy(update={"slow_percent": 99.9, "longest_pause_s": 0.001})
    with pytest.raises(AccountsUnavailable, match="too many calls"):
        load(db, sandbox, clock, account_ids[1:2], "heedless", page_size=4, usage=heedless)


def test_used_up_calls_end_the_night_with_the_time_to_go_on_and_are_not_insisted_on(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str]
) -> None:
    order(sandbox, "low_quota", times=None, calls_per_hour=10)
    with pytest.raises(AccountsUnavailable, match=r"4 of 4 accounts .* it can go on at \d\d:\d\d UTC"):
        load(db, sandbox, clock, account_ids, "used up")
    # Ten answers and one refusal for each account, and a few that an hour's pauses brought back.
    assert served(sandbox) <= 4 * 13


def test_only_what_meta_restated_is_written_again(
    db: Engine, sandbox: Any, clock: Waiting, account_ids: list[str]
) -> None:
    start_over(db)
    load(db, sandbox, clock, account_ids, "first")
    with db.begin() as connection:
        restated = connection.execute(
            text("""
                UPDATE ads.performance_metric SET fetched_at = '2020-01-01', conversions = conversions + 1
                WHERE ad_id IN (SELECT ad_id FROM ads.performance_metric ORDER BY ad_id LIMIT 1)
            """)
        ).rowcount
        connection.execute(
            text(
                "UPDATE ads.performance_metric SET fetched_at = '2020-01-02' WHERE fetched_at > '2020-01-01'"
            )
        )
    again, _ = load(db, sandbox, clock, account_ids, uuid.uuid4().hex)
    assert (again.inserted, again.changed) == (0, restated)
    with db.connect() as connection:
        query = text("SELECT count(*) FROM ads.performance_metric WHERE fetched_at > '2020-01-02'")
        assert connection.execute(query).scalar_one() == restated


def served(sandbox: Any) -> int:
    return sum(sandbox.client.get("/control/state").json()["requests"]["meta"].values())


def _open_loads(db: Engine) -> int:
    with db.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM ads.insight_load")).scalar_one())


def _load_slowly(url: str, meta_url: str, key: str, account_ids: list[str]) -> None:
    """The task that is killed: it runs in a process of its own."""
    limits = thresholds().ads
    pause: Callable[[float], object] = time.sleep
    with MetaClient.of_settings(meta_url, key, limits, pause) as client:
        load_window(make_engine(url), client, account_ids, SINCE, UNTIL, limits, run_key="killed")
