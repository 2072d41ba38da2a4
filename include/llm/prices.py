"""What a model costs: the dated price list of `thresholds.yaml`, in exact decimal arithmetic.

Prices are dollars per million tokens. A batch pays `batch_factor` of them on all usage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from include.config.llm import Price
from include.llm.errors import PriceUnknown

PER_TOKEN = Decimal(1_000_000)
# The ledger's precision, fine enough for one cached token of the cheapest model at half price, so that sums
# equal the vendor's bill to the last digit.
CENT_FRACTION = Decimal("0.000000000001")


class Mode(StrEnum):
    """How a request was sent."""

    BATCH = "batch"
    LIVE = "live"


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer, by what they are charged as.

    `input_tokens` are those at the full input price: what was read from a prompt cache, and pictures, video
    and sound where the vendor counts them apart, are not among them.
    """

    input_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0
    image_tokens: int = 0
    video_tokens: int = 0
    audio_tokens: int = 0

    @classmethod
    def of_message(cls, usage: Mapping[str, Any]) -> "Usage":
        """From the `usage` of a Messages answer. Writes without a lifetime count as five-minute ones."""
        written = int(usage.get("cache_creation_input_tokens") or 0)
        for_an_hour = int((usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0)
        return cls(
            input_tokens=int(usage["input_tokens"]),
            output_tokens=int(usage["output_tokens"]),
            cache_write_tokens=written - for_an_hour,
            cache_write_1h_tokens=for_an_hour,
            cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
        )

    @classmethod
    def of_openai(cls, usage: Mapping[str, Any]) -> "Usage":
        """From the `usage` of a chat, a response or an embedding. Reasoning is charged as output.

        >>> Usage.of_openai({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}).input_tokens
        5
        """
        prompt = int(usage.get("prompt_tokens", usage.get("input_tokens")) or 0)
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        cached = int(details.get("cached_tokens") or 0)
        return cls(
            input_tokens=prompt - cached,
            output_tokens=int(usage.get("completion_tokens", usage.get("output_tokens")) or 0),
            cache_read_tokens=cached,
        )

    @classmethod
    def of_gemini(cls, usage: Mapping[str, Any]) -> "Usage":
        """From `usage_metadata`, by modality. Thoughts are charged as output; cached tokens lead the prompt.

        What is cached is taken off the text first, since the vendor tells no modality of it in all cases.
        """
        by_modality = {
            str(part["modality"]).upper(): int(part.get("token_count") or 0)
            for part in usage.get("prompt_tokens_details") or ()
        }
        prompt = int(usage.get("prompt_token_count") or 0)
        media = {name: by_modality.get(name, 0) for name in ("IMAGE", "VIDEO", "AUDIO")}
        cached = int(usage.get("cached_content_token_count") or 0)
        text = prompt - sum(media.values()) - cached
        for name in ("VIDEO", "AUDIO", "IMAGE"):
            # More was cached than there is text: the rest was of the media.
            taken = min(media[name], max(0, -text))
            media[name], text = media[name] - taken, text + taken
        return cls(
            input_tokens=text,
            output_tokens=int(usage.get("candidates_token_count") or 0)
            + int(usage.get("thoughts_token_count") or 0),
            cache_read_tokens=cached,
            image_tokens=media["IMAGE"],
            video_tokens=media["VIDEO"],
            audio_tokens=media["AUDIO"],
        )


@dataclass(frozen=True)
class Cost:
    """Dollars: what is paid, and what the same answer would have cost live."""

    paid_usd: Decimal
    live_usd: Decimal


def price_of(prices: Iterable[Price], provider: str, model: str, day: date) -> Price:
    """The price in force on `day`.

    Raises:
        PriceUnknown: there is none.
    """
    known = [price for price in prices if price.provider == provider and price.model == model]
    in_force = [price for price in known if price.since <= day]
    if not in_force:
        state = f"only from {min(price.since for price in known)} on" if known else "none"
        raise PriceUnknown(
            f"price of {provider} {model} on {day}: {state}; add it to include/config/thresholds.yaml"
        )
    return max(in_force, key=lambda price: price.since)


def cost_of(usage: Usage, price: Price, mode: Mode) -> Cost:
    """Dollars for the tokens of one answer."""
    live = (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cache_write_tokens * price.cache_write
        + usage.cache_write_1h_tokens * price.cache_write_1h
        + usage.cache_read_tokens * price.cache_read
        + usage.image_tokens * (price.input if price.image is None else price.image)
        + usage.video_tokens * (price.input if price.video is None else price.video)
        + usage.audio_tokens * (price.input if price.audio is None else price.audio)
    ) / PER_TOKEN
    paid = live * price.batch_factor if mode is Mode.BATCH else live
    return Cost(paid.quantize(CENT_FRACTION), live.quantize(CENT_FRACTION))
