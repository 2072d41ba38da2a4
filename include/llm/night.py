"""What a night of language-model work did, in figures and in one sentence."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from include.db import llm as sql

REASONS = {
    "tenant_budget": "wait for their account's budget",
    "night_budget": "wait for the night's budget",
    "night_requests": "wait because the night is full",
    "enqueued_tokens": "wait for the vendor's quota",
}
TENANTS_NAMED = 3


@dataclass(frozen=True)
class Waiting:
    """Requests that the plan of a night left in the queue, for one reason."""

    reason: str
    tenants: tuple[str, ...]
    requests: int
    estimated_usd: Decimal

    @property
    def told(self) -> str:
        """For the sentence of the report."""
        words = f"{self.requests:,} {REASONS[self.reason]} (${self.estimated_usd:.2f} by estimate)"
        if self.reason != "tenant_budget":
            return words
        named = ", ".join(self.tenants[:TENANTS_NAMED])
        more = len(self.tenants) - TENANTS_NAMED
        return f"{words}: {named}" + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class NightReport:
    """The batches of one run date, of all vendors. A later night that answers what waits does not change it.

    Attributes:
        requests: distinct requests that left in batches of this date.
        failed: of them, those that will not be asked again.
        waiting: of them, those queued for another night or still with a vendor.
        batches, refused_batches: batches in all, and of them those a vendor did not take or work on.
        left_waiting: requests that did not leave, by reason.
        paid_usd, saved_usd: what it cost, and what it would have cost more live.
    """

    run_date: date
    requests: int
    succeeded: int
    failed: int
    waiting: int
    batches: int
    refused_batches: int
    left_waiting: tuple[Waiting, ...]
    paid_usd: Decimal
    saved_usd: Decimal

    @property
    def summary(self) -> str:
        """One sentence for people."""
        left = [each.told for each in self.left_waiting]
        if not self.requests:
            return "; ".join([f"Nothing to ask a model on {self.run_date}: 0 requests", *left])
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        parts = [f"{self.succeeded} of {self.requests} requests answered in {batches}"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.waiting:
            parts.append(f"{self.waiting} wait for another night")
        if self.refused_batches:
            parts.append(f"{self.refused_batches} of the batches refused by the vendor")
        money = f"paid ${self.paid_usd:.4f}, saved ${self.saved_usd:.4f}"
        return "; ".join([", ".join(parts), money, *left])

    def as_counts(self) -> dict[str, Any]:
        """What the last task of the DAG returns: numbers, and the sentence."""
        return {
            "requests": self.requests,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "waiting": self.waiting,
            "batches": self.batches,
            "refused_batches": self.refused_batches,
            "left_waiting": {each.reason: each.requests for each in self.left_waiting},
            "paid_usd": float(self.paid_usd),
            "saved_usd": float(self.saved_usd),
            "summary": self.summary,
        }


def night_report(engine: Engine, run_date: date) -> NightReport:
    """The report of one night, from the database alone."""
    with engine.connect() as conn:
        figures = sql.night_figures(conn, run_date)
        left = sql.night_waiting(conn, run_date)
    return NightReport(
        run_date=run_date,
        requests=figures["requests"],
        succeeded=figures["succeeded"],
        failed=figures["failed"],
        waiting=figures["queued_again"] + figures["unanswered"],
        batches=figures["batches"],
        refused_batches=figures["refused_batches"],
        left_waiting=tuple(
            Waiting(row["reason"], tuple(row["tenants"]), row["requests"], row["estimated_usd"])
            for row in left
        ),
        paid_usd=figures["paid_usd"],
        saved_usd=figures["saved_usd"],
    )
