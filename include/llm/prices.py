"""What a model costs: the dated price list of `thresholds.yaml`, in exact decimal arithmetic.

Prices are dollars per million tokens. A batch pays `batch_factor` of them on all usage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from include.config.model import Price
from include.llm.errors import PriceUnknown

PER_TOKEN = Decimal(1_000_000)
# The ledger's precision, fine enough for one cached token at half price.
CENT_FRACTION = Decimal("0.00000001")


class Mode(StrEnum):
    """How a request was sent."""

    BATCH = "batch"
    LIVE = "live"


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer, by what they are charged as."""

    input_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0

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
    ) / PER_TOKEN
    paid = live * price.batch_factor if mode is Mode.BATCH else live
    return Cost(paid.quantize(CENT_FRACTION), live.quantize(CENT_FRACTION))
