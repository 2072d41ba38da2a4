"""JSON schemas that strangers send: what is wrong with one, before an answer is ever checked by it.

A schema is used long after its sender is gone, among the answers of a whole night. So it must be complete in
itself (nothing is fetched for it), not too deep, end on the data it is tried on, and hold no regular
expression, of which a few letters can keep a processor busy for hours.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
from referencing.jsonschema import DRAFT202012

DEEPEST = 32
# Keywords whose value is names with a schema each, and those whose value is data.
NAMES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
DATA = frozenset({"enum", "const", "default", "examples"})
REFERENCES = frozenset({"$ref", "$dynamicRef"})


def flaw_of_schema(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with the schema of an answer, in a sentence; None when it can be used.

    >>> flaw_of_schema({"type": "object"}) is None
    True
    >>> flaw_of_schema({"type": "array"})
    'the answer must be a JSON object: give the schema the type "object"'
    """
    if schema.get("type") != "object":
        return 'the answer must be a JSON object: give the schema the type "object"'
    if _depth(schema) > DEEPEST:
        return f"this is nested more than {DEEPEST} levels deep; make it flatter"
    references = set()
    for keyword, value in _keywords(schema):
        if keyword in ("pattern", "patternProperties"):
            return f"{keyword} is not taken; use enum, or check the answer yourself"
        if keyword in ("$id", "$schema"):
            return f"{keyword} is not taken; leave it out"
        if keyword in REFERENCES:
            references.add(str(value))
    if any(not reference.startswith("#") for reference in references):
        return "a reference must point into the schema itself, as #/$defs/NAME does; nothing is fetched"
    return _flaw_in_use(schema, references)


def _flaw_in_use(schema: Mapping[str, Any], references: set[str]) -> str | None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        resource = DRAFT202012.create_resource(schema)
        resolver = referencing.Registry().with_resource("", resource).resolver_with_root(resource)
        for reference in references:
            resolver.lookup(reference)
        for _ in jsonschema.Draft202012Validator(schema).iter_errors({}):
            pass
    except jsonschema.SchemaError as error:
        place = "/".join(str(step) for step in error.absolute_path) or "its root"
        return f"this is no JSON schema of 2020-12: {place} has a value of the wrong kind"
    except referencing.exceptions.Unresolvable:
        return "a reference in it points to nothing; mend or remove it"
    except RecursionError:
        return "this refers to itself without end; give it an end"
    return None


def _depth(value: Any) -> int:
    """Levels of nesting. Without recursion, which a stranger could exhaust."""
    deepest, waiting = 0, [(0, value)]
    while waiting:
        depth, part = waiting.pop()
        deepest = max(deepest, depth)
        inner = part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ()
        waiting += [(depth + 1, each) for each in inner]
    return deepest


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """The keywords of a schema and of all schemas in it, but not the names of properties."""
    if isinstance(schema, list):
        for each in schema:
            yield from _keywords(each)
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        yield keyword, value
        if keyword in NAMES and isinstance(value, Mapping):
            for named in value.values():
                yield from _keywords(named)
        elif keyword not in DATA:
            yield from _keywords(value)
