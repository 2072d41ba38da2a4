"""A night to test with: creatives in the database, the real SDK on the sandbox, short patience."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import pytest
from sqlalchemy import Engine, text

from include.config import Thresholds, thresholds
from include.llm.batches import plan_night
from include.llm.collection import CollectedBatch, collect_batches
from include.llm.night import NightReport, night_report
from include.llm.prices import price_of
from include.llm.scoring import queue_unscored_creatives
from include.llm.submission import Submissions, submit_batches
from include.llm.vendor import anthropic_client

DAY = date(2026, 11, 20)
CREATE = "POST /v1/messages/batches"
LIST = "GET /v1/messages/batches"
RETRIEVE = "GET /v1/messages/batches/*"


@dataclass
class Night:
    """The steps of the DAG as methods, and what the database and the vendor hold."""

    engine: Engine
    client: anthropic.Anthropic
    vendor: httpx.Client
    settings: Thresholds
    day: date = DAY

    def queue(self) -> None:
        queue_unscored_creatives(self.engine, self.day, self.settings)

    def plan(self) -> tuple[int, ...]:
        return plan_night(self.engine, self.day, self.settings).open_batch_ids

    def submit(self, batch_ids: tuple[int, ...] | None = None) -> Submissions:
        ids = self.plan() if batch_ids is None else batch_ids
        return submit_batches(self.engine, self.client, ids, self.settings.llm)

    def let_the_vendor_finish(self, seconds: float = 25 * 3600.0) -> None:
        self.vendor.post("/control/clock", json={"advance_seconds": seconds}).raise_for_status()

    def collect(self) -> list[CollectedBatch]:
        ids = [row["batch_id"] for row in self.rows("SELECT batch_id FROM llm.llm_batch ORDER BY 1")]
        return collect_batches(self.engine, self.client, ids, self.settings)

    def run(self) -> NightReport:
        self.queue()
        self.submit()
        self.let_the_vendor_finish()
        self.collect()
        return self.report()

    def report(self) -> NightReport:
        return night_report(self.engine, "anthropic", self.day)

    def fault(self, kind: str, route: str = CREATE, **order: Any) -> None:
        body = {"vendor": "anthropic", "kind": kind, "route": route, **order}
        self.vendor.post("/control/faults", json=body).raise_for_status()

    def clear_faults(self) -> None:
        self.vendor.delete("/control/faults").raise_for_status()

    def vendor_state(self) -> dict[str, Any]:
        return self.vendor.get("/control/state").json()

    def posts(self) -> int:
        return self.vendor_state()["requests"]["anthropic"].get(CREATE, 0)

    def vendor_batches(self) -> int:
        return self.vendor_state()["batches"]["created"]

    def vendor_bill_usd(self) -> Decimal:
        total = Decimal(0)
        for line in self.vendor_state()["bill"]:
            price = price_of(self.settings.prices, "anthropic", line["model"], self.day)
            total += (line["input_tokens"] * price.input + line["output_tokens"] * price.output) * (
                price.batch_factor / 1_000_000
            )
        return total

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self.engine.connect() as conn:
            return [dict(row) for row in conn.execute(text(query), values).mappings()]

    def one(self, query: str, **values: Any) -> Any:
        (row,) = self.rows(query, **values)
        return next(iter(row.values()))

    def states(self) -> dict[str, int]:
        rows = self.rows("SELECT state, count(*) AS n FROM llm.llm_request GROUP BY state")
        return {row["state"]: row["n"] for row in rows}

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """All that a night leaves behind, without the times at which rows were touched."""
        return {
            table: self.rows(f"SELECT {columns} FROM llm.{table} ORDER BY {order}")
            for table, columns, order in (
                ("llm_request", "request_id, state, attempts, batch_id, answer, error, priority", "1"),
                ("llm_batch", "batch_id, run_date, chunk, state, vendor_batch_id, vendor_counts", "1"),
                ("llm_batch_item", "batch_id, request_id, attempt, outcome, request_state, error", "1, 2"),
                ("llm_cost", "request_id, attempt, batch_id, input_tokens, output_tokens, paid_usd", "1, 2"),
                ("creative_score", "account_id, creative_id, score, critique, request_id", "1, 2"),
                ("quarantined_line", "batch_id, line, reason", "1, 2"),
            )
        }


@pytest.fixture
def make_night(db, sandbox) -> Iterator[Callable[..., Night]]:
    """Makes a night over `creatives` creatives; further arguments change `thresholds().llm`."""
    clients = []

    def make(creatives: int = 6, **llm: Any) -> Night:
        with db.begin() as conn:
            conn.execute(
                text(
                    "INSERT INTO ads.account (account_id, name, niche, source)"
                    " VALUES ('a1', 'A', 'saas', 'sandbox')"
                )
            )
            conn.execute(
                text("""
                INSERT INTO ads.creative (account_id, creative_id, hook_type, hook_text, persona, cta, format)
                SELECT 'a1', 'c' || n, 'question', 'Why does ' || n || ' win?', 'founder', 'sign_up', 'video'
                FROM generate_series(1, :creatives) AS n"""),
                {"creatives": creatives},
            )
        known = thresholds()
        patience = {"settle_s": 0.0, "collect_rows": 2, "submit_timeout_s": 10.0, **llm}
        settings = known.model_copy(update={"llm": known.llm.model_copy(update=patience)})
        client = anthropic_client(sandbox.anthropic_url, sandbox.api_key, timeout_s=10)
        clients.append(client)
        return Night(db, client, sandbox.client, settings)

    yield make
    for client in clients:
        client.close()
