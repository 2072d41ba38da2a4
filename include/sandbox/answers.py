"""What the pretended model answers, and what it costs in tokens.

An answer is a function of the request alone (a hash of its canonical form), so the same question is answered
the same way on any machine and after any restart. Nothing here looks at the meaning of the question beyond
the form of answer it asks for: a creative score as JSON, a forced tool, a JSON schema, or a short text.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from include.sandbox.prompt_cache import Tokens
from include.sandbox.schema_answers import Dice, fitting_value

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 1_500
LONGEST_ECHO = 60
ID_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

STRENGTHS = (
    "The hook lands in the first three seconds",
    "The offer is concrete and easy to repeat",
    "The product is in use from the first frame",
    "The voice sounds like the customer, not the brand",
    "Proof comes early: a number and a face",
)
WEAKNESSES = (
    "the call to action arrives too late",
    "the headline says what every competitor says",
    "nothing tells the viewer why now",
    "the text is too small for a phone",
    "the second half repeats the first",
)
ADVICE = (
    "Move the call to action before the midpoint.",
    "Cut the opening logo and start on the problem.",
    "Test a version with one claim instead of three.",
    "Show the price next to what it replaces.",
    "Let a customer say the main line.",
)


@dataclass(frozen=True)
class Answer:
    """One assistant turn: its content blocks as the API sends them, why it stopped, and its tokens."""

    content: list[dict[str, Any]]
    stop_reason: str
    input_tokens: int
    output_tokens: int


def answer(params: dict[str, Any]) -> Answer:
    """The answer to one valid Messages request.

    Args:
        params: the body of a Messages request that `params.flaw` finds nothing wrong with.

    Raises:
        SchemaUnsupported: the JSON schema it asks for cannot be followed.
    """
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"))
    dice = Dice(canonical)
    prompt_tokens = input_tokens(params)
    tool = _forced_tool(params)
    if tool is not None:
        value = fitting_value(tool.get("input_schema") or {"type": "object"}, dice)
        block = {
            "type": "tool_use",
            "id": vendor_id("toolu", canonical),
            "name": tool["name"],
            "input": value,
        }
        return Answer([block], "tool_use", prompt_tokens, _text_tokens(json.dumps(value)))
    text = _text_answer(params, dice)
    limit = int(params["max_tokens"])
    stop_reason = "end_turn"
    if _text_tokens(text) > limit:
        text, stop_reason = text[: limit * CHARACTERS_PER_TOKEN], "max_tokens"
    return Answer([{"type": "text", "text": text}], stop_reason, prompt_tokens, _text_tokens(text))


def input_tokens(params: dict[str, Any]) -> int:
    """A stable estimate of the prompt's tokens: four characters each, a little per message, images flat."""
    total = _text_tokens(_flat(params.get("system")))
    for turn in params["messages"]:
        content = turn["content"]
        total += TOKENS_PER_MESSAGE + _text_tokens(_flat(content))
        if isinstance(content, list):
            kinds = [block.get("type") for block in content if isinstance(block, dict)]
            total += TOKENS_PER_IMAGE * (kinds.count("image") + kinds.count("document"))
    for name in ("tools", "output_config"):
        if params.get(name):
            total += _text_tokens(json.dumps(params[name]))
    return total


def message(
    params: dict[str, Any], given: Answer, tokens: Tokens, *, message_id: str, service_tier: str
) -> dict[str, Any]:
    """The Message object the API sends for an answer; `service_tier` is 'standard' or 'batch'."""
    written = tokens.cache_write_tokens + tokens.cache_write_1h_tokens
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": params["model"],
        "content": given.content,
        "stop_reason": given.stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens.input_tokens,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": tokens.cache_read_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": tokens.cache_write_tokens,
                "ephemeral_1h_input_tokens": tokens.cache_write_1h_tokens,
            },
            "output_tokens": tokens.output_tokens,
            "service_tier": service_tier,
        },
    }


def vendor_id(prefix: str, seed: str) -> str:
    """An id in the vendor's form, `prefix_01` and 22 letters and digits, always the same for a seed."""
    digest = hashlib.sha256(f"{prefix}:{seed}".encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:17])
    letters = []
    for _ in range(22):
        number, digit = divmod(number, len(ID_LETTERS))
        letters.append(ID_LETTERS[digit])
    return f"{prefix}_01{''.join(letters)}"


def _text_answer(params: dict[str, Any], dice: Dice) -> str:
    schema = _asked_schema(params)
    if schema is not None:
        value = fitting_value(schema, dice)
        if isinstance(value, dict) and isinstance(value.get("critique"), str):
            value["critique"] = _critique(dice)
        return json.dumps(value, ensure_ascii=False)
    prompt = _prompt_text(params).lower()
    if "json" in prompt and "score" in prompt and "critique" in prompt:
        return json.dumps({"score": _score(dice), "critique": _critique(dice)}, ensure_ascii=False)
    question = " ".join(_flat(params["messages"][-1]["content"]).split())
    echo = question if len(question) <= LONGEST_ECHO else question[:LONGEST_ECHO].rstrip() + "…"
    return f"{dice.pick(STRENGTHS)}. {dice.pick(ADVICE)} (Asked: “{echo}”)"


def _score(dice: Dice) -> int:
    """0 to 100, most often between 35 and 65: the sum of four draws from 0 to 25."""
    return sum(dice.below(26) for _ in range(4))


def _critique(dice: Dice) -> str:
    return f"{dice.pick(STRENGTHS)}, but {dice.pick(WEAKNESSES)}. {dice.pick(ADVICE)}"


def _forced_tool(params: dict[str, Any]) -> dict[str, Any] | None:
    tools: list[dict[str, Any]] = params.get("tools") or []
    choice = params.get("tool_choice") or {}
    if choice.get("type") == "tool":
        return next((tool for tool in tools if tool.get("name") == choice.get("name")), None)
    return tools[0] if tools and choice.get("type") == "any" else None


def _asked_schema(params: dict[str, Any]) -> dict[str, Any] | None:
    wanted = (params.get("output_config") or {}).get("format") or {}
    return wanted.get("schema") if wanted.get("type") == "json_schema" else None


def _prompt_text(params: dict[str, Any]) -> str:
    parts = [_flat(params.get("system"))]
    parts += [_flat(turn["content"]) for turn in params["messages"] if turn["role"] == "user"]
    return "\n".join(parts)


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _text_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
