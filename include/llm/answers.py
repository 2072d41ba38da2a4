"""Reading what a model answered: JSON that has to meet a JSON schema."""

import json
from typing import Any

import jsonschema
from referencing.exceptions import Unresolvable

from include.llm.errors import AnswerInvalid

SHOWN = 120


def json_of(text: str) -> Any:
    """The JSON that an answer is, also when a model put it into a Markdown fence.

    >>> json_of('```json\\n{"a": 1}\\n```')
    {'a': 1}

    Raises:
        AnswerInvalid: it is none.
    """
    inner = text.strip()
    if inner.startswith("```"):
        inner = inner.removeprefix("```").removeprefix("json").removesuffix("```")
    try:
        return json.loads(inner)
    except (ValueError, RecursionError) as error:
        raise AnswerInvalid(f"the answer is no JSON; it began: {text[:SHOWN]!r}") from error


def answer_of_schema(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON object that an answer is, checked.

    >>> answer_of_schema('{"n": 1}', {"properties": {"n": {"type": "integer"}}})
    {'n': 1}

    Raises:
        AnswerInvalid: it is no JSON object, or does not meet the schema; the message names the place.
    """
    value = json_of(text)
    if not isinstance(value, dict):
        raise AnswerInvalid(f"the answer is no JSON object; it began: {text[:SHOWN]!r}")
    try:
        flaw = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
    except (RecursionError, Unresolvable) as error:
        raise AnswerInvalid(
            f"the schema of the answer cannot be used: {type(error).__name__}; look at its $ref"
        ) from error
    if flaw is not None:
        place = "/".join(str(step) for step in flaw.absolute_path) or "the answer"
        raise AnswerInvalid(f"{place}: {flaw.message[:SHOWN]}")
    return value
