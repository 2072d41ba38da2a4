"""What a request will take at most, before it is asked: for budgets and for the vendors' quotas.

No tokenizer of a vendor can be had offline. Three characters a token is more than English or JSON takes with
any of today's; other scripts take about one token a character, so each character beyond Latin counts as one.
Pictures count as the largest the vendors make of one, and the answer as long as it may be. An estimate is
therefore an upper bound for all but exotic text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from include.config.llm import Price
from include.llm.prices import Mode, Usage, cost_of

CHARACTERS_PER_TOKEN = 3
LAST_LATIN = 0x24F
TOKENS_PER_TURN = 16
TOKENS_PER_IMAGE = 1_700
OUTPUT_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# Where no limit is given the vendor's own is in force.
DEFAULT_OUTPUT = 4_096


@dataclass(frozen=True)
class Estimate:
    """Upper bounds: tokens of the prompt, and dollars in a batch and live."""

    prompt_tokens: int
    batch_usd: Decimal
    live_usd: Decimal


def estimate(params: Mapping[str, Any], price: Price, *, answers: bool = True) -> Estimate:
    """The most a request with this body can take.

    Args:
        answers: whether the model writes an answer, as opposed to an embedding.
    """
    prompt = _tokens(params) + TOKENS_PER_TURN
    given = next((int(params[name]) for name in OUTPUT_NAMES if params.get(name)), DEFAULT_OUTPUT)
    answer = given if answers else 0
    usage = Usage(prompt, answer)
    if "cache_control" in repr(params.get("system")) or "cache_control" in repr(params.get("messages")):
        # What is written into the vendor's prompt cache costs more than what is only read.
        usage = Usage(0, answer, cache_write_1h_tokens=prompt)
    cost = cost_of(usage, price, Mode.BATCH)
    return Estimate(prompt, cost.paid_usd, cost.live_usd)


def _tokens(value: Any) -> int:
    if isinstance(value, str):
        foreign = 0 if value.isascii() else sum(ord(letter) > LAST_LATIN for letter in value)
        return foreign + -(-(len(value) - foreign) // CHARACTERS_PER_TOKEN)
    if isinstance(value, Mapping):
        if value.get("type") in ("image", "image_url", "input_image"):
            return TOKENS_PER_IMAGE
        return sum(_tokens(name) + _tokens(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return sum(_tokens(part) for part in value)
    return 1
