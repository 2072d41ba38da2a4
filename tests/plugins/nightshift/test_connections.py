import json

import pytest

from nightshift.connections import batch_vendors, poll_seconds, vendor_client


def connected(monkeypatch, vendor="anthropic", **changes):
    values = {"conn_type": vendor, "host": "http://x/v1", "password": "hidden", **changes}
    monkeypatch.setenv(f"AIRFLOW_CONN_{vendor.upper()}_TESTED", json.dumps(values))
    return f"{vendor}_tested"


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
def test_host_and_key_of_a_connection_reach_the_client_through_the_providers_hook(monkeypatch, vendor):
    client = vendor_client(connected(monkeypatch, vendor))
    assert (str(client.base_url).rstrip("/"), client.api_key) == ("http://x/v1", "hidden")


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
def test_a_connection_without_a_key_is_refused(monkeypatch, vendor):
    with pytest.raises(ValueError, match=f"{vendor}_tested has no password"):
        vendor_client(connected(monkeypatch, vendor, password=""))


def test_a_key_no_header_can_carry_is_refused_without_being_quoted(monkeypatch):
    with pytest.raises(ValueError, match="openai_tested") as refusal:
        vendor_client(connected(monkeypatch, "openai", password="sk hidden"))
    assert "hidden" not in str(refusal.value)


@pytest.mark.parametrize("seconds", ["often", 0, -1, "nan", [2]])
def test_a_pause_that_is_no_time_is_named(monkeypatch, seconds):
    with pytest.raises(ValueError, match="anthropic_tested: extra poll_seconds is"):
        poll_seconds(connected(monkeypatch, extra={"poll_seconds": seconds}))


def test_a_vendor_that_is_not_connected_is_only_missed_when_it_is_asked_for(monkeypatch):
    from include.llm.errors import VendorNotConnected

    monkeypatch.delenv("AIRFLOW_CONN_OPENAI_DEFAULT")
    with batch_vendors() as vendors:
        assert vendors.names == ("anthropic",)
        with pytest.raises(VendorNotConnected, match="openai_default"):
            vendors["openai"]
