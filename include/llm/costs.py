"""The cost ledger: one row per call that a vendor charges, in the vendor's own token counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection

from include.config.llm import Price
from include.db import llm as sql
from include.llm.prices import Cost, Mode, Usage, cost_of, price_of


@dataclass(frozen=True)
class Answered:
    """An attempt that the vendor answered, and therefore charges."""

    request_id: int
    attempt: int
    usage: Usage


def book(
    conn: Connection,
    answered: Sequence[Answered],
    *,
    price: Price,
    mode: Mode,
    booked_on: date,
    batch_id: int | None = None,
) -> int:
    """Put attempts on the bill of `booked_on`; booking twice changes nothing. Returns how many were new."""
    rows = [
        {
            "cost_key": f"r{each.request_id}-a{each.attempt}",
            "request_id": each.request_id,
            "attempt": each.attempt,
            "batch_id": batch_id,
            "booked_on": booked_on,
            **_charged(each.usage, cost_of(each.usage, price, mode), mode),
        }
        for each in answered
    ]
    return sql.book_costs(conn, rows)


def book_call(
    conn: Connection,
    *,
    cost_key: str,
    tenant: str,
    purpose: str,
    provider: str,
    model: str,
    usage: Usage,
    mode: Mode,
    booked_on: date,
    prices: Iterable[Price],
    latency_ms: int | None = None,
) -> Cost:
    """Put one call that is no request of the queue on the bill; the same `cost_key` twice changes nothing.

    Live calls and those to video intelligence are booked this way.

    Raises:
        PriceUnknown: the model has no price on that day; nothing is booked.
    """
    cost = cost_of(usage, price_of(prices, provider, model, booked_on), mode)
    row = {
        "cost_key": cost_key,
        "tenant": tenant,
        "purpose": purpose,
        "provider": provider,
        "model": model,
        "latency_ms": latency_ms,
        "booked_on": booked_on,
        **_charged(usage, cost, mode),
    }
    sql.book_costs(conn, [row])
    return cost


def _charged(usage: Usage, cost: Cost, mode: Mode) -> dict[str, Any]:
    return {
        "mode": mode.value,
        "input_tokens": usage.input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "image_tokens": usage.image_tokens,
        "video_tokens": usage.video_tokens,
        "audio_tokens": usage.audio_tokens,
        "output_tokens": usage.output_tokens,
        "paid_usd": cost.paid_usd,
        "live_usd": cost.live_usd,
    }
