"""A large night through queue, plan, submit and collect, against the sandbox: `make bench-batch`.

120,000 mixed requests of three tenants (messages, chats, responses, embeddings, some with pictures, two in a
hundred asked twice) and, in the same run, 12,000: memory must not grow with the night. PostgreSQL and the
sandbox are processes of their own; the night is one process, whose peak memory is measured. Beside it stands
the alternative, one live call a question, on a sample. Prices are the vendors' lists', answers and token
counts the sandbox's.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, text

from include.config import Thresholds, thresholds
from include.db import make_engine
from include.llm.batches import plan_night
from include.llm.bodies import Endpoint, Image, embedding_body, question_body
from include.llm.collection import collect_batches
from include.llm.prices import price_of
from include.llm.requests import LlmRequest, enqueue
from include.llm.submission import submit_batches
from include.llm.vendors import BatchVendors
from include.llm.vendors.anthropic import AnthropicBatches, anthropic_client
from include.llm.vendors.openai import OpenAIBatches, openai_client
from include.stack.settings import REPOSITORY
from tests.benchmarks.embedded import embedded_postgres, free_port
from tests.benchmarks.reporting import print_table, write_figures

SIZES = (12_000, 120_000)
TENANTS = ("account-1", "account-2", "account-3")
DUPLICATES = 0.02
AT_ONCE = 1_000
KEY = "a-key-for-this-benchmark"
LIVE_SAMPLE = 300
PICTURE = base64.b64encode(bytes(range(256)) * 40).decode()
LABEL = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "integer", "minimum": 0, "maximum": 100}},
    "required": ["label", "score"],
    "additionalProperties": False,
}


def main() -> int:
    """Measure, print, keep."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", default=",".join(map(str, SIZES)), help="requests, such as 1200,12000")
    arguments.add_argument("--night", type=int, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.night:
        print(json.dumps(night(given.night)))  # noqa: T201
        return 0
    began = time.perf_counter()
    told: dict[int, dict[str, float]] = {}
    for size in map(int, given.sizes.split(",")):
        with embedded_postgres() as url, sandbox() as address:
            environment = {**os.environ, "BENCH_DATABASE": url, "BENCH_SANDBOX": address}
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.bench_batch", "--night", str(size)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            told[size] = json.loads(done.stdout.splitlines()[-1])
    names = ("enqueue_per_s", "plan_per_s", "submit_per_s", "collect_per_s", "peak_mb", "lost", "doubled")
    rows = [(f"{size:,}", *(f"{each[name]:,.0f}" for name in names)) for size, each in told.items()]
    print_table(("requests", *names), rows)
    last = told[max(told)]
    figures = {name: round(value, 4) for name, value in last.items() if name != "peak_mb"}
    figures |= {f"peak_mb_{size // 1000}k": round(each["peak_mb"], 1) for size, each in told.items()}
    figures["lost"] = sum(each["lost"] for each in told.values())
    figures["doubled"] = sum(each["doubled"] for each in told.values())
    path = write_figures("batch", figures)
    _say(
        f"bill {last['paid_usd']:.4f} USD, the sandbox's {last['vendor_usd']:.4f}; live calls one by one: "
        f"{last['live_per_s']:.0f} a second, {last['times_live']:.1f} times slower than the whole night; "
        f"{time.perf_counter() - began:.0f} s; {path}"
    )
    return 0


def night(size: int) -> dict[str, float]:
    """One night of `size` requests in this process: requests a second by phase, memory, what became of it."""
    engine = make_engine(os.environ["BENCH_DATABASE"])
    address = os.environ["BENCH_SANDBOX"]
    settings = without_budget(thresholds())
    day = datetime.now(UTC).date()
    with vendors_of(address) as vendors:
        began = time.perf_counter()
        for first in range(0, size, AT_ONCE):
            page = [request(n) for n in range(first, min(first + AT_ONCE, size))]
            with engine.begin() as conn:
                enqueue(conn, page, day, settings)
        queued = time.perf_counter()
        plan = plan_night(engine, day, settings)
        planned = time.perf_counter()
        submit_batches(engine, vendors, plan.open_batch_ids, settings.llm)
        submitted = time.perf_counter()
        _advance(address)
        collecting = time.perf_counter()
        collect_batches(engine, vendors, plan.open_batch_ids, settings)
        collected = time.perf_counter()
    figures = {
        "enqueue_per_s": size / (queued - began),
        "plan_per_s": plan.new_requests / (planned - queued),
        "submit_per_s": plan.new_requests / (submitted - planned),
        "collect_per_s": plan.new_requests / (collected - collecting),
        # Linux counts in KiB.
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "batches": float(plan.new_batches),
        "requests": float(plan.new_requests),
    }
    figures |= audit(engine, address, settings, day)
    live = live_per_second(address)
    in_all = plan.new_requests / (collected - collecting + submitted - began)
    return figures | {"live_per_s": live, "times_live": in_all / live}


def request(number: int) -> LlmRequest:
    """The request in place `number`: always the same one."""
    tenant = TENANTS[number % len(TENANTS)]
    # Some are asked again by another tenant.
    n = number // 7 if number % round(1 / DUPLICATES) == 1 else number
    kind = n % 20
    subject, version = f"s{number}", "v1"
    words = f"Creative {n}: judge the hook, the offer and the call to action of variant {n % 977}."
    if kind < 8:
        pictures = [Image("image/png", PICTURE)] if kind == 0 and n % 100 == 0 else []
        body = question_body(
            Endpoint.MESSAGES,
            model="claude-haiku-4-5",
            text=words,
            images=pictures,
            schema=LABEL,
            max_tokens=300,
        )
        return LlmRequest(
            "historical_reprocessing", tenant, subject, "anthropic", "claude-haiku-4-5", version, body,
            answer_schema=LABEL,
        )  # fmt: skip
    if kind < 17:
        endpoint = Endpoint.CHAT if kind < 14 else Endpoint.RESPONSES
        body = question_body(endpoint, model="gpt-5-mini", text=words, schema=LABEL, max_tokens=300)
        return LlmRequest(
            "training_data", tenant, subject, "openai", "gpt-5-mini", version, body,
            endpoint=endpoint, answer_schema=LABEL,
        )  # fmt: skip
    body = embedding_body("text-embedding-3-small", [f"{words} {k}" for k in range(4)], 256)
    return LlmRequest(
        "embedding", tenant, subject, "openai", "text-embedding-3-small", version, body,
        endpoint=Endpoint.EMBEDDINGS,
    )  # fmt: skip


def audit(engine: Engine, address: str, settings: Thresholds, day: date) -> dict[str, float]:
    """What was lost or doubled, by our tables and by the sandbox's, and both bills."""
    with engine.connect() as conn:
        row = conn.execute(
            text("""
            SELECT (SELECT count(*) FROM llm.llm_request WHERE state <> 'succeeded') AS lost,
                   (SELECT count(*) FROM llm.llm_cost)
                       - (SELECT count(*) FROM llm.llm_request) AS booked_twice,
                   (SELECT count(*) FROM llm.llm_batch) AS batches,
                   (SELECT count(*) FROM llm.llm_request) AS requests,
                   (SELECT sum(paid_usd) FROM llm.llm_cost) AS paid_usd""")
        ).one()
    state = httpx.get(f"{address}/control/state", headers={"x-api-key": KEY}, timeout=60).json()
    created = state["batches"]["created"] + state["openai_batches"]["created"]
    asked = state["batches"]["requests"] + state["openai_batches"]["requests"]
    vendor_usd = sum((_charged(line, settings, day) for line in state["bill"]), Decimal(0))
    return {
        "lost": float(row.lost),
        "doubled": float(max(row.booked_twice, 0) + created - row.batches + asked - row.requests),
        "paid_usd": float(row.paid_usd),
        "vendor_usd": float(vendor_usd),
        "bill_difference_usd": float(row.paid_usd - vendor_usd),
    }


def live_per_second(address: str) -> float:
    """How many questions a second the same process gets answered live, one after the other."""
    with anthropic_client(f"{address}/anthropic", KEY, timeout_s=30) as client:
        drawn = (request(number) for number in count())
        bodies = [each.params for each in islice(drawn, 4 * LIVE_SAMPLE) if each.provider == "anthropic"]
        bodies = bodies[:LIVE_SAMPLE]
        began = time.perf_counter()
        for body in bodies:
            client.post("/v1/messages", body=dict(body), cast_to=object)
        return len(bodies) / (time.perf_counter() - began)


def without_budget(known: Thresholds) -> Thresholds:
    """Everything may leave tonight; batches keep the vendors' and our own limits."""
    everything = Decimal(10**9)
    llm = known.llm
    budget = llm.budget.model_copy(update={"night_usd": everything, "tenant_night_usd": everything})
    vendors = {
        name: vendor.model_copy(update={"enqueued_tokens": None, "enqueued_requests": None})
        for name, vendor in llm.vendors.items()
    }
    changes = {"budget": budget, "vendors": vendors, "requests_per_night": 10**9}
    return known.model_copy(update={"llm": llm.model_copy(update=changes)})


def vendors_of(address: str) -> BatchVendors:
    """Both vendors as the sandbox plays them."""
    return BatchVendors(
        [
            AnthropicBatches(anthropic_client(f"{address}/anthropic", KEY, timeout_s=120)),
            OpenAIBatches(openai_client(f"{address}/openai/v1", KEY, timeout_s=120)),
        ]
    )


@contextmanager
def sandbox() -> Iterator[str]:
    """The vendors' stand-in as a program of its own; its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as folder:
        program = subprocess.Popen(
            [
                sys.executable, "-m", "include.sandbox", "--port", str(port), "--state", folder,
                "--batch-seconds", "60",
            ],
            env={**os.environ, "NIGHTSHIFT_SANDBOX_KEY": KEY, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=(Path(folder) / "log").open("wb"),
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    httpx.get(f"{address}/healthz", timeout=1).raise_for_status()
                    break
                except httpx.HTTPError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            yield address
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(30)


def _charged(line: dict[str, Any], settings: Thresholds, day: date) -> Decimal:
    price = price_of(settings.prices, line["vendor"], line["model"], day)
    if line["mode"] != "batch":
        return Decimal(0)
    live = (
        line["input_tokens"] * price.input
        + line["cache_write_tokens"] * price.cache_write
        + line["cache_write_1h_tokens"] * price.cache_write_1h
        + line["cache_read_tokens"] * price.cache_read
        + line["output_tokens"] * price.output
    )
    return live * price.batch_factor / 1_000_000


def _advance(address: str) -> None:
    moved = {"advance_seconds": 90_000}
    httpx.post(
        f"{address}/control/clock", json=moved, headers={"x-api-key": KEY}, timeout=60
    ).raise_for_status()
    # The first look after the end settles the batches, which is the vendor's work and not ours.
    httpx.get(f"{address}/control/state", headers={"x-api-key": KEY}, timeout=300).raise_for_status()


def _say(sentence: str) -> None:
    print(sentence)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
