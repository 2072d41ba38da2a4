"""People's data stay where they are: what is stored joins, and tells nobody's name or address."""

from __future__ import annotations

import pytest

from include.crm.errors import CrmNotConnected
from include.crm.people import PeopleKey
from tests.include.crm.portal import FIRST, HMAC_KEY, Nights, Portal


def test_reasons_are_kept_short_and_without_addresses(read: Nights, portal: Portal) -> None:
    portal.set(FIRST, closed_lost_reason="Too dear, says Ada@mail.example, +1 555 100 0000 " + "x" * 300)
    portal.settle()
    read.run()
    reason = read.value("SELECT lost_reason FROM crm.deal WHERE deal_id = :id", id=FIRST)
    assert reason.startswith("too dear, says [e-mail], [phone] xxx")
    assert len(reason) == read.settings.reason_chars


def test_a_contact_that_changes_is_read_and_one_that_is_gone_is_nobodys(read: Nights, portal: Portal) -> None:
    portal.control(
        "set", object_type="contacts", id=2_000_000_000, property="email", value=" New@Mail.Example"
    )
    portal.control("archive", object_type="contacts", ids=[2_000_000_001])
    portal.settle()
    read.run(mode="reconcile")
    query = "SELECT email_hmac FROM crm.contact WHERE contact_id = '2000000000'"
    assert read.value(query) == PeopleKey(HMAC_KEY, 16).email("new@mail.example")
    assert read.value("SELECT archived FROM crm.contact WHERE contact_id = '2000000001'")


def test_nobodys_address_is_anywhere_in_the_database(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=60)
    portal.control("add_property", name="channel", type="enumeration", fieldType="select")
    portal.set(
        FIRST, channel="ada@mail.example", dealname="Ada Lovelace", description="ring 0044 20 7946 0000"
    )
    portal.control(
        "set", object_type="contacts", id=2_000_000_000, property="utm_source", value="ada@mail.example"
    )
    portal.settle()
    nights.run()
    people = portal.get("/crm/v3/objects/contacts", limit=100, properties="email,phone,lastname")["results"]
    emails = {each["properties"]["email"] for each in people} | {"ada@mail.example"}
    phones = {each["properties"]["phone"] for each in people} | {"0044 20 7946 0000"}
    domains = {
        each["properties"]["domain"]
        for each in portal.get("/crm/v3/objects/companies", limit=100, properties="domain")["results"]
    }
    assert len(emails) > 10
    everything = dump(nights).lower()
    assert len(everything) > 10_000
    for secret in (*emails, *phones, *domains, "lovelace", HMAC_KEY):
        assert str(secret).lower() not in everything
    key = PeopleKey(HMAC_KEY, 16)
    one = people[0]["properties"]
    stored = nights.rows(
        "SELECT email_hmac, phone_hmac FROM crm.contact WHERE contact_id = :id", id=people[0]["id"]
    )
    assert stored == [(key.email(one["email"]), key.phone(one["phone"]))]


def dump(nights: Nights) -> str:
    """Every row of every table of the database, as text."""
    found = nights.rows("""
        SELECT table_schema, table_name FROM information_schema.tables
        WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
    """)
    return "\n".join(
        str(row)
        for schema, table in found
        for row in nights.rows(f'SELECT t::text FROM "{schema}"."{table}" t')
    )


def test_another_key_or_another_portal_is_refused_before_anything_is_read(
    read: Nights, portal: Portal
) -> None:
    read.key = PeopleKey("another key, also long enough", 16)
    with pytest.raises(CrmNotConnected, match="put the old key back, or run once with mode full"):
        read.run()
    report = read.run(mode="full")
    assert report["contacts"] == 120
    stored = read.value("SELECT email_hmac FROM crm.contact WHERE contact_id = '2000000000'")
    contact = portal.get("/crm/v3/objects/contacts", limit=1, properties="email")["results"][0]
    assert stored == read.key.email(contact["properties"]["email"])
    with read.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE crm.sync_state SET facts = facts || '{\"portal_id\": \"1\"}' WHERE stream = 'portal'"
        )
    with pytest.raises(CrmNotConnected, match="but what is stored came from portal 1"):
        read.run()
