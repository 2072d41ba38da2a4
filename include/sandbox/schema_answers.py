"""Values that fit a JSON Schema, drawn from a hash: what a model held to a schema would answer in form.

Covers what callers of the vendors use: const, enum, types, bounds, items, properties, anyOf/oneOf and local
`$ref`. Keywords outside this list are ignored, as the value is for checking plumbing and not for its sense.
"""

import hashlib
from typing import Any

DEEPEST = 12
WORDS = ("amber", "brisk", "candid", "dense", "early", "frank", "grand", "honest", "ideal", "keen", "lucid")


class SchemaUnsupported(ValueError):
    """The schema is malformed or too deep; the message says which."""


class Dice:
    """Whole numbers drawn from a hash, in order, the same on any machine."""

    def __init__(self, seed: str) -> None:
        self._digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
        self._at = 0

    def below(self, limit: int) -> int:
        """The next number, from 0 to `limit` - 1."""
        if self._at + 4 > len(self._digest):
            self._digest, self._at = hashlib.sha256(self._digest).digest(), 0
        number = int.from_bytes(self._digest[self._at : self._at + 4])
        self._at += 4
        return number % limit

    def pick(self, choices: "tuple[str, ...] | list[Any]") -> Any:
        """One of `choices`."""
        return choices[self.below(len(choices))]


def fitting_value(schema: dict[str, Any], dice: Dice) -> Any:
    """A value that fits `schema`.

    Raises:
        SchemaUnsupported: the schema cannot be followed.
    """
    try:
        return _value(schema, schema, dice, 0)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise SchemaUnsupported(f"schema: cannot be followed ({error})") from error


def _value(schema: dict[str, Any], root: dict[str, Any], dice: Dice, depth: int) -> Any:
    if depth > DEEPEST:
        raise SchemaUnsupported(f"deeper than {DEEPEST} levels")
    if "$ref" in schema:
        return _value(_referred(schema["$ref"], root), root, dice, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return dice.pick(schema["enum"])
    for alternatives in ("anyOf", "oneOf"):
        if schema.get(alternatives):
            return _value(schema[alternatives][0], root, dice, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    match kind:
        case "object":
            parts = schema.get("properties") or {}
            return {name: _value(part, root, dice, depth + 1) for name, part in parts.items()}
        case "array":
            length = max(int(schema.get("minItems", 1)), 1)
            return [_value(schema.get("items") or {}, root, dice, depth + 1) for _ in range(length)]
        case "integer" | "number":
            return _number(schema, dice, whole=kind == "integer")
        case "boolean":
            return dice.below(2) == 1
        case "null":
            return None
        case _:
            return " ".join(dice.pick(WORDS) for _ in range(4))


def _number(schema: dict[str, Any], dice: Dice, *, whole: bool) -> int | float:
    low = schema.get("minimum", 0)
    high = max(schema.get("maximum", low + 100), low)
    if whole:
        return int(low) + dice.below(int(high) - int(low) + 1)
    return float(round(low + (high - low) * dice.below(10_001) / 10_000, 4))


def _referred(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    if not reference.startswith("#/"):
        raise SchemaUnsupported(f"only local references are followed, not {reference}")
    part: Any = root
    for step in reference[2:].split("/"):
        part = part[step]
    return dict(part)
