"""Removes what has grown old, and has the semantic cache learn from what it saw.

## What
Answers, failed requests, batches, damaged lines and night reports older than `llm.keep` says are removed;
what they cost stays on the bill much longer. The log of predictions is kept for `predictions.keep_days`, the
records of what loads of Meta's Insights did for `ads.keep_load_days` (the loaded rows stay).
In the cache, answers whose time is over go, then those that save least for their size where a limit is
exceeded; old lookups become daily sums. Then every namespace that saw enough learns anew when another
question's answer will do (its promise about wrong answers is in `docs/llm_cache.md`), and one that was shut
because checks came back wrong opens again if it now can.
With `dry_run` it only counts. Everything happens in pages and is safe to repeat at any time.

## When it fails
A database that was away is tried again by itself. If a statement takes too long, lower `page_rows` of
`llm.keep` or `llm.cache` in `include/config/thresholds.yaml`, and clear the task: what was removed stays
removed, the rest follows.

## Can it wait?
Yes, for days. Nothing old is ever answered from: an expired entry answers nobody, also before it is removed.
Until it runs, tables grow and a namespace that was shut answers exact hits only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from nightshift.assets import LLM_CACHE
from nightshift.policy import house
from nightshift.run_day import day_param, run_day


@dag(
    **house(schedule="30 6 * * *", tags=["llm", "nightly"], dagrun_timeout=timedelta(hours=2)),
    doc_md=__doc__,
    params={
        "day": day_param(),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="count what would be removed, and remove nothing",
        ),
    },
)
def housekeeping() -> None:
    @task(inlets=[LLM_CACHE])
    def keep_house(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from include.config import thresholds
        from include.llm.keeping import keep_house
        from nightshift.connections import nightshift_engine

        day = run_day(params, dag_run)
        return keep_house(nightshift_engine(), thresholds(), day, dry_run=params["dry_run"]).as_counts()

    @task
    def trim_predictions(params: dict[str, Any], dag_run: Any) -> int:
        from datetime import UTC, datetime, time, timedelta

        from include.config import thresholds
        from include.db.predictions import delete_predictions
        from nightshift.connections import nightshift_engine

        day = run_day(params, dag_run) - timedelta(days=thresholds().predictions.keep_days)
        before = datetime.combine(day, time(), UTC)
        return delete_predictions(
            nightshift_engine(),
            before,
            page=thresholds().llm.keep.page_rows,
            dry_run=params["dry_run"],
        )

    @task
    def trim_loads(params: dict[str, Any], dag_run: Any) -> int:
        from datetime import UTC, datetime, time, timedelta

        from include.config import thresholds
        from include.db.insight_loads import delete_loads
        from nightshift.connections import nightshift_engine

        day = run_day(params, dag_run) - timedelta(days=thresholds().ads.keep_load_days)
        before = datetime.combine(day, time(), UTC)
        return delete_loads(
            nightshift_engine(),
            before,
            page=thresholds().llm.keep.page_rows,
            dry_run=params["dry_run"],
        )

    @task
    def report(done: dict[str, Any], predictions: int, loads: int) -> dict[str, Any]:
        return {**done, "predictions": predictions, "loads": loads}

    report(keep_house(), trim_predictions(), trim_loads())


housekeeping()
