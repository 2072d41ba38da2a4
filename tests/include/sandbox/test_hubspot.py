"""The sandbox's HubSpot answers as HubSpot does: pages, caps, index lag, histories, merges, limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.sandbox.app import create_app
from include.simulator import SimulatedWorld, WorldConfig
from include.simulator.sales import Sales, simulate_sales

KEY = "the-key"
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
CONFIG = WorldConfig(accounts=15, days=40, start=YESTERDAY - timedelta(days=39))
DEALS = "/hubspot/crm/v3/objects/deals"


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.generate(CONFIG)


@pytest.fixture(scope="module")
def sales(world: SimulatedWorld) -> Sales:
    return simulate_sales(world.reaching(YESTERDAY + timedelta(days=40)))


@pytest.fixture
def hubspot(world: SimulatedWorld, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(tmp_path, KEY, lambda: world), base_url="http://127.0.0.1") as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        yield client


@pytest.fixture
def seeded(tmp_path: Path) -> Iterator[TestClient]:
    """No world; as many deals as a test makes."""
    with TestClient(create_app(tmp_path, KEY, lambda: None), base_url="http://127.0.0.1") as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        client.post("/control/hubspot/limits", json={"ten_seconds": 1e6, "search_per_second": 1e6})
        yield client


def control(client: TestClient, what: str, **order: Any) -> dict[str, Any]:
    answer = client.post(f"/control/hubspot/{what}", json=order)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def forward(client: TestClient, **ahead: float) -> datetime:
    seconds = timedelta(**ahead).total_seconds()
    told = client.post("/control/clock", json={"advance_seconds": seconds}).json()
    return datetime.fromisoformat(told["now"])


def all_deals(client: TestClient, **params: Any) -> list[dict[str, Any]]:
    found, after = [], ""
    while True:
        page = client.get(DEALS, params={"limit": 100, "after": after, **params}).json()
        found += page["results"]
        if "paging" not in page:
            return found
        after = page["paging"]["next"]["after"]


def search(client: TestClient, *filters: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = client.post(f"{DEALS}/search", json={"filterGroups": [{"filters": list(filters)}], **more})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_deals_are_those_the_world_has_had_by_now(hubspot: TestClient, sales: Sales) -> None:
    told = all_deals(hubspot, properties="dealstage,amount,hubspot_owner_id,hs_is_closed_won")
    known = sales.known(datetime.now(UTC)).deals.set_index("deal_id")
    assert {deal["id"] for deal in told} == set(known.index)
    for deal in told:
        truth = known.loc[deal["id"]]
        assert deal["properties"]["dealstage"] == truth["stage_id"]
        assert deal["properties"]["hubspot_owner_id"] == truth["owner_id"]
        assert (deal["properties"]["hs_is_closed_won"] == "true") == truth["is_won"]
        if truth["amount"] == truth["amount"]:
            assert float(deal["properties"]["amount"]) == pytest.approx(truth["amount"], abs=0.01)


def test_time_brings_new_deals_and_new_stages(hubspot: TestClient, sales: Sales) -> None:
    before = {deal["id"]: deal["properties"]["dealstage"] for deal in all_deals(hubspot)}
    now = forward(hubspot, days=35)
    after = {deal["id"]: deal["properties"]["dealstage"] for deal in all_deals(hubspot)}
    known = sales.known(now).deals.set_index("deal_id")["stage_id"]
    assert after == known.to_dict()
    assert len(after) > len(before)
    assert any(after[deal] != stage for deal, stage in before.items())


def test_a_history_tells_every_stage_newest_first(hubspot: TestClient, sales: Sales) -> None:
    ids = [deal["id"] for deal in all_deals(hubspot)[:50]]
    body = {"inputs": [{"id": i} for i in ids], "propertiesWithHistory": ["dealstage"], "properties": []}
    answer = hubspot.post(f"{DEALS}/batch/read", json=body)
    assert answer.status_code == 200
    events = sales.known(datetime.now(UTC)).stage_events
    for deal in answer.json()["results"]:
        told = deal["propertiesWithHistory"]["dealstage"]
        assert [entry["value"] for entry in told][::-1] == events.loc[
            events["deal_id"] == deal["id"], "stage_id"
        ].tolist()
        assert told[0]["value"] == deal["properties"]["dealstage"]


def test_pages_are_as_large_as_hubspot_allows(hubspot: TestClient) -> None:
    assert hubspot.get(DEALS, params={"limit": 101}).status_code == 400
    assert hubspot.get(DEALS, params={"limit": 51, "propertiesWithHistory": "amount"}).status_code == 400
    many = {"inputs": [{"id": i} for i in range(101)]}
    assert hubspot.post(f"{DEALS}/batch/read", json=many).status_code == 400
    missing = hubspot.post(f"{DEALS}/batch/read", json={"inputs": [{"id": "1"}]})
    assert missing.status_code == 207
    assert missing.json()["errors"][0]["context"]["ids"] == ["1"]


def test_a_search_ends_at_ten_thousand_and_goes_on_by_id(seeded: TestClient) -> None:
    control(seeded, "seed", count=10_450)
    by_id = {"sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}], "limit": 200}
    first = search(seeded, **by_id)
    assert first["total"] == 10_450
    refused = seeded.post(f"{DEALS}/search", json={**by_id, "after": "9900"})
    assert refused.status_code == 400
    last = search(seeded, **by_id, after="9800")["results"][-1]["id"]
    beyond = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
    rest = search(seeded, beyond, **by_id)
    assert rest["total"] == 450
    assert int(rest["results"][0]["id"]) > int(last)


def test_the_index_knows_of_a_change_only_later(seeded: TestClient) -> None:
    control(seeded, "limits", search_lag_s=60)
    control(seeded, "seed", count=20)
    deal = all_deals(seeded)[0]["id"]
    begun = datetime.now(UTC)
    control(seeded, "set", id=int(deal), property="amount", value="77.00")
    since = {
        "propertyName": "hs_lastmodifieddate",
        "operator": "GTE",
        "value": str(int(begun.timestamp() * 1000)),
    }
    assert search(seeded, since)["total"] == 0
    read = seeded.post(f"{DEALS}/batch/read", json={"inputs": [{"id": deal}], "properties": ["amount"]})
    assert read.json()["results"][0]["properties"]["amount"] == "77.00"
    forward(seeded, seconds=61)
    assert [found["id"] for found in search(seeded, since)["results"]] == [deal]


def test_an_edit_of_a_pipeline_gives_its_deals_one_time(seeded: TestClient) -> None:
    control(seeded, "limits", search_lag_s=0)
    control(seeded, "seed", count=300)
    touched = control(seeded, "touch", pipeline_id="default")["touched"]
    told = [deal["properties"] for deal in all_deals(seeded)]
    stamped = [p["hs_lastmodifieddate"] for p in told if p["pipeline"] == "default"]
    assert touched == len(stamped) > 50
    assert len(set(stamped)) == 1


def test_the_loser_of_a_merge_is_gone_and_the_archived_are_apart(hubspot: TestClient) -> None:
    winner, loser, binned = (int(deal["id"]) for deal in all_deals(hubspot)[:3])
    control(hubspot, "merge", winner=winner, loser=loser)
    control(hubspot, "archive", ids=[binned])
    left = {deal["id"]: deal for deal in all_deals(hubspot, properties="hs_merged_object_ids")}
    assert str(loser) not in left
    assert str(binned) not in left
    assert left[str(winner)]["properties"]["hs_merged_object_ids"] == str(loser)
    archived = all_deals(hubspot, archived=True)
    assert [deal["id"] for deal in archived] == [str(binned)]
    assert archived[0]["archivedAt"]
    again = hubspot.post("/control/hubspot/merge", json={"winner": winner, "loser": loser})
    assert again.status_code == 404


def test_associations_lead_to_contacts_and_companies(hubspot: TestClient, sales: Sales) -> None:
    deals = sales.known(datetime.now(UTC)).deals
    wanted = deals.head(40)
    path = "/hubspot/crm/v4/associations/deals/{}/batch/read"
    body = {"inputs": [{"id": i} for i in wanted["deal_id"]]}
    contacts = hubspot.post(path.format("contacts"), json=body)
    assert contacts.status_code == 200
    linked = {one["from"]["id"]: str(one["to"][0]["toObjectId"]) for one in contacts.json()["results"]}
    assert linked == dict(zip(wanted["deal_id"], wanted["contact_id"], strict=True))
    companies = hubspot.post(path.format("companies"), json=body).json()
    alone = set(wanted.loc[wanted["company_id"].isna(), "deal_id"])
    assert {error["context"]["fromObjectId"][0] for error in companies.get("errors", [])} == alone


def test_pipelines_and_stages_can_be_deleted_for_good(hubspot: TestClient) -> None:
    def pipelines() -> dict[str, list[str]]:
        told = hubspot.get("/hubspot/crm/v3/pipelines/deals").json()["results"]
        return {p["id"]: [stage["id"] for stage in p["stages"]] for p in told}

    assert set(pipelines()) == {"default", "high_ticket", "enrolment"}
    control(hubspot, "delete_stage", pipeline_id="default", stage_id="contractsent")
    control(hubspot, "delete_pipeline", pipeline_id="enrolment")
    assert set(pipelines()) == {"default", "high_ticket"}
    assert "contractsent" not in pipelines()["default"]
    assert any(deal["properties"]["pipeline"] == "enrolment" for deal in all_deals(hubspot))


def test_owners_and_properties_are_told(hubspot: TestClient) -> None:
    active = hubspot.get("/hubspot/crm/v3/owners", params={"limit": 10}).json()
    assert len(active["results"]) == 10
    assert active["paging"]["next"]["after"]
    gone = hubspot.get("/hubspot/crm/v3/owners", params={"archived": True}).json()["results"]
    assert [owner["archived"] for owner in gone] == [True]
    control(hubspot, "add_property", name="deal_score", type="number", fieldType="number")
    names = {p["name"]: p["type"] for p in hubspot.get("/hubspot/crm/v3/properties/deals").json()["results"]}
    assert names["deal_score"] == "number"
    assert names["dealstage"] == "enumeration"


def test_limits_refuse_and_say_which(seeded: TestClient) -> None:
    control(seeded, "limits", ten_seconds=3, search_per_second=1, daily=6)
    first = seeded.get(DEALS)
    assert first.headers["x-hubspot-ratelimit-remaining"] == "2"
    assert [seeded.get(DEALS).status_code for _ in range(2)] == [200, 200]
    refused = seeded.get(DEALS)
    assert (refused.status_code, refused.json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert "retry-after" not in refused.headers
    found = seeded.post(f"{DEALS}/search", json={})
    assert "x-hubspot-ratelimit-max" not in found.headers
    assert seeded.post(f"{DEALS}/search", json={}).json()["policyName"] == "SECONDLY"
    control(seeded, "limits", retry_after=1)
    forward(seeded, seconds=5)
    assert int(seeded.get(DEALS).headers["retry-after"]) >= 1
    forward(seeded, seconds=11)
    assert seeded.get(DEALS).status_code == 200
    assert seeded.get(DEALS).status_code == 200
    exhausted = seeded.get(DEALS)
    assert (exhausted.status_code, exhausted.json()["policyName"]) == (429, "DAILY")
    forward(seeded, days=1)
    assert seeded.get(DEALS).status_code == 200


def test_a_wrong_token_and_one_that_expires_are_refused(hubspot: TestClient) -> None:
    assert hubspot.get(DEALS, headers={"authorization": "Bearer other"}).status_code == 401
    fault = {"vendor": "hubspot", "kind": "token_expired", "route": "*", "after": 1}
    assert hubspot.post("/control/faults", json=fault).status_code == 201
    assert [hubspot.get(DEALS).status_code for _ in range(3)] == [200, 401, 200]


def test_faults_speak_as_hubspot_does(hubspot: TestClient) -> None:
    order = {"vendor": "hubspot", "kind": "rate_limit", "args": {"retry_after": None}}
    assert hubspot.post("/control/faults", json=order).status_code == 201
    refused = hubspot.get(DEALS)
    assert (refused.status_code, refused.json()["errorType"]) == (429, "RATE_LIMIT")
    assert "retry-after" not in refused.headers
    broken = {"vendor": "hubspot", "kind": "server_error"}
    assert hubspot.post("/control/faults", json=broken).status_code == 201
    assert hubspot.get(DEALS).json()["category"] == "INTERNAL_ERROR"


def test_records_survive_a_restart_and_are_fed_once(world: SimulatedWorld, tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with TestClient(create_app(tmp_path, KEY, lambda: world), base_url="http://127.0.0.1") as client:
            client.headers["authorization"] = f"Bearer {KEY}"
            seen.append({deal["id"] for deal in all_deals(client)})
    assert seen[0] == seen[1]
    assert len(seen[0]) > 100


def test_a_days_work_moves_its_share_of_the_deals(seeded: TestClient) -> None:
    control(seeded, "limits", search_lag_s=0)
    control(seeded, "seed", count=500)
    begun = str(int(datetime.now(UTC).timestamp() * 1000))
    assert control(seeded, "work", share=0.02)["changed"] == 10
    since = {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": begun}
    assert search(seeded, since)["total"] == 10
