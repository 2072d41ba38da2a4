"""Whatever goes wrong on the way, the tables end up as if nothing had, and for few requests more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.crm.errors import CrmBusy, CrmDailyLimit, CrmTokenRefused
from include.db import crm_sync
from tests.include.crm.portal import Nights, Portal, least_for_everything, tables

LIST, SEARCH = "GET /crm/v3/objects/deals", "POST /crm/v3/objects/deals/search"
BATCH = "POST /crm/v3/objects/*/batch/read"
LINKS = "POST /crm/v4/associations/*/*/batch/read"

# Reads deals in a process of its own, which a test can kill.
CHILD = """
import sys
from sqlalchemy import make_url
from include.config import thresholds
from include.config.crm import CrmThresholds
from include.crm.client import HubSpotClient
from include.crm.deals import load_deals
from include.db import make_engine

database, host, token, settings = sys.argv[1:]
settings = CrmThresholds.model_validate_json(settings)
with HubSpotClient(host, token, settings) as client:
    load_deals(make_engine(database), client, settings)
"""


def test_a_first_night_makes_no_more_requests_than_there_are_pages(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=480)
    portal.settle()
    done = nights.run()
    assert done["requests"] == portal.requests() == least_for_everything(nights, 480, 480, 240)


def test_faults_kills_and_changes_leave_no_trace(nights: Nights, undisturbed: Nights, portal: Portal) -> None:
    """429 with and without Retry-After, 5xx, a time-out, lost and half answers, an expired token, a kill."""
    portal.control("seed", count=960)
    portal.settle()
    undisturbed.run()
    least = least_for_everything(nights, 960, 960, 480)

    before = portal.requests()
    nights.directory()
    kill_in_the_middle(nights, portal, after=12)
    for kind, route, after, more in (
        ("rate_limit", LIST, 1, {"retry_after": 3}),
        ("rate_limit", LINKS, 2, {"retry_after": 0}),
        ("server_error", LIST, 3, {"status": 502}),
        ("server_error", BATCH, 4, {"status": 503}),
        ("drop_response", LIST, 5, {}),
        ("truncate", LINKS, 6, {"clean": True}),
        ("truncate", BATCH, 7, {}),
        ("token_expired", LIST, 9, {}),
        ("token_expired", BATCH, 9, {}),
    ):
        portal.fault(kind, route, after=after, **more)
    refusals = 0
    while True:
        try:
            nights.deals()
            nights.linked()
            break
        except CrmTokenRefused:
            refusals += 1
    assert refusals == 2
    portal.clear_faults()
    report = nights.run()
    assert report["complete"]
    # The closing night looks for changes, of which there are none.
    closing = report["requests"]
    assert portal.requests() - before - closing <= 1.2 * least
    assert tables(nights.engine) == tables(undisturbed.engine)


def test_a_portal_that_changes_while_runs_are_stopped_is_read_right(
    nights: Nights, undisturbed: Nights, portal: Portal
) -> None:
    portal.control("seed", count=300)
    portal.settle()
    nights.run()
    undisturbed.run()
    portal.control("work", share=0.4)
    portal.control("merge", winner=1_000_000_001, loser=1_000_000_002)
    portal.control("delete_pipeline", pipeline_id="enrolment")
    portal.settle()
    nights.directory()
    portal.fault("token_expired", SEARCH, after=4)
    with pytest.raises(CrmTokenRefused):
        nights.deals()
    position = crm_sync.sync_state(nights.engine, "deals").progress
    assert position is not None
    portal.control("work", share=0.1, seed=8)
    portal.control("archive", ids=[1_000_000_003])
    # Of a deal that is merged nothing more can be read, so it must not have changed since it was.
    quiet = [int(told["id"]) for told in sorted(portal.deals(), key=lambda told: told["updatedAt"])]
    portal.control("merge", winner=quiet[0], loser=quiet[1])
    portal.settle()
    assert nights.deals()["resumed"]
    nights.run()
    undisturbed.run()
    assert tables(nights.engine) == tables(undisturbed.engine)
    assert nights.run()["warnings"] == []


def test_a_time_out_is_tried_again(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=30)
    portal.settle()
    nights.settings = nights.settings.model_copy(update={"http_timeout_s": 0.5})
    nights.client = nights.connect()
    portal.fault("delay", LIST, seconds=2)
    nights.directory()
    assert nights.deals()["inserted"] == 30


def test_a_portal_that_stays_down_is_given_up_after_the_attempts(nights: Nights, portal: Portal) -> None:
    nights.directory()
    portal.fault("server_error", SEARCH, times=None, status=500)
    before = portal.requests()
    with pytest.raises(CrmBusy, match=r"POST /crm/v3/objects/deals/search: HubSpot answers 500"):
        nights.deals()
    assert portal.requests() - before == nights.settings.http_attempts
    assert nights.pauses == sorted(nights.pauses)
    assert len(set(nights.pauses)) == nights.settings.http_attempts - 1


def test_a_limit_without_a_word_of_how_long_is_waited_out(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=200)
    portal.settle()
    # Other programs leave us less than HubSpot's headers tell.
    portal.control("limits", ten_seconds=6, search_per_second=1, retry_after=0)
    nights.client = nights.connect()
    nights.directory()
    assert nights.deals()["inserted"] == 200


def test_a_used_up_day_stops_at_once_and_the_next_goes_on(
    nights: Nights, undisturbed: Nights, portal: Portal
) -> None:
    portal.control("seed", count=240)
    portal.settle()
    undisturbed.run()
    nights.directory()
    portal.control("limits", daily=portal.requests() + 10)
    before = portal.requests()
    with pytest.raises(CrmDailyLimit, match=r"next run after \d{4}-\d\d-\d\d 00:00 UTC goes on from there"):
        nights.deals()
    # The refusal was asked for once, and nobody waited.
    assert portal.requests() - before <= 11
    assert nights.pauses == []
    stored = nights.value("SELECT count(*) FROM crm.deal")
    assert 0 < stored < 240
    portal.control("limits", daily=1e6)
    done = nights.deals()
    assert done["resumed"]
    assert done["inserted"] == 240 - stored
    nights.run()
    assert tables(nights.engine) == tables(undisturbed.engine)


def test_a_second_run_at_once_says_so_and_leaves_it_to_the_first(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=60)
    portal.settle()
    nights.directory()
    with crm_sync.alone(nights.engine, "deals") as ours:
        assert ours
        report = nights.run()
        assert report["done"]["deals"]["busy"]
        assert (
            "another run was reading deals, archived_deals, check: nothing was done there"
            in report["summary"]
        )
        assert not report["complete"]
        assert nights.value("SELECT count(*) FROM crm.deal") == 0
    assert nights.run()["deals_new"] == 60


def kill_in_the_middle(nights: Nights, portal: Portal, after: int) -> None:
    """Have a process read deals, and kill it once it has made `after` requests more."""
    portal.fault("delay", LIST, after=after, seconds=20)
    wanted = portal.requests() + after
    url = nights.engine.url.render_as_string(hide_password=False)
    arguments = (
        url,
        portal.sandbox.hubspot_url,
        portal.sandbox.api_key,
        nights.settings.model_copy(update={"http_timeout_s": 30}).model_dump_json(),
    )
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], cwd=Path.cwd())
    deadline = time.monotonic() + 60
    while portal.requests() <= wanted and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.poll() is None, "it ended before it could be killed"
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    portal.clear_faults()
    assert 0 < nights.value("SELECT count(*) FROM crm.deal") < 960
