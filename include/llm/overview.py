"""What people look at to see how language-model work goes: plain values for the pages inside Airflow.

Read only; nothing here decides anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, RowMapping

from include.config import Thresholds
from include.db import llm_overview as sql
from include.llm.cache.lookup import EVERYBODY

SPENDERS_SHOWN = 10
NAMESPACES_SHOWN = 40
OPEN = ("intent", "submitted", "ended")
TONES = {"collected": "good", "failed": "bad", "submitted": "warn", "ended": "warn", "intent": ""}


@dataclass(frozen=True)
class BatchLine:
    """One batch as a person reads it.

    Attributes:
        done, failed: requests that ended well, or otherwise, as far as the vendor or our collection says.
        took_s: from being sent to its end, or to now; `None` before it was sent.
    """

    batch_id: int
    vendor_batch_id: str | None
    provider: str
    model: str
    endpoint: str
    run_date: date
    state: str
    requests: int
    done: int
    failed: int
    asked_again: int
    error: str | None
    submitted_at: datetime | None
    took_s: float | None
    paid_usd: Decimal
    saved_usd: Decimal

    @property
    def tone(self) -> str:
        """How the state is coloured: `good`, `warn`, `bad` or nothing."""
        return TONES[self.state]

    @property
    def good_percent(self) -> float:
        """Share of the requests that ended well, 0 to 100."""
        return round(100 * self.done / self.requests, 1)

    @property
    def bad_percent(self) -> float:
        """Share of the requests that ended otherwise, 0 to 100."""
        return round(100 * self.failed / self.requests, 1)

    @property
    def progress(self) -> str:
        """The same in words."""
        told = f"{self.done:,} of {self.requests:,} answered"
        if self.failed:
            told += f", {self.failed:,} not"
        return f"{told} ({self.asked_again:,} asked again)" if self.asked_again else told


@dataclass(frozen=True)
class BatchesPage:
    """The batches of one night, and those of earlier nights that are still open."""

    day: date
    batches: tuple[BatchLine, ...]

    @property
    def open(self) -> int:
        """Batches that have not come to their end."""
        return sum(batch.state in OPEN for batch in self.batches)

    @property
    def before(self) -> date:
        """The day before."""
        return self.day - timedelta(days=1)

    @property
    def after(self) -> date:
        """The day after."""
        return self.day + timedelta(days=1)


@dataclass(frozen=True)
class Hits:
    """How the cache answered; `checked` semantic hits went to the model as well, `wrong` of them were."""

    exact_hits: int
    semantic_hits: int
    misses: int
    checked: int
    wrong: int

    @property
    def lookups(self) -> int:
        """Questions the cache was asked."""
        return self.exact_hits + self.semantic_hits + self.misses

    @property
    def false_hit_rate(self) -> float | None:
        """Estimated share of wrong answers among lookups that had no exact answer; `None` without a check.

        The checked hits are a random sample of the semantic ones, so their wrong share stands for all.

        >>> Hits(exact_hits=9, semantic_hits=50, misses=50, checked=10, wrong=1).false_hit_rate
        0.05
        """
        reached = self.semantic_hits + self.misses
        if not self.checked or not reached:
            return 0.0 if reached and not self.semantic_hits else None
        return self.wrong / self.checked * self.semantic_hits / reached


@dataclass(frozen=True)
class MoneyDay(Hits):
    """What one day's calls cost and saved, and how the cache answered."""

    day: date
    calls: int
    paid_usd: Decimal
    saved_by_batch_usd: Decimal
    saved_by_cache_usd: Decimal
    avg_similarity: float | None
    saved_seconds: float

    @property
    def live_usd(self) -> Decimal:
        """What the day would have cost without batches and cache."""
        return self.paid_usd + self.saved_by_batch_usd + self.saved_by_cache_usd


@dataclass(frozen=True)
class NamespaceLine(Hits):
    """One namespace of the cache as a person reads it.

    Attributes:
        delta: the promise: wrong semantic hits per lookup without an exact answer.
        state, why: whether it may answer what only means the same, and by what evidence.
        tone: how that is coloured.
    """

    task: str
    prompt_version: str
    model: str
    tenant: str
    entries: int
    delta: float
    state: str
    why: str
    tone: str


@dataclass(frozen=True)
class SavingsPage:
    """Money, cache and queue over some days, newest first."""

    since: date
    until: date
    days: tuple[MoneyDay, ...]
    spenders: Sequence[RowMapping]
    queue: Sequence[RowMapping]
    namespaces: Sequence[NamespaceLine]
    night_budget_usd: Decimal
    tenant_budget_usd: Decimal

    @property
    def total(self) -> MoneyDay:
        """All days together."""
        hits = sum(day.semantic_hits for day in self.days)
        similar = sum((day.avg_similarity or 0.0) * day.semantic_hits for day in self.days)
        return MoneyDay(
            day=self.until,
            calls=sum(day.calls for day in self.days),
            paid_usd=sum((day.paid_usd for day in self.days), Decimal(0)),
            saved_by_batch_usd=sum((day.saved_by_batch_usd for day in self.days), Decimal(0)),
            saved_by_cache_usd=sum((day.saved_by_cache_usd for day in self.days), Decimal(0)),
            exact_hits=sum(day.exact_hits for day in self.days),
            semantic_hits=hits,
            misses=sum(day.misses for day in self.days),
            checked=sum(day.checked for day in self.days),
            wrong=sum(day.wrong for day in self.days),
            avg_similarity=similar / hits if hits else None,
            saved_seconds=sum(day.saved_seconds for day in self.days),
        )

    @property
    def dearest(self) -> Decimal:
        """What the dearest day would have cost: the length of the longest bar."""
        return max((day.live_usd for day in self.days), default=Decimal(0))


def batches_page(engine: Engine, day: date, now: datetime | None = None) -> BatchesPage:
    """The batches of the night of `day`."""
    with engine.connect() as conn:
        rows = sql.batch_lines(conn, day)
        moment = now or conn.exec_driver_sql("SELECT now()").scalar_one()
    return BatchesPage(day, tuple(_batch(row, moment) for row in rows))


def savings_page(engine: Engine, since: date, until: date, settings: Thresholds) -> SavingsPage:
    """What the days from `since` to `until` cost and saved, and what waits now."""
    with engine.connect() as conn:
        return SavingsPage(
            since=since,
            until=until,
            days=tuple(_day(row) for row in sql.money_lines(conn, since, until)),
            spenders=sql.spenders(conn, since, until, SPENDERS_SHOWN),
            queue=sql.queue_lines(conn),
            namespaces=[
                _namespace(row, settings) for row in sql.namespace_lines(conn, since, until, NAMESPACES_SHOWN)
            ],
            night_budget_usd=settings.llm.budget.night_usd,
            tenant_budget_usd=settings.llm.budget.tenant_night_usd,
        )


def _batch(row: RowMapping, now: datetime) -> BatchLine:
    done, failed = int(row["succeeded"]), int(row["not_succeeded"])
    if row["state"] in ("submitted", "ended"):
        said: Mapping[str, Any] = row["vendor_counts"] or {}
        done = max(done, int(said.get("succeeded") or said.get("completed") or 0))
        failed = max(failed, sum(int(said.get(name) or 0) for name in ("errored", "failed", "expired")))
    began, ended = row["submitted_at"], row["ended_at"]
    return BatchLine(
        batch_id=row["batch_id"],
        vendor_batch_id=row["vendor_batch_id"],
        provider=row["provider"],
        model=row["model"],
        endpoint=row["endpoint"],
        run_date=row["run_date"],
        state=row["state"],
        requests=row["request_count"],
        done=done,
        failed=failed,
        asked_again=row["asked_again"],
        error=row["error"],
        submitted_at=began,
        took_s=((ended or now) - began).total_seconds() if began else None,
        paid_usd=row["paid_usd"],
        saved_usd=row["saved_usd"],
    )


def _namespace(row: RowMapping, settings: Thresholds) -> NamespaceLine:
    state, tone = "exact only", ""
    if not settings.llm.cache.is_semantic(row["task"]):
        why = "by configuration"
    elif row["is_shut"]:
        why, tone = str(row["shut_why"]), "bad"
    elif row["delta"] is None:
        why = "until there is evidence"
    elif not row["hit_share"]:
        why = f"{row['observations']:,} observations allow no more"
    else:
        state, tone = "semantic", "good"
        why = (
            f"{row['hit_share']:.0%} of the rest by {row['observations']:,} observations, "
            f"at most {row['wrong_bound']:.2%} wrong"
        )
    return NamespaceLine(
        task=row["task"],
        prompt_version=row["prompt_version"],
        model=row["model"],
        tenant="everybody" if row["tenant"] == EVERYBODY else row["tenant"],
        entries=row["entries"],
        exact_hits=row["exact_hits"],
        semantic_hits=row["semantic_hits"],
        misses=row["misses"],
        checked=row["checked"],
        wrong=row["wrong"],
        delta=float(row["delta"] or settings.llm.cache.false_hit_rate_of(row["task"])),
        state=state,
        why=why,
        tone=tone,
    )


def _day(row: RowMapping) -> MoneyDay:
    return MoneyDay(
        day=row["day"],
        calls=int(row["calls"]),
        paid_usd=Decimal(row["paid_usd"]),
        saved_by_batch_usd=Decimal(row["saved_by_batch_usd"]),
        saved_by_cache_usd=Decimal(row["saved_by_cache_usd"]),
        exact_hits=int(row["exact_hits"]),
        semantic_hits=int(row["semantic_hits"]),
        misses=int(row["misses"]),
        checked=int(row["checked"]),
        wrong=int(row["wrong"]),
        avg_similarity=None if row["avg_similarity"] is None else float(row["avg_similarity"]),
        saved_seconds=float(row["saved_seconds"]),
    )
