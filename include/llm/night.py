"""What a night of language-model work did, in figures and in one sentence."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from include.db import llm as sql


@dataclass(frozen=True)
class NightReport:
    """The batches of one run date. A later night that answers what waits here does not change it.

    Attributes:
        requests: distinct requests that left in batches of this date.
        failed: of them, those that will not be asked again.
        waiting: of them, those queued for another night or still with the vendor.
        batches, refused_batches: batches in all, and of them those the vendor did not take.
        paid_usd, saved_usd: what it cost, and what it would have cost more live.
    """

    run_date: date
    requests: int
    succeeded: int
    failed: int
    waiting: int
    batches: int
    refused_batches: int
    paid_usd: Decimal
    saved_usd: Decimal

    @property
    def summary(self) -> str:
        """One sentence for people."""
        if not self.requests:
            return f"Nothing to ask a model on {self.run_date}: 0 requests"
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        parts = [f"{self.succeeded} of {self.requests} requests answered in {batches}"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.waiting:
            parts.append(f"{self.waiting} wait for another night")
        if self.refused_batches:
            parts.append(f"{self.refused_batches} of the batches refused by the vendor")
        return f"{', '.join(parts)}; paid ${self.paid_usd:.4f}, saved ${self.saved_usd:.4f}"

    def as_counts(self) -> dict[str, Any]:
        """What the last task of the DAG returns: numbers, and the sentence."""
        return {
            "requests": self.requests,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "waiting": self.waiting,
            "batches": self.batches,
            "refused_batches": self.refused_batches,
            "paid_usd": float(self.paid_usd),
            "saved_usd": float(self.saved_usd),
            "summary": self.summary,
        }


def night_report(engine: Engine, provider: str, run_date: date) -> NightReport:
    """The report of one night, from the database alone."""
    with engine.connect() as conn:
        figures = sql.night_figures(conn, provider, run_date)
    return NightReport(
        run_date=run_date,
        requests=figures["requests"],
        succeeded=figures["succeeded"],
        failed=figures["failed"],
        waiting=figures["queued_again"] + figures["unanswered"],
        batches=figures["batches"],
        refused_batches=figures["refused_batches"],
        paid_usd=figures["paid_usd"],
        saved_usd=figures["saved_usd"],
    )
