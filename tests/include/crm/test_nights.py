"""What nights of reading leave in the database: everything once, as it is in HubSpot, and as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.crm.errors import CrmDirectoryUnread, CrmRequestRefused, CrmUnreachable
from include.db import crm
from tests.include.crm.portal import FIRST, Nights, Portal, tables

COLUMNS = {
    "dealstage": "stage_id",
    "pipeline": "pipeline_id",
    "hubspot_owner_id": "owner_id",
    "dealtype": "deal_type",
}


def histories(portal: Portal, name: str) -> set[tuple[str, str, str]]:
    """(deal, moment, value) of a property as HubSpot tells it."""
    return {
        (told["id"], each["timestamp"].replace("Z", "+00:00"), each["value"])
        for ids in _batches([each["id"] for each in portal.deals()])
        for told in _with_history(portal, ids, name)
        for each in told["propertiesWithHistory"][name]
    }


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[begin : begin + 50] for begin in range(0, len(ids), 50)]


def _with_history(portal: Portal, ids: list[str], name: str) -> list[dict[str, Any]]:
    body = {"inputs": [{"id": each} for each in ids], "propertiesWithHistory": [name]}
    answer = portal.sandbox.client.post("/hubspot/crm/v3/objects/deals/batch/read", json=body)
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_what_is_stored_is_what_hubspot_tells(read: Nights, portal: Portal) -> None:
    told = portal.deals(properties="dealstage,pipeline,amount,hubspot_owner_id,dealtype,hs_is_closed_won")
    names = ", ".join(COLUMNS.values())
    stored = {row[0]: row[1:] for row in read.rows(f"SELECT deal_id, {names}, amount, is_won FROM crm.deal")}
    assert stored.keys() == {each["id"] for each in told}
    for each in told:
        *words, amount, won = stored[each["id"]]
        properties = each["properties"]
        assert words == [properties[name] for name in COLUMNS]
        assert f"{amount:.2f}" == properties["amount"]
        assert won == (properties["hs_is_closed_won"] == "true")
    events = read.rows("SELECT deal_id, entered_at, stage_id FROM crm.deal_stage_event")
    assert {(i, at.isoformat(timespec="milliseconds"), s) for i, at, s in events} == histories(
        portal, "dealstage"
    )
    assert read.value("SELECT count(*) FROM crm.association WHERE to_type = 'contact'") == 120
    assert read.value("SELECT count(*) FROM crm.association WHERE to_type = 'company'") == 60
    assert read.value("SELECT count(*) FROM crm.contact") == 120
    assert read.value("SELECT count(*) FROM crm.company") == 60


def test_a_night_without_changes_writes_nothing(read: Nights, portal: Portal) -> None:
    before = tables(read.engine)
    fetched = read.rows("SELECT deal_id, fetched_at FROM crm.deal ORDER BY 1")
    report = read.run()
    assert (report["deals_new"], report["deals_changed"], report["deals_read"]) == (0, 0, 0)
    assert tables(read.engine) == before
    assert read.rows("SELECT deal_id, fetched_at FROM crm.deal ORDER BY 1") == fetched


def test_a_change_arrives_with_its_history_and_nothing_else_is_read(read: Nights, portal: Portal) -> None:
    portal.set(FIRST, dealstage="contractsent", amount="77.70", hubspot_owner_id="70000001")
    portal.settle()
    report = read.run()
    assert (report["deals_read"], report["deals_changed"]) == (1, 1)
    row = read.rows("SELECT stage_id, amount::text, owner_id FROM crm.deal WHERE deal_id = :id", id=FIRST)
    assert row == [("contractsent", "77.70", "70000001")]
    query = "SELECT {} FROM crm.{} WHERE deal_id = :id {} ORDER BY {} DESC LIMIT 1"
    last = query.format("stage_id", "deal_stage_event", "", "entered_at")
    assert read.value(last, id=FIRST) == "contractsent"
    last = query.format("value", "deal_property_event", "AND property = 'amount'", "changed_at")
    assert read.value(last, id=FIRST) == "77.70"


def test_a_change_that_the_search_index_shows_late_is_not_missed(read: Nights, portal: Portal) -> None:
    portal.control("limits", search_lag_s=200)
    portal.set(FIRST, amount="11.00")
    assert read.run()["deals_changed"] == 0
    # Later changes of other deals were shown earlier, and the cursor is past this one.
    changed_at = max(datetime.fromisoformat(told["updatedAt"]) for told in portal.deals())
    with read.engine.begin() as connection:
        later = {"at": changed_at + timedelta(minutes=4)}
        connection.execute(text("UPDATE crm.sync_state SET cursor_at = :at WHERE stream = 'deals'"), later)
    portal.forward(300)
    assert read.run()["deals_changed"] == 1
    assert read.value("SELECT amount::text FROM crm.deal WHERE deal_id = :id", id=FIRST) == "11.00"


def test_more_deals_of_one_moment_than_a_search_tells_are_all_read(nights: Nights, portal: Portal) -> None:
    """10,400 deals stamped with the same millisecond, which HubSpot's search stops telling after 10,000."""
    nights.settings = nights.settings.model_copy(
        update={"deals_per_step": 1000, "search_page": 200, "list_page": 100, "history_page": 50}
    )
    nights.client = nights.connect()
    portal.control("seed", count=10_400)
    portal.settle()
    nights.directory()
    assert nights.deals()["inserted"] == 10_400
    ids = [10**9 + n for n in range(10_400)]
    assert portal.control("touch", ids=ids)["touched"] == 10_400
    portal.settle()
    done = nights.deals()
    assert (done["read"], done["changed"]) == (10_400, 10_400)
    assert nights.value("SELECT count(DISTINCT updated_at) FROM crm.deal") == 1
    assert nights.deals()["read"] == 0


def test_an_archived_deal_is_marked_and_one_archived_before_the_first_night_is_read(
    nights: Nights, portal: Portal
) -> None:
    portal.control("seed", count=60)
    portal.control("archive", ids=[int(FIRST)])
    portal.settle()
    nights.run()
    assert nights.rows("SELECT deal_id FROM crm.deal WHERE archived") == [(FIRST,)]
    assert nights.value("SELECT count(*) FROM crm.deal_stage_event WHERE deal_id = :id", id=FIRST) > 0
    portal.control("archive", ids=[1_000_000_007])
    portal.settle()
    report = nights.run()
    assert nights.rows("SELECT deal_id FROM crm.deal WHERE archived ORDER BY 1") == [
        (FIRST,),
        ("1000000007",),
    ]
    assert report["deals_live"] == 58
    assert report["warnings"] == []


def test_merged_deals_point_to_what_they_became_also_in_a_chain(read: Nights, portal: Portal) -> None:
    portal.control("merge", winner=1_000_000_001, loser=1_000_000_000)
    portal.settle()
    read.run()
    portal.control("merge", winner=1_000_000_002, loser=1_000_000_001)
    portal.settle()
    report = read.run()
    merged = read.rows("SELECT deal_id, merged_into FROM crm.deal WHERE merged_into IS NOT NULL ORDER BY 1")
    assert merged == [("1000000000", "1000000001"), ("1000000001", "1000000002")]
    assert report["deals_live"] == 118
    assert report["warnings"] == []


def test_deals_merged_twice_in_one_day_are_not_live_and_nothing_is_warned_of(
    read: Nights, portal: Portal
) -> None:
    portal.control("merge", winner=1_000_000_001, loser=1_000_000_000)
    portal.control("merge", winner=1_000_000_002, loser=1_000_000_001)
    portal.settle()
    report = read.run()
    live = read.rows("SELECT deal_id FROM crm.deal WHERE NOT archived AND merged_into IS NULL")
    assert len(live) == report["deals_live"] == 118
    assert not {("1000000000",), ("1000000001",)} & set(live)
    assert read.value("SELECT merged_into FROM crm.deal WHERE deal_id = '1000000001'") == "1000000002"
    assert report["warnings"] == []


def test_a_deleted_stage_stays_as_it_was_and_a_new_one_of_the_same_label_is_another(
    read: Nights, portal: Portal
) -> None:
    query = (
        "SELECT stage_id, valid_to IS NULL, deleted FROM crm.stage WHERE label = :label ORDER BY valid_from"
    )
    label = read.value("SELECT label FROM crm.stage WHERE stage_id = 'contractsent'")
    portal.control("delete_stage", pipeline_id="default", stage_id="contractsent")
    portal.forward(60)
    portal.control("add_stage", pipeline_id="default", stage_id="contract_again", label=label)
    report = read.run()
    assert read.rows(query, label=label) == [
        ("contractsent", False, True),
        ("contract_again", True, False),
    ]
    assert "1 pipelines or stages were deleted in HubSpot and are kept as they were" in report["summary"]


def test_a_stage_whose_probability_is_edited_has_two_states(read: Nights, portal: Portal) -> None:
    portal.forward(3600)
    for probability in (0.33, 0.44):
        portal.control(
            "add_stage", pipeline_id="default", stage_id="contractsent", label="Sent", probability=probability
        )
        read.directory()
    query = (
        "SELECT label, probability::float8, valid_to IS NULL FROM crm.stage WHERE stage_id = 'contractsent'"
    )
    states = read.rows(query + " ORDER BY valid_to NULLS LAST")
    assert states[-1] == ("Sent", 0.44, True)
    assert [current for *_, current in states].count(True) == 1


def test_a_deleted_pipeline_is_kept_with_its_end(read: Nights, portal: Portal) -> None:
    portal.control("delete_pipeline", pipeline_id="enrolment")
    read.run()
    ended = "SELECT deleted, valid_to IS NOT NULL FROM crm.pipeline WHERE pipeline_id = 'enrolment'"
    assert read.rows(ended) == [(True, True)]
    assert read.value("SELECT count(*) FROM crm.stage WHERE pipeline_id = 'enrolment' AND NOT deleted") == 0


def test_two_runs_that_first_meet_a_pipeline_take_turns(nights: Nights) -> None:
    told: dict[str, Any] = dict.fromkeys(("created_at", "updated_at"))
    pipelines = [{"pipeline_id": "p", "label": "P", "display_order": 0, **told}]

    def second() -> int:
        with nights.engine.begin() as connection:
            return crm.upsert_stages(connection, pipelines, [])

    with ThreadPoolExecutor(1) as pool, nights.engine.begin() as connection:
        crm.upsert_stages(connection, pipelines, [])
        waiting = pool.submit(second)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        connection.commit()
        assert waiting.result(10) == 0
    assert nights.rows("SELECT pipeline_id, valid_to FROM crm.pipeline") == [("p", None)]


def test_an_emptied_list_of_pipelines_is_not_believed(read: Nights, portal: Portal) -> None:
    for (pipeline,) in read.rows("SELECT pipeline_id FROM crm.pipeline"):
        portal.control("delete_pipeline", pipeline_id=pipeline)
    with pytest.raises(CrmUnreachable, match="HubSpot tells no pipeline at all"):
        read.directory()
    assert read.value("SELECT count(*) FROM crm.pipeline WHERE deleted") == 0


def test_properties_that_come_change_and_go_are_told_and_break_nothing(read: Nights, portal: Portal) -> None:
    portal.control("add_property", name="seats", type="number", fieldType="number")
    portal.control("add_property", name="notes", type="string")
    portal.set(FIRST, seats="12", notes="call Ada at home")
    portal.settle()
    notes = read.run()["notes"]
    assert notes == ["deals have a new property notes (string)", "deals have a new property seats (number)"]
    kept = "SELECT properties -> 'seats', properties -> 'notes' FROM crm.deal WHERE deal_id = :id"
    assert read.rows(kept, id=FIRST) == [(12, None)]
    portal.control("add_property", name="seats", type="enumeration", fieldType="select")
    portal.control("drop_property", name="notes")
    portal.set(FIRST, seats="dozen")
    portal.settle()
    assert read.run()["notes"] == [
        "deals lost the property notes",
        "seats of deals is enumeration, was number",
    ]
    assert read.rows(kept, id=FIRST) == [("dozen", None)]


def test_a_bad_value_is_put_aside_and_the_rest_of_the_deal_is_stored(read: Nights, portal: Portal) -> None:
    portal.control("add_property", name="seats", type="number", fieldType="number")
    portal.set(FIRST, amount="a lot, ask ada@mail.example", seats="12x", dealtype="existingbusiness")
    portal.settle()
    report = read.run()
    row = read.rows("SELECT amount, deal_type FROM crm.deal WHERE deal_id = :id", id=FIRST)
    assert row == [(None, "existingbusiness")]
    aside = read.rows("SELECT property, reason, value FROM crm.quarantine ORDER BY property")
    assert aside == [
        ("amount", "not a number", None),
        ("amount (history)", "not a number", None),
        ("seats", "not a number", None),
    ]
    assert "3 values could not be read" in report["summary"]
    portal.set(FIRST, amount="5", seats="12")
    portal.settle()
    read.run()
    # What was typed stays in the history.
    assert read.rows("SELECT property FROM crm.quarantine") == [("amount (history)",)]


def test_since_reads_again_from_any_day_and_never_loses_what_lies_between(
    nights: Nights, portal: Portal
) -> None:
    portal.control("seed", count=200)
    portal.settle()
    changed = sorted(datetime.fromisoformat(told["updatedAt"]) for told in portal.deals())
    since = changed[150]
    nights.directory()
    # Nothing is stored yet: what changed since then is read, and the next night reads everything.
    assert nights.deals(since=since)["inserted"] == sum(at >= since for at in changed)
    assert nights.check()["warnings"] == []
    assert nights.deals()["inserted"] == 200 - sum(at >= since for at in changed)
    assert nights.deals(since=changed[100])["read"] == sum(at >= changed[100] for at in changed)
    # A day to come moves no cursor.
    nights.deals(since=datetime.now(UTC) + timedelta(days=1))
    portal.set(FIRST, amount="1.00")
    portal.settle()
    assert nights.deals()["changed"] == 1


def test_deals_before_the_directory_are_refused(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=3)
    portal.settle()
    with pytest.raises(CrmDirectoryUnread, match="run task read_directory"):
        nights.deals()


def test_an_empty_portal_is_read_without_a_word(nights: Nights) -> None:
    report = nights.run()
    assert (report["deals_live"], report["warnings"], report["complete"]) == (0, [], True)


def test_many_properties_are_asked_for_in_a_body(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=45)
    portal.settle()
    nights.run()
    whole = tables(nights.engine)
    nights.settings = nights.settings.model_copy(update={"longest_url": 100})
    nights.client = nights.connect()
    report = nights.run(mode="full")
    assert (report["deals_read"], report["deals_changed"]) == (45, 0)
    assert tables(nights.engine) == whole


def test_a_request_that_makes_no_sense_is_refused_at_once(nights: Nights, portal: Portal) -> None:
    before = portal.requests()
    with pytest.raises(CrmRequestRefused, match="answers 400"):
        nights.client.search("deals", [{"propertyName": "pipeline", "operator": "LIKE", "value": "x"}])
    assert portal.requests() - before == 1
