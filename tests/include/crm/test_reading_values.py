"""HubSpot's texts, read strictly; and people's data brought to one form before they are made unreadable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.crm import directory, people, refusals, values
from include.crm.people import PeopleKey, masked, normal_domain, normal_email, normal_phone
from include.crm.report import summarise
from include.crm.rows import KeptProperties, contact_row, deal_rows
from include.crm.values import BadValue
from include.crm.walks import Walk, begin
from tests.include.crm.portal import Nights, Portal

KEPT = KeptProperties.of_catalogue(
    {
        "seats": "number", "tier": "enumeration", "notes": "string", "remark": "string", "amount": "number",
        "hs_object_id": "number", "hs_v2_time_in_current_stage": "number", "vip": "bool", "renewal": "date",
    },
    ["remark"],
    40,
)  # fmt: skip


@pytest.mark.parametrize("module", [directory, people, refusals, values])
def test_examples_hold(module: Any) -> None:
    import doctest

    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.money, "1e3", Decimal("1000.00")),
        (values.money, "-.5", Decimal("-0.50")),
        (values.money, "0.005", Decimal("0.00")),
        (values.money, None, None),
        (values.chance, "0.125", Decimal("0.125")),
        (values.chance, "0.996", Decimal("0.996")),
        (values.moment, "2026-01-06", datetime(2026, 1, 6, tzinfo=UTC)),
        (values.moment, "2026-01-06T10:00:00.5+02:00", datetime(2026, 1, 6, 8, 0, 0, 500_000, tzinfo=UTC)),
        (values.moment, "", None),
        (values.truth, "true", True),
        (values.truth, "", None),
        (values.word, "closedwon", "closedwon"),
        (values.currency, "EUR", "EUR"),
    ],
)
def test_good_values_are_read(read: Callable[[Any], Any], text: str | None, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (values.money, ["1,000.00", "12 USD", "NaN", "Infinity", "1e999", "0x10", "9" * 30, "１２"]),
        (values.money, ["9999999999999999.999"]),
        (values.chance, ["1.0001", "-0.1", "half"]),
        (values.moment, ["yesterday", "2026-02-30", "1969-12-31", "9999-01-01", "99999999999999999"]),
        (values.truth, ["yes", "TRUE", "1"]),
        (values.word, ["a@b.example", "x" * 301, "tab\tbed"]),
        (values.currency, ["usd", "Dollar", "$"]),
    ],
)
def test_bad_values_are_refused_without_being_quoted(read: Callable[[Any], Any], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(BadValue) as caught:
            read(text)
        assert text not in str(caught.value)


def test_only_what_cannot_be_personal_is_shown() -> None:
    assert [values.harmless(text) for text in ("1,5", "12.5.26", "+1555100", "ten", "1" * 7)] == [
        "1,5", "12.5.26", None, None, None,
    ]  # fmt: skip


def test_the_same_person_has_one_hmac_however_they_were_typed() -> None:
    key = PeopleKey("k" * 16, 16)
    assert key.email(" Ada@Mail.example ") == key.email("ada@mail.EXAMPLE") != key.email("eve@mail.example")
    assert key.phone("+44 20 7946-0000") == key.phone("0044 (20) 79460000")
    assert key.domain("https://www.Acme.example/x") == key.domain("acme.example")
    assert PeopleKey("K" * 16, 16).email("ada@mail.example") != key.email("ada@mail.example")
    assert [key.email(None), key.email("unknown"), key.phone("n/a"), key.domain("")] == [None] * 4
    assert "kkkk" not in repr(key)
    assert (normal_email("x@y"), normal_phone("12345"), normal_domain("A.B")) == ("x@y", "+12345", "a.b")


@pytest.mark.parametrize(
    "text",
    [
        "write ada@mail.example", "ada.l+x@mail.example!", "call +1 (555) 100-0000", "0044 20 7946 0000",
        "5551000000", "555-100-0000", "ada @ mail.example",
    ],
)  # fmt: skip
def test_addresses_are_masked(text: str) -> None:
    told = masked(text, 200)
    assert "[" in told
    assert "ada" not in told.replace("[e-mail]", "")
    assert not any(letter.isdigit() for letter in told)


def test_what_no_database_stores_is_left_out_of_texts_and_keys(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=2)
    (deal, other) = portal.deals()
    portal.set(deal["id"], closed_lost_reason="too\x00dear")
    portal.set(other["id"], amount="9999999999999999.999")
    portal.settle()
    nights.run()
    assert nights.value("SELECT lost_reason FROM crm.deal WHERE deal_id = :id", id=deal["id"]) == "too dear"
    set_aside = nights.rows("SELECT DISTINCT deal_id, split_part(property, ' ', 1) FROM crm.quarantine")
    assert set_aside == [(other["id"], "amount")]
    contact = {"id": "1", "properties": {"utm_source": "a\x00b", "utm_content": "c"}}
    row = contact_row(contact, nights.key)
    assert (row["utm_source"], row["utm_content"]) == (None, "c")


def test_a_deal_keeps_what_is_used_and_what_is_harmless() -> None:
    told = {
        "id": "7",
        "properties": {
            "pipeline": "default", "dealstage": "won", "amount": "5", "hs_is_closed": None, "seats": "3",
            "createdate": "2026-01-06", "tier": "gold", "notes": "private", "vip": "true",
            "remark": "Mail ada@mail.example", "renewal": "2027-01-01", "hs_object_id": "7",
            "hs_v2_time_in_current_stage": "99", "closedate": "2026-02-01", "dealname": "Ada Lovelace",
            "hs_merged_object_ids": "5;6;7;x",
        },
        "propertiesWithHistory": {
            "dealstage": [
                {"value": "won", "timestamp": "2026-01-07T00:00:00Z", "sourceType": "CRM_UI"},
                {"value": "new", "timestamp": "2026-01-06T00:00:00Z"},
                {"value": "odd", "timestamp": "some day"},
            ],
            "amount": [
                {"value": "5", "timestamp": "2026-01-07T00:00:00Z"},
                {"value": "4", "timestamp": "2026-01-07T00:00:00Z"},
            ],
        },
    }  # fmt: skip
    rows = deal_rows([told, told], KEPT, {"won": (True, True)})
    (deal,) = rows.deals
    assert (deal["is_closed"], deal["is_won"], deal["amount"]) == (True, True, Decimal("5.00"))
    assert deal["properties"] == {
        "seats": 3, "tier": "gold", "remark": "mail [e-mail]", "vip": True,
        "renewal": "2027-01-01T00:00:00+00:00", "hs_merged_object_ids": "5;6",
    }  # fmt: skip
    assert rows.merges == {"7": ["5", "6"]}
    assert [event["stage_id"] for event in rows.stage_events] == ["new", "won"]
    # Of two values of one moment, the one HubSpot tells first is the newer.
    assert [event["value"] for event in rows.property_events] == ["5.00"]
    assert [row["property"] for row in rows.quarantine] == ["dealstage (history)"]


def test_an_open_deals_hoped_for_end_is_not_its_end() -> None:
    told = {"id": "7", "properties": {"dealstage": "new", "closedate": "2026-02-01", "hs_is_closed": "false"}}
    (deal,) = deal_rows([told], KEPT, {}).deals
    assert deal["closed_at"] is None
    assert deal["properties"] == {"closedate": "2026-02-01T00:00:00+00:00"}


def test_where_a_walk_begins() -> None:
    cursor, earlier, later = (datetime(2026, 1, day, tzinfo=UTC) for day in (10, 5, 15))
    usual = begin("incremental", cursor, None, 10)
    assert (usual.since, usual.passes_known) == (datetime(2026, 1, 9, 23, 50, tzinfo=UTC), True)
    assert begin("incremental", None, None, 10) == Walk("full")
    assert begin("reconcile", None, None, 10) == Walk("full")
    assert begin("full", cursor, earlier, 10) == Walk("full")
    assert begin("reconcile", cursor, None, 10) == Walk("reconcile")
    # A comparison has no beginning in time; with nothing stored it is a first night.
    assert begin("reconcile", None, earlier, 10) == Walk("full")
    assert begin("incremental", cursor, earlier, 10).moves_cursor
    assert not begin("incremental", cursor, later, 10).moves_cursor
    assert not begin("incremental", None, earlier, 10).moves_cursor
    walk = Walk("incremental", earlier, cursor, "77", moves_cursor=False, passes_known=True)
    assert Walk.from_json(walk.to_json()) == walk


def test_the_report_says_what_happened_in_one_sentence() -> None:
    done = {
        "directory": {"ended": 2, "notes": [f"note {n}" for n in range(7)], "requests": 7},
        "deals": {"read": 1200, "inserted": 1000, "changed": 200, "gone": 1, "resumed": True, "requests": 60},
        "archived_deals": {"busy": True},
        "contacts": {"stopped": "HubSpot's day is over"},
        "check": {
            "deals": 5000, "behind": 2, "warnings": ["pipeline x: 1 is missing"], "quarantined": 3,
            "quarantined_shown": ["amount of deal 1: not a number"],
        },
    }  # fmt: skip
    told = summarise(done, 5)
    assert told["complete"] is False
    assert told["requests"] == 67
    for part in (
        "1,200 deals read, 1,000 new, 200 changed, 5,000 live, 1 gone from HubSpot",
        "went on with a run that was stopped",
        "another run was reading archived_deals: nothing was done there",
        "HubSpot's day is over",
        "2 pipelines or stages were deleted in HubSpot",
        "2 deals changed too recently for HubSpot's search to show them as they are",
        "3 values could not be read, the first: amount of deal 1: not a number",
        "warning: pipeline x: 1 is missing",
        "note: note 0; note 1; note 2; note 3; note 4 and 2 more",
    ):
        assert part in told["summary"]
