"""The cost ledger: one row per answered attempt, in the vendor's own token counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from include.config.model import Price
from include.db import llm as sql
from include.llm.prices import Mode, Usage, cost_of


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
    rows = []
    for each in answered:
        cost = cost_of(each.usage, price, mode)
        rows.append(
            {
                "request_id": each.request_id,
                "attempt": each.attempt,
                "batch_id": batch_id,
                "mode": mode.value,
                "input_tokens": each.usage.input_tokens,
                "cache_write_tokens": each.usage.cache_write_tokens + each.usage.cache_write_1h_tokens,
                "cache_read_tokens": each.usage.cache_read_tokens,
                "output_tokens": each.usage.output_tokens,
                "paid_usd": cost.paid_usd,
                "live_usd": cost.live_usd,
                "booked_on": booked_on,
            }
        )
    return sql.book_costs(conn, rows)
