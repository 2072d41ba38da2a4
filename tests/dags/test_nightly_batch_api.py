"""The night's language-model work, run for real: paid once, whatever gets lost and however often it runs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.simulator import WorldConfig
from include.simulator.loading import load_world
from tests.dags.running import run_dag

DAY = "2026-03-31"

pytestmark = pytest.mark.usefixtures("airflow_db")


def written(db: Engine) -> dict[str, list[tuple[Any, ...]]]:
    queries = {
        "requests": "SELECT request_key, state, answer::text, attempts FROM llm.llm_request ORDER BY 1",
        "batches": "SELECT provider, model, state, vendor_batch_id FROM llm.llm_batch ORDER BY 1, 2",
        "costs": "SELECT request_id, attempt, paid_usd FROM llm.llm_cost ORDER BY 1, 2",
        "scores": "SELECT account_id, creative_id, score, critique FROM llm.creative_score ORDER BY 1, 2",
    }
    with db.connect() as connection:
        return {name: [tuple(row) for row in connection.execute(text(q))] for name, q in queries.items()}


def test_nothing_to_score_succeeds_and_says_so(db: Engine, sandbox: Any) -> None:
    run = run_dag("nightly_batch_api", day=DAY)
    assert run.state == "success"
    assert run.report["requests"] == 0
    assert run.report["summary"].startswith("Nothing to ask a model")


def test_creatives_are_scored_once_though_an_answer_is_lost_and_the_day_runs_twice(
    db: Engine, sandbox: Any
) -> None:
    load_world(db, WorldConfig(accounts=2, days=21, start=date(2026, 3, 10)))
    fault = {"vendor": "anthropic", "route": "POST /v1/messages/batches", "kind": "drop_response", "times": 1}
    sandbox.client.post("/control/faults", json=fault).raise_for_status()

    first = run_dag("nightly_batch_api", day=DAY)
    before = written(db)
    again = run_dag("nightly_batch_api", day=DAY)

    assert first.state == again.state == "success"
    assert first.report == again.report
    # Beside the scores, the questions that tomorrow will probably ask.
    assert first.report["succeeded"] > len(before["scores"]) > 0
    assert Decimal(str(first.report["paid_usd"])) == sum(cost[2] for cost in before["costs"]) > 0
    assert written(db) == before
    ours = [batch for batch in before["batches"] if batch[0] == "anthropic"]
    assert sandbox.client.get("/control/state").json()["batches"]["created"] == len(ours) == 2
