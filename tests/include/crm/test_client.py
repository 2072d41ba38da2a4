"""The client keeps within HubSpot's limits, gives up where waiting cannot help, and shows no secret."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from include.crm.client import HubSpotClient
from include.crm.errors import CrmBusy, CrmNotConnected, CrmRequestRefused, CrmTokenRefused, CrmUnreachable
from include.crm.opening import open_crm
from include.crm.pacing import Pacing
from include.crm.refusals import refusal
from tests.include.crm.portal import HMAC_KEY, Nights, Portal, least_for_everything

PIPELINES = "GET /crm/v3/pipelines/deals"


class Clock:
    """Time that passes only when somebody waits, or says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_calls_stay_within_the_limit_the_answers_tell_and_no_refusal_comes(
    nights: Nights, portal: Portal
) -> None:
    portal.control("seed", count=400)
    portal.settle()
    portal.control("limits", ten_seconds=20, search_per_second=5)
    nights.client = nights.connect()
    report = nights.run()
    assert report["deals_new"] == 400
    # Nothing was tried twice: with a refusal there would be more requests than a run needs.
    assert report["requests"] == least_for_everything(nights, 400, 400, 200)
    assert sum(nights.pauses) > 10 * (report["requests"] / 20 - 2)


def test_searches_are_kept_within_a_second(nights: Nights) -> None:
    clock = Clock()
    pacing = Pacing(100, 4, 0.9, clock.wait, lambda: clock.now)
    times = []
    for _ in range(40):
        pacing.wait(search=True)
        times.append(clock.now)
    assert all(later - earlier >= 1 for earlier, later in zip(times, times[4:], strict=False))
    assert times[-1] == pytest.approx(9)


def test_the_limit_of_ten_seconds_is_learnt_and_shared_with_others() -> None:
    clock = Clock()
    pacing = Pacing(100, 4, 0.9, clock.wait, lambda: clock.now)
    told = {"X-HubSpot-RateLimit-Max": "50", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"}
    pacing.learn({**told, "X-HubSpot-RateLimit-Remaining": "49"})
    for _ in range(45):
        pacing.wait(search=False)
    assert clock.now == 0
    pacing.wait(search=False)
    assert clock.now == pytest.approx(10)
    # Others have used up what is left: a little room is left to them.
    pacing.learn({**told, "X-HubSpot-RateLimit-Remaining": "1"})
    pacing.wait(search=False)
    assert clock.now == pytest.approx(11)
    for nonsense in ("", "many", "-3"):
        pacing.learn({**told, "X-HubSpot-RateLimit-Max": nonsense, "X-HubSpot-RateLimit-Remaining": "1"})


def test_hubspots_own_pause_is_kept_to(nights: Nights, portal: Portal) -> None:
    portal.fault("rate_limit", PIPELINES, retry_after=7)
    nights.client.pipelines()
    assert nights.pauses == [7.0]


def test_a_pause_that_is_too_long_is_left_to_airflow(nights: Nights, portal: Portal) -> None:
    portal.fault("rate_limit", PIPELINES, times=None, retry_after=600)
    with pytest.raises(CrmBusy, match=r"GET /crm/v3/pipelines/deals: HubSpot limits our calls"):
        nights.client.pipelines()
    assert nights.pauses == []


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("drop_response", {}),
        ("truncate", {}),
        ("truncate", {"clean": True}),
        ("truncate", {"bytes": 0, "clean": True}),
    ],
)
def test_lost_and_half_answers_are_asked_for_again(
    nights: Nights, portal: Portal, kind: str, more: dict[str, object]
) -> None:
    portal.control("seed", count=1)
    portal.fault(kind, PIPELINES, times=2, **more)
    assert nights.client.pipelines()
    assert len(nights.pauses) == 2
    portal.fault(kind, PIPELINES, times=None, **more)
    with pytest.raises(CrmUnreachable, match="GET /crm/v3/pipelines/deals"):
        nights.client.pipelines()


def test_a_refused_token_is_told_at_once_and_shown_to_nobody(
    nights: Nights, portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = nights.connect(token="pat-eu1-secret-token")
    before = portal.requests()
    with pytest.raises(CrmTokenRefused, match="put a valid private-app token into the password") as caught:
        client.pipelines()
    assert portal.requests() - before == 1
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "pat-eu1" not in caplog.text + repr(client) + str(caught.value)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_token_no_header_can_carry_is_refused_before_it_is_sent(nights: Nights, token: str) -> None:
    with pytest.raises(CrmTokenRefused, match="no usable token") as caught:
        HubSpotClient("http://127.0.0.1:1", token, nights.settings)
    assert not token or token not in str(caught.value)


def test_a_connection_that_lacks_something_is_told_in_one_sentence(nights: Nights) -> None:
    full = {"host": "http://127.0.0.1:1", "token": "t", "extra": {"hmac_key": HMAC_KEY}}
    for change, sentence in (
        ({"host": None}, "connection hubspot_default has no host"),
        ({"extra": {}}, "connection hubspot_default lacks an hmac_key"),
        ({"extra": {"hmac_key": "short"}}, "connection hubspot_default has too short an hmac_key"),
    ):
        with pytest.raises(CrmNotConnected, match=sentence) as caught:
            open_crm(nights.engine, nights.settings, **{**full, **change})
        assert "short" not in str(caught.value).replace("too short", "")


def test_the_key_may_come_from_the_environment(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSHIFT_CRM_HMAC_KEY", HMAC_KEY)
    client, key = open_crm(nights.engine, nights.settings, host="http://127.0.0.1:1", token="t", extra={})
    with client:
        assert key.fingerprint() == nights.key.fingerprint()


def test_nobody_listening_is_a_passing_trouble(nights: Nights) -> None:
    client = HubSpotClient("http://127.0.0.1:9", "t", nights.settings, pause=nights.pauses.append)
    with client, pytest.raises(CrmUnreachable, match="no answer"):
        client.pipelines()
    assert len(nights.pauses) == nights.settings.http_attempts - 1


NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (401, b"{}", CrmTokenRefused, "refuses the token"),
        (530, b"<html>", CrmTokenRefused, "refuses the token"),
        (403, b'{"message": "scopes missing"}', CrmRequestRefused, "scopes missing"),
        (414, b"", CrmRequestRefused, "answers 414"),
        (423, b"{}", CrmBusy, "answers 423"),
        (502, b"<html>", CrmBusy, "no reason given"),
        (429, b'{"policyName": "SECONDLY"}', CrmBusy, "SECONDLY"),
    ],
)
def test_refusals_become_errors_that_say_what_to_do(
    status: int, body: bytes, kind: type[Exception], sentence: str
) -> None:
    told = refusal("GET /x", status, body, {}, "UTC", NOON)
    assert type(told) is kind
    assert sentence in str(told)
    assert str(told).startswith("GET /x: ")


def test_the_daily_limit_names_midnight_where_the_portal_is() -> None:
    body = b'{"policyName": "DAILY"}'
    for zone, when in (
        ("Europe/Berlin", "2026-01-06 23:00"),
        ("US/Eastern", "2026-01-07 05:00"),
        ("Nowhere/At All", "2026-01-07 00:00"),
    ):
        assert f"after {when} UTC" in str(refusal("GET /x", 429, body, {}, zone, NOON))


def test_a_refusal_quotes_nobodys_address() -> None:
    body = b'{"message": "no contact ada@mail.example or +1 555 100 0000"}'
    assert "no contact [e-mail] or [phone]" in str(refusal("GET /x", 400, body, {}, "UTC", NOON))
