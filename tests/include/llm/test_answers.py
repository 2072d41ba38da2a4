"""Reading answers: what is no JSON, what breaks the schema, and schemas that cannot be used at all."""

import pytest

from include.llm.answers import answer_of_schema, json_of
from include.llm.errors import AnswerInvalid

LABEL = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "scores": {"type": "array", "items": {"type": "integer"}}},
    "required": ["label"],
}


@pytest.mark.parametrize("text", ["", "I cannot answer that.", '{"label": ', "[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(text):
    with pytest.raises(AnswerInvalid, match="the answer is no JSON"):
        json_of(text)


def test_a_flaw_is_told_with_its_place():
    with pytest.raises(AnswerInvalid, match="scores/1: "):
        answer_of_schema('{"label": "x", "scores": [1, "two"]}', LABEL)
    with pytest.raises(AnswerInvalid, match="no JSON object"):
        answer_of_schema("[1]", LABEL)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_that_refers_to_nothing_or_to_itself_is_an_invalid_answer_and_no_crash(schema):
    with pytest.raises(AnswerInvalid, match=r"look at its \$ref"):
        answer_of_schema('{"label": "x"}', schema)
