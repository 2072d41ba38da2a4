"""Asking for tonight over HTTP and reading the answer: the real app, queue, night and vendors' stand-in."""

from __future__ import annotations

import base64
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.llm.batches import plan_night
from include.llm.collection import collect_batches
from include.llm.submission import submit_batches
from tests.include.llm.conftest import vendors_of
from tests.include.serving.conftest import FIRST, PATH, SECOND, ask, changed, embedding, question, stored

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()


def run_the_night(db, sandbox):
    day, settings = datetime.now(UTC).date(), changed()
    with vendors_of(sandbox) as vendors:
        batch_ids = plan_night(db, day, settings).open_batch_ids
        submit_batches(db, vendors, batch_ids, settings.llm)
        sandbox.client.post("/control/clock", json={"advance_seconds": 90_000}).raise_for_status()
        collect_batches(db, vendors, batch_ids, settings)


def test_what_is_asked_by_day_is_answered_after_the_night(client, db, sandbox):
    schema = {
        "type": "object",
        "properties": {"hook_type": {"type": "string"}},
        "required": ["hook_type"],
        "additionalProperties": False,
    }
    asked = ask(
        client,
        question("plain"),
        question("as JSON", answer_schema=schema),
        question("a picture", endpoint="/v1/chat/completions", model="gpt-5-mini",
                 images=[{"media_type": "image/png", "data": PIXEL}]),
        question("a response", endpoint="/v1/responses", model="gpt-5-mini", instructions="Be short."),
        embedding("one", "two", dimensions=64),
    )  # fmt: skip
    assert asked.status_code == 202, asked.text
    receipts = asked.json()["requests"]
    assert {(each["state"], each["is_new"], each["answer"]) for each in receipts} == {("queued", True, None)}

    run_the_night(db, sandbox)
    answers = [client.get(f"{PATH}/{each['id']}").json() for each in receipts]

    assert [each["state"] for each in answers] == ["succeeded"] * 5, answers
    plain, as_json, picture, response, vectors = (each["answer"] for each in answers)
    assert all(each["text"] for each in (plain, picture, response))
    assert isinstance(as_json["hook_type"], str)
    assert (len(vectors["vectors_b64"]), vectors["dimensions"]) == (2, 64)
    assert len(struct.unpack("<64f", base64.b64decode(vectors["vectors_b64"][0]))) == 64
    assert {each["answered_from"] for each in answers} == {"batch"}
    # Asked again, the answer is there at once.
    again = ask(client, question("plain", tenant="a2")).json()["requests"]
    assert again == [{**receipts[0], "state": "succeeded", "is_new": False, "answer": plain}]


def test_receipts_come_in_the_order_of_the_requests_and_the_same_question_has_one_id(client, db):
    words = ["c", "a", "b", "a"]
    first = ask(client, *(question(each) for each in words)).json()["requests"]
    ids = [each["id"] for each in first]
    assert ids[1] == ids[3]
    assert len(set(ids)) == stored(db) == 3

    again = ask(client, *(question(each) for each in reversed(words))).json()["requests"]
    assert [each["id"] for each in again] == ids[::-1]
    assert not any(each["is_new"] for each in again)
    with db.connect() as conn:
        query = "SELECT request_id, params #>> '{messages,0,content}' FROM llm.llm_request"
        kept = dict(conn.execute(text(query)).all())
    assert [kept[each] for each in ids] == words


def test_everything_said_about_a_request_is_stored_with_it(client, db):
    until = datetime.now(UTC) + timedelta(hours=5)
    sent = question(
        tenant="act_1", subject="c7", purpose="hook_class", prompt_version="hook-3", priority=12.5,
        not_after=until.isoformat(), instructions="Be short.",
    )  # fmt: skip
    assert ask(client, sent).status_code == 202
    with db.connect() as conn:
        row = conn.execute(
            text("SELECT * FROM llm.llm_request JOIN llm.llm_request_asker USING (request_id)")
        ).one()
    assert (row.tenant, row.subject, row.purpose, row.prompt_version) == (
        "act_1",
        "c7",
        "hook_class",
        "hook-3",
    )
    assert (row.priority, row.not_after, row.provider) == (Decimal("12.5"), until, "anthropic")
    assert row.queued_on == datetime.now(UTC).date()
    assert row.params["system"] == "Be short."


def test_two_callers_at_once_store_a_question_once(client, db):
    with ThreadPoolExecutor(8) as pool:
        asked = list(
            pool.map(lambda n: ask(client, *(question(f"q{(n + k) % 20}") for k in range(20))), range(16))
        )
    assert {each.status_code for each in asked} == {202}
    assert stored(db) == 20
    assert sum(receipt["is_new"] for each in asked for receipt in each.json()["requests"]) == 20


def test_one_wrong_request_leaves_nothing_of_its_call(client, db):
    refused = ask(client, question("good"), question("bad", model="claude-none"))
    assert refused.status_code == 422
    assert stored(db) == 0


def test_a_key_reads_and_asks_for_its_own_tenant_only(client, db):
    receipt = ask(client, question("of a1", tenant="a1"), key=FIRST).json()["requests"][0]
    address = f"{PATH}/{receipt['id']}"
    assert client.get(address, headers={"x-api-key": FIRST}).json()["state"] == "queued"

    strange = client.get(address, headers={"x-api-key": SECOND})
    unknown = client.get(f"{PATH}/999999", headers={"x-api-key": SECOND})
    # Whether somebody else has asked it cannot be told.
    assert strange.status_code == unknown.status_code == 404
    assert (
        strange.json()["error"]["message"].replace(str(receipt["id"]), "999999")
        == (unknown.json()["error"]["message"])
    )

    forbidden = ask(client, question("mine", tenant="a2"), question("not mine", tenant="a1"), key=SECOND)
    assert forbidden.status_code == 403
    assert forbidden.json()["error"]["problems"][0]["where"] == "requests[1].tenant"
    assert stored(db) == 1

    # Who asks the same question becomes one of its askers and may read its answer.
    assert (
        ask(client, question("of a1", tenant="a2"), key=SECOND).json()["requests"][0]["id"] == receipt["id"]
    )
    assert client.get(address, headers={"x-api-key": SECOND}).status_code == 200


@pytest.mark.parametrize("request_id", ["0", "-1", "1e3", str(2**63), "abc"])
def test_what_is_no_id_is_refused(client, request_id):
    assert client.get(f"{PATH}/{request_id}").status_code == 422


def test_a_failed_request_says_why(client, db):
    receipt = ask(client, question()).json()["requests"][0]
    with db.begin() as conn:
        conn.execute(text("UPDATE llm.llm_request SET state = 'failed', error = 'the vendor refused it'"))
    assert client.get(f"{PATH}/{receipt['id']}").json()["error"] == "the vendor refused it"
    assert ask(client, question()).json()["requests"][0]["error"] == "the vendor refused it"
