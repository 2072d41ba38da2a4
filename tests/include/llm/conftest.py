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
from include.llm.bodies import Endpoint, embedding_body, question_body
from include.llm.collection import CollectedBatch, collect_batches
from include.llm.night import NightReport, night_report
from include.llm.prices import price_of
from include.llm.requests import LlmRequest, enqueue
from include.llm.scoring import queue_unscored_creatives
from include.llm.submission import Submissions, submit_batches
from include.llm.vendors import BatchVendors
from include.llm.vendors.anthropic import AnthropicBatches, anthropic_client
from include.llm.vendors.openai import OpenAIBatches, openai_client

DAY = date(2026, 11, 20)
CREATE = "POST /v1/messages/batches"
LIST = "GET /v1/messages/batches"
RETRIEVE = "GET /v1/messages/batches/*"


@dataclass
class Night:
    """The steps of the DAG as methods, and what the database and the vendor hold."""

    engine: Engine
    vendors: BatchVendors
    vendor: httpx.Client
    settings: Thresholds
    day: date = DAY

    @property
    def client(self) -> anthropic.Anthropic:
        vendor = self.vendors["anthropic"]
        assert isinstance(vendor, AnthropicBatches)
        return vendor.client

    def queue(self) -> None:
        queue_unscored_creatives(self.engine, self.day, self.settings)

    def plan(self) -> tuple[int, ...]:
        return plan_night(self.engine, self.day, self.settings).open_batch_ids

    def submit(self, batch_ids: tuple[int, ...] | None = None) -> Submissions:
        ids = self.plan() if batch_ids is None else batch_ids
        return submit_batches(self.engine, self.vendors, ids, self.settings.llm)

    def let_the_vendor_finish(self, seconds: float = 25 * 3600.0) -> None:
        self.vendor.post("/control/clock", json={"advance_seconds": seconds}).raise_for_status()

    def collect(self) -> list[CollectedBatch]:
        ids = [row["batch_id"] for row in self.rows("SELECT batch_id FROM llm.llm_batch ORDER BY 1")]
        return collect_batches(self.engine, self.vendors, ids, self.settings)

    def run(self) -> NightReport:
        self.queue()
        self.submit()
        self.let_the_vendor_finish()
        self.collect()
        return self.report()

    def report(self) -> NightReport:
        return night_report(self.engine, self.day)

    def ask_openai(self, count: int, endpoint: Endpoint = Endpoint.CHAT, **changes: Any) -> None:
        """Queue questions to OpenAI that no creative asks."""
        model = "text-embedding-3-small" if endpoint is Endpoint.EMBEDDINGS else "gpt-5-mini"
        requests = []
        for number in range(count):
            words = f"Label training example {number}"
            body = (
                embedding_body(model, [words])
                if endpoint is Endpoint.EMBEDDINGS
                else question_body(endpoint, model=model, text=words, max_tokens=200)
            )
            values = {
                "purpose": "training_data", "tenant": "a1", "subject": f"s{number}", "provider": "openai",
                "model": model, "prompt_version": "v1", "params": body, "endpoint": endpoint,
            }  # fmt: skip
            requests.append(LlmRequest(**{**values, **changes}))
        with self.engine.begin() as conn:
            enqueue(conn, requests, self.day)

    def fault(self, kind: str, route: str = CREATE, vendor: str = "anthropic", **order: Any) -> None:
        body = {"vendor": vendor, "kind": kind, "route": route, **order}
        self.vendor.post("/control/faults", json=body).raise_for_status()

    def clear_faults(self) -> None:
        self.vendor.delete("/control/faults").raise_for_status()

    def vendor_state(self) -> dict[str, Any]:
        return self.vendor.get("/control/state").json()

    def posts(self) -> int:
        return self.vendor_state()["requests"]["anthropic"].get(CREATE, 0)

    def vendor_batches(self, vendor: str = "anthropic") -> int:
        return self.vendor_state()["batches" if vendor == "anthropic" else "openai_batches"]["created"]

    def vendor_bill_usd(self) -> Decimal:
        total = Decimal(0)
        for line in self.vendor_state()["bill"]:
            price = price_of(self.settings.prices, line["vendor"], line["model"], self.day)
            total += (
                line["input_tokens"] * price.input
                + line["cache_write_tokens"] * price.cache_write
                + line["cache_write_1h_tokens"] * price.cache_write_1h
                + line["cache_read_tokens"] * price.cache_read
                + line["output_tokens"] * price.output
            ) * (price.batch_factor / 1_000_000)
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


def vendors_of(sandbox, key: str | None = None) -> BatchVendors:
    """Both vendors as the sandbox plays them."""
    key = key or sandbox.api_key
    return BatchVendors(
        [
            AnthropicBatches(anthropic_client(sandbox.anthropic_url, key, timeout_s=10), submit_timeout_s=10),
            OpenAIBatches(openai_client(sandbox.openai_url, key, timeout_s=10), submit_timeout_s=10),
        ]
    )


@pytest.fixture
def make_night(db, sandbox) -> Iterator[Callable[..., Night]]:
    """Makes a night over `creatives` creatives; further arguments change `thresholds().llm`."""

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
        return Night(db, vendors, sandbox.client, settings)

    with vendors_of(sandbox) as vendors:
        yield make
