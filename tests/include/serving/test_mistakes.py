"""Whatever is wrong with a call: one clear sentence, the field, what to do, and nothing stored."""

from __future__ import annotations

import base64
import json

import pytest

from tests.include.serving.conftest import PATH, ask, embedding, question, stored

OBJECT = {"type": "object"}


def deep(levels):
    schema = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("request_", "where", "message"),
    [
        (question(text=""), "text", "this is empty"),
        (question(text="a\0b"), "text", "pattern"),
        (question(tenant="a\nb"), "tenant", "pattern"),
        (question(tenant=""), "tenant", "this is empty"),
        (question(purpose="Hook Class"), "purpose", "pattern"),
        (question(max_tokens=0), "max_tokens", "greater than 0"),
        (question(max_tokens=10**9), "max_tokens", "at most 64000"),
        (question(priority=10**10), "priority", "less than or equal"),
        (question(priority=1.234), "priority", "2 decimal places"),
        (question(texts=["a"]), "texts", "no such field"),
        (question(endpoint="/v1/completions"), "endpoint", "must be one of '/v1/messages'"),
        (question(model="claude-none"), "model", "no price for it at anthropic; use one of claude-haiku-4-5"),
        (question(endpoint="/v1/responses"), "model", "no price for it at openai"),
        (question(not_after="2020-01-01T00:00:00Z"), "not_after", "has passed"),
        (question(not_after="2036-01-01T00:00:00"), "not_after", "timezone"),
        (question(images=[{"url": "http://plain.example.com"}]), "images[0]", "https://"),
        (question(images=[{"data": "AAAA"}]), "images[0]", "media_type"),
        (question(images=[{"data": "*", "media_type": "image/png"}]), "images[0]", "no base64"),
        (question(images=[{}]), "images[0]", "give one of them"),
        (question(images=[{"url": "https://x"}] * 21), "images", "at most 20"),
        (question(answer_schema={"type": "array"}), "answer_schema", 'type "object"'),
        (question(answer_schema={**OBJECT, "required": 5}), "answer_schema", "wrong kind"),
        (question(answer_schema={**OBJECT, "$ref": "https://x/y"}), "answer_schema", "nothing is fetched"),
        (question(answer_schema={**OBJECT, "$ref": "#/nowhere"}), "answer_schema", "points to nothing"),
        (question(answer_schema={**OBJECT, "$ref": "#"}), "answer_schema", "without end"),
        (question(answer_schema=deep(20)), "answer_schema", "levels deep"),
        (
            question(answer_schema={**OBJECT, "properties": {"properties": {"pattern": "(a+)+$"}}}),
            "answer_schema",
            "pattern is not taken",
        ),
        (embedding(""), "texts[0]", "this is empty"),
        (embedding(texts=[]), "texts", "this is empty"),
        (embedding(dimensions=0), "dimensions", "greater than 0"),
        ({key: value for key, value in question().items() if key != "endpoint"}, "endpoint", "missing"),
        ({key: value for key, value in question().items() if key != "text"}, "text", "missing"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_field_and_nothing_is_stored(client, db, request_, where, message):
    refused = ask(client, question("a good one"), request_)
    assert refused.status_code == 422, refused.text
    error = refused.json()["error"]
    assert error["type"] == "invalid_request"
    assert [problem["where"] for problem in error["problems"]] == [f"requests[1].{where}"]
    assert message in error["problems"][0]["message"]
    assert error["message"].startswith(f"requests[1].{where}: ")
    assert error["message"].endswith("Nothing was stored")
    assert stored(db) == 0


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "integer"}}},
        {"properties": {"child": {"$ref": "#"}}},
        {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"enum": [{"$ref": "data"}]}}},
    ],
)
def test_a_schema_that_can_be_used_is_taken(client, schema):
    assert ask(client, question(answer_schema={**OBJECT, **schema})).status_code == 202


def test_all_mistakes_of_a_call_are_told_at_once(client):
    error = ask(client, question(max_tokens=-1), question(model=""), embedding(texts=5)).json()["error"]
    assert [each["where"] for each in error["problems"]] == [
        "requests[0].max_tokens", "requests[1].model", "requests[2].texts",
    ]  # fmt: skip
    assert error["message"].startswith("3 mistakes; the first is requests[0].max_tokens")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body"),
        (b"{", "not JSON"),
        (b"[]", "body"),
        (b"{}", "requests: this is missing"),
        (b'{"requests": []}', "requests: this is empty; give at least 1"),
        (b'{"requests": [5]}', "requests[0]"),
        (b'{"more": 1}', "2 mistakes"),
        (b"\xff\xfe", "body"),
        (b"[" * 100_000, "body"),
        (b'{"requests": ' + b"9" * 5_000 + b"}", "body"),
    ],
)
def test_a_body_that_is_no_call_is_refused_in_one_sentence(client, db, body, message):
    refused = client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 422, refused.text
    assert message in refused.json()["error"]["message"]
    assert stored(db) == 0


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", "1e999", '"\\u0000"'])
def test_what_the_database_cannot_store_is_refused_wherever_it_is(client, db, value):
    for name in ("text", "subject", "priority", "answer_schema"):
        sent = json.dumps(
            question(**{name: {**OBJECT, "title": "HERE"} if name == "answer_schema" else "HERE"})
        )
        body = '{"requests": [' + sent.replace('"HERE"', value) + "]}"
        refused = client.post(PATH, content=body, headers={"content-type": "application/json"})
        assert refused.status_code == 422, (name, refused.text)
    assert stored(db) == 0


def test_what_was_sent_is_not_repeated(client):
    secret = "the-private-words-of-a-customer"
    refused = ask(
        client, question(secret, purpose=f"X {secret}", images=[{"data": secret, "media_type": "x"}])
    )
    assert refused.status_code == 422
    assert secret not in refused.text


def test_a_call_has_a_most_of_requests_texts_and_bytes_of_a_picture(make_client, db):
    client = make_client(requests_per_call=2, texts_per_call=3)
    assert "send at most 2" in ask(client, *[question(str(n)) for n in range(3)]).json()["error"]["message"]
    assert (
        "send at most 3" in ask(client, embedding("a", "b"), embedding("c", "d")).json()["error"]["message"]
    )
    large = base64.b64encode(bytes(5_000_001)).decode()
    refused = ask(client, question(images=[{"media_type": "image/png", "data": large}]))
    assert refused.status_code == 422
    assert "requests[0].images[0].data: anthropic takes 5,000,000 bytes" in refused.json()["error"]["message"]
    assert stored(db) == 0
