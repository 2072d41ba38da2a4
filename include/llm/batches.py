"""Planning a night: which queued requests leave, in which batches, and why the others wait.

The plan is committed as batches in state 'intent' before a vendor hears of anything. Planning the same night
again finds its batches and adds only what is new, under a further chunk number. The budget counts estimates,
which are upper bounds: what an answer costs in the end does not change what the night may send.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine

from include.config import Thresholds
from include.db import llm as llm_sql
from include.db import llm_batches, llm_cache
from include.db import llm_plan as sql
from include.db.llm_plan import Chosen
from include.llm import scoring
from include.llm.prices import price_of

# Custom id, method, url and quotes around the parameters of one request; custom ids have at most 64
# characters.
ENVELOPE_BYTES = 192


@dataclass(frozen=True)
class NightPlan:
    """Batches to bring to their end: this night's, and those of earlier nights that were cut short.

    Attributes:
        new_requests: requests put into batches by this call.
        too_large: queued requests that were failed because no batch can carry them.
        overdue: queued requests that were failed because their deadline passed.
        from_cache: queued requests that the cache answered.
        waiting: requests that wait for another night.
    """

    open_batch_ids: tuple[int, ...]
    new_batches: int
    new_requests: int
    too_large: int
    overdue: int
    from_cache: int
    waiting: int


@dataclass(frozen=True)
class BatchLimits:
    """What a batch of one lane takes: the vendor's limits and our own, whichever is smaller."""

    requests: int
    bytes: int
    inputs: int


def plan_night(engine: Engine, run_date: date, settings: Thresholds, *, most: int | None = None) -> NightPlan:
    """Put queued requests into batches for the night of `run_date`, in one transaction.

    Args:
        most: requests this night may send in all; `llm.requests_per_night` where it is not given.

    Raises:
        PriceUnknown: the scoring model has no price on `run_date`; nothing is planned.
    """
    llm = settings.llm
    price_of(settings.prices, llm.provider, llm.scoring_model, run_date)
    with engine.begin() as conn:
        sql.lock_planning(conn, run_date)
        overdue = sql.fail_overdue(conn)
        too_large = sql.fail_oversize(conn, _request_limits(settings))
        known = llm_cache.answer_queued(conn)
        llm_sql.store_creative_scores(conn, known, purpose=scoring.PURPOSE)
        sent = sql.already_sent(conn, run_date)
        sql.choose(
            conn,
            run_date,
            most=(llm.requests_per_night if most is None else most) - sent["requests"],
            night_budget=llm.budget.night_usd - Decimal(sent["estimated_usd"]),
            tenant_budget=llm.budget.tenant_night_usd,
            tenant_budgets=llm.budget.tenants,
            quotas=[
                {"provider": name, "tokens": vendor.enqueued_tokens, "requests": vendor.enqueued_requests}
                for name, vendor in llm.vendors.items()
            ],
        )
        batches, requests = _open(conn, run_date, settings)
        still_open = llm_batches.open_batches(conn, run_date)
        waiting = sum(row["requests"] for row in llm_sql.night_waiting(conn, run_date))
    return NightPlan(
        open_batch_ids=tuple(batch.batch_id for batch in still_open),
        new_batches=batches,
        new_requests=requests,
        too_large=too_large,
        overdue=overdue,
        from_cache=len(known),
        waiting=waiting,
    )


def limits_of(settings: Thresholds, provider: str) -> BatchLimits:
    """The limits of a provider's batches."""
    vendor = settings.llm.vendors[provider]  # type: ignore[index]
    return BatchLimits(
        requests=min(vendor.batch_requests, settings.llm.batch_max_requests),
        bytes=min(vendor.batch_bytes, settings.llm.batch_max_bytes),
        inputs=vendor.embedding_inputs or vendor.batch_requests,
    )


@dataclass(frozen=True)
class Chunk:
    """A batch to be made: places `first` to `last` of a lane, and its estimated tokens."""

    lane: tuple[str, str, str]
    first: int
    last: int
    tokens: int


def split(chosen: Iterable[Chosen], limits: dict[str, BatchLimits]) -> Iterator[Chunk]:
    """Requests in the order given, cut into batches that keep every limit and mix no lanes.

    Args:
        chosen: sorted by lane and place; each fits into a batch of its own.
        limits: per provider.

    >>> three = [Chosen("v", "m", "/e", place, 10, 1, 5) for place in (1, 2, 3)]
    >>> [(chunk.first, chunk.last) for chunk in split(three, {"v": BatchLimits(2, 1_000_000, 9)})]
    [(1, 2), (3, 3)]
    """
    open_chunk: Chunk | None = None
    requests = size = inputs = 0
    for each in chosen:
        most = limits[each.provider]
        weight = each.params_bytes + ENVELOPE_BYTES
        fits = (
            open_chunk is not None
            and open_chunk.lane == each.lane
            and requests < most.requests
            and size + weight <= most.bytes
            and inputs + each.input_count <= most.inputs
        )
        if open_chunk is not None and fits:
            open_chunk = Chunk(
                each.lane, open_chunk.first, each.place, open_chunk.tokens + each.estimated_tokens
            )
            requests, size, inputs = requests + 1, size + weight, inputs + each.input_count
            continue
        if open_chunk is not None:
            yield open_chunk
        open_chunk = Chunk(each.lane, each.place, each.place, each.estimated_tokens)
        requests, size, inputs = 1, weight, each.input_count
    if open_chunk is not None:
        yield open_chunk


def _open(conn: Connection, run_date: date, settings: Thresholds) -> tuple[int, int]:
    """Make the batches of what was chosen; returns how many, and of how many requests."""
    limits: dict[str, BatchLimits] = {name: limits_of(settings, name) for name in settings.llm.vendors}
    # The cursor is read to its end before anything is written: the list is as long as there are batches.
    chunks = list(split(sql.chosen(conn), limits))
    for chunk in chunks:
        sql.open_batch(conn, chunk.lane, run_date, chunk.first, chunk.last, chunk.tokens)
    return len(chunks), sum(chunk.last - chunk.first + 1 for chunk in chunks)


def _request_limits(settings: Thresholds) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for name, vendor in settings.llm.vendors.items():
        fits = min(vendor.request_bytes, limits_of(settings, name).bytes - ENVELOPE_BYTES)
        told.append({"provider": name, "request_bytes": fits, "inputs": vendor.embedding_inputs})
    return told
