"""Live messages through Anthropic's own client, and what the pretended model answers."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import pytest

from include.sandbox.answers import answer
from include.sandbox.schema_answers import Dice, SchemaUnsupported, fitting_value
from include.sandbox.server import SandboxServer

from .conftest import question, state

SCORING = "Rate this ad. Reply with JSON: a score from 0 to 100 and a critique."


def _text(message: anthropic.types.Message) -> str:
    block = message.content[0]
    assert block.type == "text"
    return block.text


def test_a_question_is_answered_and_billed_as_live(
    sandbox: SandboxServer, claude: anthropic.Anthropic
) -> None:
    message = claude.messages.create(**question("What is a hook?"))
    assert "What is a hook?" in _text(message)
    assert message.stop_reason == "end_turn"
    usage = message.usage
    assert usage.service_tier == "standard"
    (told,) = state(sandbox)["bill"]
    assert (told["vendor"], told["mode"], told["model"]) == ("anthropic", "live", "claude-haiku-4-5")
    assert told["requests"] == 1
    assert told["input_tokens"] == usage.input_tokens
    assert told["output_tokens"] == usage.output_tokens


def test_the_same_question_has_the_same_answer(claude: anthropic.Anthropic) -> None:
    first, second = (claude.messages.create(**question("Why?")) for _ in range(2))
    assert first.content == second.content
    assert first.id != second.id
    assert claude.messages.create(**question("Why not?")).content != first.content


@pytest.mark.parametrize("where", ["system", "user"])
def test_a_creative_score_is_valid_json(claude: anthropic.Anthropic, where: str) -> None:
    params = question("An ad about shoes", system=SCORING) if where == "system" else question(SCORING)
    scored = json.loads(_text(claude.messages.create(**params)))
    assert 0 <= scored["score"] <= 100
    assert scored["critique"]


def test_an_answer_longer_than_max_tokens_is_cut(claude: anthropic.Anthropic) -> None:
    message = claude.messages.create(**question(SCORING, max_tokens=5))
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 5


def test_a_json_schema_is_honoured(claude: anthropic.Anthropic) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "minimum": 1, "maximum": 5},
            "critique": {"type": "string"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "sure": {"type": ["boolean", "null"]},
        },
        "$defs": {"tag": {"enum": ["hook", "offer"]}},
    }
    asked: Any = {"format": {"type": "json_schema", "schema": schema}}
    value = json.loads(_text(claude.messages.create(**question(), output_config=asked)))
    assert value["score"] in range(1, 6)
    assert len(value["tags"]) == 2
    assert set(value["tags"]) <= {"hook", "offer"}
    assert 0 <= value["share"] <= 1
    assert isinstance(value["sure"], bool)


def test_a_forced_tool_is_called(claude: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}}
    tools: Any = [{"name": "rate", "input_schema": schema}]
    message = claude.messages.create(**question(), tools=tools, tool_choice={"type": "tool", "name": "rate"})
    assert message.stop_reason == "tool_use"
    block = message.content[0]
    assert block.type == "tool_use"
    assert isinstance(block.input["score"], int)


def test_an_answer_does_not_depend_on_the_order_of_keys() -> None:
    params = question(SCORING)
    assert answer(params) == answer(dict(reversed(params.items())))


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/$defs/me", "$defs": {"me": {"$ref": "#/$defs/me"}}}, {"enum": 7}]
)
def test_a_schema_that_cannot_be_followed_is_named(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaUnsupported, match="schema"):
        fitting_value(schema, Dice("any"))


def test_a_wrong_key_is_refused_in_the_vendors_words(sandbox: SandboxServer) -> None:
    client = anthropic.Anthropic(base_url=sandbox.anthropic_url, api_key="wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as refused:
        client.messages.create(**question())
    assert refused.value.body == {
        "type": "error",
        "error": {"type": "authentication_error", "message": "invalid x-api-key"},
        "request_id": refused.value.request_id,
    }
    assert state(sandbox)["bill"] == []


def test_the_version_header_is_required(sandbox: SandboxServer) -> None:
    response = httpx.post(
        f"{sandbox.anthropic_url}/v1/messages", json=question(), headers={"x-api-key": sandbox.api_key}
    )
    assert response.status_code == 400
    assert "anthropic-version" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (question(model="gpt-1"), anthropic.NotFoundError),
        (question(max_tokens=0), anthropic.BadRequestError),
        (question(messages=[{"role": "system", "content": "x"}]), anthropic.BadRequestError),
        (question(extra_body={"temperature": 3}), anthropic.BadRequestError),
    ],
)
def test_a_live_mistake_is_an_error_at_once(
    claude: anthropic.Anthropic, params: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        claude.messages.create(**params)


def test_live_answers_tell_the_rate_limit(claude: anthropic.Anthropic) -> None:
    headers = claude.messages.with_raw_response.create(**question()).headers
    limit, left = (int(headers[f"anthropic-ratelimit-requests-{name}"]) for name in ("limit", "remaining"))
    assert 0 <= left < limit
    assert headers["request-id"].startswith("req_01")
