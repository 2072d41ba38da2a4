"""Which beginnings of prompts a vendor has seen before, and what that makes of their tokens.

The vendors keep a prompt's beginning for a while and charge less for it when it comes again. Here it is kept
for ever and always found again, so that a bill can be foretold: Anthropic's where the caller marks the end of
the beginning with `cache_control`, OpenAI's by itself where the first message has 1,024 tokens or more.
"""

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

LEAST_TOKENS = 1_024
OPENAI_STEP = 128
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Tokens:
    """Tokens of one answer as the vendor charges them; `input_tokens` are those at the full input price."""

    input_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0

    def columns(self) -> tuple[int, int, int, int, int]:
        """In the order of the tables: input, writes, writes for an hour, reads, output."""
        return (
            self.input_tokens,
            self.cache_write_tokens,
            self.cache_write_1h_tokens,
            self.cache_read_tokens,
            self.output_tokens,
        )


class PromptCache:
    """Beginnings seen so far: those of a state, and those of the batch at hand."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def charge_anthropic(self, params: dict[str, Any], input_tokens: int, output_tokens: int) -> Tokens:
        """Tokens of a message whose prompt has `input_tokens` in all."""
        marked = _marked_beginning(params)
        if marked is None:
            return Tokens(input_tokens, output_tokens)
        text, for_an_hour = marked
        size = min(len(text) // CHARACTERS_PER_TOKEN, input_tokens)
        if size < LEAST_TOKENS:
            return Tokens(input_tokens, output_tokens)
        if self._seen(f"anthropic:{params.get('model')}:{text}"):
            return Tokens(input_tokens - size, output_tokens, cache_read_tokens=size)
        if for_an_hour:
            return Tokens(input_tokens - size, output_tokens, cache_write_1h_tokens=size)
        return Tokens(input_tokens - size, output_tokens, cache_write_tokens=size)

    def charge_openai(self, model: str, beginning: str, input_tokens: int, output_tokens: int) -> Tokens:
        """Tokens of a chat or response whose first message is `beginning`."""
        size = min(len(beginning) // CHARACTERS_PER_TOKEN, input_tokens) // OPENAI_STEP * OPENAI_STEP
        if size < LEAST_TOKENS or not self._seen(f"openai:{model}:{beginning}"):
            return Tokens(input_tokens, output_tokens)
        return Tokens(input_tokens - size, output_tokens, cache_read_tokens=size)

    def _seen(self, beginning: str) -> bool:
        digest = hashlib.sha256(beginning.encode("utf-8", "surrogatepass")).hexdigest()
        added = self._db.execute("INSERT OR IGNORE INTO prompt_beginning VALUES (?)", (digest,))
        return added.rowcount == 0


def bill(
    db: sqlite3.Connection,
    source: str,
    vendor: str,
    mode: str,
    model: str,
    requests: int,
    tokens: Tokens,
    booked_at: float,
) -> None:
    """Put a call or a batch on the bill."""
    db.execute(
        "INSERT INTO bill VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (source, vendor, mode, model, requests, *tokens.columns(), booked_at),
    )


def _marked_beginning(params: dict[str, Any]) -> tuple[str, bool] | None:
    """Everything up to the last block with `cache_control`, and whether it is to be kept for an hour."""
    parts: list[str] = []
    found: tuple[str, bool] | None = None
    for content in (params.get("system"), *(turn.get("content") for turn in params.get("messages") or [])):
        blocks = content if isinstance(content, list) else [{"text": content or ""}]
        for block in blocks:
            if not isinstance(block, dict):
                continue
            parts.append(str(block.get("text") or json.dumps(block.get("source") or "", sort_keys=True)))
            control = block.get("cache_control")
            if isinstance(control, dict) and control.get("type") == "ephemeral":
                found = "\n".join(parts), control.get("ttl") == "1h"
    return found
