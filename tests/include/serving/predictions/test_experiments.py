"""An experiment shares the traffic as planned, can be managed over HTTP, and ends when its champion does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from include.promotion import promote
from ml.experiments import assign
from tests.include.serving.conftest import FIRST
from tests.include.serving.predictions.conftest import ACCOUNT, told


@pytest.fixture
def running(service):
    """An experiment by request with half of the traffic, which the service knows of."""
    body = {"model": service.model, "unit": "request", "challenger_share": 0.5}
    test = told(service.client.post("/api/experiments", json=body))
    service.wait_for(lambda: told(service.predict())["experiment"] == test["id"])
    return test


def test_arms_are_as_the_salt_says_sticky_and_logged_with_both_rates(service, running, platform):
    for number in range(200):
        unit = f"request-{number}"
        answer = told(service.predict(request_id=unit))
        arm = assign(unit, salt=running["salt"], challenger_share=0.5)
        assert answer["arm"] == arm
        assert answer["version"] == (2 if arm == "challenger" else 1)
        assert answer["experiment"] == running["id"]
        assert told(service.predict(request_id=unit))["arm"] == arm
    query = text("SELECT * FROM ml.prediction_log WHERE ab_test_id = :id AND unit_key LIKE 'request-%'")

    def lines():
        with platform.connect() as connection:
            found = [dict(row) for row in connection.execute(query, {"id": running["id"]}).mappings()]
        return found if len(found) >= 400 else None

    for each in service.wait_for(lines):
        assert {each["model_version"], each["other_version"]} == {1, 2}
        assert each["other_rate"] is not None
        assert each["rate"] != each["other_rate"]


def test_when_the_champion_changes_everybody_is_answered_by_the_new_one(
    service, running, platform, registered
):
    promote(
        platform, registered, service.model, 2, expected_champion=1, who="a test", why="better", evidence={}
    )
    service.wait_for(lambda: told(service.predict())["experiment"] is None)
    answers = [told(service.predict(request_id=f"r{number}")) for number in range(30)]
    assert {(answer["version"], answer["arm"]) for answer in answers} == {(2, "champion")}


def test_stopping_gives_all_traffic_back_and_stopping_again_changes_nothing(service, running):
    path = f"/api/experiments/{running['id']}/stop"
    stopped = told(service.client.post(path, json={"reason": "a holiday"}))
    assert (stopped["state"], stopped["reason"]) == ("stopped", "stopped by hand: a holiday")
    again = told(service.client.post(path, json={"reason": "another"}))
    assert again["reason"] == stopped["reason"]
    service.wait_for(lambda: told(service.predict())["experiment"] is None)


def test_an_experiment_is_listed_and_told_with_what_its_traffic_can_show(service, running):
    listed = told(service.client.get("/api/experiments", params={"model": service.model}))["experiments"]
    assert [each["id"] for each in listed] == [running["id"]]
    one = told(service.client.get(f"/api/experiments/{running['id']}"))
    assert one["looks"] == []
    assert one["state"] == "running"
    assert one["smallest_effect"]
    assert one["first_day"] == str(_day(one["started_at"]) + timedelta(days=1))


def _day(moment):
    from datetime import datetime

    return datetime.fromisoformat(moment).date()


def test_a_second_one_and_nonsense_are_refused_with_the_reason(service, running):
    def post(**body):
        response = service.client.post("/api/experiments", json={"model": service.model, **body})
        assert response.status_code == 422, response.text
        return response.json()["error"]["message"]

    assert f"experiment {running['id']}" in post()
    assert "challenger_share" in post(challenger_share=0.9)
    assert "unit" in post(unit="person")
    service.client.post(f"/api/experiments/{running['id']}/stop", json={"reason": "done"})
    assert "v1" in post(challenger_version=1)
    assert "does not exist" in post(challenger_version=99)
    assert service.client.get("/api/experiments/999999").status_code == 404
    other = service.client.post("/api/experiments", json={"model": "pipeline_value"})
    assert "no traffic to share" in other.json()["error"]["message"]


def test_a_key_of_one_account_manages_nothing(service):
    keyed = {"x-api-key": FIRST}
    assert service.client.get("/api/experiments", headers=keyed).status_code == 403
    body = {"model": service.model}
    assert service.client.post("/api/experiments", json=body, headers=keyed).status_code == 403


def test_by_account_all_requests_of_an_account_meet_one_arm(service):
    body = {"model": service.model, "unit": "account", "challenger_share": 0.5}
    test = told(service.client.post("/api/experiments", json=body))
    service.wait_for(lambda: told(service.predict())["experiment"] == test["id"])
    for account in (ACCOUNT, *(f"act_{number}" for number in range(20))):
        arms = {told(service.predict(account))["arm"] for _ in range(3)}
        assert arms == {str(assign(account, salt=test["salt"], challenger_share=0.5))}
