"""A night in a process of its own that kills itself by SIGKILL at a given step."""

from __future__ import annotations

import os
import signal
from datetime import date
from typing import Any

import anthropic
import httpx
import openai
from sqlalchemy import event

from include.config import thresholds
from include.db import make_engine
from include.llm.batches import plan_night
from include.llm.collection import collect_batches
from include.llm.submission import submit_batches
from include.llm.vendors import BatchVendors
from include.llm.vendors.anthropic import AnthropicBatches
from include.llm.vendors.openai import OpenAIBatches


def run(url: str, sandbox_url: str, key: str, day: date, kind: str, number: int) -> None:
    """Plan, submit, look, and collect; die just before the `number`-th commit, or when the `number`-th
    request to a vendor is about to leave, or when its answer has arrived.

    Args:
        kind: `commit`, `request` or `response`.
    """
    left = number

    def tick(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = thresholds()
    llm = settings.llm.model_copy(update={"settle_s": 0.0, "collect_rows": 2})
    settings = settings.model_copy(update={"llm": llm})
    engine = make_engine(url)
    if kind == "commit":
        event.listen(engine, "commit", tick)
    hooks = {} if kind == "commit" else {kind: [tick]}
    claude = anthropic.Anthropic(
        base_url=f"{sandbox_url}/anthropic",
        api_key=key,
        http_client=anthropic.DefaultHttpxClient(event_hooks=hooks),
    )
    gpt = openai.OpenAI(
        base_url=f"{sandbox_url}/openai/v1",
        api_key=key,
        http_client=openai.DefaultHttpxClient(event_hooks=hooks),
    )
    vendors = BatchVendors([AnthropicBatches(claude), OpenAIBatches(gpt)])
    ids = plan_night(engine, day, settings).open_batch_ids
    submissions = submit_batches(engine, vendors, ids, settings.llm)
    for batch in submissions.submitted:
        vendors[batch.vendor].look(batch.vendor_batch_id)
    httpx.post(
        f"{sandbox_url}/control/clock", json={"advance_seconds": 90_000}, headers={"x-api-key": key}
    ).raise_for_status()
    collect_batches(engine, vendors, ids, settings)
