"""Planning a night: which queued requests leave, in which batches.

The plan is committed as batches in state 'intent' before the vendor hears of anything. Planning the same
night again finds its batches and adds only what is new, under a further chunk number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Engine

from include.config import Thresholds
from include.db import llm_batches as sql
from include.llm.prices import price_of

# {"custom_id":"...","params":...}, around the parameters; custom ids have at most 64 characters.
ENVELOPE_BYTES = 128


@dataclass(frozen=True)
class NightPlan:
    """Batches to bring to their end: this night's, and those of earlier nights that were cut short.

    Attributes:
        new_requests: requests put into batches by this call.
        too_large: queued requests that were failed because no batch can carry them.
    """

    open_batch_ids: tuple[int, ...]
    new_batches: int
    new_requests: int
    too_large: int


def plan_night(engine: Engine, run_date: date, settings: Thresholds, *, most: int | None = None) -> NightPlan:
    """Put queued requests of the scoring model into batches for the night of `run_date`, in one transaction.

    Args:
        most: requests this night may send in all; `llm.requests_per_night` where it is not given.

    Raises:
        PriceUnknown: the model has no price on `run_date`; nothing is planned.
    """
    llm = settings.llm
    night = (llm.provider, llm.scoring_model, run_date)
    price_of(settings.prices, *night)
    with engine.begin() as conn:
        sql.lock_planning(conn, *night)
        too_large = sql.fail_oversize(
            conn, llm.provider, llm.scoring_model, llm.batch_max_bytes - ENVELOPE_BYTES
        )
        sent, chunk = sql.night_so_far(conn, *night)
        allowed = (llm.requests_per_night if most is None else most) - sent
        taken = sql.take_queued(conn, *night, allowed) if allowed > 0 else []
        chunks = split(taken, most_requests=llm.batch_max_requests, most_bytes=llm.batch_max_bytes)
        for number, request_ids in enumerate(chunks, start=chunk + 1):
            sql.open_batch(conn, *night, number, request_ids)
        still_open = sql.open_batches(conn, llm.provider, run_date)
    return NightPlan(tuple(batch.batch_id for batch in still_open), len(chunks), len(taken), too_large)


def split(sizes: Iterable[tuple[int, int]], *, most_requests: int, most_bytes: int) -> list[list[int]]:
    """Requests in the order given, cut into batches that keep the vendor's limits.

    Args:
        sizes: (request_id, bytes of its parameters); each fits into a batch of its own.

    >>> split([(1, 10), (2, 10), (3, 10)], most_requests=2, most_bytes=1_000_000)
    [[1, 2], [3]]
    """
    chunks: list[list[int]] = []
    count, room = most_requests, 0
    for request_id, size in sizes:
        size += ENVELOPE_BYTES
        if count == most_requests or size > room:
            chunks.append([])
            count, room = 0, most_bytes
        chunks[-1].append(request_id)
        count, room = count + 1, room - size
    return chunks
